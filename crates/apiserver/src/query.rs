//! The parameters of a request, read and checked with Kubernetes' texts.

use std::sync::Arc;
use std::time::Duration;

use kinds::field::{self, Path};

use crate::identity::User;
use crate::status::Status;

/// The parameters of a URL in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// The first value of this name; `None` too when it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// The same with every value of this name made another.
    pub fn map(&self, name: &str, change: impl Fn(&str) -> String) -> Self {
        let changed = |(k, v): &(String, String)| (k.clone(), if k == name { change(v) } else { v.clone() });
        Self(self.0.iter().map(changed).collect())
    }

    /// Whether there is a value of this name, empty or not.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(k, _)| k == name)
    }

    /// All values of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, _)| k == name).map(|(_, v)| v.as_str()).collect()
    }

    /// A truth value as Kubernetes converts them: anything but `false` and `0` is true, when it is there at all.
    pub fn flag(&self, name: &str) -> Option<bool> {
        let (_, value) = self.0.iter().find(|(k, _)| k == name)?;
        Some(!matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_integer(text).map(Some).map_err(Status::bad_request)
    }
}

/// A whole number as Go's `strconv.ParseInt` reads it, with its error.
pub(crate) fn parse_integer(text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse::<i64>().map_err(|e| match e.kind() {
        PosOverflow | NegOverflow => format!("strconv.ParseInt: parsing {text:?}: value out of range"),
        _ => format!("strconv.ParseInt: parsing {text:?}: invalid syntax"),
    })
}

/// `resourceVersionMatch`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// What `list` and `watch` are asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    pub label_selector: String,
    pub field_selector: String,
    /// `None` when nothing was said.
    pub resource_version: Option<u64>,
    pub version_match: Option<VersionMatch>,
    pub timeout: Option<Duration>,
    /// 0 for no limit.
    pub limit: usize,
    pub continue_token: String,
    pub allow_bookmarks: bool,
    pub send_initial_events: Option<bool>,
}

impl ListOptions {
    pub fn read(query: &Query, watch: bool) -> Result<Self, Status> {
        let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
        let limit = query.integer("limit")?.unwrap_or_default();
        let seconds = query.integer("timeoutSeconds")?;
        let version = text("resourceVersion");
        let send_initial_events = query.flag("sendInitialEvents");
        let matching = text("resourceVersionMatch");
        let continue_token = text("continue");
        let faults = list_faults(watch, &version, &matching, !continue_token.is_empty(), send_initial_events);
        if !faults.is_empty() {
            return Err(Status::invalid_options("ListOptions", &faults));
        }
        // A watch that begins nowhere in particular begins with what is there, as a streaming list does.
        let anywhere = watch && matches!(version.as_str(), "" | "0");
        let send_initial_events = send_initial_events.or_else(|| anywhere.then_some(true));
        Ok(Self {
            label_selector: text("labelSelector"),
            field_selector: text("fieldSelector"),
            resource_version: if version.is_empty() { None } else { Some(resource_version(&version)?) },
            version_match: match matching.as_str() {
                "Exact" => Some(VersionMatch::Exact),
                "NotOlderThan" => Some(VersionMatch::NotOlderThan),
                _ => None,
            },
            timeout: seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0).map(Duration::from_secs),
            limit: usize::try_from(limit).unwrap_or_default(),
            continue_token,
            allow_bookmarks: query.flag("allowWatchBookmarks").unwrap_or_default(),
            send_initial_events,
        })
    }
}

fn list_faults(watch: bool, version: &str, matching: &str, goes_on: bool, initial: Option<bool>) -> Vec<field::Error> {
    let (at_match, at_initial) = (Path::new("resourceVersionMatch"), Path::new("sendInitialEvents"));
    let forbidden = |text: &str| field::Error::forbidden(&at_match, text);
    let mut faults = Vec::new();
    if watch {
        match (initial, matching) {
            (None, "") => {}
            (None, _) => faults
                .push(forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")),
            (Some(_), "NotOlderThan") => {}
            (Some(_), "") => {
                faults.push(forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
            }
            (Some(_), other) => faults.push(field::Error::not_supported(&at_match, other, &["NotOlderThan"])),
        }
        if goes_on {
            faults.push(field::Error::forbidden(&Path::new("continue"), "continue is forbidden for watch"));
        }
        return faults;
    }
    if initial.is_some() {
        faults.push(field::Error::forbidden(&at_initial, "sendInitialEvents is forbidden for list"));
    }
    if matching.is_empty() {
        return faults;
    }
    if version.is_empty() {
        faults.push(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"));
    }
    if goes_on {
        faults.push(forbidden("resourceVersionMatch is forbidden when continue is provided"));
    }
    if !matches!(matching, "Exact" | "NotOlderThan") {
        faults.push(field::Error::not_supported(&at_match, matching, &["Exact", "NotOlderThan", ""]));
    }
    if matching == "Exact" && version == "0" {
        faults.push(forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
    }
    faults
}

/// A resource version: a revision of the store, or 0 for any.
pub(crate) fn resource_version(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        let fault = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        Status::bad_request(field::Error::invalid(&Path::new("resourceVersion"), text, fault).to_string())
    })
}

/// How unknown and duplicate fields of a body are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// What `create`, `update` and `patch` are asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    pub dry_run: bool,
    pub field_validation: FieldValidation,
    /// Who owns what is written.
    pub manager: String,
    /// Whether the manager was named, as apply needs it.
    pub manager_named: bool,
    /// Takes conflicting fields from other managers.
    pub force: bool,
    /// The document says already who owns what: it was made by an apply.
    pub applied: bool,
    /// Who asks; `None` is the server itself, which may do everything.
    pub user: Option<Arc<User>>,
}

/// The longest name of a field manager.
const MANAGER_LIMIT: usize = 128;

impl WriteOptions {
    /// `options` is the name of the options' kind, `CreateOptions`; `agent` the `User-Agent`.
    pub fn read(query: &Query, options: &'static str, agent: &str) -> Result<Self, Status> {
        let mut faults = Vec::new();
        let named = query.get("fieldManager");
        if let Some(named) = named {
            faults.extend(manager_faults(named));
        }
        let dry_run = dry_run(query, &mut faults);
        let validation = query.get("fieldValidation").unwrap_or_default();
        let field_validation = match validation {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let (path, supported) = (Path::new("fieldValidation"), &["", "Ignore", "Strict", "Warn"]);
                faults.push(field::Error::not_supported(&path, other, supported));
                FieldValidation::Warn
            }
        };
        if !faults.is_empty() {
            return Err(Status::invalid_options(options, &faults));
        }
        let manager = named.map_or_else(|| manager_of_agent(agent), ToOwned::to_owned);
        let force = query.flag("force").unwrap_or_default();
        Ok(Self {
            dry_run,
            field_validation,
            manager,
            manager_named: named.is_some(),
            force,
            applied: false,
            user: None,
        })
    }
}

/// Whether nothing is to be written. Adds a fault for a value that is not known.
pub(crate) fn dry_run(query: &Query, faults: &mut Vec<field::Error>) -> bool {
    let asked = query.all("dryRun");
    if asked.iter().any(|d| *d != "All") {
        let value = serde_json::Value::from(asked.clone());
        faults.push(field::Error::not_supported(&Path::new("dryRun"), value, &["All"]));
    }
    !asked.is_empty()
}

fn manager_faults(name: &str) -> Vec<field::Error> {
    let path = Path::new("fieldManager");
    if name.len() > MANAGER_LIMIT {
        return vec![field::Error::too_long(&path, MANAGER_LIMIT)];
    }
    match name.chars().position(|c| c.is_control()) {
        Some(_) => vec![field::Error::invalid(&path, name, "should only contain printable characters")],
        None => Vec::new(),
    }
}

/// The program that asks: what is before the first `/`, as far as it is printable.
fn manager_of_agent(agent: &str) -> String {
    let program = agent.split('/').next().unwrap_or_default();
    let printable: String = program.chars().filter(|c| !c.is_control()).take(MANAGER_LIMIT).collect();
    if printable.is_empty() { "unknown".to_owned() } else { printable }
}

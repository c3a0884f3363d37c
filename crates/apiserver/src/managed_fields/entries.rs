//! `metadata.managedFields`: who owns which fields, read and written.

use jiff::Timestamp;
use kinds::schema::quoted;
use serde_json::{Map, Value, json};

use super::element::ElementError;
use super::set::FieldSet;

/// More managers of updates than this are not kept apart.
const MOST_UPDATE_MANAGERS: usize = 10;
/// Who owns what the oldest of too many managers owned.
const ANCIENT: &str = "ancient-changes";

/// What made a manager own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// It applied them.
    Apply,
    /// It wrote them otherwise.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One manager and its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// RFC 3339; `None` for a manager that applied what was so already.
    pub time: Option<String>,
    pub fields: FieldSet,
}

/// Why `managedFields` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EntriesError {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    ApiVersion,
    #[error("fieldsType must be FieldsV1")]
    FieldsType,
    #[error(transparent)]
    Fields(#[from] ElementError),
}

impl Entry {
    /// Whether two entries are of one manager. An applier is the same in every version.
    pub fn is_of(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// Text that orders managers as Kubernetes orders them where it needs an order of its own.
    pub fn identifier(&self) -> String {
        let mut text =
            format!("{{\"manager\":{},\"operation\":\"{}\"", Value::from(self.manager.as_str()), self.operation.name());
        if self.operation == Operation::Update {
            text.push_str(&format!(",\"apiVersion\":{}", Value::from(self.api_version.as_str())));
        }
        if !self.subresource.is_empty() {
            text.push_str(&format!(",\"subresource\":{}", Value::from(self.subresource.as_str())));
        }
        text.push('}');
        text
    }

    /// The manager in the message of a conflict: `"kubectl-create" using v1`.
    pub fn printed(&self) -> String {
        let mut text = quoted(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {}", quoted(&self.subresource)));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }

    fn seconds(&self) -> i64 {
        self.time.as_deref().and_then(|t| t.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second)
    }

    fn decode(entry: &Value) -> Result<Self, EntriesError> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err(EntriesError::Operation),
        };
        if text("apiVersion").is_empty() {
            return Err(EntriesError::ApiVersion);
        }
        if text("fieldsType") != "FieldsV1" {
            return Err(EntriesError::FieldsType);
        }
        Ok(Self {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: Some(text("time")).filter(|t| !t.is_empty()),
            fields: FieldSet::decode(entry.get("fieldsV1").unwrap_or(&Value::Null))?,
        })
    }

    fn encode(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager,
            "operation": self.operation.name(),
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.encode(),
        });
        if let Some(time) = &self.time {
            entry["time"] = time.as_str().into();
        }
        if !self.subresource.is_empty() {
            entry["subresource"] = self.subresource.as_str().into();
        }
        entry
    }
}

/// The entries of a `managedFields`; none if it is not there.
pub(super) fn decode(managed_fields: Option<&Value>) -> Result<Vec<Entry>, EntriesError> {
    let entries = managed_fields.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut decoded: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let entry = Entry::decode(entry)?;
        match decoded.iter_mut().find(|e| e.is_of(&entry)) {
            Some(same) => *same = entry,
            None => decoded.push(entry),
        }
    }
    Ok(decoded)
}

/// Puts entries into an object, in Kubernetes' order; takes `managedFields` out of it if there are none.
pub(super) fn store(object: &mut Value, mut entries: Vec<Entry>) {
    entries.sort_by(|a, b| {
        let key = |e: &Entry| (e.operation, e.seconds());
        key(a)
            .cmp(&key(b))
            .then_with(|| a.manager.cmp(&b.manager))
            .then_with(|| a.api_version.cmp(&b.api_version))
            .then_with(|| a.subresource.cmp(&b.subresource))
    });
    if entries.is_empty() {
        take(object);
    } else if let Some(metadata) = metadata(object) {
        metadata.insert("managedFields".to_owned(), entries.iter().map(Entry::encode).collect());
    }
}

/// Takes `managedFields` out of an object.
pub(super) fn take(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

fn metadata(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.as_object_mut()?.entry("metadata").or_insert_with(|| json!({})).as_object_mut()
}

/// Merges the oldest managers of updates, version by version, until there are few enough.
pub(super) fn cap(entries: &mut Vec<Entry>) {
    let mut updaters: Vec<Entry> = entries.iter().filter(|e| e.operation == Operation::Update).cloned().collect();
    let mut count = updaters.len();
    if count <= MOST_UPDATE_MANAGERS {
        return;
    }
    updaters.sort_by_cached_key(|e| (e.seconds(), e.identifier()));
    let mut firsts: Vec<Entry> = Vec::new();
    for updater in updaters {
        if count <= MOST_UPDATE_MANAGERS {
            return;
        }
        // The first of each version is remembered; only a second one makes a bucket of both.
        let Some(first) = firsts.iter().find(|f| f.api_version == updater.api_version) else {
            firsts.push(updater);
            continue;
        };
        let bucket = Entry {
            manager: ANCIENT.to_owned(),
            operation: Operation::Update,
            api_version: updater.api_version.clone(),
            subresource: String::new(),
            time: updater.time.clone(),
            fields: FieldSet::default(),
        };
        let held = if entries.iter().any(|e| e.is_of(&bucket)) { &bucket } else { first };
        let fields = remove(entries, held).map(|e| e.fields).unwrap_or_default();
        let fields = remove(entries, &updater).map(|e| e.fields).unwrap_or_default().union(&fields);
        entries.push(Entry { fields, ..bucket });
        count -= 1;
    }
}

/// Takes the entry of a manager out.
pub(super) fn remove(entries: &mut Vec<Entry>, of: &Entry) -> Option<Entry> {
    let at = entries.iter().position(|e| e.is_of(of))?;
    Some(entries.remove(at))
}

//! What of which requests is written down: a `Policy` of `audit.k8s.io/v1`, whose first rule that matches decides.

use serde::{Deserialize, Serialize};

use crate::identity::User;
use crate::request::RequestInfo;

/// How much is written of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub(crate) enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who, what, when.
    Metadata,
    /// What was sent, too.
    Request,
    /// What was answered, too.
    RequestResponse,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Stage {
    RequestReceived,
    /// Only of what lasts.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

/// The policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Policy {
    api_version: String,
    kind: String,
    #[serde(default)]
    #[expect(dead_code, reason = "it may be there, and says nothing")]
    metadata: serde_json::Value,
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Rule {
    level: Level,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// What the policy says of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

impl Policy {
    /// Reads a policy in YAML or JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let policy: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        match (policy.api_version.as_str(), policy.kind.as_str()) {
            ("audit.k8s.io/v1", "Policy") if policy.rules.is_empty() => Err("it has no rules".to_owned()),
            ("audit.k8s.io/v1", "Policy") => Ok(policy),
            (version, kind) => Err(format!("it is a {kind} of {version}, not a Policy of audit.k8s.io/v1")),
        }
    }

    /// What is to be written of a request of somebody.
    pub fn judge(&self, user: &User, info: &RequestInfo) -> Verdict {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(user, info)) else { return Verdict::default() };
        Verdict {
            level: rule.level,
            omit_stages: self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|one| one == word)
}

impl Rule {
    fn matches(&self, user: &User, info: &RequestInfo) -> bool {
        let of_user = self.users.is_empty() || has(&self.users, &user.name);
        let of_group = self.user_groups.is_empty() || user.groups.iter().any(|group| has(&self.user_groups, group));
        let of_verb = self.verbs.is_empty() || has(&self.verbs, info.verb) || has(&self.verbs, "*");
        if !(of_user && of_group && of_verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            let of_namespace = self.namespaces.is_empty() || has(&self.namespaces, &info.namespace);
            let of_resource = self.resources.is_empty() || self.resources.iter().any(|one| one.matches(info));
            return info.is_resource && of_namespace && of_resource;
        }
        self.non_resource_urls.is_empty()
            || (!info.is_resource && self.non_resource_urls.iter().any(|url| matches_path(url, &info.path)))
    }
}

/// A path, or with a `*` at its end all that begin so.
fn matches_path(url: &str, path: &str) -> bool {
    url == path || url == "*" || url.strip_suffix('*').is_some_and(|begin| path.starts_with(begin))
}

impl GroupResources {
    fn matches(&self, info: &RequestInfo) -> bool {
        let of_name = self.resource_names.is_empty() || has(&self.resource_names, &info.name);
        let of_resource = |wanted: &String| {
            let both = || format!("{}/{}", info.resource, info.subresource);
            wanted == "*"
                || if info.subresource.is_empty() { *wanted == info.resource } else { *wanted == both() }
                || (!info.subresource.is_empty() && wanted.strip_prefix("*/") == Some(info.subresource.as_str()))
                || wanted.strip_suffix("/*") == Some(info.resource.as_str())
        };
        self.group == info.group && (self.resources.is_empty() || (of_name && self.resources.iter().any(of_resource)))
    }
}

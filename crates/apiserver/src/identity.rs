//! Who asks.

use std::collections::BTreeMap;

/// The group of those who can do everything.
pub const MASTERS: &str = "system:masters";
/// The group of everybody who proved who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// A user, as authentication found them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `kubernetes-admin`, `system:node:node-1`, `system:serviceaccount:shop:web`
    pub name: String,
    /// Tells apart two users of one name at different times; often empty.
    pub uid: String,
    /// What they belong to.
    pub groups: Vec<String>,
    /// What else authentication knows.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user in these groups, and in [`AUTHENTICATED`].
    pub fn authenticated(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().collect();
        if !groups.iter().any(|g| g == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { name: name.into(), uid: String::new(), groups, extra: BTreeMap::new() }
    }

    /// Who said nothing of themselves.
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            uid: String::new(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            extra: BTreeMap::new(),
        }
    }

    /// Who showed a credential that is not good.
    pub(crate) fn nobody() -> Self {
        Self { name: String::new(), uid: String::new(), groups: Vec::new(), extra: BTreeMap::new() }
    }

    /// The server itself, and what runs in its process.
    pub fn server() -> Self {
        Self::authenticated("system:apiserver", [MASTERS.to_owned()])
    }

    /// Whether they belong to `group`.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

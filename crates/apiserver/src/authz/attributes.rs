//! What is wanted, in the words of authorization.

use crate::request::RequestInfo;

/// What a user wants to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// The path, for what is no resource; empty otherwise.
    pub path: &'a str,
    /// The field selector of a list or a watch.
    pub field_selector: &'a str,
}

impl<'a> From<&'a RequestInfo> for Attributes<'a> {
    fn from(info: &'a RequestInfo) -> Self {
        let path = if info.is_resource { "" } else { info.path.as_str() };
        Self {
            verb: info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path,
            field_selector: &info.field_selector,
        }
    }
}

impl Attributes<'_> {
    /// `pods/log`
    pub fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// Whether only objects are wanted whose field has this value.
    pub fn selects(&self, field: &str, value: &str) -> bool {
        self.field_selector.split(',').filter_map(|term| term.split_once('=')).any(|(name, wanted)| {
            let (name, wanted) = (name.trim(), wanted.strip_prefix('=').unwrap_or(wanted).trim());
            name == field && wanted == value
        })
    }
}

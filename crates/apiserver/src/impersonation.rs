//! `Impersonate-User` and its sisters: acting as somebody else, for those who may.

use std::collections::BTreeMap;

use http::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::authz::{self, Attributes, Authorizer};
use crate::identity::{AUTHENTICATED, UNAUTHENTICATED, User};
use crate::status::Status;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
/// The group in which uids and extra values are asked for.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// The user that a request of `user` acts as.
pub(crate) fn apply(authorizer: &Authorizer, user: User, headers: &HeaderMap) -> Result<User, Status> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    let groups: Vec<String> =
        headers.get_all(GROUP).iter().filter_map(|v| v.to_str().ok()).map(ToOwned::to_owned).collect();
    let (extra, uid) = (extra(headers), text(UID));
    let Some(name) = text(USER) else {
        if groups.is_empty() && extra.is_empty() && uid.is_none() {
            return Ok(user);
        }
        let why = "requested groups, a uid or extra values without impersonating a user";
        return Err(Status::bad_request(why));
    };
    let may = |wanted: Attributes<'_>| {
        let wanted = Attributes { verb: "impersonate", ..wanted };
        if authorizer.allows(&user, &wanted) { Ok(()) } else { Err(authz::refusal(authorizer, &user, &wanted)) }
    };
    let account = name.strip_prefix("system:serviceaccount:").and_then(|n| n.split_once(':'));
    match account {
        Some((namespace, name)) => {
            may(Attributes { resource: "serviceaccounts", namespace, name, ..Attributes::default() })?;
        }
        None => may(Attributes { resource: "users", name, ..Attributes::default() })?,
    }
    for group in &groups {
        may(Attributes { resource: "groups", name: group, ..Attributes::default() })?;
    }
    for (key, value) in extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value))) {
        let (resource, subresource) = ("userextras", key.as_str());
        may(Attributes { group: AUTHENTICATION, resource, subresource, name: value, ..Attributes::default() })?;
    }
    if let Some(uid) = uid {
        may(Attributes { group: AUTHENTICATION, resource: "uids", name: uid, ..Attributes::default() })?;
    }
    let groups = all_groups(name, account.map(|(namespace, _)| namespace), groups);
    Ok(User { name: name.to_owned(), uid: uid.unwrap_or_default().to_owned(), groups, extra })
}

/// The groups that somebody is in who is impersonated with these.
fn all_groups(name: &str, account_namespace: Option<&str>, mut groups: Vec<String>) -> Vec<String> {
    if let (Some(namespace), true) = (account_namespace, groups.is_empty()) {
        groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    let has = |group: &str| groups.iter().any(|g| g == group);
    if name == "system:anonymous" {
        if !has(UNAUTHENTICATED) {
            groups.push(UNAUTHENTICATED.to_owned());
        }
    } else if !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    groups
}

/// The values of `Impersonate-Extra-KEY`; a key's odd characters are percent-encoded.
fn extra(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) {
            let key = percent_decode_str(key).decode_utf8().map_or_else(|_| key.to_owned(), |k| k.into_owned());
            found.entry(key).or_default().push(value.to_owned());
        }
    }
    found
}

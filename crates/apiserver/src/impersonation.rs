//! `Impersonate-User` and its sisters: acting as somebody else, for those who may.

use http::HeaderMap;

use crate::authz::{self, Attributes, Authorizer};
use crate::identity::User;
use crate::status::Status;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// The user that a request of `user` acts as.
pub(crate) fn apply(authorizer: &Authorizer, user: User, headers: &HeaderMap) -> Result<User, Status> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    let groups: Vec<String> =
        headers.get_all(GROUP).iter().filter_map(|v| v.to_str().ok()).map(ToOwned::to_owned).collect();
    let Some(name) = text(USER) else {
        let more = headers.keys().any(|k| k == GROUP || k == UID || k.as_str().starts_with(EXTRA));
        if more {
            let why = "requested groups, uid or extra without impersonating a user";
            return Err(Status::internal(why));
        }
        return Ok(user);
    };
    if text(UID).is_some() || headers.keys().any(|k| k.as_str().starts_with(EXTRA)) {
        return Err(Status::bad_request("impersonating a uid or extra is not supported"));
    }
    let may = |group: &str, resource: &str, namespace: &str, name: &str| {
        let wanted = Attributes { verb: "impersonate", group, resource, namespace, name, ..Attributes::default() };
        if authorizer.allows(&user, &wanted) { Ok(()) } else { Err(authz::refusal(&user, &wanted)) }
    };
    let account = name.strip_prefix("system:serviceaccount:").and_then(|n| n.split_once(':'));
    match account {
        Some((namespace, account)) => may("", "serviceaccounts", namespace, account)?,
        None => may("", "users", "", name)?,
    }
    for group in &groups {
        may("", "groups", "", group)?;
    }
    let mut groups = groups;
    if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
        groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    if name == "system:anonymous" {
        return Ok(User::anonymous());
    }
    Ok(User::authenticated(name, groups))
}

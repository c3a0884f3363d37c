//! Bootstrap tokens: Secrets in `kube-system` by which machines that have nothing else yet prove that they may join.
//!
//! A token is `ID.SECRET`, six and sixteen of `a-z0-9`; its Secret is `bootstrap-token-ID`, of the type
//! `bootstrap.kubernetes.io/token`. Whoever shows one is `system:bootstrap:ID` in the group `system:bootstrappers`, and in
//! those that the Secret names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinds::document::{at, given, text};
use serde_json::Value;
use subtle::ConstantTimeEq;

use crate::cache::Cache;
use crate::identity::User;

/// Where the Secrets are.
const NAMESPACE: &str = "kube-system";
/// The Secrets' type.
const TYPE: &str = "bootstrap.kubernetes.io/token";
/// The group of all who show such a token.
const GROUP: &str = "system:bootstrappers";

/// Whose token this is; `None` when it is none, or not good at `now` (seconds since the epoch).
pub(crate) fn find(cache: &Cache, token: &str, now: i64) -> Option<User> {
    let (id, secret) = token.split_once('.')?;
    let shaped =
        |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !shaped(id, 6) || !shaped(secret, 16) {
        return None;
    }
    let object = cache.get(&kinds::secret::KIND, NAMESPACE, &format!("bootstrap-token-{id}"))?.document();
    user(&object, id, secret, now)
}

fn user(object: &Value, id: &str, secret: &str, now: i64) -> Option<User> {
    let value = |key: &str| {
        let bytes = STANDARD.decode(text(at(object, "data"), key)).ok()?;
        String::from_utf8(bytes).ok().filter(|value| !value.is_empty())
    };
    let known = value("token-secret")?;
    let is_secret = bool::from(known.as_bytes().ct_eq(secret.as_bytes()));
    let gone = given(at(object, "metadata"), "deletionTimestamp").is_some();
    let expired = match value("expiration") {
        None => false,
        // A time that cannot be read is one that is over.
        Some(time) => time.parse::<jiff::Timestamp>().map_or(true, |time| time.as_second() < now),
    };
    let of_use = value("usage-bootstrap-authentication").as_deref() == Some("true");
    if !is_secret || gone || expired || !of_use || text(object, "type") != TYPE || value("token-id")? != id {
        return None;
    }
    let mut groups = vec![GROUP.to_owned()];
    for group in value("auth-extra-groups").unwrap_or_default().split(',').filter(|group| !group.is_empty()) {
        if !is_group(group) {
            tracing::warn!(id, group, "a bootstrap token names a group that it may not");
            return None;
        }
        groups.push(group.to_owned());
    }
    groups.sort_unstable();
    groups.dedup();
    Some(User::authenticated(format!("system:bootstrap:{id}"), groups))
}

/// Whether a token may name the group: `system:bootstrappers:` and more.
fn is_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    rest.len() <= 256
        && rest.bytes().all(|b| of_name(b) || matches!(b, b':' | b'-'))
        && rest.bytes().next_back().is_some_and(of_name)
}

#[cfg(test)]
mod tests;

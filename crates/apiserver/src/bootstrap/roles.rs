//! The roles and bindings that every cluster begins with. They are made when they are not there; what one lacks that is there
//! is added, unless its annotation `rbac.authorization.kubernetes.io/autoupdate` is `false`; what it has more is left.

use futures::{StreamExt, TryStreamExt};
use kinds::document::{at, list, text};
use kinds::rules::Rule;
use serde_json::Value;

use super::{BootstrapError, Wanted};
use crate::api::Api;
use crate::authz::defaults::{self, Given};
use crate::authz::rules;
use crate::verbs::update::Part;

/// How many are written at a time: they go to disk together.
const TOGETHER: usize = 64;
/// Whether a role is kept as it should be.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Makes what is not there, and adds what is missing.
pub(super) async fn ensure(api: &Api) -> Result<(), BootstrapError> {
    let made = futures::stream::iter(defaults::all()).map(|given| one(api, given));
    made.buffer_unordered(TOGETHER).try_collect::<()>().await
}

async fn one(api: &Api, given: Given) -> Result<(), BootstrapError> {
    let Given { plural, namespace, name, document } = given;
    let wanted = Wanted { group: "rbac.authorization.k8s.io", plural, namespace, name, document };
    wanted.ensure(api).await?;
    let expected = &wanted.document;
    wanted.change(api, Part::Object, |object| complete(object, expected)).await
}

/// Adds to an object what it lacks.
pub(super) fn complete(object: &mut Value, expected: &Value) {
    if at(at(object, "metadata"), "annotations").get(AUTOUPDATE).and_then(Value::as_str) == Some("false") {
        return;
    }
    for field in ["labels", "annotations"] {
        for (key, value) in at(at(expected, "metadata"), field).as_object().into_iter().flatten() {
            if object["metadata"][field].get(key).is_none() {
                object["metadata"][field][key] = value.clone();
            }
        }
    }
    add_missing(object, expected, "subjects");
    if expected.get("aggregationRule").is_some() {
        if object["aggregationRule"].is_null() {
            object["aggregationRule"] = expected["aggregationRule"].clone();
        }
        add_missing(&mut object["aggregationRule"], &expected["aggregationRule"], "clusterRoleSelectors");
    } else {
        let missing = rules::missing(&Rule::of_role(object), &Rule::of_role(expected));
        extend(object, "rules", missing.iter().map(Rule::to_document).collect());
    }
}

/// Adds the elements that a list lacks.
fn add_missing(object: &mut Value, expected: &Value, field: &str) {
    let has = |wanted: &Value| {
        list(object, field).iter().any(|one| {
            ["kind", "namespace", "name"].iter().all(|part| text(one, part) == text(wanted, part))
                && at(one, "matchLabels") == at(wanted, "matchLabels")
        })
    };
    let missing: Vec<Value> = list(expected, field).iter().filter(|wanted| !has(wanted)).cloned().collect();
    extend(object, field, missing);
}

fn extend(object: &mut Value, field: &str, more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    match object[field].as_array_mut() {
        Some(there) => there.extend(more),
        None => object[field] = more.into(),
    }
}

#[cfg(test)]
mod tests;

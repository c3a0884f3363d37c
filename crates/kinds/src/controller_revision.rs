//! ControllerRevision (`apps/v1`): what a DaemonSet or a StatefulSet was once, never changed.

use std::sync::LazyLock;

use k8s_openapi::api::apps::v1 as api;
use serde_json::{Value, json};

use crate::document::{at, flag, integer, list, text};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};
use crate::pod;

/// ControllerRevision.
pub static KIND: Kind = Kind {
    group: "apps",
    version: "v1",
    kind: "ControllerRevision",
    plural: "controllerrevisions",
    singular: "controllerrevision",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.apps.v1.ControllerRevision",
    strategy: &ControllerRevision,
};

struct ControllerRevision;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::name(),
        Column::text("Controller", "Controller of the object"),
        Column::field::<api::ControllerRevision>("Revision", "revision"),
        Column::age(),
    ]
});

impl Strategy for ControllerRevision {
    fn validate(&self, object: &Value) -> Vec<Error> {
        let path = Path::new("data");
        let mut faults: Vec<_> = validate_revision(object).into_iter().collect();
        match at(object, "data") {
            Value::Null => faults.push(Error::required(&path, "data is mandatory")),
            Value::Object(_) => {}
            _ => faults.push(Error::required(&path, "data must be a valid JSON object")),
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults: Vec<_> = validate_revision(new).into_iter().collect();
        if at(new, "data") != at(old, "data") {
            faults.push(Error::invalid(&Path::new("data"), at(new, "data").clone(), "field is immutable"));
        }
        faults
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let owners = list(at(object, "metadata"), "ownerReferences");
        let controller = match owners.iter().find(|owner| flag(owner, "controller")) {
            None => "<none>".to_owned(),
            Some(owner) => {
                let kind = text(owner, "kind").to_lowercase();
                let group = text(owner, "apiVersion").split_once('/').map(|(group, _)| format!(".{group}"));
                format!("{kind}{}/{}", group.unwrap_or_default(), text(owner, "name"))
            }
        };
        vec![
            json!(text(at(object, "metadata"), "name")),
            json!(controller),
            json!(integer(object, "revision")),
            json!(age(object, now)),
        ]
    }
}

fn validate_revision(object: &Value) -> Option<Error> {
    pod::not_negative(&Path::new("revision"), integer(object, "revision"))
}

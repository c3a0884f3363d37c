//! IngressClass (`networking.k8s.io/v1`): which controller serves an Ingress, and with what parameters.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::document::{at, given, given_mut, same_field, set_default, text, text_at};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};
use crate::names;

#[cfg(test)]
mod tests;

/// IngressClass.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    version: "v1",
    kind: "IngressClass",
    plural: "ingressclasses",
    singular: "ingressclass",
    short_names: &[],
    categories: &[],
    scope: Scope::Cluster,
    subresources: &[],
    schema: "io.k8s.api.networking.v1.IngressClass",
    strategy: &IngressClass,
};

/// The longest name of a controller, in bytes.
const CONTROLLER_LENGTH: usize = 250;
/// Marks the class of Ingresses that name none.
const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

struct IngressClass;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::name(),
        Column::text("Controller", "Controller that is responsible for handling this class"),
        Column::text("Parameters", "A reference to a resource with additional parameters"),
        Column::age(),
    ]
});

/// Whether it is the class of Ingresses that name none.
pub fn is_default(object: &Value) -> bool {
    text_at(at(object, "metadata"), "annotations", DEFAULT) == Some("true")
}

impl Strategy for IngressClass {
    fn default(&self, object: &mut Value) {
        let parameters = given_mut(object, "spec").and_then(|spec| given_mut(spec, "parameters"));
        if let Some(parameters) = parameters {
            set_default(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let (path, spec) = (Path::new("spec"), at(object, "spec"));
        let controller = text(spec, "controller");
        let mut faults = Vec::new();
        if controller.len() > CONTROLLER_LENGTH {
            faults.push(Error::too_long(&path.child("controller"), CONTROLLER_LENGTH));
        }
        faults.extend(names::domain_prefixed_path(&path.child("controller"), controller));
        if let Some(parameters) = given(spec, "parameters") {
            faults.extend(validate_parameters(&path.child("parameters"), parameters));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let (new_spec, old_spec) = (at(new, "spec"), at(old, "spec"));
        let mut faults = Vec::new();
        if text(new_spec, "controller") != text(old_spec, "controller") {
            let path = Path::new("spec").child("controller");
            faults.push(Error::invalid(&path, text(new_spec, "controller"), "field is immutable"));
        }
        faults.extend(self.validate(new));
        faults
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        Some(!same_field(new, old, "spec"))
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let spec = at(object, "spec");
        let mark = if is_default(object) { " (default)" } else { "" };
        let parameters = match given(spec, "parameters") {
            None => "<none>".to_owned(),
            Some(parameters) => {
                let group = given(parameters, "apiGroup").map_or("", |_| text(parameters, "apiGroup"));
                let dot = if given(parameters, "apiGroup").is_some() { "." } else { "" };
                format!("{}{dot}{group}/{}", text(parameters, "kind"), text(parameters, "name"))
            }
        };
        vec![
            json!(format!("{}{mark}", text(at(object, "metadata"), "name"))),
            json!(text(spec, "controller")),
            json!(parameters),
            json!(age(object, now)),
        ]
    }
}

fn validate_parameters(path: &Path, parameters: &Value) -> Vec<Error> {
    let mut faults = validate_reference(path, parameters);
    let Some(scope) = given(parameters, "scope").and_then(Value::as_str) else {
        faults.push(Error::required(&path.child("scope"), ""));
        return faults;
    };
    let at = path.child("namespace");
    match (scope, given(parameters, "namespace").and_then(Value::as_str)) {
        ("Cluster", None) => {}
        ("Cluster", Some(_)) => faults.push(Error::forbidden(&at, "`parameters.scope` is set to 'Cluster'")),
        ("Namespace", None) => faults.push(Error::required(&at, "`parameters.scope` is set to 'Namespace'")),
        ("Namespace", Some(namespace)) => faults.extend(names::label_field(&at, namespace)),
        (other, _) => faults.push(Error::not_supported(&path.child("scope"), other, &["Cluster", "Namespace"])),
    }
    faults
}

/// The faults of a reference to an object of some kind.
pub(crate) fn validate_reference(path: &Path, reference: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    if let Some(group) = given(reference, "apiGroup").and_then(Value::as_str) {
        faults.extend(names::subdomain_field(&path.child("apiGroup"), group));
    }
    for field in ["kind", "name"] {
        let (path, value) = (path.child(field), text(reference, field));
        if value.is_empty() {
            faults.push(Error::required(&path, ""));
        } else {
            faults.extend(Error::invalid_each(&path, value, names::path_segment(value)));
        }
    }
    faults
}

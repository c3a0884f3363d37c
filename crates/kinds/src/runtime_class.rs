//! RuntimeClass (`node.k8s.io/v1`): by which runtime a Pod's containers are to be run, and what that costs.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::document::{at, given, list, text, text_entries};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};
use crate::{labels, names, pod, resources};

#[cfg(test)]
mod tests;

/// RuntimeClass.
pub static KIND: Kind = Kind {
    group: "node.k8s.io",
    version: "v1",
    kind: "RuntimeClass",
    plural: "runtimeclasses",
    singular: "runtimeclass",
    short_names: &[],
    categories: &[],
    scope: Scope::Cluster,
    subresources: &[],
    schema: "io.k8s.api.node.v1.RuntimeClass",
    strategy: &RuntimeClass,
};

struct RuntimeClass;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    // Kubernetes looks for the words where there are none.
    vec![Column::name(), Column::text("Handler", ""), Column::age()]
});

impl Strategy for RuntimeClass {
    fn validate(&self, object: &Value) -> Vec<Error> {
        let (path, handler) = (Path::new("handler"), text(object, "handler"));
        let mut faults = Vec::new();
        if handler.is_empty() {
            faults.push(Error::required(&path, ""));
        } else {
            faults.extend(names::label_field(&path, handler));
        }
        let path = Path::new("overhead").child("limits");
        for (name, amount) in crate::document::entries(at(object, "overhead"), "podFixed") {
            faults.extend(resources::validate_amount(&path.key(name), name, amount));
        }
        if let Some(scheduling) = given(object, "scheduling") {
            let path = Path::new("scheduling");
            faults.extend(labels::validate(&path.child("nodeSelector"), scheduling, "nodeSelector"));
            faults.extend(validate_tolerations(&path.child("tolerations"), list(scheduling, "tolerations")));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = self.validate(new);
        if text(new, "handler") != text(old, "handler") {
            faults.push(Error::invalid(&Path::new("handler"), text(new, "handler"), "field is immutable"));
        }
        faults
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let selector = text_entries(at(new, "scheduling"), "nodeSelector");
        let deprecated = selector.into_iter().filter_map(|(key, _)| pod::deprecated_node_label(key));
        deprecated.map(|words| format!("scheduling.nodeSelector: {words}")).collect()
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        vec![json!(text(at(object, "metadata"), "name")), json!(text(object, "handler")), json!(age(object, now))]
    }
}

fn validate_tolerations(path: &Path, tolerations: &[Value]) -> Vec<Error> {
    let mut faults = pod::validate_tolerations(path, tolerations);
    let key = |toleration: &Value| ["key", "operator", "value", "effect"].map(|part| text(toleration, part).to_owned());
    for (i, toleration) in tolerations.iter().enumerate() {
        if tolerations[..i].iter().any(|other| key(other) == key(toleration)) {
            faults.push(Error::duplicate(&path.index(i), toleration.clone()));
        }
    }
    faults
}

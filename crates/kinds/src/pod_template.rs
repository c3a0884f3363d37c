//! PodTemplate (`v1`): a template of Pods by itself, for whoever reads it.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::document::{at, list, object_mut, same_field, text};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy};
use crate::labels;
use crate::pod::template;

/// PodTemplate.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "PodTemplate",
    plural: "podtemplates",
    singular: "podtemplate",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.core.v1.PodTemplate",
    strategy: &PodTemplate,
};

struct PodTemplate;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::name(),
        Column::text("Containers", "Names of each container in the template."),
        Column::text("Images", "Images referenced by each container in the template."),
        Column::text("Pod Labels", "The labels for the pod template."),
    ]
});

impl Strategy for PodTemplate {
    fn default(&self, object: &mut Value) {
        if let Some(pods) = object_mut(object, "template") {
            template::default(pods);
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        if let Some(pods) = object_mut(object, "template") {
            template::drop_disabled(pods);
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        template::validate(&Path::new("template"), at(object, "template"))
    }

    fn prepare_for_update(&self, new: &mut Value, _old: &Value) {
        self.prepare_for_create(new);
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let changed = old.is_none_or(|old| !same_field(new, old, "template"));
        if changed { template::warnings(&Path::new("template"), at(new, "template")) } else { Vec::new() }
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        Some(!same_field(new, old, "template"))
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, _now: i64) -> Vec<Value> {
        let pods = at(object, "template");
        let of_containers = |field: &str| {
            let containers = list(at(pods, "spec"), "containers").iter();
            json!(containers.map(|container| text(container, field)).collect::<Vec<_>>().join(","))
        };
        vec![
            json!(text(at(object, "metadata"), "name")),
            of_containers("name"),
            of_containers("image"),
            json!(labels::print(at(pods, "metadata"), "labels")),
        ]
    }
}

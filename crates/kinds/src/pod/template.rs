//! The template of Pods, as ReplicaSets and Deployments have it.

use serde_json::Value;

use super::{defaults, validation, warnings};
use crate::document::{at, given_mut, list, object_mut};
use crate::field::{Error, Path};
use crate::labels;

/// Fills in the defaults of a template.
pub(crate) fn default(template: &mut Value) {
    if let Some(spec) = object_mut(template, "spec") {
        defaults::of_spec(spec);
    }
}

/// Removes the fields that are not served.
pub(crate) fn drop_disabled(template: &mut Value) {
    if let Some(spec) = given_mut(template, "spec") {
        defaults::drop_disabled(spec);
    }
}

/// All faults of a template.
pub(crate) fn validate(path: &Path, template: &Value) -> Vec<Error> {
    let (metadata, spec) = (at(template, "metadata"), at(template, "spec"));
    let mut faults = labels::validate(&path.child("labels"), metadata, "labels");
    let annotations = path.child("annotations");
    faults.extend(crate::metadata::validate_annotations(&annotations, metadata, "annotations"));
    faults.extend(validation::validate_annotations(&annotations, metadata, spec));
    let path = path.child("spec");
    faults.extend(validation::validate_spec(&path, spec, None));
    if !list(spec, "ephemeralContainers").is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        faults.push(Error::forbidden(&path.child("ephemeralContainers"), detail));
    }
    faults
}

/// What the author of a template is warned of.
pub(crate) fn warnings(path: &Path, template: &Value) -> Vec<String> {
    warnings::of_spec(path, at(template, "metadata"), at(template, "spec"))
}

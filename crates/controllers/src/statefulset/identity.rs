//! Who a Pod of a StatefulSet is: its number, its name, and the labels that say so.

use serde_json::{Value, json};

use crate::change::{Change, PODS, Part, STATEFUL_SETS, controller_reference};
use crate::objects::workload::StatefulSet;
use crate::objects::{Meta, Pod};

/// The label of a Pod that says from which template it was made: the name of a revision.
pub const REVISION: &str = "controller-revision-hash";
/// The label of a Pod that says its name, so that a Service can select it alone.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// The label of a Pod that says its number.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// A template and the name of its revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// The revision's name.
    pub name: String,
    /// The template.
    pub template: Value,
}

/// The number of the Pod of this name; `None`: a StatefulSet has no Pod of that name.
pub fn ordinal(set: &StatefulSet, name: &str) -> Option<i64> {
    let digits = name.strip_prefix(set.name())?.strip_prefix('-')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // As it would be written: `web-01` is another name.
    digits.parse().ok().filter(|number: &i64| is_number && number.to_string() == digits)
}

/// The change that makes the Pod of a number.
pub fn new_pod(set: &StatefulSet, ordinal: i64, version: &Version) -> Change {
    let name = format!("{}-{ordinal}", set.name());
    let template = &version.template;
    let mut metadata = json!({
        "name": name,
        "namespace": set.namespace(),
        "ownerReferences": [controller_reference(STATEFUL_SETS, set)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            metadata[field] = template["metadata"][field].clone();
        }
    }
    metadata["labels"][REVISION] = version.name.as_str().into();
    metadata["labels"][POD_NAME] = name.as_str().into();
    metadata["labels"][POD_INDEX] = ordinal.to_string().into();
    let mut spec = template["spec"].clone();
    spec["hostname"] = name.into();
    if let Some(service) = set.spec.service_name.as_deref().filter(|service| !service.is_empty()) {
        spec["subdomain"] = service.into();
    }
    Change::create(PODS, &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }))
}

/// The change that gives a Pod the labels back that say who it is, if they are not there.
pub fn mend(ordinal: i64, pod: &Pod) -> Option<Change> {
    let is_right =
        pod.label(POD_NAME) == Some(pod.name()) && pod.label(POD_INDEX) == Some(ordinal.to_string().as_str());
    let labels: Value = json!({ POD_NAME: pod.name(), POD_INDEX: ordinal.to_string() });
    let patch = || json!({ "metadata": { "uid": pod.uid(), "labels": labels } });
    (!is_right).then(|| Change::merge(PODS, pod, Part::Main, patch()))
}

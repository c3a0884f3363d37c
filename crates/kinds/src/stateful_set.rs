//! StatefulSet (`apps/v1`): Pods with names and volumes of their own, started and stopped in order.
//!
//! Of `volumeClaimTemplates`, metadata and the sizes asked for are checked; PersistentVolumeClaims are not served.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::document::{
    at, given, given_mut, integer, list, object_mut, same_field, set, set_default, set_or_remove, set_zero_default,
    text,
};
use crate::field::{Error, Path, marshal};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::{labels, names, replicas};

#[cfg(test)]
mod tests;

/// StatefulSet.
pub static KIND: Kind = Kind {
    group: "apps",
    version: "v1",
    kind: "StatefulSet",
    plural: "statefulsets",
    singular: "statefulset",
    short_names: &["sts"],
    categories: &["all"],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status, Subresource::Scale],
    schema: "io.k8s.api.apps.v1.StatefulSet",
    strategy: &StatefulSet,
};

/// What an update of the spec may change.
const CHANGEABLE: &[&str] = &[
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
];

struct StatefulSet;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let [containers, images] = replicas::template_columns();
    let ready = Column::text("Ready", "Number of the pod with ready state");
    vec![Column::name(), ready, Column::age(), containers, images]
});

impl Strategy for StatefulSet {
    fn default(&self, object: &mut Value) {
        replicas::default(object);
        let Some(spec) = object_mut(object, "spec") else { return };
        set_zero_default(spec, "podManagementPolicy", "OrderedReady");
        if let Some(strategy) = object_mut(spec, "updateStrategy") {
            if text(strategy, "type").is_empty() {
                set(strategy, "type", "RollingUpdate");
                set_default(strategy, "rollingUpdate", json!({}));
            }
            if text(strategy, "type") == "RollingUpdate"
                && let Some(update) = given_mut(strategy, "rollingUpdate")
            {
                set_default(update, "partition", 0);
            }
        }
        if let Some(policy) = object_mut(spec, "persistentVolumeClaimRetentionPolicy") {
            set_zero_default(policy, "whenDeleted", "Retain");
            set_zero_default(policy, "whenScaled", "Retain");
        }
        set_default(spec, "revisionHistoryLimit", 10);
        default_claims(spec);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", json!({ "replicas": 0, "availableReplicas": 0 }));
        replicas::drop_disabled(object);
        drop_disabled(object, &Value::Null);
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        let name = if prefix { names::without_trailing_dash(name) } else { name.to_owned() };
        names::dns1123_label(&name)
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_spec(at(object, "spec"), true)
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
        replicas::drop_disabled(new);
        drop_disabled(new, old);
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = validate_spec(at(new, "spec"), false);
        let mut unchanged = at(new, "spec").clone();
        for field in CHANGEABLE {
            set_or_remove(&mut unchanged, field, given(at(old, "spec"), field).cloned());
        }
        if !crate::document::same(&unchanged, at(old, "spec")) {
            let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                          'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                          'minReadySeconds' are forbidden";
            faults.push(Error::forbidden(&Path::new("spec"), detail));
        }
        faults
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "spec", given(old, "spec").cloned());
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let (path, status) = (Path::new("status"), at(new, "status"));
        let counted = ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
        let numbers = counted.iter().chain(&["observedGeneration", "collisionCount"]);
        let mut faults: Vec<_> = numbers.filter_map(|field| replicas::not_negative(&path, status, field)).collect();
        let mut at_most = |field: &str, whole: &str| {
            let value = integer(status, field);
            if value > integer(status, whole) {
                let detail = format!("cannot be greater than status.{whole}");
                faults.push(Error::invalid(&path.child(field), value, detail));
            }
        };
        counted[1..].iter().for_each(|field| at_most(field, "replicas"));
        at_most("availableReplicas", "readyReplicas");
        faults.extend(replicas::validate_collisions(status, at(old, "status")));
        faults
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let changed = old.is_none_or(|old| !same_field(new, old, "spec"));
        let mut warnings = if changed { replicas::template_warnings(new) } else { Vec::new() };
        if integer(at(new, "spec"), "revisionHistoryLimit") < 0 {
            let words = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is \
                         recommended";
            warnings.push(words.to_owned());
        }
        warnings
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        Some(!same_field(new, old, "spec"))
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let (spec, status) = (at(object, "spec"), at(object, "status"));
        let [containers, images] = replicas::template_cells(object);
        vec![
            json!(text(at(object, "metadata"), "name")),
            json!(format!("{}/{}", integer(status, "readyReplicas"), integer(spec, "replicas"))),
            json!(age(object, now)),
            containers,
            images,
        ]
    }
}

/// The defaults of the claims: what Kubernetes fills in of PersistentVolumeClaims.
fn default_claims(spec: &mut Value) {
    for claim in crate::document::list_mut(spec, "volumeClaimTemplates") {
        set_zero_default(claim, "apiVersion", "v1");
        set_zero_default(claim, "kind", "PersistentVolumeClaim");
        if let Some(status) = object_mut(claim, "status") {
            set_zero_default(status, "phase", "Pending");
        }
        if let Some(spec) = object_mut(claim, "spec") {
            set_default(spec, "volumeMode", "Filesystem");
        }
    }
}

/// Removes what is not served by default, unless it is stored already.
fn drop_disabled(new: &mut Value, old: &Value) {
    let stored = at(at(at(old, "spec"), "updateStrategy"), "rollingUpdate");
    if given(stored, "maxUnavailable").is_some() {
        return;
    }
    let update = given_mut(new, "spec").and_then(|spec| given_mut(spec, "updateStrategy"));
    if let Some(update) = update.and_then(|strategy| given_mut(strategy, "rollingUpdate")) {
        crate::document::remove(update, "maxUnavailable");
    }
}

fn validate_spec(spec: &Value, is_new: bool) -> Vec<Error> {
    let path = Path::new("spec");
    let mut faults = Vec::new();
    let policy = text(spec, "podManagementPolicy");
    if !matches!(policy, "OrderedReady" | "Parallel") {
        faults.push(Error::invalid(&path.child("podManagementPolicy"), policy, "must be 'OrderedReady' or 'Parallel'"));
    }
    faults.extend(validate_strategy(&path.child("updateStrategy"), at(spec, "updateStrategy")));
    let retention = at(spec, "persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        let value = text(retention, field);
        if !matches!(value, "Retain" | "Delete") {
            let path = path.child("persistentVolumeClaimRetentionPolicy").child(field);
            faults.push(Error::not_supported(&path, value, &["Delete", "Retain"]));
        }
    }
    if is_new {
        faults.extend(validate_claims(&path.child("volumeClaimTemplates"), list(spec, "volumeClaimTemplates")));
    }
    faults.extend(replicas::not_negative(&path, spec, "replicas"));
    faults.extend(replicas::not_negative(&path, spec, "minReadySeconds"));
    faults.extend(crate::pod::not_negative(&path.child("ordinals.start"), integer(at(spec, "ordinals"), "start")));
    let service = text(spec, "serviceName");
    if is_new && !service.is_empty() {
        faults.extend(names::label_field(&path.child("serviceName"), service));
    }
    faults.extend(validate_template(&path, spec));
    faults
}

fn validate_template(path: &Path, spec: &Value) -> Vec<Error> {
    let (of_selector, selector) = (path.child("selector"), given(spec, "selector"));
    let invalid =
        |detail: &str| Error::invalid(&of_selector, Value::Null, detail).printed_as(labels::marshal_selector(selector));
    let mut faults = Vec::new();
    match selector {
        None => faults.push(Error::required(&of_selector, "")),
        Some(selector) => {
            faults.extend(labels::validate_selector(&of_selector, selector, false));
            if labels::selector_is_empty(selector) {
                faults.push(invalid("empty selector is invalid for statefulset"));
            }
        }
    }
    let (path, mut template) = (path.child("template"), at(spec, "template").clone());
    if selector.is_some_and(|selector| labels::print_selector(selector).is_none()) {
        faults.push(invalid(""));
        return faults;
    }
    let of_pods = at(at(&template, "metadata"), "labels").clone();
    if !labels::matches(selector.unwrap_or(&Value::Null), &of_pods) {
        let path = path.child("metadata").child("labels");
        faults.push(Error::invalid(&path, of_pods, "`selector` does not match template `labels`"));
    }
    // The controller gives each Pod its own name, domain and volumes.
    if let Some(pod) = given_mut(&mut template, "spec") {
        crate::document::remove(pod, "hostname");
        crate::document::remove(pod, "subdomain");
        add_claimed_volumes(pod, list(spec, "volumeClaimTemplates"));
    }
    faults.extend(replicas::validate_pods(&path, &template, "StatefulSet"));
    faults
}

fn add_claimed_volumes(pod: &mut Value, claims: &[Value]) {
    let names: Vec<&str> = claims.iter().map(|claim| text(at(claim, "metadata"), "name")).collect();
    if names.is_empty() {
        return;
    }
    let own = list(pod, "volumes").iter().filter(|volume| !names.contains(&text(volume, "name"))).cloned();
    let claimed = names.iter().map(|name| json!({ "name": name, "persistentVolumeClaim": { "claimName": name } }));
    let volumes: Vec<Value> = claimed.chain(own).collect();
    set(pod, "volumes", volumes);
}

fn validate_claims(path: &Path, claims: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, claim) in claims.iter().enumerate() {
        let (path, spec) = (path.index(i), at(claim, "spec"));
        let name = text(at(claim, "metadata"), "name");
        if name.is_empty() {
            faults.push(Error::required(&path.child("metadata").child("name"), ""));
        } else {
            faults.extend(names::subdomain_field(&path.child("metadata").child("name"), name));
        }
        if list(spec, "accessModes").is_empty() {
            let detail = "at least 1 access mode is required";
            faults.push(Error::required(&path.child("spec").child("accessModes"), detail));
        }
        let storage = at(at(spec, "resources"), "requests").get("storage");
        if storage.is_none() {
            faults.push(Error::required(&path.child("spec").child("resources[storage]"), ""));
        }
    }
    faults
}

fn validate_strategy(path: &Path, strategy: &Value) -> Vec<Error> {
    let update = given(strategy, "rollingUpdate");
    let print_update = |update: &Value| {
        let unavailable = given(update, "maxUnavailable").map_or("null".to_owned(), marshal);
        format!("{{\"Partition\":{},\"MaxUnavailable\":{unavailable}}}", integer(update, "partition"))
    };
    let of_update = path.child("rollingUpdate");
    match (text(strategy, "type"), update) {
        ("OnDelete", Some(update)) => {
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            vec![Error::invalid(&of_update, Value::Null, detail).printed_as(print_update(update))]
        }
        ("OnDelete", None) | ("RollingUpdate", None) => Vec::new(),
        ("RollingUpdate", Some(update)) => {
            crate::pod::not_negative(&of_update.child("partition"), integer(update, "partition")).into_iter().collect()
        }
        (other, update) => {
            let update = update.map_or("null".to_owned(), print_update);
            let printed = format!("{{\"Type\":{},\"RollingUpdate\":{update}}}", marshal(&json!(other)));
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            vec![Error::invalid(path, Value::Null, detail).printed_as(printed)]
        }
    }
}

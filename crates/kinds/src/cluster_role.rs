//! ClusterRole (`rbac.authorization.k8s.io/v1`): what may be done in the whole cluster, or in whichever namespace it is
//! bound in. With an `aggregationRule`, its rules are those of all ClusterRoles whose labels are selected.

use serde_json::Value;

use crate::document::{at, given, list};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy};
use crate::{labels, names, rules};

/// ClusterRole.
pub static KIND: Kind = Kind {
    group: rules::GROUP,
    version: "v1",
    kind: "ClusterRole",
    plural: "clusterroles",
    singular: "clusterrole",
    short_names: &[],
    categories: &[],
    scope: Scope::Cluster,
    subresources: &[],
    schema: "io.k8s.api.rbac.v1.ClusterRole",
    strategy: &ClusterRole,
};

struct ClusterRole;

impl Strategy for ClusterRole {
    fn validate_name(&self, name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name)
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut faults = rules::validate(object, false);
        faults.extend(validate_aggregation(object, false));
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let stored = list(at(old, "aggregationRule"), "clusterRoleSelectors");
        let mut faults = rules::validate(new, false);
        faults.extend(validate_aggregation(new, stored.iter().any(labels::selector_has_invalid_values)));
        faults
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        &rules::NAME_AND_CREATED
    }

    fn row(&self, object: &Value, _now: i64) -> Vec<Value> {
        rules::name_and_created(object)
    }
}

fn validate_aggregation(object: &Value, stored_values: bool) -> Vec<Error> {
    let Some(aggregation) = given(object, "aggregationRule") else { return Vec::new() };
    let path = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = list(aggregation, "clusterRoleSelectors");
    let mut faults = Vec::new();
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        faults.push(Error::required(&path, detail));
    }
    for (i, selector) in selectors.iter().enumerate() {
        let path = path.index(i);
        faults.extend(labels::validate_selector(&path, selector, stored_values));
        if labels::print_selector(selector).is_none() {
            faults.push(Error::invalid(&path, Value::Null, "invalid label selector."));
        }
    }
    faults
}

//! RoleBinding (`rbac.authorization.k8s.io/v1`): a role for somebody, in one namespace.

use std::sync::LazyLock;

use k8s_openapi::api::rbac::v1 as api;
use serde_json::Value;

use crate::field::Error;
use crate::kind::{Column, Kind, Scope, Strategy};
use crate::{names, rules};

/// RoleBinding.
pub static KIND: Kind = Kind {
    group: rules::GROUP,
    version: "v1",
    kind: "RoleBinding",
    plural: "rolebindings",
    singular: "rolebinding",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.rbac.v1.RoleBinding",
    strategy: &RoleBinding,
};

/// The kinds of roles that it may name.
const ROLES: &[&str] = &["Role", "ClusterRole"];

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    rules::binding_columns::<api::RoleBinding>([
        "Users in the roleBinding",
        "Groups in the roleBinding",
        "ServiceAccounts in the roleBinding",
    ])
});

struct RoleBinding;

impl Strategy for RoleBinding {
    fn default(&self, object: &mut Value) {
        rules::default_binding(object);
    }

    fn validate_name(&self, name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name)
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        rules::validate_binding(object, ROLES, true)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = self.validate(new);
        faults.extend(rules::validate_same_role(new, old));
        faults
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        rules::binding_row(object, now)
    }
}

//! Role (`rbac.authorization.k8s.io/v1`): what may be done in one namespace.

use serde_json::Value;

use crate::field::Error;
use crate::kind::{Column, Kind, Scope, Strategy};
use crate::{names, rules};

/// Role.
pub static KIND: Kind = Kind {
    group: rules::GROUP,
    version: "v1",
    kind: "Role",
    plural: "roles",
    singular: "role",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.rbac.v1.Role",
    strategy: &Role,
};

struct Role;

impl Strategy for Role {
    fn validate_name(&self, name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name)
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        rules::validate(object, true)
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

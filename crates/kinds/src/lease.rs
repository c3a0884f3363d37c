//! Lease (`coordination.k8s.io/v1`): who holds something, and until when.

use std::sync::LazyLock;

use k8s_openapi::api::coordination::v1 as api;
use serde_json::Value;

use crate::document::{at, given, given_mut, remove, text};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};

#[cfg(test)]
mod tests;

/// Lease.
pub static KIND: Kind = Kind {
    group: "coordination.k8s.io",
    version: "v1",
    kind: "Lease",
    plural: "leases",
    singular: "lease",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.coordination.v1.Lease",
    strategy: &Lease,
};

static COLUMNS: LazyLock<Vec<Column>> =
    LazyLock::new(|| vec![Column::name(), Column::field::<api::LeaseSpec>("Holder", "holderIdentity"), Column::age()]);

/// The fields of coordinated leader election, which Kubernetes 1.36 does not serve by default.
const COORDINATED: [&str; 2] = ["strategy", "preferredHolder"];

struct Lease;

impl Strategy for Lease {
    fn prepare_for_create(&self, object: &mut Value) {
        if let Some(spec) = given_mut(object, "spec") {
            COORDINATED.iter().for_each(|field| remove(spec, field));
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let spec = at(object, "spec");
        let path = Path::new("spec");
        let number = |field| given(spec, field).and_then(Value::as_i64);
        let mut faults = Vec::new();
        if let Some(duration) = number("leaseDurationSeconds").filter(|duration| *duration <= 0) {
            faults.push(Error::invalid(&path.child("leaseDurationSeconds"), duration, "must be greater than 0"));
        }
        if let Some(transitions) = number("leaseTransitions").filter(|transitions| *transitions < 0) {
            let detail = "must be greater than or equal to 0";
            faults.push(Error::invalid(&path.child("leaseTransitions"), transitions, detail));
        }
        faults
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        let stored = at(old, "spec");
        if let Some(spec) = given_mut(new, "spec") {
            for field in COORDINATED.iter().filter(|field| given(stored, field).is_none()) {
                remove(spec, field);
            }
        }
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        vec![
            text(at(object, "metadata"), "name").into(),
            text(at(object, "spec"), "holderIdentity").into(),
            age(object, now).into(),
        ]
    }
}

//! Scale (`autoscaling/v1`): the number of replicas of another object; a part of that, not a kind that is stored.

use std::sync::LazyLock;

use k8s_openapi::api::autoscaling::v1::{ScaleSpec, ScaleStatus};
use serde_json::{Value, json};

use crate::document::{at, integer, text};
use crate::kind::{Column, age};

static COLUMNS: LazyLock<[Column; 4]> = LazyLock::new(|| {
    [
        Column::name(),
        Column::field::<ScaleSpec>("Desired", "replicas").integer(),
        Column::field::<ScaleStatus>("Available", "replicas").integer(),
        Column::age(),
    ]
});

/// The columns of its table: Kubernetes' own.
pub fn columns() -> &'static [Column] {
    &*COLUMNS
}

/// A row of its table; `now` is in seconds since the epoch.
pub fn row(scale: &Value, now: i64) -> Vec<Value> {
    vec![
        json!(text(at(scale, "metadata"), "name")),
        json!(integer(at(scale, "spec"), "replicas")),
        json!(integer(at(scale, "status"), "replicas")),
        json!(age(scale, now)),
    ]
}

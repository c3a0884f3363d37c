//! OpenAPI: what `kubectl explain` tells, what `kubectl apply` merges by, and what clients are generated from.
//!
//! Fields, list types and merge keys come from the schema table, descriptions from k8s-openapi's `schemars` feature,
//! paths from the kinds that are served. A document is made when it is asked for, type by type, and not kept: kubectl
//! keeps it on disk under its hash. Only the hashes are kept once they have been computed.
//!
//! In reading order: `descriptions`, `schemas` (types), `paths` (operations), then [`v3`] and [`v2`], and `protobuf`, the form in
//! which older clients want [`v2`].

mod descriptions;
mod paths;
mod protobuf;
mod schemas;
#[cfg(test)]
mod tests;
pub mod v2;
pub mod v3;

use kinds::Kind;

/// What a document calls itself.
const TITLE: &str = "Kubernetes";

/// The version of Kubernetes whose API is described.
const VERSION: &str = "v1.36.3";

/// Which of the two forms of OpenAPI a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Swagger 2.0: one document for everything.
    V2,
    /// OpenAPI 3.0: one for each group and version.
    V3,
}

impl Form {
    /// Where types are: what a reference to one begins with.
    fn types(self) -> &'static str {
        match self {
            Self::V2 => "#/definitions/",
            Self::V3 => "#/components/schemas/",
        }
    }
}

/// Groups and versions of kinds, in order, each once.
fn groups(kinds: &[&'static Kind]) -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = kinds.iter().map(|k| (k.group, k.version)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// `api/v1` or `apis/apps/v1`
fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

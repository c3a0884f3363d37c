//! A Lease: the sign of life of a node, or what its agent reports.

use k8s_openapi::api::coordination::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize;

use super::View;

/// What is kept of a Lease.
pub type Lease = View<v1::Lease, LeaseSpec>;

/// `spec` of a Lease.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseSpec {
    /// When it was renewed last, by the clock of the one who renewed it.
    pub renew_time: Option<MicroTime>,
    /// Who renews it.
    pub holder_identity: Option<String>,
}

//! Load balancers that somebody else drives: a cloud's, or a data centre's own.
//!
//! A Service whose class is a provider's is told to it, with the nodes and node ports behind it, and shows the address
//! that comes back. What a provider can be asked stands in [`Provider`]; [`remote`] is one over HTTP, as
//! `docs/load-balancer-provider.yaml` describes it. [`plan`] is pure: what is told, and what a Service shows. [`run`]
//! carries it out.

pub mod plan;
pub mod remote;
pub mod run;

use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// A load balancer as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balancer {
    /// By what it is known: the Service's uid.
    pub id: String,
    /// For people: `NAMESPACE/NAME` of the Service.
    pub service: String,
    /// What it listens at.
    pub ports: Vec<Port>,
    /// To whom it leads.
    pub nodes: Vec<Node>,
    /// Who may be a client, as CIDRs; none: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_ranges: Vec<String>,
    /// Whether a client is led to the same endpoint again (by its address).
    #[serde(default)]
    pub client_affinity: bool,
    /// How nodes are asked whether they serve it; `None`: a connection to the node port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// The address that is wanted, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Its name; may be empty.
    #[serde(default)]
    pub name: String,
    /// `TCP`, `UDP`, `SCTP`
    pub protocol: String,
    /// What clients use.
    pub port: u16,
    /// Where each node serves it.
    pub node_port: u16,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// `GET http://NODE:PORT/healthz` says 200 where endpoints are (`externalTrafficPolicy: Local`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The port on each node.
    pub port: u16,
    /// The path.
    pub path: String,
}

/// How a load balancer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Whether it serves as it was wanted last.
    pub state: State,
    /// Where clients reach it.
    #[serde(default)]
    pub ingress: Vec<Ingress>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How far a load balancer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It is being made or changed.
    Pending,
    /// It serves.
    Ready,
}

/// Where clients reach a load balancer: an address, or a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// An address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// A name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

/// Why a provider did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It will not do it, however often it is asked.
    #[error("{0}")]
    Refused(String),
    /// It cannot now.
    #[error("{what}")]
    Unavailable {
        /// What happened.
        what: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
}

/// Somebody who drives load balancers. What is asked may be asked again: it is then the same.
pub trait Provider: Send + Sync {
    /// Makes or changes one so that it is as it is wanted.
    fn ensure<'a>(&'a self, wanted: &'a Balancer) -> BoxFuture<'a, Result<Standing, ProviderError>>;
    /// How one is; `None`: there is none.
    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Standing>, ProviderError>>;
    /// Takes one away. False: that is under way. One that is not there is away.
    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ProviderError>>;
}

//! What a Pod needs of the cluster beside its own specification. The node agent answers, from its caches or from the API
//! server.

use std::net::IpAddr;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};

/// The cluster does not answer now. What asked tries again.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Objects by name. `None` is an object that does not exist.
pub trait Sources: Send + Sync + 'static {
    /// The ConfigMap of this namespace and name.
    fn config_map(&self, namespace: &str, name: &str) -> BoxFuture<'_, Result<Option<ConfigMap>, Unavailable>>;

    /// The Secret of this namespace and name.
    fn secret(&self, namespace: &str, name: &str) -> BoxFuture<'_, Result<Option<Secret>, Unavailable>>;

    /// A token of a service account, bound to a Pod (`serviceaccounts/NAME/token`). A cluster that issues none says so.
    fn token(&self, request: TokenRequest) -> BoxFuture<'_, Result<Token, Unavailable>> {
        let why = format!("tokens of service accounts are not issued (for {})", request.service_account);
        Box::pin(std::future::ready(Err(Unavailable(why))))
    }

    /// The Services with a cluster IP of this namespace, and `default/kubernetes`, as they are now; in any order.
    fn services(&self, namespace: &str) -> Vec<ServiceAddress>;

    /// Waits until nobody is told any more to send new connections to the Pod of this address. A Pod that is deleted is
    /// asked to end only after that, so that a rolling update drops nothing, without a `sleep` in a preStop hook.
    fn out_of_rotation(&self, address: IpAddr) -> BoxFuture<'_, ()> {
        let _ = address;
        Box::pin(std::future::ready(()))
    }
}

/// A token that a Pod's volume shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The Pod's namespace, and the account's.
    pub namespace: String,
    /// The account.
    pub service_account: String,
    /// The Pod's name.
    pub pod_name: String,
    /// The Pod's uid.
    pub pod_uid: String,
    /// For whom it is; none is for the API server.
    pub audience: Option<String>,
    /// How long it is to be good, in seconds.
    pub expiration_seconds: i64,
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its text.
    pub token: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// A Service as environment variables tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its first cluster IP.
    pub cluster_ip: IpAddr,
    /// Its ports, in the order of its specification.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// May be empty.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Its number.
    pub port: u16,
}

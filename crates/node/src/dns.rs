//! The cluster's DNS alone, in CoreDNS' place: `portolan dns`.
//!
//! In reading order: [`watch`] (the API's names go into the index), [`contact`] (whether the API is reached), [`http`]
//! (health, readiness, metrics at CoreDNS' ports), `metrics` (under CoreDNS' names), and [`run`], which puts it together.

pub mod contact;
mod http;
mod metrics;
pub mod watch;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use dns::config::Config;
use dns::index::PodNames;
use dns::{Forwarder, Index, Server, Sources};
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use contact::Contact;
use http::Status;

/// Why the service cannot start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A zone is none.
    #[error(transparent)]
    Index(#[from] dns::IndexError),
    /// Upstream servers cannot be asked.
    #[error(transparent)]
    Forwarder(#[from] dns::forward::ForwarderConfigError),
    /// An address cannot be listened on, or there is nothing to answer from.
    #[error(transparent)]
    Server(#[from] dns::ServerError),
    /// A port for health, readiness or metrics cannot be opened.
    #[error("cannot listen on {address} for {what}")]
    Http {
        /// What it is for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Names of the cluster are to be answered, and there is no API to ask for them.
    #[error("the cluster's names need a kubeconfig")]
    NoCluster,
    /// A part ended, which none does by itself.
    #[error("the part {0} ended by itself")]
    Ended(&'static str),
}

/// Every address of this machine, of both families where it has both, at a port.
#[must_use]
pub fn everywhere(port: u16) -> Vec<SocketAddr> {
    let mut addresses = vec![SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)];
    // A kernel without IPv6 has no such socket.
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        addresses.push(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
    }
    addresses
}

/// Answers DNS until told to stop. `client` is for the cluster's names; a service that only forwards needs none.
///
/// # Errors
/// When it cannot start, or a part of it dies.
pub async fn run(config: Config, client: Option<Client>, stop: CancellationToken) -> Result<(), DnsError> {
    let sources = sources(&config)?;
    let index = sources.index.clone();
    let server = Arc::new(Server::start_with(&config.server, sources)?);
    let contact = Arc::new(Contact::default());
    let status = Arc::new(Status::new(server.clone(), contact.clone()));
    let mut parts = JoinSet::new();
    // Apart from the others: they are to be heard while everything else ends.
    let http_stop = CancellationToken::new();
    http::serve(&config, &status, &mut parts, &http_stop).await?;
    if let (Some(cluster), Some(index)) = (config.cluster, index) {
        let client = client.ok_or(DnsError::NoCluster)?;
        let part = watch::keep(client, index, cluster, contact, stop.clone());
        parts.spawn(async move {
            part.await;
            "names"
        });
    }
    tracing::info!(addresses = ?server.addresses(), "answering DNS");
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = parts.join_next() => Err(DnsError::Ended(ended.unwrap_or("task"))),
    };
    // Whoever sends questions here learns that he should not any more, and has the time to.
    status.end();
    if ended.is_ok() {
        tokio::time::sleep(config.lameduck).await;
    }
    http_stop.cancel();
    while parts.join_next().await.is_some() {}
    drop(status);
    match Arc::try_unwrap(server) {
        Ok(server) => server.shutdown().await,
        // A request for metrics that is still under way holds it: it stops when that is over.
        Err(server) => drop(server),
    }
    match ended {
        Err(_) if stop.is_cancelled() => Ok(()),
        ended => ended,
    }
}

/// What a configuration answers from: an index that knows nothing yet, and a forwarder.
///
/// # Errors
/// A zone that is none, or upstream servers that cannot be any.
pub fn sources(config: &Config) -> Result<Sources, DnsError> {
    let index = config.cluster.as_ref().map(index).transpose()?;
    let forwarder = config.forward.clone().map(Forwarder::new).transpose()?.map(Arc::new);
    let (clients, transfer) = (config.clients.clone(), config.transfer.clone());
    Ok(Sources { index, forwarder, clients, transfer, ..Sources::default() })
}

fn index(cluster: &dns::config::Cluster) -> Result<Arc<Index>, dns::IndexError> {
    let mut options = cluster.index.clone();
    // Seconds since 1970, so that the serial number grows over restarts.
    options.serial = u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(1);
    Ok(Arc::new(Index::new(&options)?))
}

/// Whether the index has to be told of Pods.
fn wants_pods(cluster: &dns::config::Cluster) -> bool {
    cluster.index.pods == PodNames::Verified
}

#[cfg(test)]
mod tests;

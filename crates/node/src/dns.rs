//! The cluster's DNS alone, in CoreDNS' place: `portolan dns`.
//!
//! In reading order: [`watch`] (the API's names go into the index), [`contact`] (whether the API is reached), [`http`]
//! (health, readiness, metrics at CoreDNS' ports), `metrics` (under CoreDNS' names), [`programming`] (how soon a change is a name), `reload` (a Corefile that changes), and [`run`], which puts it together.

pub mod contact;
mod http;
mod metrics;
pub mod programming;
mod reload;
pub mod watch;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use dns::config::Config;
use dns::corefile::Corefile;
use dns::forward::LoopFound;
use dns::index::PodNames;
use dns::querylog::{self, Sink};
use dns::service::{CorefileError, CorefileOnDisk, Pieces, ServiceError};
use dns::{Index, Server};
use ipnet::IpNet;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use contact::Contact;
use http::Status;

/// How long an upstream server may take for the question that must not come back.
const LOOP_PATIENCE: Duration = Duration::from_secs(2);

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
    /// Other names cannot be looked up, or questions not be written down.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// An upstream server asks this one.
    #[error(transparent)]
    Loop(#[from] LoopFound),
    /// The Corefile cannot be followed.
    #[error(transparent)]
    Corefile(#[from] CorefileError),
    /// A Corefile that has changed wants other addresses, ports or threads.
    #[error("it wants other addresses, ports or threads: start the service again")]
    OtherPorts,
    /// A Corefile that has changed wants another API.
    #[error("it wants another kubeconfig: start the service again")]
    OtherApi,
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

/// What a service is told, and whether it is told anew while it runs.
#[derive(Debug)]
pub struct Told {
    /// What it is told first.
    pub whole: Corefile,
    /// Where it comes from, if from a file.
    pub file: Option<CorefileOnDisk>,
    /// What is said elsewhere than in the file, and stays when that changes.
    pub beside: Beside,
}

/// What the command line says beside a Corefile.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Where questions are answered; empty: as the file says, or every address at its port.
    pub listen: Vec<SocketAddr>,
    /// Whose questions are answered; empty: as the file says.
    pub clients: Vec<IpNet>,
    /// Where questions are written down, and one of how many.
    pub query_log: Option<(Sink, u32)>,
}

impl Beside {
    fn apply(&self, whole: &mut Corefile) {
        let listen = &mut whole.config.server.listen;
        if !self.listen.is_empty() {
            listen.clone_from(&self.listen);
        } else if listen.is_empty() {
            *listen = everywhere(whole.port);
        }
        if !self.clients.is_empty() {
            whole.config.clients = Some(self.clients.clone());
        }
        if let Some((sink, one_in)) = &self.query_log {
            // Zones and classes are the file's.
            let settings = whole.log.take().unwrap_or_default();
            whole.log = Some(querylog::Settings { sink: sink.clone(), one_in: *one_in, ..settings });
        }
    }
}

impl From<Config> for Told {
    /// A service that is told by flags alone.
    fn from(config: Config) -> Self {
        let whole = Corefile {
            port: 53,
            hosts: Vec::new(),
            rewrites: Vec::new(),
            log: None,
            find_loops: true,
            reload: None,
            config,
        };
        Self { whole, file: None, beside: Beside::default() }
    }
}

/// Answers DNS until told to stop. `client` is for the cluster's names; a service that only forwards needs none.
///
/// # Errors
/// When it cannot start, or a part of it dies.
pub async fn run(told: Told, client: Option<Client>, stop: CancellationToken) -> Result<(), DnsError> {
    let Told { mut whole, file, beside } = told;
    beside.apply(&mut whole);
    let contact = Arc::new(Contact::default());
    let pieces = Pieces::default().after(&whole)?;
    let names = Names::follow(whole.config.cluster.as_ref(), client.as_ref(), &contact)?;
    let server = Arc::new(Server::start_with(&whole.config.server, pieces.sources(&whole, names.index()))?);
    let status = Arc::new(Status::new(server.clone(), contact.clone()));
    let mut parts = JoinSet::new();
    // Apart from the others: they are to be heard while everything else ends.
    let http_stop = CancellationToken::new();
    http::serve(&whole.config, &status, &mut parts, &http_stop).await?;
    tracing::info!(addresses = ?server.addresses(), "answering DNS");
    let lameduck = whole.config.lameduck;
    let look = async {
        match pieces.forwarder().filter(|_| whole.find_loops) {
            Some(forwarder) => forwarder.find_loop(LOOP_PATIENCE).await,
            None => Ok(()),
        }
    };
    let looked = tokio::select! {
        () = stop.cancelled() => Ok(()),
        looked = look => looked,
    };
    let mut running = reload::Running { whole, file, beside, pieces, names, client, contact };
    let ended = match looked {
        Err(found) => Err(DnsError::Loop(found)),
        Ok(()) => tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = running.follow_file(&server, &status) => Ok(()),
            Some(ended) = parts.join_next() => Err(DnsError::Ended(ended.unwrap_or("task"))),
        },
    };
    // Whoever sends questions here learns that he should not any more, and has the time to.
    status.end();
    if ended.is_ok() {
        tokio::time::sleep(lameduck).await;
    }
    http_stop.cancel();
    while parts.join_next().await.is_some() {}
    drop(status);
    match Arc::try_unwrap(server) {
        Ok(server) => server.shutdown().await,
        // A request for metrics that is still under way holds it: it stops when that is over.
        Err(server) => drop(server),
    }
    ended
}

/// The cluster's names, followed until this is dropped.
#[derive(Debug, Default)]
struct Names {
    index: Option<Arc<Index>>,
    /// Ends following.
    _stop: Option<DropGuard>,
}

impl Names {
    fn follow(
        cluster: Option<&dns::config::Cluster>,
        client: Option<&Client>,
        contact: &Arc<Contact>,
    ) -> Result<Self, DnsError> {
        let Some(cluster) = cluster else { return Ok(Self::default()) };
        let index = index(cluster)?;
        let client = client.ok_or(DnsError::NoCluster)?.clone();
        let stop = CancellationToken::new();
        tokio::spawn(watch::keep(client, index.clone(), cluster.clone(), contact.clone(), stop.clone()));
        Ok(Self { index: Some(index), _stop: Some(stop.drop_guard()) })
    }

    fn index(&self) -> Option<Arc<Index>> {
        self.index.clone()
    }
}

/// What a server has done, under CoreDNS' names.
pub(crate) fn counted(server: &Server) -> String {
    metrics::counted(&metrics::server_label(server.addresses()), server)
}

/// An index of the cluster's names that knows nothing yet.
pub(crate) fn index(cluster: &dns::config::Cluster) -> Result<Arc<Index>, dns::IndexError> {
    let mut options = cluster.index.clone();
    // Seconds since 1970, so that the serial number grows over restarts.
    options.serial = u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(1);
    Ok(Arc::new(Index::new(&options)?))
}

/// Whether the index has to be told of Pods.
fn wants_pods(cluster: &dns::config::Cluster) -> bool {
    cluster.index.pods == PodNames::Verified || cluster.index.search.is_some()
}

#[cfg(test)]
mod tests;

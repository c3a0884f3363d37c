//! The cluster's DNS address, answered on the node itself and without conntrack (C4 of what users complain about: the
//! five seconds that a lost race in conntrack costs; NodeLocal DNSCache, KEP-1024, does the same with a second address).
//!
//! The node has the address of the Service `kube-system/kube-dns` on its loopback interface, a server listens there, and
//! [`rules`] leave questions to it untracked: those of Pods, of Pods in the node's network, and of the node. They hold while the
//! server answers and knows every name; when it does not, or its process is gone, questions go to other nodes.
//!
//! In reading order: [`Told`] (by flags or a Corefile), [`ClusterDns`] (who is followed), [`keep`], [`rules`], [`address`].

pub mod address;
mod followed;
pub mod rules;
mod told;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dns::{Config, Server, ServerError, Sources};
use nft::{CommitError, DumpError, Socket, SocketError};
use parking_lot::Mutex;
use rtnetlink::Handle;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use followed::{ClusterDns, Followed};
pub use told::{Following, Told, ToldError};

/// The port of DNS.
const PORT: u16 = 53;
/// How often the server is asked whether it answers.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long it may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// So many failures in a row take questions elsewhere.
const FAILURES: u32 = 2;

/// DNS cannot be kept on the node.
#[derive(Debug, thiserror::Error)]
pub enum NodeLocalError {
    /// The kernel gives no netlink socket.
    #[error("no netlink socket")]
    Netlink(#[from] SocketError),
    /// The cluster's DNS address cannot be the node's.
    #[error("the cluster's DNS address cannot be given to the node")]
    Address(#[from] rtnetlink::Error),
    /// The rules are refused.
    #[error("the rules are refused")]
    Rules(#[from] CommitError),
    /// The kernel does not tell its tables.
    #[error("the tables cannot be read")]
    Tables(#[from] DumpError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// The server that runs, for whoever counts.
#[derive(Clone, Debug, Default)]
pub struct Shown(Arc<Mutex<Weak<Server>>>);

impl Shown {
    fn show(&self, server: Option<&Arc<Server>>) {
        *self.0.lock() = server.map(Arc::downgrade).unwrap_or_default();
    }

    /// What it has done, in Prometheus' text format; nothing where none runs.
    #[must_use]
    pub fn metrics(&self) -> String {
        let server = self.0.lock().upgrade();
        server.map(|server| crate::dns::counted(&server)).unwrap_or_default()
    }
}

/// What is there now.
struct Held {
    /// Owns the rules that keep questions here; they go with it, before the server does.
    rules: Option<Socket>,
    server: Arc<Server>,
    cluster: Followed,
    failures: u32,
}

/// Keeps the cluster's DNS address answered here until told to stop; then questions go elsewhere, before this returns.
/// What cannot be done is told, and tried again when something changes.
pub async fn keep(
    mut sources: watch::Receiver<Sources>,
    mut cluster: watch::Receiver<Followed>,
    handle: Handle,
    shown: Shown,
    stop: CancellationToken,
) {
    let mut held: Option<Held> = None;
    // Nobody changes them any more when this is false.
    let mut changing = true;
    let mut changed_sources = false;
    let mut tick = tokio::time::interval(PROBE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = cluster.borrow_and_update().clone();
        changed_sources |= sources.has_changed().unwrap_or(false);
        let newest = sources.borrow_and_update().clone();
        if std::mem::take(&mut changed_sources) {
            answer_from(held.as_ref(), &newest);
        }
        if held.as_ref().is_none_or(|held| held.cluster != now) {
            held = match change(held.take(), now, &newest, &handle).await {
                Ok(held) => held,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "DNS is not answered at the cluster's address by this node");
                    None
                }
            };
            shown.show(held.as_ref().map(|held| &held.server));
        }
        if let Some(held) = &mut held {
            held.look(&newest).await;
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = cluster.changed() => if changed.is_err() { break },
            changed = sources.changed(), if changing => (changing, changed_sources) = (changed.is_ok(), changed.is_ok()),
            _ = tick.tick() => {}
        }
    }
    if let Some(Held { rules, server, .. }) = held {
        // Whoever asks from now on asks others; who has asked is still answered.
        drop(rules);
        end(server).await;
    }
}

/// Lets a server that runs answer from what is told now.
fn answer_from(held: Option<&Held>, sources: &Sources) {
    let Some(held) = held else { return };
    match held.server.set_sources(sources.clone()) {
        Ok(()) => tracing::info!("the Corefile has changed, and is followed"),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the Corefile has changed and cannot be followed: all stays as it was");
        }
    }
}

/// Ends a server: whoever has asked is still answered, unless somebody looks at its counters just now.
async fn end(server: Arc<Server>) {
    match Arc::try_unwrap(server) {
        Ok(server) => server.shutdown().await,
        Err(server) => drop(server),
    }
}

/// Takes what is followed now in place of what was.
async fn change(
    held: Option<Held>,
    now: Followed,
    sources: &Sources,
    handle: &Handle,
) -> Result<Option<Held>, NodeLocalError> {
    let before = held.as_ref().map(|held| held.cluster.addresses.clone()).unwrap_or_default();
    let mut socket = Socket::in_current_netns()?;
    if let Some(mut held) = held {
        if held.cluster.addresses == now.addresses {
            // Only the others changed.
            socket.commit(&rules::elsewhere(&now.addresses, &now.others))?;
            held.cluster = now;
            return Ok(Some(held));
        }
        drop(held.rules);
        end(held.server).await;
    }
    address::set(handle, &now.addresses, &before).await?;
    socket.commit(&rules::elsewhere(&now.addresses, &now.others))?;
    if now.addresses.is_empty() {
        return Ok(None);
    }
    let mut listen: Vec<_> = now.addresses.iter().map(|address| SocketAddr::new(*address, PORT)).collect();
    // Where it is asked whether it answers: the rules have nothing to do with this one.
    listen.push((Ipv4Addr::LOCALHOST, 0).into());
    let config = Config { listen, ..Config::default() };
    let server = Arc::new(Server::start_with(&config, sources.clone())?);
    Ok(Some(Held { cluster: now, server, rules: None, failures: 0 }))
}

impl Held {
    /// Asks the server whether it answers, and keeps questions here or lets them go.
    async fn look(&mut self, sources: &Sources) {
        let synced = sources.index.as_ref().is_some_and(|index| index.is_synced());
        let answers = match self.server.addresses().last() {
            Some(address) => synced && is_answered(*address).await,
            None => false,
        };
        self.failures = if answers { 0 } else { self.failures.saturating_add(1) };
        if answers && self.rules.is_none() {
            match here(&self.cluster.addresses) {
                Ok(socket) => {
                    tracing::info!(addresses = ?self.cluster.addresses, "the cluster's DNS address is answered by this node");
                    self.rules = Some(socket);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "questions to the cluster's DNS address do not stay on this node");
                }
            }
        } else if self.failures >= FAILURES && self.rules.take().is_some() {
            tracing::warn!("this node's DNS does not answer: questions go to others");
        }
    }
}

/// Puts the rules into the kernel; they hold as long as the socket.
fn here(addresses: &[IpAddr]) -> Result<Socket, NodeLocalError> {
    let mut socket = Socket::in_current_netns()?;
    socket.commit(&rules::here(addresses))?;
    Ok(socket)
}

/// Whether a server answers at all: any response to a question for the root's name servers will do.
async fn is_answered(server: SocketAddr) -> bool {
    let ask = async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(server).await?;
        // Not recursive: nobody else is asked for this.
        socket.send(&[0x50, 0x54, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]).await?;
        let mut answer = [0; 512];
        socket.recv(&mut answer).await?;
        Ok::<_, io::Error>(answer.starts_with(&[0x50, 0x54]))
    };
    matches!(tokio::time::timeout(PATIENCE, ask).await, Ok(Ok(true)))
}

/// Takes away what an earlier process may have left: the address, and the rules that stay.
///
/// # Errors
/// What the kernel refused.
pub async fn forget(handle: &Handle) -> Result<(), NodeLocalError> {
    let mut socket = Socket::in_current_netns()?;
    if socket.tables()?.iter().any(|table| rules::stays(&table.object.id)) {
        socket.commit(&rules::forget())?;
    }
    Ok(address::set(handle, &[], &[]).await?)
}

#[cfg(test)]
mod tests;

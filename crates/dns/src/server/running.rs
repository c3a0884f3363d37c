//! A server that runs.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::forward::Forwarder;
use crate::index::Index;

use super::config::{Config, ServerError};
use super::counters::{Counts, Tally};
use super::respond::Responder;
use super::socket::{Sockets, listen, wake};
use super::tcp::{Open, Shared, accept};
use super::udp::Worker;

/// More threads than this for one address serve no node.
const WORKERS_MAX: usize = 8;
/// What a UDP thread needs of stack, with room.
const STACK: usize = 256 << 10;
/// How long answers that wait may take when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// A server that runs until it is shut down or dropped.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    sockets: Vec<Arc<UdpSocket>>,
    threads: Vec<JoinHandle<()>>,
    tasks: JoinSet<()>,
    tallies: Vec<Arc<Tally>>,
    stopping: Arc<AtomicBool>,
    stop: CancellationToken,
    waiting: Arc<Semaphore>,
    may_wait: usize,
}

impl Server {
    /// Starts to listen, in the network namespace of the calling thread. Names in the index's zones are answered from
    /// it, all others by the forwarder; either may be absent. Needs a tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be listened on, nothing to answer from, or an upstream that is the server itself.
    pub fn start(
        config: &Config,
        index: Option<Arc<Index>>,
        forwarder: Option<Arc<Forwarder>>,
    ) -> Result<Self, ServerError> {
        let runtime = Handle::try_current()?;
        check(config, index.is_some(), forwarder.as_deref())?;
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX),
            workers => workers,
        };
        let mut listening = Vec::with_capacity(config.listen.len());
        for &address in &config.listen {
            listening.push(listen(address, workers).map_err(|(protocol, source)| ServerError::Listen {
                protocol,
                address,
                source,
            })?);
        }
        let tcp_tally = Arc::new(Tally::default());
        let may_wait = config.waiting.min(Semaphore::MAX_PERMITS);
        let mut server = Self {
            addresses: listening.iter().map(|sockets| sockets.address).collect(),
            sockets: Vec::new(),
            threads: Vec::new(),
            tasks: JoinSet::new(),
            tallies: vec![Arc::clone(&tcp_tally)],
            stopping: Arc::default(),
            stop: CancellationToken::new(),
            waiting: Arc::new(Semaphore::new(may_wait)),
            may_wait,
        };
        let responder = Arc::new(Responder { index, forwarder, clients: config.clients.clone() });
        let shared = Arc::new(Shared {
            responder: Arc::clone(&responder),
            tally: tcp_tally,
            limits: config.tcp,
            waiting: Arc::clone(&server.waiting),
            open: Arc::new(Open::default()),
            stop: server.stop.clone(),
        });
        for sockets in listening {
            server.serve(sockets, config, &responder, &shared, &runtime)?;
        }
        Ok(server)
    }

    fn serve(
        &mut self,
        sockets: Sockets,
        config: &Config,
        responder: &Arc<Responder>,
        shared: &Arc<Shared>,
        runtime: &Handle,
    ) -> Result<(), ServerError> {
        let address = sockets.address;
        let listener = TcpListener::from_std(sockets.tcp).map_err(|source| ServerError::Listen {
            protocol: "TCP",
            address,
            source,
        })?;
        self.tasks.spawn(accept(listener, Arc::clone(shared)));
        for socket in sockets.udp {
            let (socket, tally) = (Arc::new(socket), Arc::new(Tally::default()));
            let worker = Worker {
                socket: Arc::clone(&socket),
                responder: Arc::clone(responder),
                tally: Arc::clone(&tally),
                runtime: runtime.clone(),
                waiting: Arc::clone(&self.waiting),
                stopping: Arc::clone(&self.stopping),
                udp_most: config.udp_most.clamp(crate::protocol::UDP_PLAIN, crate::protocol::TCP_MAX),
            };
            let name = format!("dns-udp-{}", self.threads.len());
            let thread = std::thread::Builder::new().name(name).stack_size(STACK).spawn(move || worker.run());
            self.sockets.push(socket);
            self.tallies.push(tally);
            self.threads.push(thread.map_err(ServerError::Thread)?);
        }
        Ok(())
    }

    /// The addresses that it listens on, with their ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::sum(self.tallies.iter().map(|tally| &**tally))
    }

    /// How many questions wait for upstream servers now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.may_wait - self.waiting.available_permits()
    }

    fn signal(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.cancel();
        for socket in &self.sockets {
            wake(socket);
        }
    }

    /// Stops: what has come is answered, answers that wait get two seconds, connections are closed. When this is
    /// over, the addresses are free.
    pub async fn shutdown(mut self) {
        self.signal();
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().filter_map(|t| t.join().err()).count());
        match joined.await {
            Ok(0) => {}
            Ok(panicked) => tracing::error!(panicked, "DNS threads had panicked"),
            Err(error) => tracing::error!(%error, "DNS threads could not be waited for"),
        }
        let settled = async {
            while self.tasks.join_next().await.is_some() {}
            // Every permit is back when nothing waits any more.
            let all = u32::try_from(self.may_wait).unwrap_or(u32::MAX);
            drop(self.waiting.acquire_many(all).await);
        };
        if tokio::time::timeout(GRACE, settled).await.is_err() {
            tracing::debug!("questions were still waiting when the server stopped");
        }
        self.tasks.shutdown().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal();
    }
}

fn check(config: &Config, has_index: bool, forwarder: Option<&Forwarder>) -> Result<(), ServerError> {
    if config.listen.is_empty() {
        return Err(ServerError::NoAddress);
    }
    if !has_index && forwarder.is_none() {
        return Err(ServerError::NoSource);
    }
    for upstream in forwarder.into_iter().flat_map(Forwarder::upstreams) {
        let is_itself = |listen: &&SocketAddr| {
            **listen == upstream
                || (listen.port() == upstream.port() && listen.ip().is_unspecified() && upstream.ip().is_loopback())
        };
        if let Some(&listen) = config.listen.iter().find(is_itself) {
            return Err(ServerError::Loop { upstream, listen });
        }
    }
    Ok(())
}

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
use super::counters::{Counts, Figures, Tally};
use super::fairness::Fairness;
use super::socket::{Sockets, listen, wake};
use super::sources::{Copied, Current, Sources};
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
    current: Arc<Current>,
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
        let sources = Sources { index, forwarder, clients: config.clients.clone(), ..Sources::default() };
        Self::start_with(config, sources)
    }

    /// As [`Server::start`], from sources that can be replaced later. Theirs are the clients; the configuration's mean
    /// nothing.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(config: &Config, sources: Sources) -> Result<Self, ServerError> {
        let runtime = Handle::try_current()?;
        check(&config.listen, &sources)?;
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
            current: Arc::new(Current::new(sources)),
        };
        // A half of what may wait is more than anybody needs and leaves as much for all others.
        let fairness = Arc::new(Fairness::new(may_wait / 2));
        let shared = Arc::new(Shared {
            current: Arc::clone(&server.current),
            fairness,
            tally: tcp_tally,
            limits: config.tcp,
            waiting: Arc::clone(&server.waiting),
            open: Arc::new(Open::default()),
            stop: server.stop.clone(),
        });
        for sockets in listening {
            server.serve(sockets, config, &shared, &runtime)?;
        }
        Ok(server)
    }

    fn serve(
        &mut self,
        sockets: Sockets,
        config: &Config,
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
                sources: Copied::new(Arc::clone(&self.current)),
                fairness: Arc::clone(&shared.fairness),
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

    /// What it has done so far, in detail.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures::sum(self.tallies.iter().map(|tally| &**tally))
    }

    /// Answers from other sources from now on. Questions that wait get their answers from where they were asked, and
    /// none is dropped.
    ///
    /// # Errors
    /// Nothing to answer from, or an upstream that is the server itself: then all stays as it was.
    pub fn set_sources(&self, sources: Sources) -> Result<(), ServerError> {
        check(&self.addresses, &sources)?;
        self.current.set(sources);
        Ok(())
    }

    /// What it answers from now.
    #[must_use]
    pub fn sources(&self) -> Arc<Sources> {
        self.current.get()
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

fn check(listen: &[SocketAddr], sources: &Sources) -> Result<(), ServerError> {
    if listen.is_empty() {
        return Err(ServerError::NoAddress);
    }
    if sources.index.is_none() && sources.forwarder.is_none() {
        return Err(ServerError::NoSource);
    }
    for upstream in sources.forwarder.iter().flat_map(|forwarder| forwarder.upstreams()) {
        let is_itself = |listen: &&SocketAddr| {
            **listen == upstream
                || (listen.port() == upstream.port() && listen.ip().is_unspecified() && upstream.ip().is_loopback())
        };
        if let Some(&listen) = listen.iter().find(is_itself) {
            return Err(ServerError::Loop { upstream, listen });
        }
    }
    Ok(())
}

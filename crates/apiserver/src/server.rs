//! The server: its parts put together, started and stopped.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use prometheus_client::collector::Collector;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::aggregation;
use crate::api::Api;
use crate::authn::Authenticator;
use crate::authn::service_accounts::{ServiceAccountTokens, TokenError};
use crate::authz::Authorizer;
use crate::bootstrap::{self, BootstrapError};
use crate::cache::{Cache, CacheError};
use crate::config::Config;
use crate::expiry;
use crate::front::Front;
use crate::handler::Handler;
use crate::https::{self, ListenError};
use crate::identity::User;
use crate::metrics::Metrics;
use crate::nodes::{Nodes, NodesError};
use crate::recount;
use crate::repair;
use crate::resealing;
use crate::turns::Turns;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store's objects cannot be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Tokens cannot be signed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nodes cannot be called.
    #[error(transparent)]
    Nodes(#[from] NodesError),
    /// What every cluster has cannot be made.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
}

/// A running server.
pub struct Server {
    front: Arc<Front>,
    connections: TaskTracker,
    feeding: JoinHandle<()>,
}

impl Server {
    /// Starts a server: when it answers, requests are answered.
    ///
    /// # Errors
    /// When an address cannot be listened on (the error names it), or the store cannot be read or written.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let cache = Arc::new(Cache::load(&config.store, config.authority.clone()).await?);
        let service_accounts = ServiceAccountTokens::new(config.authority.service_account_key_pem())?;
        let authenticator = Authenticator { tokens: config.tokens.clone(), service_accounts, cache: cache.clone() };
        let nodes = Nodes::new(config.authority.clone())?;
        // Bound before anything is written: a server that cannot listen leaves no trace.
        let listeners = https::bind(&config.listen).await?;
        let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
        let tls = https::configure(&config)?;
        let api = Arc::new(Api {
            store: config.store.clone(),
            authorizer: Authorizer::new(cache.clone()),
            cache,
            quota_turns: Turns::default(),
            config,
            addresses,
            stopping: CancellationToken::new(),
            ready: AtomicBool::new(false),
            metrics: Metrics::new(),
        });
        let feeding = tokio::spawn(feed(api.clone()));
        let front = Arc::new(Front::new(api.clone(), authenticator, nodes));
        let connections = TaskTracker::new();
        for listener in listeners {
            connections.spawn(https::serve(listener, tls.clone(), front.clone(), connections.clone()));
        }
        let server = Self { front, connections, feeding };
        if let Err(error) = bootstrap::run(&api).await {
            server.shutdown().await;
            return Err(error.into());
        }
        aggregation::settle(&api).await;
        server.connections.spawn(bootstrap::keep(api.clone()));
        server.connections.spawn(expiry::run(api.clone()));
        server.connections.spawn(recount::keep(api.clone()));
        server.connections.spawn(aggregation::keep(api.clone()));
        server.connections.spawn(repair::keep(api.clone()));
        server.connections.spawn(resealing::begin(api.clone()));
        api.ready.store(true, Ordering::Release);
        Ok(server)
    }

    /// Where it listens, port 0 resolved.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.front.api.addresses
    }

    /// Answers requests in this process, as a user who may do everything.
    pub fn handler(&self) -> Handler {
        Handler::of_user(self.front.clone(), User::server())
    }

    /// Shows under `/metrics` what somebody else counts too: what the process costs, of which the server is a part.
    pub fn also_show(&self, counted: Box<dyn Collector>) {
        self.front.api.metrics.also_show(counted);
    }

    #[cfg(test)]
    pub(crate) fn front(&self) -> Arc<Front> {
        self.front.clone()
    }

    /// Takes no more connections, ends watches, finishes requests, and stops. The store stays open.
    pub async fn shutdown(self) {
        self.front.api.stopping.cancel();
        self.connections.close();
        self.connections.wait().await;
        self.feeding.abort();
        // Cancelled, or ended by itself: both are its end.
        let _ = self.feeding.await;
    }
}

async fn feed(api: Arc<Api>) {
    let why = match AssertUnwindSafe(api.cache.feed(&api.store)).catch_unwind().await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it panicked".to_owned(),
    };
    tracing::error!(why, "the server can no longer follow its store, and must be started again");
    api.ready.store(false, Ordering::Release);
}

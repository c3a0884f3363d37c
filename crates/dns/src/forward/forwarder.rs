//! Which upstream server is asked when, and who waits for whom.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::protocol::rcode;

use super::cache::{Cache, CacheStats};
use super::stored::{Lifetimes, Stored};
use super::upstream::{ExchangeError, exchange};
use super::wanted::Wanted;

/// How names outside the zones are looked up.
#[derive(Debug, Clone)]
pub struct ForwarderConfig {
    /// The servers, in the order in which they are asked.
    pub upstreams: Vec<SocketAddr>,
    /// How long one server may take to answer.
    pub patience: Duration,
    /// How long all of them together may take; less than the five seconds after which askers ask again.
    pub deadline: Duration,
    /// The most names that are looked up at once; above, questions fail at once.
    pub lookups: usize,
    /// Octets that the cache may take, about; 0 for none.
    pub cache_weight: usize,
    /// The most seconds for which answers are kept.
    pub lifetimes: Lifetimes,
}

impl Default for ForwarderConfig {
    fn default() -> Self {
        Self {
            upstreams: Vec::new(),
            patience: Duration::from_secs(2),
            deadline: Duration::from_millis(4500),
            lookups: 1000,
            cache_weight: 4 << 20,
            lifetimes: Lifetimes { positive: 3600, negative: 1800, failure: 1 },
        }
    }
}

/// A forwarder cannot be made as configured.
#[derive(Debug, thiserror::Error)]
pub enum ForwarderConfigError {
    /// There is nobody to ask.
    #[error("no upstream server is given")]
    NoUpstreams,
    /// An address that no server can have.
    #[error("{upstream} cannot be an upstream server: it has no address or no port")]
    Upstream {
        /// The address as given.
        upstream: SocketAddr,
    },
}

/// A name could not be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// As many names as are allowed are being looked up.
    #[error("too many names are being looked up")]
    Overloaded,
    /// The look-up ended without a word.
    #[error("the look-up was cut off")]
    Interrupted,
}

/// What a forwarder has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwardCounts {
    /// Questions sent to upstream servers, over UDP and TCP together.
    pub asked: u64,
    /// Exchanges that came to nothing.
    pub failed: u64,
    /// Questions that waited for an equal one that was under way.
    pub joined: u64,
    /// Questions that were turned away because too many were under way.
    pub refused: u64,
    /// How full the cache is.
    pub cache: CacheStats,
}

struct Upstream {
    address: SocketAddr,
    /// It has just failed and is asked last until then.
    shunned: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Counters {
    asked: AtomicU64,
    failed: AtomicU64,
    joined: AtomicU64,
    refused: AtomicU64,
}

type Outcome = watch::Receiver<Option<Arc<Stored>>>;

/// Looks names up at upstream servers. Shared as `Arc<Forwarder>`; works inside a tokio runtime.
pub struct Forwarder {
    config: ForwarderConfig,
    upstreams: Vec<Upstream>,
    cache: Cache,
    under_way: Mutex<HashMap<Wanted, Outcome>>,
    counters: Counters,
}

/// How long a server that failed is asked last.
const SHUNNED: Duration = Duration::from_secs(5);

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder")
            .field("config", &self.config)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Forwarder {
    /// A forwarder to the configured servers. It asks nobody yet.
    ///
    /// # Errors
    /// No servers, or an address that no server can have.
    pub fn new(config: ForwarderConfig) -> Result<Self, ForwarderConfigError> {
        if config.upstreams.is_empty() {
            return Err(ForwarderConfigError::NoUpstreams);
        }
        if let Some(&upstream) = config.upstreams.iter().find(|a| a.ip().is_unspecified() || a.port() == 0) {
            return Err(ForwarderConfigError::Upstream { upstream });
        }
        Ok(Self {
            upstreams: config
                .upstreams
                .iter()
                .map(|address| Upstream { address: *address, shunned: Mutex::new(None) })
                .collect(),
            cache: Cache::new(config.cache_weight),
            under_way: Mutex::default(),
            counters: Counters::default(),
            config,
        })
    }

    /// The servers that it asks.
    pub fn upstreams(&self) -> impl Iterator<Item = SocketAddr> {
        self.upstreams.iter().map(|upstream| upstream.address)
    }

    /// Its cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> ForwardCounts {
        ForwardCounts {
            asked: self.counters.asked.load(Ordering::Relaxed),
            failed: self.counters.failed.load(Ordering::Relaxed),
            joined: self.counters.joined.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
            cache: self.cache.stats(),
        }
    }

    /// Looks a name up, in the cache first. Equal questions that come meanwhile wait for the same answer, and a
    /// look-up goes on when its asker is gone. Where every server fails, that is what is answered and kept for a
    /// second.
    ///
    /// # Errors
    /// Too many names are being looked up.
    pub async fn look_up(self: &Arc<Self>, wanted: Wanted) -> Result<Arc<Stored>, ForwardError> {
        if let Some(stored) = self.cache.read(wanted.borrow(), Instant::now(), |stored, _| Arc::clone(stored)) {
            return Ok(stored);
        }
        let mut outcome = self.join_or_start(wanted)?;
        let stored = outcome.wait_for(Option::is_some).await.map_err(|_| ForwardError::Interrupted)?;
        stored.clone().ok_or(ForwardError::Interrupted)
    }

    fn join_or_start(self: &Arc<Self>, wanted: Wanted) -> Result<Outcome, ForwardError> {
        let mut under_way = self.under_way.lock();
        if let Some(outcome) = under_way.get(&wanted) {
            self.counters.joined.fetch_add(1, Ordering::Relaxed);
            return Ok(outcome.clone());
        }
        if under_way.len() >= self.config.lookups {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return Err(ForwardError::Overloaded);
        }
        let (tell, outcome) = watch::channel(None);
        under_way.insert(wanted.clone(), outcome.clone());
        let forwarder = Arc::clone(self);
        tokio::spawn(async move {
            // Dropped whatever happens, so that a look-up that is cut off does not stay under way for ever.
            let ended = UnderWay { forwarder: &forwarder, wanted };
            let stored = Arc::new(forwarder.ask(&ended.wanted).await);
            forwarder.cache.put(Arc::clone(&stored), Instant::now());
            drop(ended);
            tell.send_replace(Some(stored));
        });
        Ok(outcome)
    }

    /// Asks one server after the other until one knows, and those that were silent once more, because a datagram may
    /// get lost. A server that fails or refuses is not asked again: another may know better.
    async fn ask(&self, wanted: &Wanted) -> Stored {
        let start = Instant::now();
        let mut candidates = self.order(start);
        let mut last = None;
        for _round in 0..2 {
            let mut silent = Vec::new();
            for upstream in candidates {
                let left = self.config.deadline.saturating_sub(start.elapsed());
                if left.is_zero() {
                    break;
                }
                match self.ask_one(upstream.address, wanted, self.config.patience.min(left)).await {
                    Ok(stored) if matches!(stored.rcode(), rcode::NOERROR | rcode::NXDOMAIN) => {
                        *upstream.shunned.lock() = None;
                        return stored;
                    }
                    Ok(stored) => last = Some(stored),
                    Err(error) => {
                        self.counters.failed.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(%error, name = %wanted.name, "an upstream server was of no help");
                        *upstream.shunned.lock() = Some(Instant::now() + SHUNNED);
                        silent.push(upstream);
                    }
                }
            }
            candidates = silent;
        }
        last.unwrap_or_else(|| Stored::failure(wanted, self.config.lifetimes, Instant::now()))
    }

    async fn ask_one(&self, address: SocketAddr, wanted: &Wanted, patience: Duration) -> Result<Stored, ExchangeError> {
        self.counters.asked.fetch_add(1, Ordering::Relaxed);
        let mut message = exchange(address, wanted, true, patience).await?;
        // A server that does not know EDNS may say so (RFC 6891 section 7).
        if matches!(u16::from(message.metadata.response_code), rcode::FORMERR | rcode::NOTIMP) {
            self.counters.asked.fetch_add(1, Ordering::Relaxed);
            message = exchange(address, wanted, false, patience).await?;
        }
        if message.queries.is_empty() {
            return Ok(Stored::failure(wanted, self.config.lifetimes, Instant::now()));
        }
        Stored::new(message, wanted, self.config.lifetimes, Instant::now())
            .ok_or(ExchangeError::Unreadable { upstream: address })
    }

    /// The servers as configured, but those that have just failed last.
    fn order(&self, now: Instant) -> Vec<&Upstream> {
        let mut order: Vec<_> = self.upstreams.iter().collect();
        order.sort_by_key(|upstream| upstream.shunned.lock().is_some_and(|until| now < until));
        order
    }
}

/// A look-up that is under way, until it is dropped.
struct UnderWay<'f> {
    forwarder: &'f Forwarder,
    wanted: Wanted,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.forwarder.under_way.lock().remove(&self.wanted);
    }
}

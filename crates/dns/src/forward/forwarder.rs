//! Who waits for whom, and what becomes of an answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::name::Name;

use super::cache::{Cache, Found};
use super::counts::{ForwardCounts, UpstreamCounts};
use super::loops::{LoopFound, Loops};
use super::settings::Settings;
use super::stored::Stored;
use super::tls::TlsError;
use super::wanted::{Wanted, WantedRef};
use super::way::{Order, Way};

/// A forwarder cannot be made as configured.
#[derive(Debug, thiserror::Error)]
pub enum ForwarderConfigError {
    /// There is nobody to ask.
    #[error("no upstream server is given for {zone}")]
    NoUpstreams {
        /// The zone.
        zone: Name,
    },
    /// No zone is given.
    #[error("no zone is given whose names are asked for")]
    NoRoutes,
    /// A zone is given twice.
    #[error("two sets of upstream servers are given for {zone}")]
    Twice {
        /// The zone.
        zone: Name,
    },
    /// An address that no server can have.
    #[error("{upstream} cannot be an upstream server: it has no address or no port")]
    Upstream {
        /// The address as given.
        upstream: SocketAddr,
    },
    /// A server cannot be spoken to over TLS.
    #[error("upstream server {upstream}")]
    Tls {
        /// The server.
        upstream: SocketAddr,
        /// Why.
        source: TlsError,
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
    /// Nobody is to be asked for such names.
    #[error("no upstream server is given for the name")]
    NoRoute,
    /// The question is one that was sent out to see whether it comes back.
    #[error("an upstream server has sent the question back")]
    Loop,
}

/// An answer and how old it is.
#[derive(Debug, Clone)]
pub struct LookedUp {
    /// The answer.
    pub stored: Arc<Stored>,
    /// Its age in seconds.
    pub age: u32,
}

#[derive(Default)]
struct Counters {
    joined: AtomicU64,
    refused: AtomicU64,
    all_down: AtomicU64,
}

type Outcome = watch::Receiver<Option<Arc<Stored>>>;

/// Looks names up at upstream servers. Shared as `Arc<Forwarder>`; works inside a tokio runtime.
pub struct Forwarder {
    deadline: Duration,
    lookups: usize,
    /// The longest zones first.
    ways: Vec<Way>,
    cache: Cache,
    under_way: Mutex<HashMap<Wanted, Outcome>>,
    counters: Counters,
    loops: Loops,
    /// Where look-ups run that nobody waits for. Known since the first look-up, before which nothing is cached.
    runtime: OnceLock<Handle>,
    stop: CancellationToken,
    _stop_at_end: DropGuard,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder")
            .field("routes", &self.ways.iter().map(|way| &way.route).collect::<Vec<_>>())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Forwarder {
    /// A forwarder to the configured servers. It asks nobody yet.
    ///
    /// # Errors
    /// No servers, an address that no server can have, or TLS that cannot be spoken as configured.
    pub fn new(settings: Settings) -> Result<Self, ForwarderConfigError> {
        if settings.routes.is_empty() {
            return Err(ForwarderConfigError::NoRoutes);
        }
        let mut ways: Vec<Way> = Vec::with_capacity(settings.routes.len());
        for route in settings.routes {
            let zone = route.zone.clone();
            if route.upstreams.is_empty() {
                return Err(ForwarderConfigError::NoUpstreams { zone });
            }
            if ways.iter().any(|way| way.route.zone == zone) {
                return Err(ForwarderConfigError::Twice { zone });
            }
            let nowhere = |address: SocketAddr| address.ip().is_unspecified() || address.port() == 0;
            if let Some(upstream) = route.upstreams.iter().map(|upstream| upstream.address).find(|at| nowhere(*at)) {
                return Err(ForwarderConfigError::Upstream { upstream });
            }
            let way = Way::new(route);
            ways.push(way.map_err(|(upstream, source)| ForwarderConfigError::Tls { upstream, source })?);
        }
        ways.sort_by_key(|way| std::cmp::Reverse(way.route.zone.label_count()));
        let stop = CancellationToken::new();
        Ok(Self {
            deadline: settings.deadline,
            lookups: settings.lookups,
            ways,
            cache: Cache::new(settings.cache_weight),
            under_way: Mutex::default(),
            counters: Counters::default(),
            loops: Loops::default(),
            runtime: OnceLock::new(),
            _stop_at_end: stop.clone().drop_guard(),
            stop,
        })
    }

    /// The servers that it asks.
    pub fn upstreams(&self) -> impl Iterator<Item = SocketAddr> {
        self.ways.iter().flat_map(|way| way.upstreams.iter().map(|upstream| upstream.reach.address))
    }

    /// Its cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> ForwardCounts {
        let mut counts = ForwardCounts {
            joined: self.counters.joined.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
            all_down: self.counters.all_down.load(Ordering::Relaxed),
            cache: self.cache.stats(),
            ..ForwardCounts::default()
        };
        for upstream in self.ways.iter().flat_map(|way| &way.upstreams) {
            counts.asked += upstream.tally.asked.load(Ordering::Relaxed);
            counts.failed += upstream.tally.failed.load(Ordering::Relaxed);
        }
        counts
    }

    /// What each server was asked, the longest zones first.
    #[must_use]
    pub fn upstream_counts(&self) -> Vec<UpstreamCounts> {
        self.ways.iter().flat_map(|way| &way.upstreams).map(|upstream| upstream.counts()).collect()
    }

    /// Asks every server a question that must not come back to the server that this forwarder is part of. To be called
    /// when that server listens; takes at most `patience`.
    ///
    /// # Errors
    /// The server whose question came back.
    pub async fn find_loop(&self, patience: Duration) -> Result<(), LoopFound> {
        let all: Vec<_> = self
            .ways
            .iter()
            .flat_map(|way| way.upstreams.iter().map(|upstream| (way.route.zone.clone(), Arc::clone(upstream))))
            .collect();
        self.loops.look(&all, patience).await
    }

    /// Looks at the answer that is kept for a question, with its age in seconds, if there is one that may be given at
    /// once. Has it asked for anew meanwhile when it is due.
    pub fn cached<R>(
        self: &Arc<Self>,
        wanted: WantedRef<'_>,
        now: Instant,
        look: impl FnOnce(&Arc<Stored>, u32) -> R,
    ) -> Option<R> {
        match self.cache.read(wanted, now, look) {
            Found::Fresh(seen) => Some(seen),
            Found::Due(seen) => {
                // Somebody who waits for nothing; if too many are under way, the next asker is told again.
                if self.join_or_start(wanted.to_owned()).is_err() {
                    self.cache.not_refreshed(wanted);
                }
                Some(seen)
            }
            Found::Nothing => None,
        }
    }

    /// Looks a name up, in the cache first. Equal questions that come meanwhile wait for the same answer, and a
    /// look-up goes on when its asker is gone. Where every server fails, an answer that is over is given if there is
    /// one (RFC 8767); otherwise the failure is answered, and kept for a while.
    ///
    /// # Errors
    /// Too many names are being looked up, or nobody is to be asked for this one.
    pub async fn look_up(self: &Arc<Self>, wanted: Wanted) -> Result<LookedUp, ForwardError> {
        if self.loops.came_back(&wanted) {
            return Err(ForwardError::Loop);
        }
        let now = Instant::now();
        let kept = self.cache.last_resort(wanted.borrow(), now);
        let kept = kept.map(|stored| LookedUp { age: stored.age(now), stored });
        if let Some(kept) = kept.as_ref().filter(|kept| kept.stored.is_fresh(kept.age)) {
            return Ok(kept.clone());
        }
        self.runtime.get_or_init(Handle::current);
        let Some(stale) = kept else {
            return settled(&mut self.join_or_start(wanted)?).await;
        };
        let patience = self.way(wanted.name.wire()).and_then(|way| way.route.keep.stale).map(|stale| stale.patience);
        let newer = match self.join_or_start(wanted.clone()) {
            Ok(mut outcome) => timeout(patience.unwrap_or_default(), settled(&mut outcome)).await.ok(),
            Err(_) => None,
        };
        match newer {
            Some(Ok(newer)) if !newer.stored.is_failure() => Ok(newer),
            _ => {
                self.cache.count_stale(wanted.borrow());
                Ok(stale)
            }
        }
    }

    fn way(&self, name: &[u8]) -> Option<&Way> {
        self.ways.iter().find(|way| way.holds(name))
    }

    fn join_or_start(self: &Arc<Self>, wanted: Wanted) -> Result<Outcome, ForwardError> {
        let at = self.ways.iter().position(|way| way.holds(wanted.name.wire())).ok_or(ForwardError::NoRoute)?;
        let runtime = self.runtime.get().ok_or(ForwardError::Interrupted)?;
        let way = &self.ways[at];
        let mut under_way = self.under_way.lock();
        if let Some(outcome) = under_way.get(&wanted) {
            self.counters.joined.fetch_add(1, Ordering::Relaxed);
            return Ok(outcome.clone());
        }
        // Both are changed under the lock alone.
        if under_way.len() >= self.lookups || way.under_way.load(Ordering::Relaxed) >= way.route.max_concurrent {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return Err(ForwardError::Overloaded);
        }
        let (tell, outcome) = watch::channel(None);
        under_way.insert(wanted.clone(), outcome.clone());
        way.under_way.fetch_add(1, Ordering::Relaxed);
        let forwarder = Arc::clone(self);
        runtime.spawn(async move {
            // Dropped whatever happens, so that a look-up that is cut off does not stay under way for ever.
            let ended = UnderWay { forwarder: &forwarder, way: &forwarder.ways[at], wanted };
            let stored = Arc::new(forwarder.ask(ended.way, &ended.wanted).await);
            forwarder.cache.put(Arc::clone(&stored), &ended.way.route.keep, Instant::now());
            drop(ended);
            tell.send_replace(Some(stored));
        });
        Ok(outcome)
    }

    /// Asks one server after the other until one knows, and those that were silent once more, because a datagram may
    /// get lost. A server that fails or refuses is not asked again: another may know better.
    async fn ask(&self, way: &Way, wanted: &Wanted) -> Stored {
        let (route, start) = (&way.route, Instant::now());
        let mut candidates = match way.order() {
            Order::Ask(upstreams) => upstreams,
            Order::AllDown(upstreams) => {
                self.counters.all_down.fetch_add(1, Ordering::Relaxed);
                if route.fail_fast {
                    return Stored::failure(wanted, &route.keep, Instant::now());
                }
                upstreams
            }
        };
        let mut attempts = if route.attempts == 0 { usize::MAX } else { route.attempts };
        let mut last = None;
        for _round in 0..2 {
            let mut silent = Vec::new();
            for upstream in candidates {
                let left = self.deadline.saturating_sub(start.elapsed());
                if left.is_zero() || attempts == 0 {
                    break;
                }
                attempts -= 1;
                match upstream.ask(wanted, &route.keep, route.patience.min(left)).await {
                    Ok(stored) => {
                        upstream.was_well();
                        if !route.failover.contains(&stored.rcode()) {
                            return stored;
                        }
                        last = Some(stored);
                    }
                    Err(error) => {
                        tracing::debug!(%error, name = %wanted.name, "an upstream server was of no help");
                        upstream.was_unwell(&self.stop);
                        silent.push(upstream);
                    }
                }
            }
            candidates = silent;
        }
        last.unwrap_or_else(|| Stored::failure(wanted, &route.keep, Instant::now()))
    }
}

async fn settled(outcome: &mut Outcome) -> Result<LookedUp, ForwardError> {
    let stored = outcome.wait_for(Option::is_some).await.map_err(|_| ForwardError::Interrupted)?;
    let stored = stored.clone().ok_or(ForwardError::Interrupted)?;
    Ok(LookedUp { age: stored.age(Instant::now()), stored })
}

/// A look-up that is under way, until it is dropped.
struct UnderWay<'f> {
    forwarder: &'f Forwarder,
    way: &'f Way,
    wanted: Wanted,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.forwarder.under_way.lock();
        under_way.remove(&self.wanted);
        self.way.under_way.fetch_sub(1, Ordering::Relaxed);
        drop(under_way);
        // Nobody asks anew any more, whatever came of it.
        self.forwarder.cache.not_refreshed(self.wanted.borrow());
    }
}

//! The servers for one zone's names, and in which order they are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::seq::SliceRandom;

use super::keep::lies_in;
use super::settings::{Policy, Route};
use super::tls::TlsError;
use super::upstream::Upstream;

/// A route with its servers.
pub(super) struct Way {
    pub(super) route: Route,
    pub(super) upstreams: Vec<Arc<Upstream>>,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// Names that are looked up now.
    pub(super) under_way: AtomicUsize,
}

/// The servers to ask, in their order.
pub(super) enum Order {
    Ask(Vec<Arc<Upstream>>),
    /// Every one is down. Asking them all the same may help, because probes may be what is wrong.
    AllDown(Vec<Arc<Upstream>>),
}

impl Way {
    pub(super) fn new(route: Route) -> Result<Self, (std::net::SocketAddr, TlsError)> {
        let upstreams = route
            .upstreams
            .iter()
            .map(|upstream| Upstream::new(upstream, &route).map(Arc::new).map_err(|error| (upstream.address, error)));
        let upstreams = upstreams.collect::<Result<_, _>>()?;
        Ok(Self { route, upstreams, turn: AtomicUsize::new(0), under_way: AtomicUsize::new(0) })
    }

    /// Whether it is for a name in wire form.
    pub(super) fn holds(&self, name: &[u8]) -> bool {
        lies_in(name, &self.route.zone) && !self.route.except.iter().any(|except| lies_in(name, except))
    }

    /// The servers as the policy says, but those that were of no help just now last.
    pub(super) fn order(&self) -> Order {
        let mut order = self.upstreams.clone();
        match self.route.policy {
            Policy::Sequential => {}
            Policy::Random => order.shuffle(&mut rand::rng()),
            Policy::RoundRobin => {
                let first = self.turn.fetch_add(1, Ordering::Relaxed) % order.len().max(1);
                order.rotate_left(first);
            }
        }
        let mut up: Vec<_> = order.iter().filter(|upstream| !upstream.is_down()).map(Arc::clone).collect();
        if up.is_empty() {
            order.shuffle(&mut rand::rng());
            return Order::AllDown(order);
        }
        up.sort_by_key(|upstream| upstream.is_suspect());
        Order::Ask(up)
    }
}

//! Where Services, namespaces and reverse names are kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::service::Service;
use super::sharded::{Keyed, Sharded};
use super::zones::Zones;

/// A namespace exists when it was told of, or when a Service lives in it: the two are watched apart, and a Service
/// must not be hidden because its namespace is heard of a moment later.
pub(super) struct Namespace {
    pub(super) name: Box<[u8]>,
    pub(super) told: bool,
    pub(super) services: u32,
    /// Questions that a search path made of names from elsewhere. Shared with the namespace that takes this one's place.
    pub(super) search_misses: Arc<AtomicU64>,
}

/// A Pod: its namespace's label, with its length, and its name.
pub(super) type PodId = (Arc<[u8]>, Box<str>);

/// A Pod that has an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PodThere {
    pub(super) id: PodId,
    /// Whether its search path is the cluster's.
    pub(super) searches: bool,
}

/// The Pods that have an address. More than one does when they share the node's.
pub(super) struct PodsAt {
    pub(super) address: IpAddr,
    /// In order.
    pub(super) pods: Box<[PodThere]>,
}

/// The keys of the Services that an address leads back to, in order.
#[derive(Clone)]
pub(super) enum Referrers {
    One(Arc<[u8]>),
    /// Boxed so that the usual single referrer decides the size.
    Many(Box<Several>),
}

/// More than one referrer.
#[derive(Clone)]
pub(super) struct Several(Box<[Arc<[u8]>]>);

impl Referrers {
    pub(super) fn as_slice(&self) -> &[Arc<[u8]>] {
        match self {
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(several) => &several.0,
        }
    }

    /// `None` when there are no keys.
    pub(super) fn new(keys: Vec<Arc<[u8]>>) -> Option<Self> {
        match <[Arc<[u8]>; 1]>::try_from(keys) {
            Ok([key]) => Some(Self::One(key)),
            Err(keys) if keys.is_empty() => None,
            Err(keys) => Some(Self::Many(Box::new(Several(keys.into())))),
        }
    }
}

/// An address and what it leads back to.
pub(super) struct Reverse<A> {
    pub(super) address: A,
    pub(super) referrers: Referrers,
}

impl Keyed for Arc<Service> {
    type Key = [u8];
    fn key(&self) -> &[u8] {
        Service::key(self)
    }
}

impl Keyed for Namespace {
    type Key = [u8];
    fn key(&self) -> &[u8] {
        &self.name
    }
}

impl Keyed for PodsAt {
    type Key = IpAddr;
    fn key(&self) -> &IpAddr {
        &self.address
    }
}

impl Keyed for Reverse<Ipv4Addr> {
    type Key = Ipv4Addr;
    fn key(&self) -> &Ipv4Addr {
        &self.address
    }
}

impl Keyed for Reverse<Ipv6Addr> {
    type Key = Ipv6Addr;
    fn key(&self) -> &Ipv6Addr {
        &self.address
    }
}

/// Everything that questions read. Changed by one writer at a time.
pub(super) struct Tables {
    pub(super) zones: Arc<Zones>,
    pub(super) services: Sharded<Arc<Service>>,
    pub(super) namespaces: Sharded<Namespace>,
    pub(super) v4: Sharded<Reverse<Ipv4Addr>>,
    pub(super) v6: Sharded<Reverse<Ipv6Addr>>,
    pub(super) pods: Sharded<PodsAt>,
    /// Questions that a search path made of names from elsewhere and that name no namespace that exists.
    search_misses: AtomicU64,
    serial: AtomicU32,
}

impl Tables {
    pub(super) fn new(zones: Zones, serial: u32) -> Self {
        Self {
            zones: Arc::new(zones),
            services: Sharded::new(),
            namespaces: Sharded::new(),
            v4: Sharded::new(),
            v6: Sharded::new(),
            pods: Sharded::new(),
            search_misses: AtomicU64::new(0),
            serial: AtomicU32::new(serial),
        }
    }

    /// The zone's serial number (RFC 1982: it wraps).
    pub(super) fn serial(&self) -> u32 {
        self.serial.load(Ordering::Relaxed)
    }

    pub(super) fn count_change(&self) {
        self.serial.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a namespace exists.
    pub(super) fn has_namespace(&self, name: &[u8]) -> bool {
        self.namespaces.read(name, |_| ()).is_some()
    }

    /// Whether a Pod of the namespace has the address.
    pub(super) fn has_pod(&self, namespace: &[u8], address: IpAddr) -> bool {
        let of_namespace = |at: &PodsAt| at.pods.iter().any(|pod| *pod.id.0 == *namespace);
        self.pods.read(&address, of_namespace).unwrap_or(false)
    }

    /// Whether all Pods of the namespace that have the address, of which there must be one, have the cluster's search
    /// path.
    pub(super) fn searches(&self, namespace: &[u8], address: IpAddr) -> bool {
        let of_namespace = |at: &PodsAt| {
            let mut found = at.pods.iter().filter(|pod| *pod.id.0 == *namespace).peekable();
            found.peek().is_some() && found.all(|pod| pod.searches)
        };
        self.pods.read(&address, of_namespace).unwrap_or(false)
    }

    /// Counts a question that a search path has made, for its namespace if that exists.
    pub(super) fn count_search_miss(&self, namespace: Option<&[u8]>) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let counted = namespace.and_then(|name| self.namespaces.read(name, |found| count(&found.search_misses)));
        if counted.is_none() {
            count(&self.search_misses);
        }
    }

    /// Those counts, by the namespace's label: of no namespace, under an empty one, and of each that has any, in order.
    pub(super) fn search_misses(&self) -> Vec<(Box<[u8]>, u64)> {
        let of = |found: &Namespace| {
            let count = found.search_misses.load(Ordering::Relaxed);
            (count > 0).then(|| (found.name.clone(), count))
        };
        let mut counts = self.namespaces.collect(of);
        counts.push((Box::default(), self.search_misses.load(Ordering::Relaxed)));
        counts.sort_unstable();
        counts
    }

    /// Reads what an address leads back to.
    pub(super) fn referrers<R>(&self, address: IpAddr, look: impl FnOnce(&[Arc<[u8]>]) -> R) -> Option<R> {
        match address {
            IpAddr::V4(address) => self.v4.read(&address, |reverse| look(reverse.referrers.as_slice())),
            IpAddr::V6(address) => self.v6.read(&address, |reverse| look(reverse.referrers.as_slice())),
        }
    }
}

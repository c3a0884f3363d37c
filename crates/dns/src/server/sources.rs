//! What answers are made from, and how a running server is given another.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use parking_lot::RwLock;

use crate::forward::Forwarder;
use crate::hosts::Hosts;
use crate::index::Index;
use crate::querylog::QueryLog;
use crate::rewrite::Rewriter;

/// What answers are made from, and for whom.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The cluster's names.
    pub index: Option<Arc<Index>>,
    /// All others.
    pub forwarder: Option<Arc<Forwarder>>,
    /// Whose questions are answered; others meet silence, so that a forged address cannot be flooded with answers.
    /// `None` stands for everybody.
    pub clients: Option<Vec<IpNet>>,
    /// Who may have the whole zone, over TCP (RFC 5936).
    pub transfer: Vec<IpNet>,
    /// Names that are asked for under another name.
    pub rewriter: Rewriter,
    /// Names from files; they come before all others.
    pub hosts: Vec<Arc<Hosts>>,
    /// Where questions and their answers are written down.
    pub log: Option<Arc<QueryLog>>,
}

impl Sources {
    /// Whether questions from an address are answered.
    pub(super) fn serves(&self, client: IpAddr) -> bool {
        self.clients.as_ref().is_none_or(|networks| lies_in(client, networks))
    }

    /// Whether an address may have the whole zone.
    pub(super) fn may_transfer(&self, client: IpAddr) -> bool {
        lies_in(client, &self.transfer)
    }
}

fn lies_in(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// The sources that are in use now. Who answers keeps a copy and asks, before each batch of questions, whether it is
/// still the newest: no lock, and nothing that other threads write to.
#[derive(Debug)]
pub(super) struct Current {
    sources: RwLock<Arc<Sources>>,
    version: AtomicU64,
}

impl Current {
    pub(super) fn new(sources: Sources) -> Self {
        Self { sources: RwLock::new(Arc::new(sources)), version: AtomicU64::new(0) }
    }

    pub(super) fn get(&self) -> Arc<Sources> {
        Arc::clone(&self.sources.read())
    }

    pub(super) fn set(&self, sources: Sources) {
        *self.sources.write() = Arc::new(sources);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// A copy of the current sources.
#[derive(Debug)]
pub(super) struct Copied {
    current: Arc<Current>,
    sources: Arc<Sources>,
    version: u64,
}

impl Copied {
    pub(super) fn new(current: Arc<Current>) -> Self {
        // Version before content: what changes in between is copied once more.
        let version = current.version.load(Ordering::Acquire);
        Self { sources: current.get(), version, current }
    }

    /// Becomes a copy of the current sources.
    pub(super) fn refresh(&mut self) {
        let version = self.current.version.load(Ordering::Acquire);
        if version != self.version {
            (self.sources, self.version) = (self.current.get(), version);
        }
    }

    /// The sources as they were last.
    pub(super) fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }
}

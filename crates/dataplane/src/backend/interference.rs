//! What other processes do to our tables, and what of theirs stands beside them.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nft::TableId;

/// How many processes are remembered until somebody asks.
const MOST: usize = 8;

/// A file that is readable when a backend has something to tell ([`crate::Backend::interference`]): to be waited for,
/// not to be read.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// On an open file.
    pub fn new(file: OwnedFd) -> Watch {
        Watch(file)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What others did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interference {
    /// Who changed our tables; each once, the first eight.
    pub by: Vec<Culprit>,
    /// That something happened and it is not known what: our tables may have been changed.
    pub lost: bool,
    /// Whether something that [`crate::Backend::others`] tells came or went.
    pub beside: bool,
}

impl Interference {
    /// Whether our tables are perhaps no longer what we made them.
    pub fn concerns_us(&self) -> bool {
        self.lost || !self.by.is_empty()
    }

    /// Somebody changed our tables.
    pub fn add(&mut self, culprit: Culprit) {
        if self.by.len() < MOST && !self.by.contains(&culprit) {
            self.by.push(culprit);
        }
    }

    /// More of it.
    pub fn extend(&mut self, more: Interference) {
        more.by.into_iter().for_each(|culprit| self.add(culprit));
        self.lost |= more.lost;
        self.beside |= more.beside;
    }
}

/// A process that changed our tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit {
    /// The id of the thread that did it, as the machine's first PID namespace counts.
    pub thread: u32,
    /// Its name, at most 15 bytes; it may be gone already.
    pub name: String,
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.thread)
    }
}

/// Rules of another Service proxy in the same network namespace: where both serve a Service, it is not said whose rules
/// a packet meets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Other {
    /// The table of kube-proxy's nftables mode.
    KubeProxyNftables(TableId),
    /// The chain KUBE-SERVICES of kube-proxy's iptables mode, as `iptables-nft` makes it. (Legacy iptables is not seen.)
    KubeProxyIptables(TableId),
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Other::KubeProxyNftables(table) => write!(f, "kube-proxy's table {table}"),
            Other::KubeProxyIptables(table) => write!(f, "kube-proxy's chain KUBE-SERVICES in table {table}"),
        }
    }
}

/// kube-proxy's table.
pub(super) const KUBE_PROXY_TABLE: &str = "kube-proxy";
/// kube-proxy's chain, in the table `nat` of iptables.
pub(super) const KUBE_PROXY_CHAIN: &str = "KUBE-SERVICES";
/// Where it is.
pub(super) const IPTABLES_NAT: &str = "nat";

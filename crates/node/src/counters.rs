//! What a node counts about connections, for whoever exports it. Every counter begins at zero with the process and only
//! grows, but for those that say that they are of this moment.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that many may change and read at once.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// One less, for a number of this moment.
    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one node.
#[derive(Debug, Default)]
pub struct Counters {
    /// UDP connections that were ended because a change left them without a serving endpoint.
    pub udp_flows_ended: Counter,
    /// UDP connections that the timer found at an endpoint that does not serve, and ended. Not zero: something slipped
    /// through.
    pub udp_flows_stale: Counter,
    /// Looks of the timer through all UDP connections.
    pub udp_flow_checks: Counter,
    /// Those of them that failed.
    pub udp_flow_check_failures: Counter,
    /// Seconds that those looks took, in microseconds.
    pub udp_flow_check_microseconds: Counter,
    /// Addresses that were asked whether anybody lives there, because they left a Service with TCP connections open.
    pub departed_probes: Counter,
    /// Those of them at which nobody answered.
    pub departed_dead: Counter,
    /// TCP connections that were reset because their endpoint had left without a word.
    pub departed_flows_reset: Counter,
    /// Addresses that left their Services with so many others that all connections were looked through instead of theirs.
    pub departed_overlooked: Counter,
    /// TCP connections to a node port of a loopback address that were relayed.
    pub loopback_connections: Counter,
    /// Those of them that are open at this moment.
    pub loopback_connections_open: Counter,
    /// TCP connections to a node port of a loopback address that were reset: there were too many, or the Service's
    /// endpoint did not answer.
    pub loopback_connections_refused: Counter,
    /// UDP clients of a node port of a loopback address that were relayed.
    pub loopback_flows: Counter,
    /// Those of them that are remembered at this moment.
    pub loopback_flows_open: Counter,
    /// Datagrams to a node port of a loopback address that were dropped: there were too many clients, or nobody knows
    /// what they were sent to.
    pub loopback_datagrams_dropped: Counter,
}

//! What conntrack is told: how many connections, and how long each is remembered. As kube-proxy has it, these are
//! settings of the machine (of the network namespace), made when the agent starts.

use std::fs;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::sysctls;

/// How many buckets of the hash table there should be for so many connections.
const CONNECTIONS_A_BUCKET: u32 = 4;
/// The hash table's size, of the whole machine.
const HASH_SIZE: &str = "/sys/module/nf_conntrack/parameters/hashsize";

/// What conntrack is told; `None` leaves a value as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conntrack {
    /// Connections of the machine.
    pub max: Option<u32>,
    /// Seconds for which an established TCP connection is remembered.
    pub tcp_established: Option<u64>,
    /// Seconds for which a TCP connection is remembered whose client has closed.
    pub tcp_close_wait: Option<u64>,
    /// Whether TCP packets out of their connection's window are taken for its own.
    pub tcp_be_liberal: bool,
    /// Seconds for which a UDP flow without an answer is remembered.
    pub udp: Option<u64>,
    /// Seconds for which a UDP flow with answers is remembered.
    pub udp_stream: Option<u64>,
}

impl Conntrack {
    /// The settings under `net/netfilter`, with their values.
    pub(super) fn settings(&self) -> Vec<(&'static str, u64)> {
        let all = [
            ("net/netfilter/nf_conntrack_max", self.max.map(u64::from)),
            ("net/netfilter/nf_conntrack_tcp_timeout_established", self.tcp_established),
            ("net/netfilter/nf_conntrack_tcp_timeout_close_wait", self.tcp_close_wait),
            ("net/netfilter/nf_conntrack_tcp_be_liberal", self.tcp_be_liberal.then_some(1)),
            ("net/netfilter/nf_conntrack_udp_timeout", self.udp),
            ("net/netfilter/nf_conntrack_udp_timeout_stream", self.udp_stream),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Makes the settings as soon as the rules are in the kernel: before, there may be no conntrack to be set. Each that the
/// kernel refuses is told, and the others are made: traffic flows without them.
pub(super) async fn set(chosen: Conntrack, mut programmed: watch::Receiver<bool>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        // Nobody tells any more when the agent is about to end.
        done = async { programmed.wait_for(|done| *done).await.is_ok() } => if !done { return stop.cancelled().await },
    }
    for (name, value) in chosen.settings() {
        // The limit of all namespaces together is the first one's: others may only read it.
        match sysctls::write(name, &value.to_string()) {
            Ok(()) => tracing::debug!(name, value, "set"),
            Err(error) => tracing::warn!(
                name,
                value,
                error = &error.source as &dyn std::error::Error,
                "a setting of conntrack cannot be made; it stays as it is"
            ),
        }
    }
    if let Some(max) = chosen.max {
        grow_hash_table(max / CONNECTIONS_A_BUCKET);
    }
    // A part of the agent that ends would end it.
    stop.cancelled().await;
}

/// More connections than the hash table was made for make every look-up slower.
fn grow_hash_table(wanted: u32) {
    let held = fs::read_to_string(HASH_SIZE).ok().and_then(|text| text.trim().parse::<u32>().ok());
    if held.is_none_or(|held| held >= wanted) {
        return;
    }
    if let Err(error) = fs::write(HASH_SIZE, wanted.to_string()) {
        tracing::warn!(%error, held, wanted, "conntrack's hash table stays small: {HASH_SIZE} cannot be written");
    }
}

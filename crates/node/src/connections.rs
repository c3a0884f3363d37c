//! What is done about connections beside the rules: UDP flows to nobody are looked for from time to time, clients of TCP
//! endpoints that left without a word are reset, and node ports of loopback addresses are relayed.

use std::sync::Arc;
use std::time::Duration;

use dataplane::model::Node;
use dataplane::{Backend, Dataplane, SyncReport};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;
use crate::departed::{self, Departed};
use crate::loopback::Relay;

/// How often all UDP connections are looked through. A client that is led astray is not for longer.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// Looks after the connections of one node, as a part of the loop that keeps its Services.
#[derive(Debug)]
pub struct Connections {
    counters: Arc<Counters>,
    relay: Option<std::num::NonZeroU16>,
    check: Interval,
    departed: Departed,
    /// Whether the kernel was in step once.
    begun: bool,
}

/// Something is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// All UDP connections are to be looked through.
    Check,
    /// A step about endpoints that left.
    Departed(departed::Due),
}

impl Connections {
    /// Starts the relay for loopback as one of the node's parts, in the network namespace of the calling thread. A
    /// machine on which it cannot listen goes without, and says so.
    pub fn start(
        parts: &mut JoinSet<&'static str>,
        node: watch::Receiver<Node>,
        counters: Arc<Counters>,
        stop: CancellationToken,
    ) -> Connections {
        let relay = match Relay::bind() {
            Ok(relay) => {
                let (port, running) = (relay.port(), relay.run(node, counters.clone(), stop));
                parts.spawn(async move {
                    running.await;
                    "relay for loopback"
                });
                Some(port)
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "node ports do not answer on loopback");
                None
            }
        };
        let mut check = tokio::time::interval_at(tokio::time::Instant::now() + CHECK_EVERY, CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let departed = Departed::new(counters.clone());
        Connections { counters, relay, check, departed, begun: false }
    }

    /// The node, with what is known here.
    pub fn complete(&self, node: Node) -> Node {
        Node { loopback_relay: self.relay, ..node }
    }

    /// Waits until something is to be done. Nothing is lost when it is not waited for to the end.
    pub async fn due(&mut self) -> Due {
        tokio::select! {
            _ = self.check.tick() => Due::Check,
            due = self.departed.due() => Due::Departed(due),
        }
    }

    /// Does it. Blocks while the kernel answers.
    pub fn act<B: Backend>(&mut self, due: Due, dataplane: &mut Dataplane<B>) {
        match due {
            Due::Check => {
                self.check(dataplane);
                self.departed.look_again();
            }
            Due::Departed(due) => self.departed.act(due, dataplane),
        }
    }

    /// The kernel was brought in step.
    pub fn synced<B: Backend>(&mut self, report: &SyncReport, dataplane: &mut Dataplane<B>) {
        self.counters.udp_flows_ended.add(report.flows_ended);
        self.departed.note(dataplane.take_left());
        // Who left while no agent ran is not known.
        if !std::mem::replace(&mut self.begun, true) {
            self.departed.anybody();
        }
    }

    fn check<B: Backend>(&self, dataplane: &mut Dataplane<B>) {
        self.counters.udp_flow_checks.increment();
        match dataplane.check_flows() {
            Ok(report) => {
                let microseconds = usize::try_from(report.duration.as_micros()).unwrap_or(usize::MAX);
                self.counters.udp_flow_check_microseconds.add(microseconds);
                self.counters.udp_flows_stale.add(report.ended);
                if report.ended > 0 {
                    tracing::info!(ended = report.ended, "UDP connections led where nobody serves");
                }
            }
            Err(error) => {
                self.counters.udp_flow_check_failures.increment();
                tracing::warn!(error = &error as &dyn std::error::Error, "UDP connections were not looked through");
            }
        }
    }
}

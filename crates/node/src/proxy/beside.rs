//! Another service proxy beside this one: two answer for the same Services, and which of them does is a matter of who
//! came first. It is told as an event of the node each time that it changes.

use std::sync::Arc;

use dataplane::model::Model;
use dataplane::{SyncError, SyncReport};
use tokio::sync::mpsc;

use crate::events::{About, Told};
use crate::services::Listener;

const REASON: &str = "AnotherServiceProxy";
const CURE: &str = "if it has ended for good, take its rules away with `portolan agent --cleanup-kube-proxy`";

/// Tells when another proxy's rules come and go.
#[derive(Debug)]
pub(super) struct Beside {
    /// Whether there are some.
    pub metrics: super::metrics::Metrics,
    /// Who writes events.
    pub tell: mpsc::Sender<Told>,
    /// What was told last.
    pub held: Arc<[String]>,
}

impl Listener for Beside {
    fn synced(&mut self, done: &Result<SyncReport, SyncError>, _: &Model) {
        let Some(others) = done.as_ref().ok().and_then(|report| report.others.as_ref()) else { return };
        let now: Arc<[String]> = others.iter().map(ToString::to_string).collect();
        self.metrics.other_proxies.set(now.len().try_into().unwrap_or(i64::MAX));
        if now == self.held {
            return;
        }
        // The data plane writes the log.
        if !now.is_empty() {
            let what = now.join(", ");
            let message = format!("{what}: two proxies answer for the same Services; {CURE}");
            // When nobody takes it in time the log has it.
            let _ = self.tell.try_send(Told { about: About::Node, reason: REASON, action: "Programming", message });
        }
        self.held = now;
    }
}

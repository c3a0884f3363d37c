//! Connections that are looked through without any change of a Service.

use std::time::{Duration, Instant};

use crate::backend::{Backend, FlowsError};
use crate::dataplane::Dataplane;
use crate::flows::StaleFlows;

/// What a look through all connections found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowsReport {
    /// UDP destinations whose connections were looked at.
    pub destinations: usize,
    /// Connections that led where nobody serves, and were ended.
    pub ended: usize,
    /// How long it took.
    pub duration: Duration,
}

impl<B: Backend> Dataplane<B> {
    /// Holds the kernel to an invariant: no UDP connection to a Service leads to an endpoint that does not serve. Each
    /// change sees to its own connections; this finds what slipped through, such as a packet that was between two rules
    /// when they changed, or an entry that another program made. One dump of all UDP connections; none if no Service
    /// has UDP.
    ///
    /// # Errors
    /// When the kernel does not list or does not delete.
    pub fn check_flows(&mut self) -> Result<FlowsReport, FlowsError> {
        let start = Instant::now();
        let mut stale = StaleFlows::new(self.model.node());
        for (destination, serving) in self.planners.iter().flat_map(|planner| planner.udp()) {
            stale.add(destination, Some(serving));
        }
        let ended = if stale.is_empty() { 0 } else { self.backend.end_flows(&stale)? };
        Ok(FlowsReport { destinations: stale.len(), ended, duration: start.elapsed() })
    }
}

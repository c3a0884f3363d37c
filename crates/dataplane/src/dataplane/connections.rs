//! Connections that are looked through without any change of a Service.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use nft::conntrack::Entry;

use crate::backend::{Backend, FlowsError};
use crate::dataplane::Dataplane;
use crate::flows;
use crate::route::{Destination, has_left};

/// What a look through all connections found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowsReport {
    /// UDP connections, of whomever, that were looked at.
    pub connections: usize,
    /// Connections that led where nobody serves, and were ended.
    pub ended: usize,
    /// How long it took.
    pub duration: Duration,
}

impl<B: Backend> Dataplane<B> {
    /// Holds the kernel to an invariant: no UDP connection to a Service leads to an endpoint that does not serve. Each
    /// change sees to its own connections; this finds what slipped through, such as a packet that was between two rules
    /// when they changed, or an entry that another program made. One dump of all UDP connections, whatever the number of
    /// Services; none if no Service has UDP.
    ///
    /// # Errors
    /// When the kernel does not list or does not delete.
    pub fn check_flows(&mut self) -> Result<FlowsReport, FlowsError> {
        let start = Instant::now();
        let (node, planners, looked_at) = (self.model.node(), &self.planners, Cell::new(0));
        let with_udp = planners.iter().filter(|planner| planner.has_udp());
        let families: Vec<_> = with_udp.map(|planner| planner.compiler().family()).collect();
        let serving = |destination: &Destination| planners.iter().find_map(|at| at.serving(destination)).map(Some);
        let stale = |entry: &Entry| {
            looked_at.set(looked_at.get() + 1);
            flows::is_stale(entry, &node.addresses, node.loopback_relay, serving)
        };
        let found = self.backend.flows(&flows::udp_filters(&families), &stale)?;
        let ended = self.end(&found)?;
        Ok(FlowsReport { connections: looked_at.get(), ended, duration: start.elapsed() })
    }

    /// The addresses that left a slice with a TCP port since the last call; perhaps for another slice. Their
    /// connections are for [`Dataplane::departed_flows`] to judge.
    pub fn take_left(&mut self) -> BTreeSet<IpAddr> {
        self.model.take_left()
    }

    /// TCP connections to Services that are answered by an endpoint which no slice of the Service names any more, at
    /// these addresses or (`None`) at any. Whether somebody lives there still is not known here. Connections to
    /// destinations that no Service has any more are not among them. One dump, of few addresses' or of all.
    ///
    /// # Errors
    /// When the kernel does not list.
    pub fn departed_flows(&mut self, at: Option<&BTreeSet<IpAddr>>) -> Result<Vec<Entry>, FlowsError> {
        let families: Vec<_> = self.planners.iter().map(|planner| planner.compiler().family()).collect();
        let (model, planners) = (&self.model, &self.planners);
        let departed = |entry: &Entry| {
            let Some((endpoint, destinations)) = flows::answered_by(entry).zip(flows::tcp_destinations(entry)) else {
                return false;
            };
            let owned = |destination: &Destination| {
                let id = planners.iter().find_map(|planner| planner.owner(destination))?;
                Some((model.entry(id)?, *destination))
            };
            // The relay of loopback is nobody's endpoint.
            let asked = at.is_none_or(|at| at.contains(&endpoint.address)) && !endpoint.address.is_loopback();
            let owned = asked.then(|| destinations.iter().find_map(owned)).flatten();
            owned.is_some_and(|(service, destination)| has_left(service, &destination, &endpoint))
        };
        self.backend.flows(&flows::tcp_filters(at, &families), &departed)
    }

    /// Ends these very connections; how many were still there. A client that sends on one of them then begins another,
    /// in the middle of its stream, whose end knows nothing of it and resets it: a live endpoint's kernel, or the rule
    /// that rejects. (Unless `nf_conntrack_tcp_loose` is off.)
    ///
    /// # Errors
    /// When the kernel does not delete.
    pub fn end(&mut self, flows: &[Entry]) -> Result<usize, FlowsError> {
        if flows.is_empty() { Ok(0) } else { self.backend.end(flows) }
    }
}

#[cfg(test)]
mod tests;

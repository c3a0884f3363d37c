//! Which endpoint stands in which slot.
//!
//! The kernel finds endpoints by slot, numbered without gaps. Were slots in the order of addresses, one endpoint that
//! comes or goes would move all behind it. So those that stay keep their slots, and only holes are filled. The list that is the
//! same on all nodes has an order of its own.

use std::collections::HashSet;

use crate::plan::changes::Changes;
use crate::route::{Endpoint, List, PortRoutes, ServiceRoutes};

/// Puts each list of `new` into the order that changes the fewest slots of what is held: of `old`, or of the dump.
pub(super) fn arrange(new: &mut ServiceRoutes, old: &ServiceRoutes, changes: &Changes) {
    for port in &mut new.ports {
        let before = old.ports.iter().find(|old| old.shares_destination(port));
        let held = |port: &PortRoutes, list| match before {
            Some(before) => before.list(list).to_vec(),
            None => dumped(port, list, changes),
        };
        port.cluster = slots(&held(port, List::Cluster), std::mem::take(&mut port.cluster));
        port.local = slots(&held(port, List::Local), std::mem::take(&mut port.local));
        port.serving.shrink_to_fit();
        port.routes.shrink_to_fit();
    }
}

/// Every destination of a port that needs the list has it in the same order.
fn dumped(port: &PortRoutes, list: List, changes: &Changes) -> Vec<Endpoint> {
    let Some(held) = changes.held() else { return Vec::new() };
    let lists = port.routes.iter().map(|route| held.list(&route.destination, list));
    lists.max_by_key(Vec::len).unwrap_or_default()
}

/// `wanted` (sorted, without doubles) in an order in which as many as possible stand where `held` has them.
pub(super) fn slots(held: &[Endpoint], mut wanted: Vec<Endpoint>) -> Vec<Endpoint> {
    if held.is_empty() {
        wanted.shrink_to_fit();
        return wanted;
    }
    // A dump may hold one endpoint twice, where somebody changed the rules: it keeps its first slot.
    let mut placed = HashSet::new();
    let mut keeps = |endpoint: &&Endpoint| wanted.binary_search(endpoint).is_ok() && placed.insert(**endpoint);
    let kept: Vec<Option<Endpoint>> =
        (0..wanted.len()).map(|slot| held.get(slot).filter(&mut keeps).copied()).collect();
    let mut others = wanted.into_iter().filter(|endpoint| !placed.contains(endpoint));
    kept.into_iter().filter_map(|kept| kept.or_else(|| others.next())).collect()
}

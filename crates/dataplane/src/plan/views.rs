//! One destination's route with all that its elements are made of; and how the elements of one become those of another.

use std::num::NonZeroU16;

use ipnet::IpNet;

use crate::compile::{Action, Class, Compiler, Ids};
use crate::plan::changes::Changes;
use crate::route::{Destination, Endpoint, List, PortRoutes, Route, ServiceRoutes};

/// A route, resolved.
#[derive(Debug, PartialEq)]
pub(super) struct View<'a> {
    pub(super) destination: Destination,
    pub(super) class: Class,
    /// The Service's own port: a node port's is another.
    pub(super) port: NonZeroU16,
    pub(super) sources: &'a [IpNet],
    pub(super) endpoints: Endpoints<'a>,
}

/// The endpoints that a destination needs, in the order of their slots.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Endpoints<'a> {
    affinity: bool,
    cluster: &'a [Endpoint],
    local: &'a [Endpoint],
}

impl<'a> Endpoints<'a> {
    fn of(class: &Class, port: &'a PortRoutes, affinity: bool) -> Endpoints<'a> {
        let (cluster, local) = match class.action {
            Action::Reject(_) | Action::Drop(_) => (false, false),
            Action::Forward { pick, .. } => (pick.is_of(List::Cluster), pick.is_of(List::Local)),
            Action::BySource { local, .. } => (true, local.is_some()),
        };
        let take = |wanted, list| if wanted { port.list(list) } else { &[] };
        Endpoints { affinity, cluster: take(cluster, List::Cluster), local: take(local, List::Local) }
    }

    fn lists(&self) -> [(List, &'a [Endpoint]); 2] {
        [(List::Cluster, self.cluster), (List::Local, self.local)]
    }

    fn ids(&self) -> Ids {
        if self.affinity { Ids::new(self.cluster.iter().chain(self.local)) } else { Ids::default() }
    }
}

/// A Service's routes, sorted by destination.
pub(super) fn views(service: &ServiceRoutes) -> Vec<View<'_>> {
    let all = service.ports.iter().flat_map(|port| port.routes.iter().map(move |route| (port, route)));
    let mut views: Vec<_> = all.map(|(port, route)| view(service, port, route)).collect();
    views.sort_by_key(|view| view.destination);
    views
}

fn view<'a>(service: &'a ServiceRoutes, port: &'a PortRoutes, route: &Route) -> View<'a> {
    let class = Class::of(route, port, service.affinity, &service.sources);
    View {
        destination: route.destination,
        class,
        port: port.port,
        sources: if route.firewalled { &service.sources } else { &[] },
        endpoints: Endpoints::of(&class, port, service.affinity.is_some()),
    }
}

/// Changes the slots that differ, and nothing else.
pub(super) fn change_endpoints(
    compiler: &Compiler,
    old: Option<&View<'_>>,
    new: Option<&View<'_>>,
    changes: &mut Changes,
) {
    let Some(destination) = old.or(new).map(|view| view.destination) else { return };
    let none = Endpoints::default();
    let old = old.map_or(none, |view| view.endpoints);
    let new = new.map_or(none, |view| view.endpoints);
    if old.affinity != new.affinity {
        change_alike(compiler, &destination, old, Endpoints { affinity: old.affinity, ..none }, changes);
        change_alike(compiler, &destination, Endpoints { affinity: new.affinity, ..none }, new, changes);
    } else {
        change_alike(compiler, &destination, old, new, changes);
    }
}

/// Both with affinity, or both without.
fn change_alike(
    compiler: &Compiler,
    destination: &Destination,
    old: Endpoints<'_>,
    new: Endpoints<'_>,
    changes: &mut Changes,
) {
    let (old_ids, new_ids) = (old.ids(), new.ids());
    let element = |ids: &Ids, affinity: bool, list, slot, endpoint: &Endpoint| match ids.get(endpoint) {
        Some(id) if affinity => compiler.affinity_slot_element(destination, list, slot, id),
        _ => compiler.slot_element(destination, list, slot, endpoint),
    };
    for ((list, old_list), (_, new_list)) in old.lists().into_iter().zip(new.lists()) {
        for slot in 0..old_list.len().max(new_list.len()) {
            let (before, after) = (old_list.get(slot), new_list.get(slot));
            let before = before.map(|endpoint| (endpoint, old_ids.get(endpoint)));
            let after = after.map(|endpoint| (endpoint, new_ids.get(endpoint)));
            if before == after {
                continue;
            }
            if let Some((endpoint, _)) = before {
                changes.remove(element(&old_ids, old.affinity, list, slot, endpoint));
            }
            if let Some((endpoint, _)) = after {
                changes.add(element(&new_ids, new.affinity, list, slot, endpoint));
            }
        }
    }
    for ((list, old_list), (_, new_list)) in old.lists().into_iter().zip(new.lists()) {
        let (before, after) = (old_ids.of(old_list), new_ids.of(new_list));
        for (endpoint, id) in before.difference(&after) {
            changes.remove(compiler.affinity_endpoint_element(destination, list, *id, endpoint));
        }
        for (endpoint, id) in after.difference(&before) {
            changes.add(compiler.affinity_endpoint_element(destination, list, *id, endpoint));
        }
    }
}

//! One destination's route with all that its elements are made of; and how the elements of one become those of another.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU16;

use ipnet::IpNet;

use crate::compile::{Action, Class, Compiler};
use crate::plan::changes::Changes;
use crate::route::{Destination, Endpoint, List, Numbers, PortRoutes, Route, ServiceRoutes};

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
    /// Where clients stay with theirs.
    numbers: Option<&'a Numbers>,
    cluster: &'a [Endpoint],
    local: &'a [Endpoint],
    consistent: &'a [Endpoint],
    /// Of `consistent`, the nodes that take what is passed on.
    elsewhere: Option<&'a BTreeMap<Endpoint, IpAddr>>,
}

impl<'a> Endpoints<'a> {
    fn of(class: &Class, port: &'a PortRoutes) -> Endpoints<'a> {
        let needs = |list| match class.action {
            Action::Reject(_) | Action::Drop(_) => false,
            Action::Forward { pick, .. } => pick.is_of(list),
            Action::BySource { local, .. } => list == List::Cluster || list == List::Local && local.is_some(),
        };
        let take = |list| if needs(list) { port.list(list) } else { &[] };
        Endpoints {
            numbers: port.numbers.as_deref(),
            cluster: take(List::Cluster),
            local: take(List::Local),
            consistent: take(List::Consistent),
            elsewhere: needs(List::Consistent).then_some(&port.elsewhere),
        }
    }

    fn lists(&self) -> [(List, &'a [Endpoint]); 3] {
        [(List::Cluster, self.cluster), (List::Local, self.local), (List::Consistent, self.consistent)]
    }

    /// The node to which is passed on what comes for the endpoint of a slot.
    fn taker(&self, slot: usize) -> Option<IpAddr> {
        self.elsewhere?.get(self.consistent.get(slot)?).copied()
    }

    fn slot(&self, list: List, slot: usize) -> Option<(&'a Endpoint, Option<u32>)> {
        let endpoint = match list {
            List::Cluster => self.cluster.get(slot)?,
            List::Local => self.local.get(slot)?,
            List::Consistent => self.consistent.get(slot)?,
        };
        Some((endpoint, self.numbers.and_then(|numbers| numbers.get(endpoint))))
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
        endpoints: Endpoints::of(&class, port),
    }
}

/// An endpoint that clients may be remembered with, and the port that they asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) port: NonZeroU16,
    pub(super) endpoint: Endpoint,
}

/// The endpoints with numbers that any destination of a Service may lead to, by list and number.
pub(super) fn numbered(views: &[View<'_>]) -> BTreeMap<(List, u32), Numbered> {
    let mut all = BTreeMap::new();
    for View { port, endpoints, .. } in views {
        let Some(numbers) = endpoints.numbers else { continue };
        for (list, of_list) in endpoints.lists() {
            let known = of_list.iter().filter_map(|endpoint| Some((numbers.get(endpoint)?, endpoint)));
            all.extend(known.map(|(number, endpoint)| ((list, number), Numbered { port: *port, endpoint: *endpoint })));
        }
    }
    all
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
    let element = |list, slot, (endpoint, number): (&Endpoint, Option<u32>)| match number {
        Some(number) => compiler.affinity_slot_element(&destination, list, slot, number),
        None => compiler.slot_element(&destination, list, slot, endpoint),
    };
    let passed = |slot, node| compiler.passed_on_element(&destination, slot, node);
    for slot in 0..old.consistent.len().max(new.consistent.len()) {
        let (before, after) = (old.taker(slot), new.taker(slot));
        if before != after {
            changes.replace(before.map(|node| passed(slot, node)), after.map(|node| passed(slot, node)));
        }
    }
    for ((list, old_list), (_, new_list)) in old.lists().into_iter().zip(new.lists()) {
        for slot in 0..old_list.len().max(new_list.len()) {
            let (before, after) = (old.slot(list, slot), new.slot(list, slot));
            if before == after {
                continue;
            }
            changes.replace(
                before.map(|before| element(list, slot, before)),
                after.map(|after| element(list, slot, after)),
            );
        }
    }
}

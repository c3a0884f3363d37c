//! Rules wanted − rules held = changes.
//!
//! A [`Planner`] knows what the kernel holds for one family: not the elements, but the routes that they were made of,
//! from which any element can be made again. So a change costs a comparison of one Service's routes with those it had,
//! and nothing is listed.
//!
//! At the start, and whenever it is not certain what the kernel holds, `Planner::rebuild` compares everything that is
//! wanted with a dump and changes the difference. Endpoints keep their slots and classes their numbers, so that a
//! restart of the agent changes nothing.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU16;

use nft::{Batch, Element};

use crate::compile::{Class, Compiler, Config, Map};
use crate::counters::{Counts, ServiceCounters};
use crate::model::{Family, Model, Protocol, ServiceId};
use crate::route::{Destination, Endpoint, ServiceRoutes, route};
use crate::ruleset::TableContent;

mod accepted;
mod arrange;
mod changes;
mod claims;
mod classes;
mod held;
mod numbers;
mod views;

use accepted::Accepted;
use changes::Changes;
pub(crate) use changes::Leftovers;
use claims::Claims;
use classes::Classes;
use held::Held;
use numbers::{Blocks, Dump};
use views::{View, views};

/// What the kernel holds for one family, and how it comes to hold something else.
#[derive(Debug)]
pub struct Planner {
    compiler: Compiler,
    classes: Classes,
    blocks: Blocks,
    claims: Claims,
    services: HashMap<ServiceId, Box<ServiceRoutes>>,
    cluster_ips: Counted,
    hairpins: Counted,
    node: Vec<(Map, Element)>,
    /// Services that keep these routes, whatever the model wants.
    frozen: HashMap<ServiceId, ServiceRoutes>,
    accepted: Accepted,
}

/// A transaction, and what should be done after it.
#[derive(Debug, Default)]
pub struct Plan {
    /// The transaction.
    pub batch: Batch,
    /// How many elements, chains and rules it adds or takes away.
    pub changes: usize,
    /// UDP destinations whose flows may lead to endpoints that are gone.
    pub flows: BTreeSet<Destination>,
}

/// How many Services want an address in a set.
#[derive(Debug, Default)]
struct Counted(HashMap<IpAddr, u32>);

impl Counted {
    /// Whether it is the first.
    fn add(&mut self, address: IpAddr) -> bool {
        let count = self.0.entry(address).or_insert(0);
        *count += 1;
        *count == 1
    }

    /// Whether it was the last.
    fn remove(&mut self, address: IpAddr) -> bool {
        let Some(count) = self.0.get_mut(&address) else { return false };
        *count -= 1;
        if *count == 0 {
            self.0.remove(&address);
            return true;
        }
        false
    }
}

impl Planner {
    /// Knows of nothing: call `Planner::rebuild` first.
    pub fn new(config: &Config, family: Family) -> Planner {
        Planner {
            compiler: Compiler::new(config, family),
            classes: Classes::default(),
            blocks: Blocks::default(),
            claims: Claims::default(),
            services: HashMap::new(),
            cluster_ips: Counted::default(),
            hairpins: Counted::default(),
            node: Vec::new(),
            frozen: HashMap::new(),
            accepted: Accepted::default(),
        }
    }

    /// The maker of the rules.
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// From whatever is held (`None`: no table) to what the whole model wants.
    pub(crate) fn rebuild(&mut self, model: &Model, held: Option<TableContent>, leftovers: Leftovers) -> Plan {
        self.classes = Classes::default();
        self.claims = Claims::default();
        self.accepted.remember_all(std::mem::take(&mut self.services));
        self.cluster_ips = Counted::default();
        self.hairpins = Counted::default();
        self.node.clear();

        let held = Held::new(&self.compiler, held);
        self.classes.remember(held.class_numbers());
        self.blocks = Blocks::begin(held.blocks());
        let mut changes = Changes::reconcile(held, leftovers);
        self.program_node(model, &mut changes);
        let mut flows = self.program_services(model, model.all(), &mut changes);
        flows.extend(self.services.values().flat_map(|service| udp_destinations(service)));
        // Services that went while nobody looked.
        flows.extend(changes.held().map(Held::udp_destinations).unwrap_or_default());
        if leftovers == Leftovers::Remove {
            self.classes.keep_idle();
        }
        self.program_classes(&mut changes);
        self.plan(changes, flows)
    }

    /// From what is held to what the model wants, if nothing but these Services (and the node) changed since.
    pub(crate) fn update(&mut self, model: &Model, dirty: &[ServiceId], node: bool) -> Plan {
        let mut changes = Changes::default();
        if node {
            self.program_node(model, &mut changes);
        }
        let dirty = if node { model.all() } else { dirty.to_vec() };
        let flows = self.program_services(model, dirty, &mut changes);
        self.program_classes(&mut changes);
        self.plan(changes, flows)
    }

    /// The endpoints of a destination that still answer; `None` if no Service has it.
    pub(crate) fn serving(&self, destination: &Destination) -> Option<&[Endpoint]> {
        let service = self.claims.owner(destination).and_then(|id| self.services.get(&id));
        let mut ports = service.iter().flat_map(|service| &service.ports);
        let port = ports.find(|port| port.routes.iter().any(|route| route.destination == *destination));
        port.map(|port| &*port.serving)
    }

    /// The Service that has a destination.
    pub(crate) fn owner(&self, destination: &Destination) -> Option<ServiceId> {
        self.claims.owner(destination)
    }

    /// Whether any Service has UDP.
    pub(crate) fn has_udp(&self) -> bool {
        self.services.values().flat_map(|service| &service.ports).any(|port| port.protocol == Protocol::Udp)
    }

    /// Destinations that several Services claim, with the Services that do not get them.
    pub(crate) fn conflicts(&self) -> Vec<(Destination, ServiceId)> {
        self.claims.waiting()
    }

    /// Connections and refusals of every port of every Service that has an address in this family, in no order.
    pub(crate) fn count(&self, model: &Model, counts: &Counts) -> Vec<ServiceCounters> {
        let services = self.services.iter().filter_map(|(id, routes)| Some((&model.entry(*id)?.name, routes)));
        let ports = services.flat_map(|(name, routes)| routes.ports.iter().map(move |port| (name, port)));
        let counted = ports.map(|(name, port)| {
            let mut counters = ServiceCounters::new(name.clone(), port.port, port.protocol);
            for route in &port.routes {
                let [connections, refused] = self.compiler.counter_elements(&route.destination);
                counters.connections += counts.get(connections.0, &connections.1.key);
                counters.refused += counts.get(refused.0, &refused.1.key);
            }
            counters
        });
        counted.collect()
    }

    fn plan(&self, mut changes: Changes, flows: BTreeSet<Destination>) -> Plan {
        changes.keep_counters_unless_there_is_room(self.compiler.counted().unwrap_or(0), self.claims.len());
        let (batch, changes) = changes.into_batch(&self.compiler);
        Plan { batch, changes, flows }
    }

    fn program_node(&mut self, model: &Model, changes: &mut Changes) {
        let wanted = self.compiler.node_elements(model.node());
        for element in self.node.drain(..) {
            changes.remove(element);
        }
        for element in &wanted {
            changes.add(element.clone());
        }
        self.node = wanted;
    }

    fn program_services(
        &mut self,
        model: &Model,
        dirty: Vec<ServiceId>,
        changes: &mut Changes,
    ) -> BTreeSet<Destination> {
        let (node, family) = (model.node(), self.compiler.family());
        let frozen = &self.frozen;
        let routed = |id: ServiceId| match frozen.get(&id) {
            Some(kept) => Some((id, kept.clone())),
            None => model.entry(id).map(|entry| (id, route(entry, node, family))),
        };
        let mut wanted: Vec<(ServiceId, ServiceRoutes)> = dirty.iter().copied().filter_map(routed).collect();
        let mut affected = BTreeSet::new();
        for (id, routes) in &wanted {
            affected.extend(self.claims.update(model, *id, self.services.get(id).map(Box::as_ref), routes));
        }
        for (id, _) in &wanted {
            affected.remove(id);
        }
        wanted.extend(affected.into_iter().filter_map(routed));
        wanted.sort_by_key(|(id, _)| model.entry(*id).map(|entry| &entry.name));

        let mut flows = BTreeSet::new();
        for (id, mut routes) in wanted {
            self.claims.keep_own(id, &mut routes);
            let old = self.services.remove(&id).unwrap_or_default();
            arrange::arrange(&mut routes, &old, changes);
            let dump = changes.held().map(|held| Dump { held, had: self.accepted.before(id) });
            numbers::number(&mut routes, &old, dump, &mut self.blocks);
            if *old != routes {
                self.change_service(model, id, (&old, &routes), changes);
                flows.extend(changed_flows(&old, &routes));
            }
            if routes != ServiceRoutes::default() {
                self.services.insert(id, Box::new(routes));
            }
            self.accepted.remember(id, old);
        }
        self.claims.settle();
        flows
    }

    fn change_service(
        &mut self,
        model: &Model,
        id: ServiceId,
        (old, new): (&ServiceRoutes, &ServiceRoutes),
        changes: &mut Changes,
    ) {
        for address in &old.cluster_ips {
            if self.cluster_ips.remove(*address) {
                changes.remove(self.compiler.cluster_ip_element(*address));
            }
        }
        for address in &new.cluster_ips {
            if self.cluster_ips.add(*address) {
                changes.add(self.compiler.cluster_ip_element(*address));
            }
        }
        for address in &old.hairpins {
            if self.hairpins.remove(*address) {
                changes.remove(self.compiler.hairpin_element(*address));
            }
        }
        for address in &new.hairpins {
            if self.hairpins.add(*address) {
                changes.add(self.compiler.hairpin_element(*address));
            }
        }
        let name = model.entry(id).map(|entry| &entry.name).filter(|_| self.compiler.comments());
        let comment = |port: NonZeroU16| name.map(|name| format!("{name}:{port}").into_boxed_str());
        let (old, new) = (views(old), views(new));
        for gone in old.iter().filter(|old| find(&new, &old.destination).is_none()) {
            changes.comment(comment(gone.port));
            self.change_route(Some(gone), None, changes);
            if self.compiler.counted().is_some() {
                changes.uncount(self.compiler.counter_elements(&gone.destination));
            }
        }
        for wanted in &new {
            let held = find(&old, &wanted.destination);
            if held != Some(wanted) {
                changes.comment(comment(wanted.port));
                self.change_route(held, Some(wanted), changes);
            }
        }
        let (old, new) = (views::numbered(&old), views::numbered(&new));
        for (key, gone) in old.iter().filter(|(key, gone)| new.get(key) != Some(gone)) {
            changes.comment(comment(gone.port));
            changes.remove(self.compiler.affinity_endpoint_element(*key, &gone.endpoint));
        }
        for (key, wanted) in new.iter().filter(|(key, wanted)| old.get(key) != Some(wanted)) {
            changes.comment(comment(wanted.port));
            changes.add(self.compiler.affinity_endpoint_element(*key, &wanted.endpoint));
        }
        changes.comment(None);
    }

    /// One destination; both are of it.
    fn change_route(&mut self, old: Option<&View<'_>>, new: Option<&View<'_>>, changes: &mut Changes) {
        let (old_class, new_class) = (old.map(|view| view.class), new.map(|view| view.class));
        if old_class != new_class {
            // The new one first: a class that both use in turn is not given up between.
            let number = new_class.map(|class| self.classes.acquire(class));
            if let (Some(old), Some(class)) = (old, old_class) {
                changes.remove(self.compiler.service_element(&old.destination, self.classes.release(class)));
            }
            if let (Some(new), Some(number)) = (new, number) {
                changes.add(self.compiler.service_element(&new.destination, number));
            }
        }
        let sources = |view: Option<&View<'_>>| view.map_or_else(Vec::new, |view| view.sources.to_vec());
        let (old_sources, new_sources) = (sources(old), sources(new));
        if let Some(destination) = old.or(new).map(|view| view.destination) {
            for source in old_sources.iter().filter(|source| !new_sources.contains(source)) {
                changes.remove(self.compiler.source_element(&destination, source));
            }
            for source in new_sources.iter().filter(|source| !old_sources.contains(source)) {
                changes.add(self.compiler.source_element(&destination, source));
            }
        }
        views::change_endpoints(&self.compiler, old, new, changes);
    }

    /// Chains come with the first Service of their class, and go some time after the last.
    fn program_classes(&mut self, changes: &mut Changes) {
        let (compiler, classes) = (&self.compiler, &mut self.classes);
        for (number, class) in classes.take_new() {
            changes.add(compiler.class_element(number, &class));
            for chain in compiler.chains(&class) {
                if classes.use_chain(&chain.0.name) {
                    changes.add_chain(chain);
                }
            }
        }
        for (number, class) in classes.take_unused() {
            changes.remove(compiler.class_element(number, &class));
            for (chain, _) in compiler.chains(&class) {
                if classes.leave_chain(&chain.name) {
                    changes.remove_chain(chain.name);
                }
            }
        }
    }

    /// The classes in use, with their numbers.
    pub fn classes(&self) -> Vec<(u32, Class)> {
        self.classes.all()
    }
}

fn find<'v, 'r>(views: &'v [View<'r>], destination: &Destination) -> Option<&'v View<'r>> {
    let at = views.binary_search_by_key(destination, |view| view.destination).ok()?;
    views.get(at)
}

fn udp_destinations(service: &ServiceRoutes) -> impl Iterator<Item = Destination> {
    let ports = service.ports.iter().filter(|port| port.protocol == Protocol::Udp);
    ports.flat_map(|port| port.routes.iter().map(|route| route.destination))
}

/// The UDP destinations of which something changed: the destination itself, or who answers.
fn changed_flows(old: &ServiceRoutes, new: &ServiceRoutes) -> BTreeSet<Destination> {
    let differs = |one: &ServiceRoutes, other: &ServiceRoutes, destination: &Destination| {
        let port = |service: &ServiceRoutes| {
            let mut ports = service.ports.iter();
            let port = ports.find(|port| port.routes.iter().any(|route| route.destination == *destination));
            port.map(|port| port.serving.clone())
        };
        port(one) != port(other)
    };
    let all = udp_destinations(old).chain(udp_destinations(new));
    all.filter(|destination| differs(old, new, destination)).collect()
}

#[cfg(test)]
mod tests;

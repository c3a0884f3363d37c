//! Whatever happened before, the rules are those that a fresh start would make; a restart finds nothing to change; and
//! the kernel holds what it is thought to hold.

use std::collections::BTreeMap;

use dataplane::backend::{Backend, fake};
use dataplane::compile::Map;
use dataplane::model::{EndpointSlice, Model, Service};
use dataplane::route::{Packet, Table};
use dataplane::ruleset::Ruleset;
use dataplane::{Config, Dataplane, Family, NamespacedName, Node};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use crate::packets::Cluster;
use crate::plain::plain;
use crate::{routed, scene, traced, world};

/// What may be said of a Service. All have the same addresses beyond their cluster IPs: they are at odds.
const GIVEN: [&str; 30] = [
    "",
    "udp",
    "np",
    "np udp",
    "np etp=local",
    "lb",
    "lb etp=local affinity=60",
    "lb ranges=192.0.2.0/28,10.0.0.0/8",
    "lb np etp=local ranges=192.0.2.0/28 affinity=10800",
    "ext",
    "ext itp=local sctp",
    "affinity=60",
    "lb ext maglev",
    "lb maglev ranges=192.0.2.0/28 udp",
    "affinity=10800 itp=local udp",
    "second-port np",
    "headless-label",
    "proxy-name np",
    "lb lb2 ranges=172.30.0.0/24",
    "lb lb2-proxy ranges=0.0.0.0/0,192.0.2.77/32",
    "lb2 ranges=2001:db8::/32 np etp=local",
    "lb port=81 ranges=192.0.2.10/32",
    "ext=172.30.0.1 port=30080",
    "ext=198.51.100.1 etp=local",
    "ext ext2 affinity=60 etp=local itp=local",
    "np=30090 sctp etp=local affinity=60",
    "np also=twin:80/udp:30080",
    "named=http np also=else:81/tcp:30080",
    "headless np lb",
    "lb-proxy itp=local np",
];

/// What may be said of a slice.
const ENDPOINTS: [&str; 22] = [
    "",
    "a",
    "a b c",
    "a b c d e",
    "b d",
    "h r",
    "a? e-",
    "a:8081",
    "a!@z1 c~@z2",
    "c@z1 d@z2 a@z1",
    "a@z1+z2 b@z2 e@z1",
    "a@z1 c",
    "a^here b^there",
    "a^here@z2 c^there@z1",
    "c^near@z1 d^there",
    "a~ b~",
    "a~ c",
    "a- c~ b!",
    "a$ b% c&",
    "[http=8080/tcp,else=8081/tcp] a c",
    "[=8080/tcp,twin=8081/udp] b d",
    "[http=8080/tcp] a@z1 e@z1",
];

#[derive(Debug, Clone)]
pub enum Step {
    Service {
        name: u8,
        address: u8,
        given: usize,
    },
    NoService {
        name: u8,
    },
    Slice {
        name: u8,
        owner: u8,
        endpoints: usize,
        of: usize,
    },
    NoSlice {
        name: u8,
    },
    Node(u8),
    Sync,
    /// As another agent, which may choose otherwise.
    Restart {
        comments: bool,
        counters: bool,
    },
}

pub fn step() -> impl Strategy<Value = Step> {
    let name = 0..4u8;
    prop_oneof![
        6 => (name.clone(), 1..5u8, 0..GIVEN.len())
            .prop_map(|(name, address, given)| Step::Service { name, address, given }),
        2 => name.clone().prop_map(|name| Step::NoService { name }),
        8 => (0..8u8, name.clone(), 0..ENDPOINTS.len(), 0..GIVEN.len())
            .prop_map(|(name, owner, endpoints, of)| Step::Slice { name, owner, endpoints, of }),
        2 => (0..8u8).prop_map(|name| Step::NoSlice { name }),
        2 => (0..14u8).prop_map(Step::Node),
        6 => Just(Step::Sync),
        1 => any::<(bool, bool)>().prop_map(|(comments, counters)| Step::Restart { comments, counters }),
    ]
}

/// The node, changed in one way.
fn node(kind: u8) -> Node {
    let mut node = world::node();
    match kind {
        0 => node.zone = None,
        1 => node.zone = Some("z2".into()),
        2 => node.pod_cidrs.clear(),
        3 => node.pod_cidrs = vec![world::net("10.244.1.0/24"), world::net("fd00::af4:0/112")],
        4 => node.node_port_addresses = vec![world::net("172.30.0.0/24"), world::net("fd00::/16")],
        5 => node.node_port_addresses = vec![world::net("172.30.0.1/32")],
        6 => node.addresses = vec![world::ip("192.0.2.10"), world::v6(world::ip("192.0.2.10"))],
        7 => node.name = "there".into(),
        8 => node.masquerade_all = true,
        9 => node.service_cidrs = vec![world::net("10.96.0.0/29"), world::net("fd00::a60:0/112")],
        10 => node.loopback_relay = None,
        11 => (node.pod_cidrs, node.pod_interfaces) = (Vec::new(), vec![world::pods_interfaces("pod-*")]),
        12 => node.pod_interfaces = ["pod-a", "lan", "pod-*"].map(world::pods_interfaces).into(),
        _ => {}
    }
    node
}

/// What has been said so far, to be said again to another model.
#[derive(Default)]
pub struct Said {
    services: BTreeMap<NamespacedName, Service>,
    slices: BTreeMap<NamespacedName, EndpointSlice>,
    node: Option<Node>,
}

impl Said {
    pub fn say(&mut self, step: &Step) {
        let service = |name: &u8| NamespacedName::new("default", &format!("s{name}"));
        let slice = |name: &u8| NamespacedName::new("default", &format!("slice{name}"));
        match step {
            Step::Service { name, address, given } => {
                let mut service4 = scene::row(GIVEN[*given], "").service;
                let service6 = scene::row(GIVEN[*given], "").into_v6().service;
                if !service4.cluster_ips.is_empty() {
                    let own = world::ip(&format!("10.96.0.{address}"));
                    service4.cluster_ips = vec![own, world::v6(own)];
                }
                service4.external_ips.extend(service6.external_ips);
                service4.load_balancer.extend(service6.load_balancer);
                service4.source_ranges.extend(service6.source_ranges);
                self.services.insert(service(name), service4);
            }
            Step::NoService { name } => drop(self.services.remove(&service(name))),
            Step::Slice { name, owner, endpoints, of } => {
                let row = scene::row(GIVEN[*of], ENDPOINTS[*endpoints]);
                // Every third slice is of the other family.
                let mut row = if name % 3 == 2 { row.into_v6() } else { row };
                self.slices.insert(slice(name), EndpointSlice { service: service(owner), ..row.slices.remove(0) });
            }
            Step::NoSlice { name } => drop(self.slices.remove(&slice(name))),
            Step::Node(kind) => self.node = Some(node(*kind)),
            Step::Sync | Step::Restart { .. } => {}
        }
    }

    /// Brings a model to what was said.
    pub fn repeat(&self, model: &mut Model) {
        let (services, slices) = model.known();
        services.iter().filter(|name| !self.services.contains_key(name)).for_each(|name| model.remove_service(name));
        slices.iter().filter(|name| !self.slices.contains_key(name)).for_each(|name| model.remove_slice(name));
        self.services.iter().for_each(|(name, service)| model.set_service(name.clone(), service.clone()));
        self.slices.iter().for_each(|(name, slice)| model.set_slice(name.clone(), slice.clone()));
        model.set_node(self.node.clone().unwrap_or_else(world::node));
    }
}

pub fn config(comments: bool, counters: bool) -> Config {
    Config { families: vec![Family::V4, Family::V6], comments, counters, ..Config::default() }
}

pub fn in_memory(config: Config, ruleset: Ruleset) -> Dataplane<fake::Backend> {
    Dataplane::new(fake::Backend::with_ruleset(config, ruleset), world::node())
}

pub fn failed(error: &dyn std::fmt::Debug) -> TestCaseError {
    TestCaseError::fail(format!("{error:?}"))
}

pub fn check_against_a_fresh_start(said: &Said, held: &Dataplane<fake::Backend>) -> Result<(), TestCaseError> {
    let (config, ruleset) = (held.backend().config().clone(), &held.backend().ruleset);
    let mut fresh = in_memory(config.clone(), Ruleset::new());
    said.repeat(fresh.model_mut());
    fresh.sync().map_err(|error| failed(&error))?;
    for (id, table) in &fresh.backend().ruleset.tables {
        prop_assert_eq!(plain(&ruleset.tables[id]), plain(table));
    }
    let mut restarted = in_memory(config, ruleset.clone());
    said.repeat(restarted.model_mut());
    let report = restarted.sync().map_err(|error| failed(&error))?;
    prop_assert_eq!(report.changes, 0, "a restart changes: {}", restarted.backend().batches[0]);
    Ok(())
}

/// Whoever sends whatever to wherever: what the rules do is what the routes say.
fn check_packets(dataplane: &Dataplane<fake::Backend>) -> Result<(), TestCaseError> {
    let (model, ruleset) = (dataplane.model(), &dataplane.backend().ruleset);
    let askers = ["p", "q", "host", "out", "a"].map(|name| {
        let asker = world::host(name);
        (world::ip(asker.address), asker.interface(name == "host"), name == "host")
    });
    let places = [
        ("10.96.0.1", 80),
        ("10.96.0.2", 80),
        ("10.96.0.3", 81),
        ("10.96.0.9", 80),
        (world::BALANCED, 80),
        (world::BALANCED, 81),
        (world::BALANCED_2, 80),
        (world::EXTERNAL, 80),
        (world::LOCAL[0], 30080),
        (world::LOCAL[1], 30080),
        (world::LOCAL[0], 30090),
        ("127.0.0.1", 30080),
    ];
    for family in [Family::V4, Family::V6] {
        let table = Table::new(model, family);
        let of = |address| if family == Family::V6 { world::v6(address) } else { address };
        for (source, interface, made_here) in askers {
            for (destination, port) in places {
                for protocol in [6, 17, 132] {
                    let (source, destination) = (of(source), of(world::ip(destination)));
                    let packet =
                        Packet { source, source_port: 40000, destination, port, protocol, interface, made_here };
                    let found = traced(ruleset, &packet, "a history");
                    prop_assert_eq!(found, routed(&table, &packet), "{:?}", packet);
                }
            }
        }
    }
    Ok(())
}

/// Everything that is served has a count; what is not served any more must have lost it.
fn check_counts(backend: &mut fake::Backend) -> Result<(), TestCaseError> {
    let served =
        [(Map::Services, Map::COUNTERS[0], Map::COUNTERS[2]), (Map::NodePorts, Map::COUNTERS[1], Map::COUNTERS[3])];
    for (id, table) in &backend.ruleset.tables {
        let counts = backend.counts.entry(id.clone()).or_default();
        for (map, connections, refused) in served {
            let elements = &table.sets[map.name()].1;
            for (counter, key) in counts.keys().filter(|(counter, _)| [connections, refused].contains(counter)) {
                prop_assert!(elements.keys().any(|at| at.key == *key), "{:?} still counts {:?}", counter, key);
            }
            elements.keys().for_each(|at| counts.set(connections, at.key.clone(), 1));
            elements.keys().for_each(|at| counts.set(refused, at.key.clone(), 1));
        }
    }
    Ok(())
}

#[test]
fn incremental_rules_are_those_of_a_fresh_start() {
    let mut runner = TestRunner::new(Cases { cases: 1000, failure_persistence: None, ..Cases::default() });
    let history = proptest::collection::vec(step(), 1..40);
    let run = runner.run(&history, |history| {
        let mut dataplane = in_memory(config(false, true), Ruleset::new());
        let mut said = Said::default();
        for step in &history {
            said.say(step);
            match step {
                Step::Sync => {
                    said.repeat(dataplane.model_mut());
                    dataplane.sync().map_err(|error| failed(&error))?;
                    check_against_a_fresh_start(&said, &dataplane)?;
                    if dataplane.backend().config().counters {
                        check_counts(dataplane.backend_mut())?;
                    }
                }
                Step::Restart { comments, counters } => {
                    let old = std::mem::take(dataplane.backend_mut());
                    dataplane = in_memory(config(*comments, *counters), old.ruleset);
                    dataplane.backend_mut().counts = old.counts;
                }
                _ => {}
            }
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn the_rules_do_what_the_routes_say() {
    let mut runner = TestRunner::new(Cases { cases: 120, failure_persistence: None, ..Cases::default() });
    let history = proptest::collection::vec(step(), 10..40);
    let run = runner.run(&history, |history| {
        let mut dataplane = in_memory(config(false, true), Ruleset::new());
        let mut said = Said::default();
        for step in &history {
            said.say(step);
            if let Step::Sync = step {
                said.repeat(dataplane.model_mut());
                dataplane.sync().map_err(|error| failed(&error))?;
            }
        }
        said.repeat(dataplane.model_mut());
        dataplane.sync().map_err(|error| failed(&error))?;
        check_packets(&dataplane)
    });
    run.unwrap();
}

#[test]
fn the_kernel_holds_what_the_rules_in_memory_say() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let cluster = Cluster::new("history")?;
    let mut runner = TestRunner::new(Cases { cases: 60, failure_persistence: None, ..Cases::default() });
    let history = proptest::collection::vec(step(), 1..40);
    let run = runner.run(&history, |history| {
        let mut memory = in_memory(config(false, true), Ruleset::new());
        let mut kernel = cluster.dataplane(config(false, true)).map_err(|error| failed(&error))?;
        // What a history that failed left behind.
        kernel.backend_mut().cleanup().map_err(|error| failed(&error))?;
        let mut said = Said::default();
        for step in &history {
            said.say(step);
            match step {
                Step::Sync => {
                    said.repeat(memory.model_mut());
                    said.repeat(kernel.model_mut());
                    let expected = memory.sync().map_err(|error| failed(&error))?.changes;
                    let report = kernel.sync().map_err(|error| failed(&error))?;
                    prop_assert!(report.flows_error.is_none());
                    prop_assert_eq!(report.changes, expected);
                    for (id, expected) in &memory.backend().ruleset.tables {
                        let held = kernel.backend_mut().read(id).map_err(|error| failed(&error))?;
                        prop_assert_eq!(held.as_ref(), Some(expected));
                    }
                }
                Step::Restart { comments, counters } => {
                    let config = config(*comments, *counters);
                    memory = in_memory(config.clone(), memory.backend().ruleset.clone());
                    kernel = cluster.dataplane(config).map_err(|error| failed(&error))?;
                }
                _ => {}
            }
        }
        Ok(())
    });
    run.map_err(|error| anyhow::anyhow!("{error}"))
}

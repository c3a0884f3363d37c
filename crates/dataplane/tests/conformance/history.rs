//! Whatever happened before, the rules are those that a fresh start would make; a restart finds nothing to change; and
//! the kernel holds what it is thought to hold.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::backend::{Backend, fake};
use dataplane::compile::Map;
use dataplane::model::{EndpointSlice, Model, Service};
use dataplane::ruleset::{Elements, Ruleset, TableContent};
use dataplane::{Config, Dataplane, Family, NamespacedName, Node};
use nft::{Data, Value, Verdict};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use crate::packets::Cluster;
use crate::{scene, world};

/// What may be said of a Service. All have the same addresses beyond their cluster IPs: they are at odds.
const GIVEN: [&str; 16] = [
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
    "affinity=10800 itp=local udp",
    "second-port np",
    "headless-label",
    "masq-all proxy-name",
];

/// What may be said of a slice.
const ENDPOINTS: [&str; 10] =
    ["", "a", "a b c", "a b c d e", "b d", "a!@z1 c~@z2", "c@z1 d@z2 a@z1", "a^here b^there", "h r", "a? e-"];

#[derive(Debug, Clone)]
enum Step {
    Service { name: u8, address: u8, given: usize },
    NoService { name: u8 },
    Slice { name: u8, owner: u8, endpoints: usize, of: usize },
    NoSlice { name: u8 },
    Node(u8),
    Sync,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..4u8;
    prop_oneof![
        6 => (name.clone(), 1..5u8, 0..GIVEN.len())
            .prop_map(|(name, address, given)| Step::Service { name, address, given }),
        2 => name.clone().prop_map(|name| Step::NoService { name }),
        8 => (0..8u8, name.clone(), 0..ENDPOINTS.len(), 0..GIVEN.len())
            .prop_map(|(name, owner, endpoints, of)| Step::Slice { name, owner, endpoints, of }),
        2 => (0..8u8).prop_map(|name| Step::NoSlice { name }),
        1 => (0..4u8).prop_map(Step::Node),
        6 => Just(Step::Sync),
        1 => Just(Step::Restart),
    ]
}

/// What has been said so far, to be said again to another model.
#[derive(Default)]
struct Said {
    services: BTreeMap<NamespacedName, Service>,
    slices: BTreeMap<NamespacedName, EndpointSlice>,
    node: Option<Node>,
}

impl Said {
    fn say(&mut self, step: &Step) {
        let service = |name: &u8| NamespacedName::new("default", &format!("s{name}"));
        let slice = |name: &u8| NamespacedName::new("default", &format!("slice{name}"));
        match step {
            Step::Service { name, address, given } => {
                let mut row = scene::row(GIVEN[*given], "");
                row.service.cluster_ips =
                    vec![world::ip(&format!("10.96.0.{address}")), world::ip(&format!("fd00:96::{address}"))];
                self.services.insert(service(name), row.service);
            }
            Step::NoService { name } => drop(self.services.remove(&service(name))),
            Step::Slice { name, owner, endpoints, of } => {
                let mut row = scene::row(GIVEN[*of], ENDPOINTS[*endpoints]);
                let mut wanted = EndpointSlice { service: service(owner), ..row.slices.remove(0) };
                // Every third slice is of the other family.
                if name % 3 == 2 {
                    for endpoint in &mut wanted.endpoints {
                        let std::net::IpAddr::V4(address) = endpoint.address else { continue };
                        endpoint.address = address.to_ipv6_compatible().into();
                    }
                }
                self.slices.insert(slice(name), wanted);
            }
            Step::NoSlice { name } => drop(self.slices.remove(&slice(name))),
            Step::Node(kind) => {
                let mut node = world::node();
                match kind {
                    0 => node.zone = None,
                    1 => node.pod_cidrs.clear(),
                    2 => node.node_port_addresses = vec![world::net("172.30.0.0/24"), world::net("fd00::/16")],
                    _ => {}
                }
                self.node = Some(node);
            }
            Step::Sync | Step::Restart => {}
        }
    }

    /// Brings a model to what was said.
    fn repeat(&self, model: &mut Model) {
        let (services, slices) = model.known();
        services.iter().filter(|name| !self.services.contains_key(name)).for_each(|name| model.remove_service(name));
        slices.iter().filter(|name| !self.slices.contains_key(name)).for_each(|name| model.remove_slice(name));
        self.services.iter().for_each(|(name, service)| model.set_service(name.clone(), service.clone()));
        self.slices.iter().for_each(|(name, slice)| model.set_slice(name.clone(), slice.clone()));
        model.set_node(self.node.clone().unwrap_or_else(world::node));
    }
}

fn config() -> Config {
    Config { families: vec![Family::V4, Family::V6], ..Config::default() }
}

fn in_memory(ruleset: Ruleset) -> Dataplane<fake::Backend> {
    Dataplane::new(fake::Backend::with_ruleset(config(), ruleset), world::node())
}

/// A table without what histories may differ in: numbers of classes, and which endpoint has which slot.
#[derive(Debug, PartialEq)]
struct Plain {
    chains: BTreeMap<String, Vec<String>>,
    /// By set: lines of text.
    elements: BTreeMap<&'static str, BTreeSet<String>>,
}

fn plain(table: &TableContent) -> Plain {
    let text = |value: &Value| format!("{value:?}");
    let elements = |map: Map| &table.sets[map.name()].1;
    let class_names: BTreeMap<String, String> = elements(Map::Classes)
        .iter()
        .map(|(at, data)| match data {
            Some(Data::Verdict(Verdict::Goto(chain))) => (text(&at.key), chain.to_string()),
            other => (text(&at.key), format!("{other:?}")),
        })
        .collect();
    assert_eq!(class_names.values().collect::<BTreeSet<_>>().len(), class_names.len(), "a class has two numbers");
    let mut plain = Plain { chains: BTreeMap::new(), elements: BTreeMap::new() };
    for (name, (_, rules)) in &table.chains {
        plain.chains.insert(name.to_string(), rules.iter().map(nft::Rule::text).collect());
    }
    for map in Map::ALL {
        let lines = match map {
            Map::Classes => class_names.values().cloned().collect(),
            Map::Services | Map::NodePorts => {
                let named = |data: &Option<Data>| match data {
                    Some(Data::Value(number)) => class_names[&text(number)].clone(),
                    other => panic!("a class number of {other:?}"),
                };
                elements(map).iter().map(|(at, data)| format!("{:?} {}", at.key, named(data))).collect()
            }
            Map::Endpoints | Map::AffinitySlots | Map::NodePortEndpoints | Map::NodePortAffinitySlots => {
                without_slots(elements(map))
            }
            _ => elements(map).iter().map(|(at, data)| format!("{at:?} {data:?}")).collect(),
        };
        plain.elements.insert(map.name(), lines);
    }
    plain
}

/// Slots are numbered without gaps, and no endpoint has two in a list.
fn without_slots(elements: &Elements) -> BTreeSet<String> {
    /// Slots and endpoints.
    type List = (BTreeSet<u32>, BTreeSet<String>);
    let mut lists: BTreeMap<(Vec<u8>, bool), List> = BTreeMap::new();
    for (at, data) in elements {
        let (destination, slot) = at.key.as_slice().split_at(at.key.len() - 4);
        let slot = u32::from_ne_bytes(slot.try_into().unwrap());
        let local = slot >= 0x0100_0000;
        let list = lists.entry((destination.to_vec(), local)).or_default();
        assert!(list.0.insert(slot & 0x00ff_ffff));
        assert!(list.1.insert(format!("{data:?}")), "{data:?} has two slots");
    }
    for (slots, _) in lists.values() {
        assert_eq!(slots.iter().copied().collect::<Vec<_>>(), (0..slots.len() as u32).collect::<Vec<_>>(), "a gap");
    }
    lists.into_iter().map(|(destination, (_, endpoints))| format!("{destination:?} {endpoints:?}")).collect()
}

fn check_against_a_fresh_start(said: &Said, held: &Ruleset) -> Result<(), TestCaseError> {
    let mut fresh = in_memory(Ruleset::new());
    said.repeat(fresh.model_mut());
    fresh.sync().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
    for (id, table) in &fresh.backend().ruleset.tables {
        prop_assert_eq!(plain(&held.tables[id]), plain(table));
    }
    let mut restarted = in_memory(held.clone());
    said.repeat(restarted.model_mut());
    let report = restarted.sync().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
    prop_assert_eq!(report.changes, 0, "a restart changes: {}", restarted.backend().batches[0]);
    Ok(())
}

#[test]
fn incremental_rules_are_those_of_a_fresh_start() {
    let mut runner = TestRunner::new(Cases { cases: 400, failure_persistence: None, ..Cases::default() });
    let history = proptest::collection::vec(step(), 1..40);
    let run = runner.run(&history, |history| {
        let mut dataplane = in_memory(Ruleset::new());
        let mut said = Said::default();
        for step in &history {
            said.say(step);
            match step {
                Step::Sync => {
                    said.repeat(dataplane.model_mut());
                    dataplane.sync().map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
                    check_against_a_fresh_start(&said, &dataplane.backend().ruleset)?;
                }
                Step::Restart => {
                    let ruleset = dataplane.backend().ruleset.clone();
                    dataplane = in_memory(ruleset);
                }
                _ => {}
            }
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn the_kernel_holds_what_the_rules_in_memory_say() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let cluster = Cluster::new("history")?;
    let mut runner = TestRunner::new(Cases { cases: 40, failure_persistence: None, ..Cases::default() });
    let history = proptest::collection::vec(step(), 1..40);
    let run = runner.run(&history, |history| {
        let failed = |error: &dyn std::fmt::Debug| TestCaseError::fail(format!("{error:?}"));
        let mut memory = in_memory(Ruleset::new());
        let mut kernel = cluster.dataplane(config()).map_err(|error| failed(&error))?;
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
                Step::Restart => {
                    memory = in_memory(memory.backend().ruleset.clone());
                    kernel = cluster.dataplane(config()).map_err(|error| failed(&error))?;
                }
                _ => {}
            }
        }
        Ok(())
    });
    run.map_err(|error| anyhow::anyhow!("{error}"))
}

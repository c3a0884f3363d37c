//! Tables that mean the same, whatever their histories.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::compile::{Class, Map};
use dataplane::route::Block;
use dataplane::ruleset::{ElementKey, Elements, TableContent};
use nft::{Data, Value, Verdict};

/// A table without what histories may differ in: numbers of classes and of endpoints, classes that nobody uses, and which
/// endpoint has which slot.
#[derive(Debug, PartialEq)]
pub struct Plain {
    chains: BTreeMap<String, Vec<String>>,
    /// By set: lines of text.
    elements: BTreeMap<&'static str, BTreeSet<String>>,
}

pub fn plain(table: &TableContent) -> Plain {
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
    let used = used(table, &class_names);
    // It stays a while when the last Service has gone that needed it, as classes do.
    let passes_on = named(table, &class_names).any(|class| class.contains("same-"));
    for (name, (_, rules)) in
        table.chains.iter().filter(|(name, _)| used.contains(&***name) || Class::from_name(name).is_none())
    {
        if !passes_on && &**name == "pass-on" {
            continue;
        }
        plain.chains.insert(name.to_string(), rules.iter().map(nft::Rule::text).collect());
    }
    // Those that count are not always made.
    for map in Map::ALL.into_iter().filter(|map| table.sets.contains_key(map.name())) {
        let lines = match map {
            Map::Classes => named(table, &class_names).map(str::to_owned).collect(),
            Map::Services | Map::NodePorts => {
                let named = |data: &Option<Data>| match data {
                    Some(Data::Value(number)) => class_names[&text(number)].clone(),
                    other => panic!("a class number of {other:?}"),
                };
                elements(map).iter().map(|(at, data)| format!("{:?} {}", at.key, named(data))).collect()
            }
            Map::Endpoints | Map::NodePortEndpoints => {
                // Where all nodes choose alike, the slots are part of it.
                let (same, others) = elements(map).clone().into_iter().partition(|(at, _)| is_consistent(at));
                let mut lines = without_slots(&others);
                lines.extend(Elements::iter(&same).map(|(at, data)| format!("{at:?} {data:?}")));
                lines
            }
            Map::AffinitySlots | Map::NodePortAffinitySlots => without_slots(&without_numbers(table, map)),
            Map::AffinityEndpoints => by_destinations(table),
            _ => elements(map).iter().map(|(at, data)| format!("{at:?} {data:?}")).collect(),
        };
        plain.elements.insert(map.name(), lines);
    }
    plain
}

/// The classes that destinations have.
fn named<'a>(
    table: &'a TableContent,
    class_names: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let numbers = [Map::Services, Map::NodePorts].into_iter().flat_map(|map| table.sets[map.name()].1.values());
    numbers.filter_map(|data| match data {
        Some(Data::Value(number)) => class_names.get(&format!("{number:?}")).map(String::as_str),
        _ => None,
    })
}

/// The chains that a packet can come to: those of the program, those of the classes that destinations have, and where they
/// lead.
fn used<'a>(table: &'a TableContent, class_names: &'a BTreeMap<String, String>) -> BTreeSet<&'a str> {
    let program = table.chains.values().filter(|(chain, _)| chain.base.is_some()).map(|(chain, _)| &*chain.name);
    let mut open: Vec<&str> = named(table, class_names).chain(program).collect();
    let mut used = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !used.insert(name) {
            continue;
        }
        let rules = table.chains.get(name).into_iter().flat_map(|(_, rules)| rules);
        let targets = rules.flat_map(|rule| &rule.exprs).filter_map(|expr| match expr {
            nft::Expr::Verdict(verdict) => verdict.chain().map(|chain| &**chain),
            _ => None,
        });
        open.extend(targets);
    }
    used
}

/// The bit by which the endpoints of this node have their numbers again.
const LOCAL: u32 = 0x8000_0000;

/// Slots with the endpoints that their numbers lead to.
fn without_numbers(table: &TableContent, map: Map) -> Elements {
    let endpoints = &table.sets[Map::AffinityEndpoints.name()].1;
    let slots = table.sets[map.name()].1.iter();
    let led = slots.map(|(at, data)| {
        let Some(Data::Value(value)) = data else { panic!("a number of {data:?}") };
        let (_, slot) = destination_and_slot(at);
        let local = if slot >= 0x0100_0000 { LOCAL } else { 0 };
        let key = ElementKey::one(Value::new().host_u32(number(value) ^ local));
        (at.clone(), endpoints.get(&key).unwrap_or_else(|| panic!("{key:?} is nobody")).clone())
    });
    led.collect()
}

/// For each port with affinity its destinations, which share its numbers, with an endpoint.
fn by_destinations(table: &TableContent) -> BTreeSet<String> {
    let mut destinations: BTreeMap<Block, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for map in [Map::AffinitySlots, Map::NodePortAffinitySlots] {
        for (at, data) in &table.sets[map.name()].1 {
            let Some(Data::Value(value)) = data else { panic!("a number of {data:?}") };
            let block = Block::of(number(value)).expect("a number of some port");
            destinations.entry(block).or_default().insert(destination_and_slot(at).0);
        }
    }
    let mut seen = BTreeMap::new();
    for destination in destinations.values().flatten() {
        *seen.entry(destination).or_insert(0) += 1;
    }
    assert!(seen.values().all(|count| *count == 1), "a destination has numbers of two ports: {destinations:?}");
    let endpoints = table.sets[Map::AffinityEndpoints.name()].1.iter().map(|(at, data)| {
        let key = number(&at.key);
        let of = Block::of(key & !LOCAL).and_then(|block| destinations.get(&block));
        format!("{:?} {} {data:?}", of.unwrap_or_else(|| panic!("{key:x} is nobody's")), key & LOCAL != 0)
    });
    endpoints.collect()
}

fn number(value: &Value) -> u32 {
    u32::from_ne_bytes(value.as_slice().try_into().unwrap())
}

fn destination_and_slot(at: &ElementKey) -> (Vec<u8>, u32) {
    let (destination, slot) = at.key.as_slice().split_at(at.key.len() - 4);
    (destination.to_vec(), u32::from_ne_bytes(slot.try_into().unwrap()))
}

fn is_consistent(at: &ElementKey) -> bool {
    destination_and_slot(at).1 >= 0x0200_0000
}

/// Slots are numbered without gaps, and no endpoint has two in a list.
fn without_slots(elements: &Elements) -> BTreeSet<String> {
    /// Slots and endpoints.
    type List = (BTreeSet<u32>, BTreeSet<String>);
    let mut lists: BTreeMap<(Vec<u8>, bool), List> = BTreeMap::new();
    for (at, data) in elements {
        let (destination, slot) = destination_and_slot(at);
        let local = slot >= 0x0100_0000;
        let list = lists.entry((destination, local)).or_default();
        assert!(list.0.insert(slot & 0x00ff_ffff));
        assert!(list.1.insert(format!("{data:?}")), "{data:?} has two slots");
    }
    for (slots, _) in lists.values() {
        assert_eq!(slots.iter().copied().collect::<Vec<_>>(), (0..slots.len() as u32).collect::<Vec<_>>(), "a gap");
    }
    lists.into_iter().map(|(destination, (_, endpoints))| format!("{destination:?} {endpoints:?}")).collect()
}

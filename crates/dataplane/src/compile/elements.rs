//! The elements that routes and the node become.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use nft::{Element, Value};

use crate::compile::fields::{destination_key, endpoint_value};
use crate::compile::intervals::{everything, interfaces, intervals, loopback};
use crate::compile::key::Key;
use crate::compile::{Class, Compiler, Map};
use crate::model::{Family, Node, Protocol};
use crate::route::{Destination, Endpoint, List, node_port_ranges};

/// Slots of [`List::Cluster`] are numbered from zero, those of [`List::Local`] from here: more endpoints than can be.
const FIRST_LOCAL_SLOT: u32 = 0x0100_0000;
/// Those of [`List::Consistent`] from here.
const FIRST_CONSISTENT_SLOT: u32 = 0x0200_0000;

/// The number of a list's first slot.
pub(super) const fn first_slot(list: List) -> u32 {
    match list {
        List::Cluster => 0,
        List::Local => FIRST_LOCAL_SLOT,
        List::Consistent => FIRST_CONSISTENT_SLOT,
    }
}

/// Numbers have this bit clear; the keys of [`List::Local`]'s endpoints have it set. So a client that is remembered with
/// an endpoint that is not of the list that it may use now finds nothing.
const LOCAL_NUMBER: u32 = 0x8000_0000;

/// What a number is changed by (exclusive or) to be looked up for a list.
pub(super) const fn list_bit(list: List) -> u32 {
    match list {
        // Where nodes choose alike no client is remembered.
        List::Cluster | List::Consistent => 0,
        List::Local => LOCAL_NUMBER,
    }
}

/// FNV-1a over address and port: the number that an endpoint has if it is free, so that one that comes back has the one
/// that it had.
pub(crate) fn endpoint_hash(endpoint: &Endpoint) -> u32 {
    let value = endpoint_value(endpoint);
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = value.as_slice().iter().fold(0x811c_9dc5, step);
    // Blocks have but the lower bits, which must depend on all.
    hash ^ (hash >> 20) ^ (hash >> 12)
}

impl Compiler {
    /// That a destination is served, and how.
    pub(crate) fn service_element(&self, destination: &Destination, class: u32) -> (Map, Element) {
        let map = Map::classes(Key::of(destination));
        (map, Element::value(destination_key(destination), Value::new().host_u32(class)))
    }

    /// That a slot of a list holds an endpoint.
    pub(crate) fn slot_element(
        &self,
        destination: &Destination,
        list: List,
        slot: usize,
        endpoint: &Endpoint,
    ) -> (Map, Element) {
        let key = slot_key(destination, list, slot);
        (Map::endpoints(Key::of(destination)), Element::value(key, endpoint_value(endpoint)))
    }

    /// That what comes from outside for a slot's endpoint is passed on to a node.
    pub(crate) fn passed_on_element(&self, destination: &Destination, slot: usize, node: IpAddr) -> (Map, Element) {
        let key = slot_key(destination, List::Consistent, slot);
        (Map::PassedOn, Element::value(key, Value::new().host_u32(taker_number(node))))
    }

    /// That a slot of a list holds the endpoint with a number.
    pub(crate) fn affinity_slot_element(
        &self,
        destination: &Destination,
        list: List,
        slot: usize,
        number: u32,
    ) -> (Map, Element) {
        let key = slot_key(destination, list, slot);
        (Map::affinity_slots(Key::of(destination)), Element::value(key, Value::new().host_u32(number)))
    }

    /// That a number is that of an endpoint of a list.
    pub(crate) fn affinity_endpoint_element(&self, numbered: (List, u32), endpoint: &Endpoint) -> (Map, Element) {
        (Map::AffinityEndpoints, Element::value(number_key(numbered), endpoint_value(endpoint)))
    }

    /// That a range may use a destination.
    pub(crate) fn source_element(&self, destination: &Destination, source: &IpNet) -> (Map, Element) {
        let key = destination_key(destination).ip(source.network()).host_u32(source.prefix_len().into());
        (Map::Sources, Element::new(key))
    }

    /// What counts a destination's connections, and what counts its refusals.
    pub(crate) fn counter_elements(&self, destination: &Destination) -> [(Map, Element); 2] {
        counters(Key::of(destination), destination_key(destination))
    }

    /// The same for a key of the maps of destinations; nothing for other maps, or where nothing is counted.
    pub(crate) fn counters_of(&self, map: Map, key: &Value) -> impl Iterator<Item = (Map, Element)> + use<> {
        let sort = [Key::Address, Key::NodePort].into_iter().find(|sort| Map::classes(*sort) == map);
        let sort = sort.filter(|_| self.counted.is_some());
        let key = key.clone();
        sort.into_iter().flat_map(move |sort| counters(sort, key.clone()))
    }

    /// That a Service has a cluster IP.
    pub(crate) fn cluster_ip_element(&self, address: std::net::IpAddr) -> (Map, Element) {
        (Map::ClusterIps, Element::new(Value::new().ip(address)))
    }

    /// That an address may be connected to itself.
    pub(crate) fn hairpin_element(&self, address: std::net::IpAddr) -> (Map, Element) {
        (Map::Hairpins, Element::new(Value::new().ip(address).ip(address)))
    }

    /// What a class's number leads to.
    pub(crate) fn class_element(&self, number: u32, class: &Class) -> (Map, Element) {
        (Map::Classes, Element::verdict(Value::new().host_u32(number), self.verdict(class)))
    }

    /// The nodes that take what is passed on.
    fn takers(&self, node: &Node) -> Vec<(Map, Element)> {
        let of_family = |all: &Vec<IpAddr>| all.iter().copied().find(|address| Family::of(*address) == self.family);
        let mut numbered = BTreeMap::new();
        for address in node.takers.values().filter_map(of_family) {
            numbered.entry(taker_number(address)).or_insert(address);
        }
        let element = |(number, address)| Element::value(Value::new().host_u32(number), Value::new().ip(address));
        numbered.into_iter().map(|one| (Map::Takers, element(one))).collect()
    }

    /// What is set up for the node itself.
    pub(crate) fn node_elements(&self, node: &Node) -> Vec<(Map, Element)> {
        let node_ports = node_port_ranges(node, self.family).unwrap_or_else(|| vec![everything(self.family)]);
        let sets = [
            (Map::ServiceCidrs, intervals(&node.service_cidrs, &[], self.family)),
            (Map::PodCidrs, intervals(&node.pod_cidrs, &[], self.family)),
            (Map::PodInterfaces, interfaces(&node.pod_interfaces)),
            (Map::NodePortAddresses, intervals(&node_ports, &[loopback(self.family)], self.family)),
        ];
        let sets = sets.into_iter().flat_map(|(map, elements)| elements.into_iter().map(move |e| (map, e)));
        let sets = sets.chain(node.loopback_relay.into_iter().flat_map(loopback_relay));
        sets.chain(self.takers(node)).collect()
    }
}

/// The number by which a node is found that takes what is passed on: never zero. Of two with one number, the first has it:
/// the other's packets go a way round.
fn taker_number(address: IpAddr) -> u32 {
    let word = match address {
        IpAddr::V4(address) => u32::from(address),
        IpAddr::V6(address) => {
            let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
            address.octets().iter().fold(0x811c_9dc5, step)
        }
    };
    word.max(1)
}

fn counters(sort: Key, key: Value) -> [(Map, Element); 2] {
    let (connections, refused) = Map::counters(sort);
    [(connections, Element::new(key.clone())), (refused, Element::new(key))]
}

/// What is relayed on loopback. SCTP is not: there is no relay for it.
fn loopback_relay(port: std::num::NonZeroU16) -> impl Iterator<Item = (Map, Element)> {
    let element =
        move |protocol: Protocol| Element::value(Value::new().u8(protocol.number()), Value::new().u16(port.get()));
    [Protocol::Tcp, Protocol::Udp].into_iter().map(move |protocol| (Map::LoopbackRelay, element(protocol)))
}

/// A number of a list's endpoint as a key.
pub(crate) fn number_key((list, number): (List, u32)) -> Value {
    Value::new().host_u32(number ^ list_bit(list))
}

/// A slot as a key.
pub(crate) fn slot_key(destination: &Destination, list: List, slot: usize) -> Value {
    let slot = u32::try_from(slot).unwrap_or(u32::MAX).saturating_add(first_slot(list));
    destination_key(destination).host_u32(slot)
}

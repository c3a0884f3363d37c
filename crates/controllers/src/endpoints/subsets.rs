//! How addresses and ports are packed into the subsets of Endpoints (`pkg/api/v1/endpoints` in Kubernetes).
//!
//! A subset says that each of its addresses serves each of its ports. Packing makes one subset of all ports that the
//! same addresses serve with the same readiness, and so the fewest subsets that say no more than was said.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset};

/// How many addresses Endpoints hold at most.
pub const CAPACITY: usize = 1000;

/// An address is told from others by its IP and by what it points to.
type AddressKey = (String, String);
/// Whether each address of a set is ready.
type Addresses = BTreeMap<AddressKey, bool>;
/// Name, number, protocol and application protocol; `None`: no port at all.
type PortKey = Option<(String, i32, String, String)>;

/// Addresses and ports, not packed yet.
#[derive(Default)]
pub struct Packer {
    addresses: BTreeMap<AddressKey, EndpointAddress>,
    by_port: BTreeMap<PortKey, (Option<EndpointPort>, Addresses)>,
}

impl Packer {
    /// Says that an address serves a port. An address that is said to be ready and not ready is not.
    pub fn add(&mut self, address: &EndpointAddress, port: Option<&EndpointPort>, ready: bool) {
        let target = address.target_ref.as_ref().and_then(|target| target.uid.clone()).unwrap_or_default();
        let key = (address.ip.clone(), target);
        self.addresses.entry(key.clone()).or_insert_with(|| address.clone());
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let port_key = port.map(|p| (text(&p.name), p.port, text(&p.protocol), text(&p.app_protocol)));
        let (_, addresses) = self.by_port.entry(port_key).or_insert_with(|| (port.cloned(), Addresses::new()));
        addresses.entry(key).and_modify(|known| *known &= ready).or_insert(ready);
    }

    /// Says what subsets say.
    pub fn add_all(&mut self, subsets: &[EndpointSubset]) {
        for subset in subsets {
            let ports = subset.ports.as_deref().unwrap_or_default();
            let ports: Vec<Option<&EndpointPort>> =
                if ports.is_empty() { vec![None] } else { ports.iter().map(Some).collect() };
            for port in ports {
                let ready = subset.addresses.iter().flatten().map(|address| (address, true));
                let not_ready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
                ready.chain(not_ready).for_each(|(address, ready)| self.add(address, port, ready));
            }
        }
    }

    /// The subsets, in an order that depends on nothing but what they say.
    pub fn pack(self) -> Vec<EndpointSubset> {
        let mut by_addresses: BTreeMap<Addresses, Vec<EndpointPort>> = BTreeMap::new();
        for (port, addresses) in self.by_port.into_values() {
            by_addresses.entry(addresses).or_default().extend(port);
        }
        let mut subsets: Vec<EndpointSubset> = by_addresses
            .into_iter()
            .map(|(addresses, ports)| {
                let of = |wanted: bool| {
                    let keys = addresses.iter().filter(|(_, ready)| **ready == wanted).map(|(key, _)| key);
                    let found: Vec<EndpointAddress> = keys.filter_map(|key| self.addresses.get(key).cloned()).collect();
                    (!found.is_empty()).then_some(found)
                };
                EndpointSubset {
                    addresses: of(true),
                    not_ready_addresses: of(false),
                    ports: (!ports.is_empty()).then_some(ports),
                }
            })
            .collect();
        // By ports first: addresses come and go, and what stays should stay where it is.
        let ports = |subset: &EndpointSubset| {
            let ports = subset.ports.iter().flatten();
            ports.map(|port| (port.name.clone(), port.port, port.protocol.clone())).collect::<Vec<_>>()
        };
        subsets.sort_by_key(ports);
        subsets
    }
}

/// Leaves out what is beyond the capacity: of the addresses that are not ready first, and from each subset its share.
/// Tells whether anything was left out.
pub fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let count = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
    let ready: usize = subsets.iter().map(|subset| count(&subset.addresses)).sum();
    let not_ready: usize = subsets.iter().map(|subset| count(&subset.not_ready_addresses)).sum();
    if ready + not_ready <= CAPACITY {
        return false;
    }
    let cut_ready = ready > CAPACITY;
    let (total, room) = if cut_ready { (ready, CAPACITY) } else { (not_ready, CAPACITY - ready) };
    let mut left = room;
    for subset in subsets {
        let list = if cut_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        let share = (count(list) * room).div_ceil(total).min(left);
        left -= share;
        cut(list, share);
        if cut_ready {
            subset.not_ready_addresses = None;
        }
    }
    true
}

fn cut(list: &mut Option<Vec<EndpointAddress>>, len: usize) {
    if let Some(addresses) = list {
        addresses.truncate(len);
        if addresses.is_empty() {
            *list = None;
        }
    }
}

//! One Service as questions need it: immutable, replaced whole when the Service or one of its slices changes.

use std::cmp::Ordering;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::name::Name;
use crate::protocol::LABEL_MAX;

use super::records::Protocol;

/// A port. Its name is lower case; number 0 stands for a port that no SRV record can name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Port {
    pub(super) name: Box<[u8]>,
    pub(super) protocol: Protocol,
    pub(super) number: u16,
}

/// A list of ports. Most Services and slices of a cluster have one of few lists, so equal ones are shared.
pub(super) type Ports = Arc<[Port]>;

/// Which ports a question is about; an empty part matches all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PortFilter<'n> {
    pub(super) name: &'n [u8],
    pub(super) protocol: &'n [u8],
}

impl PortFilter<'_> {
    pub(super) fn is_any(&self) -> bool {
        self.name.is_empty() && self.protocol.is_empty()
    }

    pub(super) fn matches(&self, port: &Port) -> bool {
        (self.name.is_empty() || *self.name == *port.name)
            && (self.protocol.is_empty() || self.protocol == port.protocol.label())
    }

    pub(super) fn count(&self, ports: &[Port]) -> usize {
        ports.iter().filter(|port| self.matches(port)).count()
    }
}

/// What the Service's own name stands for.
#[derive(Debug)]
pub(super) enum Spec {
    ClusterIp {
        addresses: Box<[IpAddr]>,
        ports: Ports,
    },
    Headless,
    External {
        target: Name,
    },
    /// An external name that is an address: there is no record for it.
    Nothing,
}

/// A ready endpoint's address, and the hostname if it has one of its own.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: IpAddr,
    pub(super) hostname: Option<Box<[u8]>>,
}

impl Endpoint {
    /// The label that names the endpoint: its hostname, or its address with dashes.
    pub(super) fn label<'b>(&'b self, buffer: &'b mut [u8; LABEL_MAX]) -> &'b [u8] {
        match &self.hostname {
            Some(hostname) => hostname,
            None => dashed(self.address, buffer),
        }
    }
}

/// An address as a label: `10.1.2.3` is `10-1-2-3`, `fd00::1` is `fd00--1`, and what would end in a dash gets a zero.
pub(super) fn dashed(address: IpAddr, buffer: &mut [u8; LABEL_MAX]) -> &[u8] {
    let room = buffer.len();
    let mut out = &mut buffer[..];
    // The longest address has 39 characters ("::ffff:" forms fewer): it cannot fail to fit.
    let written = write!(out, "{address}").map_or(0, |()| room - out.len());
    let mut length = written;
    for octet in &mut buffer[..written] {
        if matches!(octet, b'.' | b':') {
            *octet = b'-';
        }
    }
    if buffer[..length].ends_with(b"-") {
        buffer[length] = b'0';
        length += 1;
    }
    &buffer[..length]
}

/// The address that a label spells: `10-1-2-3` or `fd00--1`.
pub(super) fn undashed(label: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(label).ok()?;
    if text.matches('-').count() == 3 && !text.contains("--") {
        return text.replace('-', ".").parse().ok();
    }
    if !text.contains('-') {
        return None;
    }
    text.replace('-', ":").parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// A slice's ready endpoints, in the order in which a Service keeps them. A slice without ports has one port without name and number, so that its endpoints
/// exist for address questions.
#[derive(Debug)]
pub(super) struct Slice {
    /// The key of the Service that it belongs to.
    pub(super) service: Arc<[u8]>,
    pub(super) name: Box<str>,
    pub(super) endpoints: Box<[Endpoint]>,
    pub(super) ports: Ports,
}

/// Where an endpoint stands: slice, endpoint in it.
pub(super) type Member = (u32, u32);

/// A Service, or slices that wait for theirs.
#[derive(Debug)]
pub(super) struct Service {
    key: Arc<[u8]>,
    spec: Option<Arc<Spec>>,
    slices: Box<[Arc<Slice>]>,
    /// Every endpoint: those named by their addresses, by address, then those with hostnames, by hostname and address.
    /// Those of one label are neighbours either way, and no label has to be spelled to compare.
    order: Box<[Member]>,
    /// The addresses of a headless Service, each once, in order.
    v4: Box<[Ipv4Addr]>,
    v6: Box<[Ipv6Addr]>,
    /// All slices have the same ports.
    uniform: bool,
}

impl Slice {
    /// A slice; an endpoint that is called as its address is spelled needs no hostname.
    pub(super) fn new(service: Arc<[u8]>, name: &str, mut endpoints: Vec<Endpoint>, ports: Ports) -> Self {
        for endpoint in &mut endpoints {
            let spelled =
                dashed(endpoint.address, &mut [0; LABEL_MAX]) == endpoint.hostname.as_deref().unwrap_or_default();
            endpoint.hostname.take_if(|_| spelled);
        }
        endpoints.sort_by(|a, b| rank(a).cmp(&rank(b)));
        Self { service, name: name.into(), endpoints: endpoints.into(), ports }
    }
}

impl Service {
    /// One that nothing is known of.
    pub(super) fn empty(key: Arc<[u8]>) -> Self {
        Self::compile(key, None, Vec::new(), Vec::new())
    }

    /// The same slices under another Service object, or under none.
    pub(super) fn with_spec(&self, spec: Option<Arc<Spec>>) -> Self {
        Self::compile(Arc::clone(&self.key), spec, self.slices.to_vec(), self.order.to_vec())
    }

    /// With a slice, in place of the one of its name if there is one.
    pub(super) fn with_slice(&self, slice: Arc<Slice>) -> Self {
        let mut slices = self.slices.to_vec();
        let (at, shift) = match slices.binary_search_by(|have| have.name.cmp(&slice.name)) {
            Ok(at) => {
                slices[at] = slice;
                (at as u32, 0)
            }
            Err(at) => {
                slices.insert(at, slice);
                (at as u32, 1)
            }
        };
        let others = self.order.iter().filter_map(|&(slice, endpoint)| match slice.cmp(&at) {
            Ordering::Less => Some((slice, endpoint)),
            Ordering::Equal if shift == 0 => None,
            _ => Some((slice + shift, endpoint)),
        });
        let order = merge(&slices, others, (0..slices[at as usize].endpoints.len() as u32).map(|n| (at, n)));
        Self::compile(Arc::clone(&self.key), self.spec.clone(), slices, order)
    }

    /// Without the slice of this name.
    pub(super) fn without_slice(&self, name: &str) -> Self {
        let mut slices = self.slices.to_vec();
        let mut order = self.order.to_vec();
        if let Ok(at) = slices.binary_search_by(|have| (*have.name).cmp(name)) {
            slices.remove(at);
            order.retain(|(slice, _)| *slice as usize != at);
            order.iter_mut().filter(|(slice, _)| *slice as usize > at).for_each(|(slice, _)| *slice -= 1);
        }
        Self::compile(Arc::clone(&self.key), self.spec.clone(), slices, order)
    }

    fn compile(key: Arc<[u8]>, spec: Option<Arc<Spec>>, slices: Vec<Arc<Slice>>, order: Vec<Member>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        if matches!(spec.as_deref(), Some(Spec::Headless)) {
            for endpoint in slices.iter().flat_map(|slice| &slice.endpoints) {
                match endpoint.address {
                    IpAddr::V4(address) => v4.push(address),
                    IpAddr::V6(address) => v6.push(address),
                }
            }
            v4.sort_unstable();
            v4.dedup();
            v6.sort_unstable();
            v6.dedup();
        }
        let uniform = slices.windows(2).all(|pair| pair[0].ports == pair[1].ports);
        Self { key, spec, slices: slices.into(), order: order.into(), v4: v4.into(), v6: v6.into(), uniform }
    }

    /// The labels of the Service and its namespace.
    pub(super) fn key(&self) -> &Arc<[u8]> {
        &self.key
    }

    pub(super) fn spec(&self) -> Option<&Arc<Spec>> {
        self.spec.as_ref()
    }

    pub(super) fn v4(&self) -> &[Ipv4Addr] {
        &self.v4
    }

    pub(super) fn v6(&self) -> &[Ipv6Addr] {
        &self.v6
    }

    pub(super) fn order(&self) -> &[Member] {
        &self.order
    }

    pub(super) fn is_uniform(&self) -> bool {
        self.uniform
    }

    pub(super) fn endpoint(&self, member: Member) -> &Endpoint {
        endpoint(&self.slices, member)
    }

    pub(super) fn ports(&self, member: Member) -> &[Port] {
        &self.slices[member.0 as usize].ports
    }

    /// The endpoints that `label` names: by hostname, or else by address.
    pub(super) fn named(&self, label: &[u8]) -> &[Member] {
        let by_hostname = self.range(|endpoint| endpoint.hostname.as_deref().cmp(&Some(label)));
        if !by_hostname.is_empty() {
            return by_hostname;
        }
        match undashed(label) {
            // An address has one spelling only: no other that can be read as it is a name.
            Some(address) if dashed(address, &mut [0; LABEL_MAX]) == label => {
                self.range(|endpoint| rank(endpoint).cmp(&(None, address)))
            }
            _ => &[],
        }
    }

    fn range(&self, compare: impl Fn(&Endpoint) -> Ordering) -> &[Member] {
        let start = self.order.partition_point(|member| compare(self.endpoint(*member)) == Ordering::Less);
        let length = self.order[start..].partition_point(|member| compare(self.endpoint(*member)) == Ordering::Equal);
        &self.order[start..start + length]
    }

    /// Whether an address leads back to the Service: one of its own, or of an endpoint of it.
    pub(super) fn refers_to(&self, address: IpAddr) -> bool {
        match (self.spec.as_deref(), address) {
            (Some(Spec::Headless), IpAddr::V4(address)) => self.v4.binary_search(&address).is_ok(),
            (Some(Spec::Headless), IpAddr::V6(address)) => self.v6.binary_search(&address).is_ok(),
            _ => {
                self.own_addresses().contains(&address)
                    || self.slices.iter().flat_map(|slice| &slice.endpoints).any(|e| e.address == address)
            }
        }
    }

    /// The addresses of what `other` does not share with it, each once, in order.
    pub(super) fn addresses_beside(&self, other: &Self) -> Vec<IpAddr> {
        let shared = |slice: &Arc<Slice>| {
            let same = other.slices.binary_search_by(|have| have.name.cmp(&slice.name));
            same.is_ok_and(|at| Arc::ptr_eq(&other.slices[at], slice))
        };
        let own = self.own_addresses().iter().filter(|address| !other.own_addresses().contains(address));
        let slices = self.slices.iter().filter(|slice| !shared(slice));
        let endpoints = slices.flat_map(|slice| &slice.endpoints).map(|endpoint| &endpoint.address);
        let mut addresses: Vec<IpAddr> = own.chain(endpoints).copied().collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    fn own_addresses(&self) -> &[IpAddr] {
        match self.spec.as_deref() {
            Some(Spec::ClusterIp { addresses, .. }) => addresses,
            _ => &[],
        }
    }

    /// Whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.spec.is_none() && self.slices.is_empty()
    }
}

fn endpoint(slices: &[Arc<Slice>], member: Member) -> &Endpoint {
    &slices[member.0 as usize].endpoints[member.1 as usize]
}

fn rank(endpoint: &Endpoint) -> (Option<&[u8]>, IpAddr) {
    (endpoint.hostname.as_deref(), endpoint.address)
}

/// Merges endpoints that are in order with others that are.
fn merge(
    slices: &[Arc<Slice>],
    left: impl Iterator<Item = Member>,
    right: impl Iterator<Item = Member>,
) -> Vec<Member> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    let mut merged = Vec::with_capacity(left.size_hint().1.unwrap_or(0) + right.size_hint().0);
    loop {
        let from_left = match (left.peek(), right.peek()) {
            (Some(&a), Some(&b)) => rank(endpoint(slices, a)).cmp(&rank(endpoint(slices, b))).then(a.cmp(&b)).is_lt(),
            (left, _) => left.is_some(),
        };
        match if from_left { left.next() } else { right.next() } {
            Some(member) => merged.push(member),
            None => return merged,
        }
    }
}

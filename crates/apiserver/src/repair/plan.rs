//! What is wrong between Services and what is taken for them, and what mends it: pure.
//!
//! A Service and what it takes are written in one transaction, so nothing here comes of a crash or a race. It comes of
//! hands: somebody deleted, made or changed an `IPAddress`, brought back a backup of half, or changed the ranges.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use kinds::addresses::{self, Family};
use kinds::document::{at, integer, list, text, text_at, texts};
use serde_json::Value;

/// Who makes the `IPAddress` objects of Services.
const MANAGED_BY: &str = "ipallocator.k8s.io";
/// How old an address must be, in seconds, before nobody's Service is its fault: clients may make it first.
const YOUNG: i64 = 60;

/// What is there.
pub(super) struct View<'v> {
    /// Whether an address is in a range of cluster IPs.
    pub in_range: &'v dyn Fn(IpAddr) -> bool,
    /// The `IPAddress` of this name.
    pub address: &'v dyn Fn(&str) -> Option<Value>,
    /// The Service of this namespace and name.
    pub service: &'v dyn Fn(&str, &str) -> Option<Value>,
    /// Whether a node port is taken.
    pub is_taken: &'v dyn Fn(u16) -> bool,
    /// The range of node ports.
    pub ports: RangeInclusive<u16>,
    /// In seconds since 1970.
    pub now: i64,
}

/// What mends a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    /// Nothing but another Service.
    Nothing,
    /// The address is taken for the Service that the finding is about, from whom has it.
    Take(IpAddr),
    /// The address that the finding is about is given back.
    GiveBack,
    /// The port is taken for the Service that the finding is about.
    TakePort(u16),
}

/// Something that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The event's reason; empty for what no event tells of.
    pub reason: &'static str,
    /// The event's action.
    pub action: &'static str,
    /// The event's text.
    pub note: String,
    /// How Kubernetes' metrics call it.
    pub kind: &'static str,
    pub mend: Mend,
}

impl Finding {
    fn address(reason: &'static str, kind: &'static str, note: String, mend: Mend) -> Self {
        Self { reason, action: "ClusterIPAllocation", note, kind, mend }
    }

    fn port(reason: &'static str, kind: &'static str, note: String, mend: Mend) -> Self {
        Self { reason, action: "PortAllocation", note, kind, mend }
    }

    fn leak(reason: &'static str, note: String) -> Self {
        Self { reason, action: "IPAddressAllocation", note, kind: "leak", mend: Mend::GiveBack }
    }
}

/// What is wrong with the addresses of a Service.
pub(super) fn addresses_of(service: &Value, view: &View<'_>) -> Vec<Finding> {
    let spec = at(service, "spec");
    if text(spec, "type") == "ExternalName" {
        return Vec::new();
    }
    let given = texts(spec, "clusterIPs").into_iter().filter(|ip| *ip != "None" && !ip.is_empty());
    given.filter_map(|ip| address_of(service, ip, view)).collect()
}

fn address_of(service: &Value, ip: &str, view: &View<'_>) -> Option<Finding> {
    let metadata = at(service, "metadata");
    let (namespace, name) = (text(metadata, "namespace"), text(metadata, "name"));
    let Some(address) = addresses::parse(ip) else {
        let note = format!("Cluster IP {ip} is not a valid IP; please recreate Service");
        let finding = Finding::address("ClusterIPNotValid", "invalid", note, Mend::Nothing);
        return Some(Finding { action: "ClusterIPValidation", ..finding });
    };
    let family = Family::of(address).name();
    if !(view.in_range)(address) {
        let note = format!(
            "Cluster IP [{family}]: {address} is not within any configured Service CIDR; please recreate service"
        );
        return Some(Finding::address("ClusterIPOutOfRange", "outOfRange", note, Mend::Nothing));
    }
    let take = Mend::Take(address);
    let Some(object) = (view.address)(&address.to_string()) else {
        let note = format!("Cluster IP [{family}]: {address} is not allocated; repairing");
        return Some(Finding::address("ClusterIPNotAllocated", "repair", note, take));
    };
    let wrong = || {
        let note = format!(
            "the ClusterIP [{family}]: {address} for Service {namespace}/{name} has a wrong reference; repairing"
        );
        Some(Finding::address("ClusterIPNotAllocated", "repair", note, take))
    };
    let parent = at(at(&object, "spec"), "parentRef");
    if !text(parent, "group").is_empty() || text(parent, "resource") != "services" {
        return wrong();
    }
    let (other_namespace, other) = (text(parent, "namespace"), text(parent, "name"));
    if (other_namespace, other) != (namespace, name) {
        let has_it = |other: &Value| texts(at(other, "spec"), "clusterIPs").into_iter().any(|theirs| theirs == ip);
        if !(view.service)(other_namespace, other).is_some_and(|other| has_it(&other)) {
            return wrong();
        }
        let note =
            format!("Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service");
        return Some(Finding::address("ClusterIPAlreadyAllocated", "duplicate", note, Mend::Nothing));
    }
    // Labels are mended without a word.
    let label = |name: &str| text_at(at(&object, "metadata"), "labels", name);
    let labelled = label("ipaddress.kubernetes.io/managed-by") == Some(MANAGED_BY)
        && label("ipaddress.kubernetes.io/ip-family") == Some(family);
    (!labelled).then(|| Finding::address("", "invalid", String::new(), take))
}

/// What is wrong with an address that is taken: nobody has it.
pub(super) fn of_address(object: &Value, view: &View<'_>) -> Option<Finding> {
    let metadata = at(object, "metadata");
    if text_at(metadata, "labels", "ipaddress.kubernetes.io/managed-by") != Some(MANAGED_BY) {
        return None;
    }
    let address = text(metadata, "name");
    let parent = at(at(object, "spec"), "parentRef");
    let (namespace, name) = (text(parent, "namespace"), text(parent, "name"));
    if !text(parent, "group").is_empty() || text(parent, "resource") != "services" {
        let (group, resource) = (text(parent, "group"), text(parent, "resource"));
        let note = format!(
            "IPAddress {address} appears to have been modified, not referencing a Service &ParentReference{{Group:{group},\
             Resource:{resource},Namespace:{namespace},Name:{name},}}: cleaning up"
        );
        return Some(Finding::leak("IPAddressNotAllocated", note));
    }
    let made = text(metadata, "creationTimestamp").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let is_young = view.now - made <= YOUNG;
    let Some(service) = (view.service)(namespace, name) else {
        let note = format!("IPAddress: {address} for Service {namespace}/{name} appears to have leaked: cleaning up");
        return (!is_young).then(|| Finding::leak("IPAddressNotAllocated", note));
    };
    let spec = at(&service, "spec");
    let is_its_own = texts(spec, "clusterIPs").into_iter().any(|own| own == address || is_same(own, address));
    if is_its_own || is_young {
        return None;
    }
    let note = format!("IPAddress: {address} for Service {namespace}/{name} has a wrong reference; cleaning up");
    Some(Finding::leak("IPAddressWrongReference", note))
}

/// Whether two ways of writing an address mean the same.
fn is_same(a: &str, b: &str) -> bool {
    addresses::parse(a).is_some_and(|a| addresses::parse(b) == Some(a))
}

/// What is wrong with the node ports of Services, as they are gone through: a port that two have is told of the second.
#[derive(Default)]
pub(super) struct Ports {
    /// Who has which.
    pub seen: BTreeMap<u16, String>,
}

impl Ports {
    /// The next Service.
    pub fn of_service(&mut self, service: &Value, view: &View<'_>) -> Vec<Finding> {
        let metadata = at(service, "metadata");
        let owner = format!("{}/{}", text(metadata, "namespace"), text(metadata, "name"));
        numbers(service).into_iter().filter_map(|port| self.of_port(port, &owner, view)).collect()
    }

    fn of_port(&mut self, port: i64, owner: &str, view: &View<'_>) -> Option<Finding> {
        let number = u16::try_from(port).ok().filter(|port| view.ports.contains(port));
        let Some(number) = number else {
            let (first, last) = (view.ports.start(), view.ports.end());
            let note = format!("Port {port} is not within the port range {first}-{last}; please recreate service");
            return Some(Finding::port("PortOutOfRange", "outOfRange", note, Mend::Nothing));
        };
        if self.seen.contains_key(&number) {
            let note = format!("Port {port} was assigned to multiple services; please recreate service");
            return Some(Finding::port("PortAlreadyAllocated", "duplicate", note, Mend::Nothing));
        }
        self.seen.insert(number, owner.to_owned());
        let note = || format!("Port {port} is not allocated; repairing");
        (!(view.is_taken)(number)).then(|| Finding::port("PortNotAllocated", "repair", note(), Mend::TakePort(number)))
    }
}

/// The node ports of a Service, each once: ports of different protocols may share one.
fn numbers(service: &Value) -> Vec<i64> {
    let spec = at(service, "spec");
    // None is taken for an ExternalName, whatever it says.
    if text(spec, "type") == "ExternalName" {
        return Vec::new();
    }
    let of_ports = list(spec, "ports").iter().map(|port| integer(port, "nodePort"));
    let mut all: Vec<i64> = of_ports.chain([integer(spec, "healthCheckNodePort")]).filter(|port| *port != 0).collect();
    all.sort_unstable();
    all.dedup();
    all
}

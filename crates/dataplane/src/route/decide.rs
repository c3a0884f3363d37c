//! A Service becomes routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Entry, Family, IpMode, Node, Protocol, Service, ServicePort, TrafficPolicy};
use crate::route::endpoints::Endpoints;
use crate::route::maglev::{self, MOST_CONSISTENT};
use crate::route::{Claim, Decision, Destination, List, Masquerade, PortRoutes, Route, ServiceRoutes};

/// The routes of a Service in one family; none if it is not ours to serve or does not live in that family.
pub(crate) fn route(entry: &Entry, node: &Node, family: Family) -> ServiceRoutes {
    let Some(service) = entry.service.as_ref().filter(|service| service.is_proxied()) else {
        return ServiceRoutes::default();
    };
    let of_family = |addresses: &[IpAddr]| -> Vec<IpAddr> {
        addresses.iter().copied().filter(|address| Family::of(*address) == family).collect()
    };
    let addresses = Addresses {
        cluster: of_family(&service.cluster_ips),
        external: of_family(&service.external_ips),
        load_balancer: of_family(&vips(service)),
    };
    if addresses.cluster.is_empty() {
        return ServiceRoutes::default();
    }
    let sources = sources(service, node, family, &addresses.load_balancer);
    let mut hairpins = Vec::new();
    let mut ports: Vec<PortRoutes> = Vec::with_capacity(service.ports.len());
    for port in &service.ports {
        let endpoints = Endpoints::gather(entry, node, family, &port.name, port.protocol);
        hairpins.extend(endpoints.perhaps_local());
        ports.push(route_port(service, port, &addresses, &endpoints, node, family, !sources.is_empty()));
    }
    // Kubernetes lets two ports of a Service have one node port after an update: the first has it.
    let mut seen = BTreeSet::new();
    for port in &mut ports {
        port.routes.retain(|route| seen.insert(route.destination));
    }
    hairpins.sort_unstable();
    hairpins.dedup();
    ServiceRoutes { cluster_ips: addresses.cluster, hairpins, sources, affinity: service.affinity, ports }
}

/// A Service's addresses in one family.
struct Addresses {
    cluster: Vec<IpAddr>,
    external: Vec<IpAddr>,
    load_balancer: Vec<IpAddr>,
}

fn route_port(
    service: &Service,
    port: &ServicePort,
    addresses: &Addresses,
    endpoints: &Endpoints,
    node: &Node,
    family: Family,
    firewalled: bool,
) -> PortRoutes {
    let (protocol, number) = (port.protocol, port.port);
    let cluster = endpoints.cluster();
    let local = endpoints.local();
    let internal = internal(service, node, family, cluster.is_empty(), local.is_empty());
    let external = external(service, cluster.is_empty());
    let all = if is_consistent(service) { endpoints.everywhere() } else { Vec::new() };
    let balanced = if (1..=MOST_CONSISTENT).contains(&all.len()) { consistent(external) } else { external };
    let to = |address: &IpAddr| Destination::Address { address: *address, protocol, port: number };
    let route = |destination, claim, decision| Route { destination, claim, decision, firewalled: false };

    let mut routes = Vec::new();
    routes.extend(addresses.cluster.iter().map(|ip| route(to(ip), Claim::ClusterIp, internal)));
    if let Some(port) = port.node_port {
        routes.push(route(Destination::NodePort { family, protocol, port }, Claim::NodePort, external));
    }
    let of_balancer = addresses.load_balancer.iter().map(|ip| route(to(ip), Claim::LoadBalancer, balanced));
    routes.extend(of_balancer.map(|route| Route { firewalled, ..route }));
    routes.extend(addresses.external.iter().map(|ip| route(to(ip), Claim::ExternalIp, balanced)));
    routes.sort_by_key(|route| (route.destination, route.claim));
    routes.dedup_by_key(|route| route.destination);

    let needs = |list| routes.iter().any(|route| needs(route.decision, list));
    let (needs_cluster, needs_local) = (needs(List::Cluster), needs(List::Local));
    let needs_consistent = needs(List::Consistent);
    PortRoutes {
        protocol,
        port: number,
        cluster: if needs_cluster { cluster } else { Vec::new() },
        local: if needs_local { local } else { Vec::new() },
        consistent: if needs_consistent { maglev::table(&all) } else { Vec::new() },
        elsewhere: if needs_consistent { endpoints.elsewhere() } else { BTreeMap::new() },
        serving: if protocol == Protocol::Udp { endpoints.serving() } else { Vec::new() },
        routes,
        numbers: None,
    }
}

fn needs(decision: Decision, list: List) -> bool {
    match decision {
        Decision::Reject | Decision::Drop => false,
        Decision::Forward { to, .. } => to == list,
        Decision::BySource => list != List::Consistent,
    }
}

/// Whether all nodes are to choose alike. Clients that stay with their endpoint are remembered, each by its node. Where
/// only this node's endpoints serve, there is nothing that two nodes could choose alike.
fn is_consistent(service: &Service) -> bool {
    service.consistent && service.affinity.is_none() && service.external_policy == TrafficPolicy::Cluster
}

/// The same, from the list that is the same on all nodes.
fn consistent(decision: Decision) -> Decision {
    match decision {
        Decision::Forward { to: List::Cluster, masquerade } => Decision::Forward { to: List::Consistent, masquerade },
        other => other,
    }
}

/// For the cluster IPs. `cluster` is empty only if there is no endpoint anywhere.
fn internal(service: &Service, node: &Node, family: Family, no_cluster: bool, no_local: bool) -> Decision {
    let pods_known = !node.pod_interfaces.is_empty() || node.pod_cidrs.iter().any(|net| Family::of_net(net) == family);
    let masquerade = match (node.masquerade_all, pods_known) {
        (true, _) => Masquerade::Always,
        (false, true) => Masquerade::FromOutside,
        (false, false) => Masquerade::Never,
    };
    match service.internal_policy {
        _ if no_cluster => Decision::Reject,
        TrafficPolicy::Cluster => Decision::Forward { to: List::Cluster, masquerade },
        TrafficPolicy::Local if no_local => Decision::Drop,
        TrafficPolicy::Local => Decision::Forward { to: List::Local, masquerade },
    }
}

/// For node ports, external IPs and load balancers' addresses. Traffic that may leave the node again is masqueraded:
/// the endpoint's node would answer the client directly, past the address that it asked.
fn external(service: &Service, no_cluster: bool) -> Decision {
    match service.external_policy {
        _ if no_cluster => Decision::Reject,
        TrafficPolicy::Cluster => Decision::Forward { to: List::Cluster, masquerade: Masquerade::Always },
        TrafficPolicy::Local => Decision::BySource,
    }
}

/// The ranges of addresses on which node ports answer, in one family; `None`: on all but loopback ones. As kube-proxy
/// means it, ranges of the other family choose nothing in this one.
pub(crate) fn node_port_ranges(node: &Node, family: Family) -> Option<Vec<IpNet>> {
    let ranges = node.node_port_addresses.iter().filter(|net| Family::of_net(net) == family);
    let ranges: Vec<IpNet> = ranges.copied().collect();
    (!ranges.is_empty()).then_some(ranges)
}

/// The load balancer's addresses that packets arrive with.
fn vips(service: &Service) -> Vec<IpAddr> {
    let vips = service.load_balancer.iter().filter(|ingress| ingress.mode == IpMode::Vip);
    vips.map(|ingress| ingress.address).collect()
}

/// Who may use the load balancer's addresses; empty: everybody. A range of everything means everybody. Where this node
/// is allowed, packets that it sends to the address may loop back with that very address as source: so it is allowed.
fn sources(service: &Service, node: &Node, family: Family, vips: &[IpAddr]) -> Vec<IpNet> {
    let ranges = service.source_ranges.iter().filter(|net| Family::of_net(net) == family);
    let mut sources: Vec<IpNet> = ranges.map(IpNet::trunc).collect();
    if vips.is_empty() || sources.iter().any(|net| net.prefix_len() == 0) {
        return Vec::new();
    }
    if node.addresses.iter().any(|address| sources.iter().any(|net| net.contains(address))) {
        sources.extend(vips.iter().map(|address| IpNet::from(*address)));
    }
    IpNet::aggregate(&sources)
}

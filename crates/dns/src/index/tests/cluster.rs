//! The cluster that the table asks about.

use std::net::IpAddr;

use crate::index::{EndpointRecord, Index, IndexOptions, PortRecord, Protocol, ServiceRecord, Shape, SliceRecord};

pub(super) fn addresses(list: &str) -> Vec<IpAddr> {
    list.split_whitespace().map(|address| address.parse().unwrap()).collect()
}

/// Ports from `http/80 dns/UDP/53 /8080 open/`: name, protocol if it is not TCP, number if there is one.
pub(super) fn ports(list: &str) -> Vec<PortRecord> {
    list.split_whitespace()
        .map(|port| {
            let parts: Vec<_> = port.split('/').collect();
            let protocol = match parts[1] {
                "UDP" => Protocol::Udp,
                "SCTP" => Protocol::Sctp,
                _ => Protocol::Tcp,
            };
            PortRecord { name: parts[0].to_owned(), protocol, number: parts[parts.len() - 1].parse().ok() }
        })
        .collect()
}

/// Endpoints from `10.1.0.1=db-0 !10.1.0.3=db-2 10.1.0.4`: address, hostname if it has one; `!` is not ready.
pub(super) fn endpoints(list: &str) -> Vec<EndpointRecord> {
    list.split_whitespace()
        .map(|endpoint| {
            let (address, hostname) = match endpoint.split_once('=') {
                Some((address, hostname)) => (address, Some(hostname.to_owned())),
                None => (endpoint, None),
            };
            EndpointRecord {
                addresses: addresses(&address.trim_start_matches('!').replace(',', " ")),
                hostname,
                ready: !address.starts_with('!'),
                pod: None,
            }
        })
        .collect()
}

pub(super) fn service(namespace: &str, name: &str, shape: Shape, port_list: &str) -> ServiceRecord {
    ServiceRecord { namespace: namespace.to_owned(), name: name.to_owned(), shape, ports: ports(port_list) }
}

pub(super) fn slice(namespace: &str, name: &str, service: &str, list: &str, port_list: &str) -> SliceRecord {
    SliceRecord {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        service: service.to_owned(),
        endpoints: endpoints(list),
        ports: ports(port_list),
    }
}

pub(super) fn at(list: &str) -> Shape {
    Shape::ClusterIp(addresses(list))
}

pub(super) fn external(name: &str) -> Shape {
    Shape::ExternalName(name.to_owned())
}

pub(super) fn index() -> Index {
    index_with(&IndexOptions::default())
}

pub(super) fn index_with(options: &IndexOptions) -> Index {
    let index = Index::new(options).unwrap();
    for namespace in ["shop", "empty-ns", "default", "kube-system"] {
        index.set_namespace(namespace).unwrap();
    }
    let set = |name: &str, shape: Shape, port_list: &str| {
        index.set_service(&service("shop", name, shape, port_list)).unwrap();
    };
    let have = |name: &str, of: &str, list: &str, port_list: &str| {
        index.set_slice(&slice("shop", name, of, list, port_list)).unwrap();
    };
    set("web", at("10.96.7.1"), "http/80 metrics/9090 dns/UDP/53");
    have("web-1", "web", "10.1.7.1 10.1.7.2", "http/8080 metrics/9090 dns/UDP/5353");
    set("unnamed", at("10.96.7.2"), "/80");
    have("unnamed-1", "unnamed", "10.1.7.3", "/80");
    set("noendpoints", at("10.96.7.3"), "http/80");
    set("dual", at("10.96.7.4 fd00:96::4"), "http/80");
    set("six", at("fd00:96::6"), "http/80");
    set("twins", at("10.96.7.5"), "tcp-53/53 udp-53/UDP/53 stats/9153");
    set("sctp", at("10.96.7.6"), "sig/SCTP/5000");
    set("numberless", at("10.96.7.7"), "odd/");
    set("db", Shape::Headless, "pg/5432");
    have("db-1", "db", "10.1.0.1=db-0 10.1.0.2=db-1 !10.1.0.3=db-2", "pg/5432");
    set("nohost", Shape::Headless, "a/1 b/UDP/2");
    have("nohost-1", "nohost", "10.1.1.1 10.1.1.2", "a/1 b/UDP/2");
    set("empty", Shape::Headless, "a/1");
    set("notready", Shape::Headless, "a/1");
    have("notready-1", "notready", "!10.1.2.1=x", "a/1");
    set("noports", Shape::Headless, "");
    have("noports-1", "noports", "10.1.3.1=n-0 10.1.3.2", "");
    set("samehost", Shape::Headless, "a/1");
    have("samehost-1", "samehost", "10.1.4.1=same 10.1.4.2=same", "a/1");
    set("slices", Shape::Headless, "a/1");
    have("slices-1", "slices", "10.1.5.1=p", "a/1");
    have("slices-2", "slices", "10.1.5.2=q 10.1.5.1=p", "a/7");
    set("mixed", Shape::Headless, "a/1 b/2");
    have("mixed-1", "mixed", "10.1.9.1=m 10.1.9.2=n", "a/1");
    have("mixed-2", "mixed", "10.1.9.3=o", "b/2");
    set("stack", Shape::Headless, "a/1");
    have("stack-4", "stack", "10.1.10.1=s-0 10.1.10.2", "a/1");
    have("stack-6", "stack", "fd00:1::1=s-0 fd00:1::", "a/1");
    set("open", Shape::Headless, "any/0");
    have("open-1", "open", "10.1.11.1=o-0", "any/");
    set("both", Shape::Headless, "a/1");
    have("both-1", "both", "10.1.0.1=other", "a/1");
    let many: Vec<_> = (1..=60).map(|n| format!("10.1.6.{n}=m-{n}")).collect();
    set("many", Shape::Headless, "a/1");
    have("many-1", "many", &many.join(" "), "a/1");
    set("ext", external("target.example.com"), "");
    set("extdot", external("Dotted.example.com."), "");
    set("extports", external("ports.example.com"), "http/80");
    set("extip", external("1.2.3.4"), "");
    set("extip6", external("fd00::1"), "");
    set("alias", external("web.shop.svc.cluster.local"), "");
    set("aliasmissing", external("gone.shop.svc.cluster.local"), "");
    set("aliasalias", external("alias.shop.svc.cluster.local"), "");
    set("aliasheadless", external("db.shop.svc.cluster.local"), "");
    set("aliaspod", external("10-1-2-3.shop.pod.cluster.local"), "");
    set("aliasport", external("_http._tcp.web.shop.svc.cluster.local"), "");
    set("aliasout", external("ext.shop.svc.cluster.local"), "");
    set("self", external("self.shop.svc.cluster.local"), "");
    set("ping", external("pong.shop.svc.cluster.local"), "");
    set("pong", external("ping.shop.svc.cluster.local"), "");
    have("orphan-1", "orphan", "10.1.12.1", "a/1");
    index.set_service(&service("default", "kubernetes", at("10.96.0.1"), "https/443")).unwrap();
    index.set_service(&service("untold", "lone", at("10.96.7.9"), "http/80")).unwrap();
    index.set_synced(true);
    index
}

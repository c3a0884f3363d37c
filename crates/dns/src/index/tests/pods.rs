//! Names of Pods that are verified, several zones, and Services that do not exist without endpoints.

use super::cluster;
use crate::asking;
use crate::index::{Index, IndexOptions, PodNames, PodRecord};
use crate::protocol::rtype;
use crate::reply::Transport;

fn told(index: &Index, name: &str, qtype: u16) -> String {
    asking::told(&asking::ask(index, &asking::question(name, qtype, None), Transport::Tcp).1)
}

fn pod(namespace: &str, name: &str, addresses: &str) -> PodRecord {
    let addresses = cluster::addresses(addresses);
    PodRecord { namespace: namespace.to_owned(), name: name.to_owned(), addresses, searches: true }
}

#[test]
fn a_verified_name_is_that_of_a_pod_which_has_the_address_in_that_namespace() {
    let index = cluster::index_with(&IndexOptions { pods: PodNames::Verified, ..IndexOptions::default() });
    let name = "10-9-0-1.shop.pod.cluster.local.";
    assert_eq!(told(&index, name, rtype::A), "NXDOMAIN cluster.local.", "no Pod is known yet");
    index.set_pod(&pod("shop", "a", "10.9.0.1 fd00:9::1")).unwrap();
    assert_eq!(told(&index, name, rtype::A), format!("{name} A 10.9.0.1"));
    assert_eq!(told(&index, name, rtype::AAAA), "NODATA cluster.local.");
    let six = "fd00-9--1.shop.pod.cluster.local.";
    assert_eq!(told(&index, six, rtype::AAAA), format!("{six} AAAA fd00:9::1"));
    assert_eq!(told(&index, "10-9-0-1.default.pod.cluster.local.", rtype::A), "NXDOMAIN cluster.local.");
    assert_eq!(told(&index, "10-9-0-2.shop.pod.cluster.local.", rtype::A), "NXDOMAIN cluster.local.");
    assert_eq!(told(&index, "shop.pod.cluster.local.", rtype::A), "NODATA cluster.local.");
}

#[test]
fn an_address_belongs_to_whoever_has_it_now() {
    let index = cluster::index_with(&IndexOptions { pods: PodNames::Verified, ..IndexOptions::default() });
    let exists = |address: &str| told(&index, &format!("{address}.shop.pod.cluster.local."), rtype::A).contains(" A ");
    index.set_pod(&pod("shop", "a", "10.9.0.1")).unwrap();
    index.set_pod(&pod("shop", "b", "10.9.0.1")).unwrap();
    index.set_pod(&pod("shop", "a", "10.9.0.2")).unwrap();
    assert!(exists("10-9-0-1") && exists("10-9-0-2"));
    index.remove_pod("shop", "b");
    assert!(!exists("10-9-0-1") && exists("10-9-0-2"));
    assert_eq!(index.pods(), [("shop".to_owned(), "a".to_owned())]);
    index.set_pod(&pod("shop", "a", "")).unwrap();
    index.remove_pod("shop", "never");
    assert!(!exists("10-9-0-2"));
    assert!(index.pods().is_empty());
    assert!(index.set_pod(&pod("", "a", "10.9.0.1")).is_err());
}

#[test]
fn several_zones_name_the_same_cluster_and_pointers_lead_into_the_first() {
    let zones = ["cluster.local", "old.example.org", "deep.old.example.org"].map(str::to_owned).to_vec();
    let index = cluster::index_with(&IndexOptions { zones, ..IndexOptions::default() });
    for zone in ["cluster.local.", "old.example.org.", "deep.old.example.org."] {
        let name = format!("web.shop.svc.{zone}");
        assert_eq!(told(&index, &name, rtype::A), format!("{name} A 10.96.7.1"));
        assert_eq!(told(&index, &format!("gone.shop.svc.{zone}"), rtype::A), format!("NXDOMAIN {zone}"));
    }
    let pointer = told(&index, "1.7.96.10.in-addr.arpa.", rtype::PTR);
    assert_eq!(pointer, "1.7.96.10.in-addr.arpa. PTR web.shop.svc.cluster.local.");
}

#[test]
fn ranges_have_reverse_zones() {
    let zones = |range: &str| crate::index::reverse_zones(range.parse().unwrap());
    assert_eq!(zones("10.96.0.0/16"), ["96.10.in-addr.arpa"]);
    assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa"]);
    assert_eq!(zones("192.0.2.7/32"), ["7.2.0.192.in-addr.arpa"]);
    assert_eq!(zones("10.96.0.0/14"), ["96", "97", "98", "99"].map(|second| format!("{second}.10.in-addr.arpa")));
    assert_eq!(zones("0.0.0.0/0"), ["in-addr.arpa"]);
    assert_eq!(zones("fd00:96::/32"), ["6.9.0.0.0.0.d.f.ip6.arpa"]);
    assert_eq!(zones("fd00:96::/31"), ["6.9.0.0.0.0.d.f.ip6.arpa", "7.9.0.0.0.0.d.f.ip6.arpa"]);
    let index = cluster::index_with(&IndexOptions { reverse_zones: zones("10.96.0.0/14"), ..IndexOptions::default() });
    let pointer = told(&index, "1.7.96.10.in-addr.arpa.", rtype::PTR);
    assert_eq!(pointer, "1.7.96.10.in-addr.arpa. PTR web.shop.svc.cluster.local.");
    assert_eq!(told(&index, "1.7.97.10.in-addr.arpa.", rtype::PTR), "NXDOMAIN 97.10.in-addr.arpa.");
    assert_eq!(told(&index, "1.0.1.10.in-addr.arpa.", rtype::PTR), "NOERROR", "another's zone");
}

#[test]
fn a_service_without_endpoints_may_not_exist() {
    let index = cluster::index_with(&IndexOptions { ignore_empty_services: true, ..IndexOptions::default() });
    for (name, qtype) in [("noendpoints.shop", rtype::A), ("noendpoints.shop", rtype::SRV)] {
        assert_eq!(told(&index, &format!("{name}.svc.cluster.local."), qtype), "NXDOMAIN cluster.local.");
    }
    assert_eq!(told(&index, "web.shop.svc.cluster.local.", rtype::A), "web.shop.svc.cluster.local. A 10.96.7.1");
}

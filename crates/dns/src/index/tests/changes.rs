use super::cluster::{self, at, service, slice};
use crate::asking;
use crate::index::{Index, IndexError, IndexOptions, IndexStats, Shape, Verdict};
use crate::protocol::{rcode, rtype};
use crate::reply::Transport;

fn empty() -> Index {
    let index = Index::new(&IndexOptions::default()).unwrap();
    index.set_synced(true);
    index
}

fn told(index: &Index, name: &str, qtype: u16) -> String {
    let (_, message) = asking::ask(index, &asking::question(name, qtype, None), Transport::Tcp);
    asking::told(&message)
}

const WEB: &str = "web.shop.svc.cluster.local.";

#[test]
fn before_it_is_in_step_every_name_in_the_zones_fails() {
    let index = cluster::index();
    index.set_synced(false);
    assert_eq!(told(&index, WEB, rtype::A), "SERVFAIL");
    assert_eq!(told(&index, "gone.shop.svc.cluster.local", rtype::A), "SERVFAIL");
    assert_eq!(told(&index, "1.7.96.10.in-addr.arpa", rtype::PTR), "SERVFAIL");
    let (verdict, _) = asking::ask(&index, &asking::question("example.com", rtype::A, None), Transport::Tcp);
    assert_eq!(verdict, Verdict::NotOurs);
    index.set_synced(true);
    assert_eq!(told(&index, WEB, rtype::A), format!("{WEB} A 10.96.7.1"));
}

#[test]
fn a_service_comes_changes_and_goes() {
    let index = empty();
    assert_eq!(told(&index, WEB, rtype::A), "NXDOMAIN cluster.local.");
    index.set_service(&service("shop", "web", at("10.96.0.9"), "http/80")).unwrap();
    assert_eq!(told(&index, WEB, rtype::A), format!("{WEB} A 10.96.0.9"));
    assert_eq!(told(&index, "9.0.96.10.in-addr.arpa", rtype::PTR), format!("9.0.96.10.in-addr.arpa. PTR {WEB}"));
    index.set_service(&service("shop", "web", at("10.96.0.8"), "http/80")).unwrap();
    assert_eq!(told(&index, WEB, rtype::A), format!("{WEB} A 10.96.0.8"));
    assert_eq!(told(&index, "9.0.96.10.in-addr.arpa", rtype::PTR), "NXDOMAIN in-addr.arpa.");
    index.set_service(&service("shop", "web", cluster::external("www.example.com"), "")).unwrap();
    assert_eq!(told(&index, WEB, rtype::CNAME), format!("{WEB} CNAME www.example.com."));
    assert_eq!(told(&index, "8.0.96.10.in-addr.arpa", rtype::PTR), "NXDOMAIN in-addr.arpa.");
    index.remove_service("shop", "web");
    assert_eq!(told(&index, WEB, rtype::CNAME), "NXDOMAIN cluster.local.");
    assert_eq!(told(&index, "shop.svc.cluster.local", rtype::A), "NXDOMAIN cluster.local.");
    assert_eq!(index.stats(), IndexStats { services: 0, namespaces: 0, addresses: 0, serial: 5 });
}

#[test]
fn slices_may_come_before_their_service_and_outlive_it() {
    let index = empty();
    index.set_slice(&slice("shop", "web-1", "web", "10.1.0.1=a 10.1.0.2", "http/80")).unwrap();
    assert_eq!(told(&index, WEB, rtype::A), "NXDOMAIN cluster.local.");
    index.set_service(&service("shop", "web", Shape::Headless, "http/80")).unwrap();
    assert_eq!(told(&index, WEB, rtype::A), format!("{WEB} A 10.1.0.1 + {WEB} A 10.1.0.2"));
    index.remove_service("shop", "web");
    assert_eq!(told(&index, WEB, rtype::A), "NXDOMAIN cluster.local.");
    index.set_service(&service("shop", "web", Shape::Headless, "http/80")).unwrap();
    assert_eq!(told(&index, WEB, rtype::A), format!("{WEB} A 10.1.0.1 + {WEB} A 10.1.0.2"));
    index.remove_slice("shop", "web-1");
    index.remove_service("shop", "web");
    assert_eq!(index.stats().services, 0);
    assert_eq!(index.stats().addresses, 0);
}

#[test]
fn a_slice_changes_its_endpoints_and_then_its_service() {
    let index = empty();
    for name in ["web", "other"] {
        index.set_service(&service("shop", name, Shape::Headless, "http/80")).unwrap();
    }
    index.set_slice(&slice("shop", "s", "web", "10.1.0.1 10.1.0.2", "http/80")).unwrap();
    index.set_slice(&slice("shop", "t", "web", "10.1.0.2", "http/80")).unwrap();
    index.set_slice(&slice("shop", "s", "web", "10.1.0.3", "http/80")).unwrap();
    assert_eq!(told(&index, WEB, rtype::A), format!("{WEB} A 10.1.0.2 + {WEB} A 10.1.0.3"));
    assert_eq!(told(&index, "1.0.1.10.in-addr.arpa", rtype::PTR), "NXDOMAIN in-addr.arpa.");
    index.set_slice(&slice("shop", "s", "other", "10.1.0.3", "http/80")).unwrap();
    assert_eq!(told(&index, WEB, rtype::A), format!("{WEB} A 10.1.0.2"));
    assert_eq!(told(&index, "other.shop.svc.cluster.local.", rtype::A), "other.shop.svc.cluster.local. A 10.1.0.3");
    assert_eq!(
        told(&index, "3.0.1.10.in-addr.arpa.", rtype::PTR),
        "3.0.1.10.in-addr.arpa. PTR 10-1-0-3.other.shop.svc.cluster.local."
    );
    assert!(matches!(
        index.set_slice(&slice("shop", "s", "", "10.1.0.3", "http/80")),
        Err(IndexError::Label { what: "Service", .. })
    ));
    assert_eq!(told(&index, "other.shop.svc.cluster.local.", rtype::A), "NXDOMAIN cluster.local.");
    assert_eq!(index.slices(), [("shop".to_owned(), "t".to_owned())]);
}

#[test]
fn namespaces_exist_while_something_speaks_for_them() {
    let index = empty();
    let exists = || told(&index, "shop.svc.cluster.local", rtype::A) == "NODATA cluster.local.";
    assert!(!exists());
    index.set_namespace("shop").unwrap();
    index.set_namespace("shop").unwrap();
    assert!(exists());
    index.set_service(&service("shop", "web", at("10.96.0.9"), "http/80")).unwrap();
    index.remove_namespace("shop");
    assert!(exists());
    assert!(index.namespaces().is_empty());
    index.remove_service("shop", "web");
    assert!(!exists());
}

#[test]
fn names_that_cannot_stand_in_dns_change_nothing() {
    let index = empty();
    index.set_service(&service("shop", "web", at("10.96.0.9"), "http/80")).unwrap();
    let before = index.stats();
    for (namespace, name) in [("", "web"), ("shop", ""), ("a.b", "web"), ("shop", &"x".repeat(64))] {
        let result = index.set_service(&service(namespace, name, at("10.96.0.9"), "http/80"));
        assert!(matches!(result, Err(IndexError::Label { .. })), "{namespace}/{name}");
    }
    let result = index.set_service(&service("shop", "web", cluster::external("a..b"), ""));
    assert!(matches!(result, Err(IndexError::ExternalName { .. })));
    assert!(index.set_namespace("a.b").is_err());
    index.remove_service("a.b", "");
    index.remove_slice("a.b", "");
    assert_eq!(index.stats(), before);
    assert_eq!(told(&index, WEB, rtype::A), format!("{WEB} A 10.96.0.9"));
}

#[test]
fn what_is_known_is_listed_in_order() {
    let index = cluster::index();
    let services = index.services();
    assert!(services.is_sorted());
    assert!(services.contains(&("default".to_owned(), "kubernetes".to_owned())));
    assert!(!services.iter().any(|(_, name)| name == "orphan"));
    assert!(index.slices().contains(&("shop".to_owned(), "orphan-1".to_owned())));
    assert_eq!(index.namespaces(), ["default", "empty-ns", "kube-system", "shop"]);
}

#[test]
fn zones_are_checked() {
    let with = |change: fn(&mut IndexOptions)| {
        let mut options = IndexOptions::default();
        change(&mut options);
        Index::new(&options).map(|_| ())
    };
    assert!(with(|_| {}).is_ok());
    assert!(matches!(with(|o| o.zones = vec!["a..b".to_owned()]), Err(IndexError::Zone { .. })));
    assert!(matches!(with(|o| o.zones = vec![format!("{}.local", "x".repeat(60))]), Err(IndexError::LongZone { .. })));
    assert!(matches!(with(|o| o.zones.clear()), Err(IndexError::NoZone)));
    assert!(matches!(with(|o| o.reverse_zones = vec!["example.com".to_owned()]), Err(IndexError::ReverseZone { .. })));
}

#[test]
fn a_zone_of_another_name_with_name_servers_pods_disabled_and_pod_names() {
    let options = IndexOptions {
        zones: vec!["k8s.example.org".to_owned()],
        name_servers: cluster::addresses("10.96.0.10 fd00:96::a"),
        pods: crate::index::PodNames::Disabled,
        endpoint_pod_names: true,
        ttl: 30,
        negative_ttl: 7,
        ..IndexOptions::default()
    };
    let index = cluster::index_with(&options);
    let mut pods = slice("shop", "db-2", "db", "10.1.0.7 10.1.0.8", "pg/5432");
    pods.endpoints[0].pod = Some("db-7".to_owned());
    pods.endpoints[1].pod = Some("not.a.label".to_owned());
    index.set_slice(&pods).unwrap();
    let zone = "k8s.example.org.";
    assert_eq!(
        told(&index, "db-7.db.shop.svc.k8s.example.org.", rtype::A),
        "db-7.db.shop.svc.k8s.example.org. A 10.1.0.7"
    );
    assert_eq!(
        told(&index, "10-1-0-8.db.shop.svc.k8s.example.org.", rtype::A),
        "10-1-0-8.db.shop.svc.k8s.example.org. A 10.1.0.8"
    );
    assert_eq!(told(&index, "10-1-2-3.shop.pod.k8s.example.org", rtype::A), format!("NXDOMAIN {zone}"));
    assert_eq!(told(&index, "shop.pod.k8s.example.org", rtype::A), format!("NXDOMAIN {zone}"));
    assert_eq!(
        told(&index, zone, rtype::NS),
        format!("{zone} NS ns.dns.{zone} / ns.dns.{zone} A 10.96.0.10 + ns.dns.{zone} AAAA fd00:96::a")
    );
    assert_eq!(told(&index, "ns.dns.k8s.example.org", rtype::A), format!("ns.dns.{zone} A 10.96.0.10"));
    let packet = asking::question("web.shop.svc.k8s.example.org", rtype::A, None);
    let (_, message) = asking::ask(&index, &packet, Transport::Tcp);
    assert_eq!(message.answers[0].ttl, 30);
    let (_, message) = asking::ask(&index, &asking::question("gone.k8s.example.org", rtype::A, None), Transport::Tcp);
    assert_eq!(message.authorities[0].ttl, 7);
    assert_eq!(told(&index, "web.shop.svc.cluster.local", rtype::A), "NOERROR");
}

#[test]
fn reverse_names_of_public_addresses_may_fall_through() {
    use crate::index::Fallthrough;
    let verdict = |fallthrough, name: &str, qtype| {
        let index = cluster::index_with(&IndexOptions { fallthrough, ..IndexOptions::default() });
        asking::ask(&index, &asking::question(name, qtype, None), Transport::Tcp).0
    };
    let (no, yes) = (Verdict::Answered(rcode::NXDOMAIN), Verdict::Fallthrough(rcode::NXDOMAIN));
    let public = [
        "8.8.8.8.in-addr.arpa",
        "8.in-addr.arpa",
        "1.0.15.172.in-addr.arpa",
        "1.0.32.172.in-addr.arpa",
        "1.0.63.100.in-addr.arpa",
        "8.8.8.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.0.6.8.4.1.0.0.2.ip6.arpa",
    ];
    let private = [
        "9.9.9.10.in-addr.arpa",
        "10.in-addr.arpa",
        "1.0.16.172.in-addr.arpa",
        "1.0.31.172.in-addr.arpa",
        "1.1.168.192.in-addr.arpa",
        "1.1.254.169.in-addr.arpa",
        "1.0.64.100.in-addr.arpa",
        "1.2.0.192.in-addr.arpa",
        "1.0.0.127.in-addr.arpa",
        "d.f.ip6.arpa",
        "0.8.e.f.ip6.arpa",
        "8.b.d.0.1.0.0.2.ip6.arpa",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    ];
    for name in public {
        assert_eq!(verdict(Fallthrough::Public, name, rtype::PTR), yes, "{name}");
        assert_eq!(verdict(Fallthrough::None, name, rtype::PTR), no, "{name}");
    }
    for name in private {
        assert_eq!(verdict(Fallthrough::Public, name, rtype::PTR), no, "{name}");
        assert_eq!(verdict(Fallthrough::All, name, rtype::PTR), yes, "{name}");
    }
    assert_eq!(verdict(Fallthrough::Public, "8.8.8.in-addr.arpa", rtype::SOA), Verdict::Fallthrough(rcode::NOERROR));
    assert_eq!(verdict(Fallthrough::All, "1.7.96.10.in-addr.arpa", rtype::PTR), Verdict::Answered(rcode::NOERROR));
}

#[test]
fn an_alias_that_leads_outside_goes_on_there() {
    let index = cluster::index();
    for (name, target) in [("ext", "target.example.com"), ("aliasout", "target.example.com")] {
        let packet = asking::question(&format!("{name}.shop.svc.cluster.local"), rtype::A, None);
        let (verdict, _) = asking::ask(&index, &packet, Transport::Tcp);
        assert_eq!(verdict, Verdict::Continue(asking::name(target)), "{name}");
    }
}

/// Readers ask while a writer changes: every answer is one that was true at some time, old or new but never mixed.
#[test]
fn questions_and_changes_at_once() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let index = empty();
    let stopped = AtomicBool::new(false);
    let states = ["10.1.0.1 10.1.0.2", "10.2.0.1 10.2.0.2", "10.3.0.1=a 10.3.0.2=b 10.3.0.3=c"];
    let truths = states.map(|state| {
        let addresses = state.split(' ').map(|endpoint| endpoint.split('=').next().unwrap_or_default());
        addresses.map(|address| format!("{WEB} A {address}")).collect::<Vec<_>>().join(" + ")
    });
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut asked = 0;
                    while !stopped.load(Ordering::Relaxed) {
                        let told = told(&index, WEB, rtype::A);
                        assert!(told == "NXDOMAIN cluster.local." || truths.contains(&told), "{told}");
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for round in 0..3000 {
            match round % 5 {
                0 => index.set_service(&service("shop", "web", Shape::Headless, "http/80")).unwrap(),
                4 => index.remove_service("shop", "web"),
                state => index.set_slice(&slice("shop", "web-1", "web", states[state - 1], "http/80")).unwrap(),
            }
        }
        stopped.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}

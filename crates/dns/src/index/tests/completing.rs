//! Search paths are gone through for Pods that have asked from where they are.

use super::cluster;
use crate::asking;
use crate::index::{Index, IndexOptions, PodRecord, SearchOptions, Verdict};
use crate::protocol::rtype;
use crate::reply::Transport;

fn index(further: &[&str]) -> Index {
    let further = further.iter().map(|domain| (*domain).to_owned()).collect();
    let index =
        cluster::index_with(&IndexOptions { search: Some(SearchOptions { further }), ..IndexOptions::default() });
    index.set_pod(&pod("shop", "a", "10.9.0.1", true)).unwrap();
    index.set_pod(&pod("default", "b", "10.9.0.2", true)).unwrap();
    index.set_pod(&pod("shop", "own-search-path", "10.9.0.3", false)).unwrap();
    index.set_pod(&pod("shop", "host-1", "10.9.0.4", true)).unwrap();
    index.set_pod(&pod("default", "host-2", "10.9.0.4", true)).unwrap();
    index
}

fn pod(namespace: &str, name: &str, address: &str, searches: bool) -> PodRecord {
    let addresses = cluster::addresses(address);
    PodRecord { namespace: namespace.to_owned(), name: name.to_owned(), addresses, searches }
}

/// What a Pod is told that asks for a name: the answer, or the names that are to be asked for outside.
fn told(index: &Index, client: &str, name: &str, qtype: u16) -> String {
    let (verdict, message) = asking::search(index, &asking::question(name, qtype, None), client, true);
    match verdict {
        Some(Verdict::Search(names)) => format!("then {names:?}"),
        Some(_) => asking::told(&message),
        None => format!("plain {}", asking::told(&message)),
    }
}

/// Records in the order in which an answer is printed.
fn sorted(records: &str) -> String {
    let mut lines: Vec<_> = records.split(" + ").collect();
    lines.sort_unstable();
    lines.join(" + ")
}

#[test]
fn the_first_name_of_a_search_path_leads_to_the_one_that_is_meant() {
    let index = index(&[]);
    let rows = [
        ("www.example.com", "then [www.example.com.]"),
        ("example.com", "then [example.com.]"),
        ("lone.untold", "lone.untold.$d CNAME lone.untold.svc.$z + lone.untold.svc.$z A 10.96.7.9"),
        ("web.shop.svc", "web.shop.svc.$d CNAME web.shop.svc.$z + web.shop.svc.$z A 10.96.7.1"),
        (
            "web.shop.svc.cluster.local",
            "web.shop.svc.cluster.local.$d CNAME web.shop.svc.$z + web.shop.svc.$z A 10.96.7.1",
        ),
        ("db-0.db.shop.svc", "db-0.db.shop.svc.$d CNAME db-0.db.shop.svc.$z + db-0.db.shop.svc.$z A 10.1.0.1"),
        ("gone.shop.svc.cluster.local", "NXDOMAIN $z"),
        ("six.shop", "NODATA"),
        // An alias, to which the asker comes by itself.
        ("ext.shop", "NXDOMAIN $z"),
        // Nobody means anything from elsewhere by these.
        ("gone", "plain NXDOMAIN $z"),
        ("_http._tcp.gone", "plain NXDOMAIN $z"),
    ];
    for (name, want) in rows {
        let want = sorted(&want.replace("$d", "default.svc.$z").replace("$z", "cluster.local."));
        let told = told(&index, "10.9.0.2", &format!("{name}.default.svc.cluster.local."), rtype::A);
        assert!(
            told == want || want == "NODATA" && told.contains("CNAME six.shop.svc"),
            "{name}\n told {told}\n want {want}"
        );
    }
    let name = "db-9.db.shop.svc.cluster.local.";
    assert_eq!(told(&index, "10.9.0.1", name, rtype::A), "plain NXDOMAIN cluster.local.", "below a Service");
    let name = "www.example.com.shop.svc.cluster.local.";
    assert_eq!(told(&index, "10.9.0.1", name, rtype::AAAA), "then [www.example.com.]");
    assert_eq!(told(&index, "10.9.0.1", name, rtype::MX), "plain NXDOMAIN cluster.local.");
    assert_eq!(told(&index, "::ffff:10.9.0.1", name, rtype::A), "then [www.example.com.]");
    let later = [
        "www.example.com.svc.cluster.local.",
        "www.example.com.cluster.local.",
        "www.example.com.shop.pod.cluster.local.",
    ];
    for later in later {
        assert_eq!(told(&index, "10.9.0.1", later, rtype::A), "plain NXDOMAIN cluster.local.");
    }
}

#[test]
fn it_is_the_pod_that_counts_and_not_its_address_alone() {
    let index = index(&[]);
    let plain = "plain NXDOMAIN cluster.local.";
    let asks = |client: &str, namespace: &str| {
        told(&index, client, &format!("www.example.com.{namespace}.svc.cluster.local."), rtype::A)
    };
    assert_eq!(asks("10.9.0.1", "shop"), "then [www.example.com.]");
    assert_eq!(asks("10.9.0.1", "default"), plain, "not its namespace");
    assert_eq!(asks("10.9.0.3", "shop"), plain, "it has a search path of its own");
    assert_eq!(asks("10.9.0.9", "shop"), plain, "nobody is known there");
    for namespace in ["shop", "default"] {
        assert_eq!(asks("10.9.0.4", namespace), "then [www.example.com.]", "each by its own name");
    }
    index.set_pod(&pod("shop", "host-3", "10.9.0.4", false)).unwrap();
    assert_eq!(asks("10.9.0.4", "shop"), plain, "it may be one that searches elsewhere");
    index.remove_pod("shop", "host-3");
    // The address is another's now, and that one's namespace has come before the old one's end is known.
    index.set_pod(&pod("default", "c", "10.9.0.1", true)).unwrap();
    assert_eq!(asks("10.9.0.1", "default"), "then [www.example.com.]");
    index.remove_pod("shop", "a");
    assert_eq!(asks("10.9.0.1", "shop"), plain);
    index.set_pod(&pod("default", "c", "10.9.0.1", false)).unwrap();
    assert_eq!(asks("10.9.0.1", "default"), plain, "what it searches has changed");
}

#[test]
fn the_nodes_own_domains_come_after_the_clusters() {
    let index = index(&["corp.example", "example"]);
    let name = "www.intra.shop.svc.cluster.local.";
    let want = "then [www.intra.corp.example., www.intra.example., www.intra.]";
    assert_eq!(told(&index, "10.9.0.1", name, rtype::A), want);
    let long = format!("{}.shop.svc.cluster.local.", ["a".repeat(60).as_str(); 3].join("."));
    assert!(told(&index, "10.9.0.1", &long, rtype::A).starts_with("then ["));
}

#[test]
fn nothing_is_gone_through_where_that_is_off_or_nobody_can_be_asked() {
    let packet = asking::question("www.example.com.shop.svc.cluster.local.", rtype::A, None);
    let off = cluster::index();
    off.set_pod(&pod("shop", "a", "10.9.0.1", true)).unwrap();
    assert!(!off.searches());
    assert_eq!(asking::search(&off, &packet, "10.9.0.1", true).0, None);
    let (verdict, message) = asking::search(&index(&[]), &packet, "10.9.0.1", false);
    assert_eq!(verdict, Some(Verdict::Answered(3)));
    assert_eq!(asking::told(&message), "NXDOMAIN cluster.local.");
}

#[test]
fn a_question_that_was_completed_is_not_wasted() {
    let index = index(&[]);
    let wasted = || index.search_misses().iter().map(|(_, count)| count).sum::<u64>();
    let ask = |client: &str, name: &str| {
        let question = asking::question(name, rtype::A, None);
        assert!(asking::told(&asking::ask(&index, &question, Transport::Tcp).1).starts_with("NXDOMAIN"), "{name}");
        told(&index, client, name, rtype::A)
    };
    assert_eq!(ask("10.9.0.1", "www.example.com.shop.svc.cluster.local."), "then [www.example.com.]");
    assert!(ask("10.9.0.2", "lone.untold.default.svc.cluster.local.").contains("10.96.7.9"));
    assert_eq!(wasted(), 0);
    ask("10.9.0.1", "gone.shop.svc.cluster.local.shop.svc.cluster.local.");
    assert_eq!(wasted(), 1, "it leads to nothing");
    ask("10.9.0.9", "www.example.com.shop.svc.cluster.local.");
    assert_eq!(wasted(), 2, "nobody is known there");
    ask("10.9.0.9", "gone.shop.svc.cluster.local.");
    assert_eq!(wasted(), 2, "nothing from elsewhere");
}

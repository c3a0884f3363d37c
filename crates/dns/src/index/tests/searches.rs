//! Questions that search paths made in vain are counted by namespace.

use super::cluster;
use crate::asking;
use crate::protocol::rtype;
use crate::reply::Transport;

#[test]
fn what_a_search_path_makes_of_names_from_elsewhere_is_counted() {
    let index = cluster::index();
    let counts_after = |name: &str| {
        let _answer = asking::ask(&index, &asking::question(name, rtype::A, None), Transport::Tcp);
        let counts = index.search_misses();
        let of = |wanted: &str| counts.iter().find(|(namespace, _)| namespace == wanted).map_or(0, |(_, count)| *count);
        (of("shop"), of(""))
    };
    let rows = [
        ("www.example.com.shop.svc.cluster.local", (1, 0)),
        ("example.com.shop.svc.cluster.local", (2, 0)),
        ("web.shop.svc.cluster.local.shop.svc.cluster.local", (3, 0)),
        ("www.example.com.svc.cluster.local", (3, 1)),
        ("example.com.svc.cluster.local", (3, 2)),
        ("www.example.com.cluster.local", (3, 3)),
        // What somebody meant to ask: names that exist, Services and endpoints that do not.
        ("web.shop.svc.cluster.local", (3, 3)),
        ("gone.shop.svc.cluster.local", (3, 3)),
        ("db-9.db.shop.svc.cluster.local", (3, 3)),
        ("_nope._tcp.web.shop.svc.cluster.local", (3, 3)),
        ("_nope._tcp.gone.shop.svc.cluster.local", (3, 3)),
        ("gone.svc.cluster.local", (3, 3)),
        ("cluster.local", (3, 3)),
        ("1-2-3.shop.pod.cluster.local", (3, 3)),
        ("www.example.com", (3, 3)),
    ];
    for (name, counts) in rows {
        assert_eq!(counts_after(name), counts, "{name}");
    }
    // A namespace that is told again goes on counting.
    index.set_namespace("shop").unwrap();
    assert_eq!(index.search_misses(), [(String::new(), 3), ("shop".to_owned(), 3)]);
}

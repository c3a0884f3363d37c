use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use super::plan::{self, CONDITION, Plan, REFUSED, Report, SERVICES_VERSION, SLICES_VERSION, UNDER_WAY, Wanted};
use crate::change::{NODES, SERVICES};
use crate::objects::{Lease, Node};
use crate::world::World;

const LONG: Duration = Duration::from_secs(5);

/// A cluster with a Service `shop/web` and nodes that are ready and older than a minute.
struct Cluster {
    world: World,
    reports: BTreeMap<String, Report>,
}

impl Cluster {
    fn new(nodes: &[&str]) -> Self {
        let mut world = World::default();
        for node in nodes {
            let ready = json!([{"type": "Ready", "status": "True"}]);
            world.put(NODES, json!({"metadata": {"name": node}, "status": {"conditions": ready}}));
        }
        world.put(SERVICES, json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {}}));
        world.pass(120);
        Self { world, reports: BTreeMap::new() }
    }

    fn reports(mut self, node: &str, services: u64, slices: u64, refused: &str) -> Self {
        let annotations = json!({
            SERVICES_VERSION: services.to_string(), SLICES_VERSION: slices.to_string(), REFUSED: refused,
        });
        let name = format!("portolan.{node}");
        let lease: Lease = serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": annotations}, "spec": {"holderIdentity": node},
        }))
        .unwrap();
        let (node, report) = Report::of(&lease).unwrap();
        self.reports.insert(node.to_owned(), report);
        self
    }

    fn service(&self) -> Arc<Service> {
        self.world.get("shop", "web").unwrap()
    }

    fn plan(&self, wanted: Wanted, waited: Duration) -> Plan {
        let nodes = self.world.all::<Node>();
        plan::plan(&self.service(), &wanted, &nodes, &self.reports, waited, self.world.now)
    }

    /// Carries the plan out; the condition as `STATUS REASON: MESSAGE`.
    fn said(&mut self, wanted: Wanted, waited: Duration) -> String {
        if let Some(change) = self.plan(wanted, waited).change {
            self.world.apply(&change).unwrap();
        }
        let document = self.world.document(SERVICES, "shop", "web").unwrap();
        let conditions = document["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let Some(condition) = conditions.iter().find(|c| c["type"] == CONDITION) else { return "nothing".to_owned() };
        let text = |field: &str| condition[field].as_str().unwrap().to_owned();
        format!("{} {}: {}", text("status"), text("reason"), text("message"))
    }
}

const WANTED: Wanted = Wanted { service: 10, slices: 20 };

#[test]
fn a_service_is_programmed_when_every_node_has_its_newest_versions() {
    let mut cluster = Cluster::new(&["a", "b"]).reports("a", 10, 20, "").reports("b", 11, 25, "");
    assert_eq!(cluster.said(WANTED, LONG), "True Programmed: the kernel of every node has the newest version");
    let plan = cluster.plan(WANTED, LONG);
    assert_eq!(plan, Plan::default(), "what is said already is not said again");
}

#[test]
fn a_change_of_the_service_itself_lags_at_once() {
    let mut cluster = Cluster::new(&["a", "b"]).reports("a", 9, 20, "").reports("b", 9, 20, "");
    assert!(cluster.said(Wanted { service: 9, slices: 20 }, Duration::ZERO).starts_with("True"));
    cluster = cluster.reports("a", 10, 20, "");
    assert_eq!(cluster.said(WANTED, Duration::ZERO), "False NodesLag: the newest version is not yet on b");
    assert!(cluster.plan(WANTED, LONG).waits);
}

#[test]
fn a_new_service_and_a_change_of_endpoints_have_a_second() {
    let cluster = Cluster::new(&["a"]).reports("a", 9, 20, "");
    let plan = cluster.plan(WANTED, Duration::ZERO);
    assert_eq!((plan.change, plan.waits, plan.again), (None, true, Some(UNDER_WAY)));

    let mut cluster = Cluster::new(&["a"]).reports("a", 10, 19, "");
    assert!(cluster.said(Wanted { service: 10, slices: 19 }, LONG).starts_with("True"));
    let plan = cluster.plan(WANTED, Duration::ZERO);
    assert_eq!((plan.change, plan.waits, plan.again), (None, true, Some(UNDER_WAY)));
    assert_eq!(cluster.said(WANTED, UNDER_WAY), "False NodesLag: the newest version is not yet on a");
}

#[test]
fn a_node_that_refuses_is_named() {
    let mut cluster = Cluster::new(&["a", "b"]).reports("a", 10, 20, "shop/other shop/web").reports("b", 10, 20, "");
    assert_eq!(cluster.said(WANTED, LONG), "False Refused: the kernel refuses it on a; the Service's events say why");
}

#[test]
fn many_nodes_are_counted() {
    let mut cluster = Cluster::new(&["a", "b", "c", "d", "e"]);
    assert_eq!(cluster.said(WANTED, LONG), "False NodesLag: no report was ever seen of a, b, c and 2 more");
}

#[test]
fn nodes_that_are_down_or_new_are_not_waited_for() {
    let mut cluster = Cluster::new(&["a", "b", "c"]).reports("a", 10, 20, "").reports("b", 1, 1, "");
    let down = json!({"conditions": [{"type": "Ready", "status": "Unknown"}]});
    cluster.world.put(NODES, json!({"metadata": {"name": "b"}, "status": down}));
    let created = cluster.world.now.to_string();
    cluster.world.put(NODES, json!({"metadata": {"name": "c", "creationTimestamp": created}}));
    assert!(cluster.said(WANTED, LONG).starts_with("True "));
    cluster.world.pass(60);
    assert_eq!(cluster.said(WANTED, LONG), "False NodesLag: no report was ever seen of c");
}

#[test]
fn with_no_node_nothing_is_programmed() {
    let mut cluster = Cluster::new(&[]);
    assert_eq!(cluster.said(WANTED, LONG), "False NoNodes: no node that is ready has an agent");
}

#[test]
fn the_time_of_a_condition_is_that_of_its_last_turn() {
    let mut cluster = Cluster::new(&["a"]).reports("a", 9, 20, "");
    let since = |cluster: &Cluster| {
        let document = cluster.world.document(SERVICES, "shop", "web").unwrap();
        document["status"]["conditions"][0]["lastTransitionTime"].as_str().unwrap().to_owned()
    };
    cluster.said(WANTED, LONG);
    let first = since(&cluster);
    cluster.world.pass(10);
    cluster.reports.get_mut("a").unwrap().refused.insert(crate::cache::Key::new("shop", "web"));
    assert!(cluster.said(WANTED, LONG).starts_with("False Refused"));
    assert_eq!(since(&cluster), first, "it is still false");
    cluster = cluster.reports("a", 10, 20, "");
    assert!(cluster.said(WANTED, LONG).starts_with("True"));
    assert_ne!(since(&cluster), first);
}

#[test]
fn only_what_clients_can_see_makes_a_new_version() {
    let service = |document| serde_json::from_value::<Service>(document).unwrap();
    let old = service(json!({"spec": {"clusterIP": "10.0.0.1"}}));
    let said = json!({"conditions": [{
        "type": CONDITION, "status": "True", "reason": "Programmed", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]});
    assert!(!plan::matters(&old, &service(json!({"spec": {"clusterIP": "10.0.0.1"}, "status": said}))));
    let balanced = json!({"loadBalancer": {"ingress": [{"ip": "172.30.0.200"}]}});
    assert!(plan::matters(&old, &service(json!({"spec": {"clusterIP": "10.0.0.1"}, "status": balanced}))));
    assert!(plan::matters(
        &old,
        &service(json!({"spec": {"clusterIP": "10.0.0.1", "internalTrafficPolicy": "Local"}}))
    ));
}

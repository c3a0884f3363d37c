use k8s_openapi::api::core::v1::{EndpointSubset, Service};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::subsets::{CAPACITY, Packer, truncate};
use super::*;
use crate::change::PODS;
use crate::objects::Pod;
use crate::world::World;

fn world(spec: Value) -> World {
    let mut world = World::default();
    let mut service = json!({
        "metadata": {"namespace": "shop", "name": "web", "labels": {"team": "a"}},
        "spec": {"clusterIP": "10.96.0.5", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]}});
    for (field, content) in spec.as_object().unwrap() {
        service["spec"][field] = content.clone();
    }
    world.put(SERVICES, service);
    world
}

fn put_pod(world: &mut World, name: &str, ip: &str, ready: bool, ports: Value) {
    world.put(
        PODS,
        json!({
        "metadata": {"namespace": "shop", "name": name, "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": ports}]},
        "status": {"phase": "Running", "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}}),
    );
}

fn settle(world: &mut World) -> Value {
    let make = |world: &World| {
        let service = world.get::<Service>("shop", "web").unwrap();
        plan::plan(&service, &world.all::<Pod>(), world.get::<Endpoints>("shop", "web").as_deref(), None)
    };
    if let Some(change) = make(world) {
        world.apply(&change).unwrap();
    }
    assert_eq!(make(world), None, "a second plan changes nothing");
    world.document(ENDPOINTS, "shop", "web").unwrap().clone()
}

/// `ip,ip|ip:port/protocol …` for each subset: ready, not ready, ports.
fn told(endpoints: &Value) -> Vec<String> {
    let list = |value: &Value, show: &dyn Fn(&Value) -> String| {
        value.as_array().into_iter().flatten().map(show).collect::<Vec<_>>().join(",")
    };
    let ip = |a: &Value| a["ip"].as_str().unwrap().to_owned();
    let port = |p: &Value| format!("{}={}", p["name"].as_str().unwrap_or("-"), p["port"]);
    endpoints["subsets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|s| {
            format!(
                "{}|{} {}",
                list(&s["addresses"], &ip),
                list(&s["notReadyAddresses"], &ip),
                list(&s["ports"], &port)
            )
        })
        .collect()
}

#[test]
fn endpoints_look_as_kubernetes_makes_them() {
    let mut world = world(json!({}));
    put_pod(&mut world, "a", "10.0.0.1", true, json!([]));
    let mut endpoints = settle(&mut world);
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
        endpoints["metadata"].as_object_mut().unwrap().remove(field);
    }
    assert_eq!(
        endpoints,
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"namespace": "shop", "name": "web",
                "labels": {"team": "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}},
            "subsets": [{
                "addresses": [{"ip": "10.0.0.1", "nodeName": "n1",
                    "targetRef": {"kind": "Pod", "namespace": "shop", "name": "a", "uid": "a"}}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}],
        })
    );
}

#[test]
fn addresses_and_ports_are_packed() {
    let ports =
        json!([{"name": "http", "port": 80, "targetPort": "web"}, {"name": "admin", "port": 81, "targetPort": 9000}]);
    let mut world = world(json!({"ports": ports}));
    let named = |number: i32| json!([{"name": "web", "containerPort": number}]);
    put_pod(&mut world, "a", "10.0.0.1", true, named(8080));
    put_pod(&mut world, "b", "10.0.0.2", false, named(8080));
    assert_eq!(told(&settle(&mut world)), ["10.0.0.1|10.0.0.2 admin=9000,http=8080"]);
    put_pod(&mut world, "c", "10.0.0.3", true, named(9090));
    assert_eq!(
        told(&settle(&mut world)),
        ["10.0.0.1,10.0.0.3|10.0.0.2 admin=9000", "10.0.0.1|10.0.0.2 http=8080", "10.0.0.3| http=9090"]
    );
}

#[test]
fn pods_that_end_are_left_out_unless_published() {
    for (publish, wanted) in [(false, vec!["10.0.0.1| http=8080"]), (true, vec!["10.0.0.1,10.0.0.2| http=8080"])] {
        let mut world = world(json!({"publishNotReadyAddresses": publish}));
        put_pod(&mut world, "a", "10.0.0.1", true, json!([]));
        put_pod(&mut world, "b", "10.0.0.2", true, json!([]));
        put_pod(&mut world, "c", "10.0.0.3", true, json!([]));
        world
            .edit(PODS, &Key::new("shop", "b"), |p| p["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
        world.edit(PODS, &Key::new("shop", "c"), |p| p["status"]["phase"] = json!("Failed"));
        assert_eq!(told(&settle(&mut world)), wanted);
    }
}

#[test]
fn a_headless_service_without_ports_has_addresses_all_the_same() {
    let mut world = world(json!({"clusterIP": "None", "ports": []}));
    put_pod(&mut world, "a", "10.0.0.1", true, json!([]));
    let endpoints = settle(&mut world);
    assert_eq!(told(&endpoints), ["10.0.0.1| "]);
    assert_eq!(endpoints["metadata"]["labels"]["service.kubernetes.io/headless"], "");
}

#[test]
fn no_pods_are_endpoints_without_subsets() {
    let mut world = world(json!({}));
    assert_eq!(settle(&mut world)["subsets"], Value::Null);
}

#[test]
fn what_was_packed_otherwise_is_left_as_it_is() {
    let mut world =
        world(json!({"ports": [{"name": "a", "port": 1, "targetPort": 1}, {"name": "b", "port": 2, "targetPort": 2}]}));
    put_pod(&mut world, "p", "10.0.0.1", true, json!([]));
    settle(&mut world);
    let key = Key::new("shop", "web");
    world.edit(ENDPOINTS, &key, |e| {
        let mut second = e["subsets"][0].clone();
        second["ports"].as_array_mut().unwrap().remove(0);
        e["subsets"][0]["ports"].as_array_mut().unwrap().remove(1);
        e["subsets"].as_array_mut().unwrap().push(second);
    });
    let writes = world.writes;
    settle(&mut world);
    assert_eq!(world.writes, writes);
}

#[test]
fn what_is_beyond_the_capacity_is_left_out_the_unready_first() {
    let mut world = world(json!({}));
    for i in 0..1005 {
        put_pod(&mut world, &format!("p{i}"), &format!("10.0.{}.{}", i / 250, i % 250), i < 990, json!([]));
    }
    let endpoints = settle(&mut world);
    assert_eq!(endpoints["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"], "truncated");
    let count = |field: &str| endpoints["subsets"][0][field].as_array().unwrap().len();
    assert_eq!((count("addresses"), count("notReadyAddresses")), (990, 10));
    for i in 0..10 {
        world.remove(PODS, &Key::new("shop", &format!("p{i}")));
    }
    assert_eq!(settle(&mut world)["metadata"]["annotations"], Value::Null);
}

fn subset() -> impl Strategy<Value = EndpointSubset> {
    let addresses = || prop::collection::btree_set(0..6_u8, 0..4);
    (addresses(), addresses(), prop::collection::btree_set(1..5_i32, 1..3)).prop_map(|(ready, not_ready, ports)| {
        let ip = |i: &u8| json!({"ip": format!("10.0.0.{i}")});
        serde_json::from_value(json!({
            "addresses": ready.iter().map(ip).collect::<Vec<_>>(),
            "notReadyAddresses": not_ready.iter().map(ip).collect::<Vec<_>>(),
            "ports": ports.iter().map(|p| json!({"name": format!("p{p}"), "port": p, "protocol": "TCP"})).collect::<Vec<_>>()}))
        .unwrap()
    })
}

/// Every pair of address and port that subsets say, and whether it is ready (said twice: only if both times).
fn pairs(subsets: &[EndpointSubset]) -> std::collections::BTreeMap<(String, i32), bool> {
    let mut pairs = std::collections::BTreeMap::new();
    for subset in subsets {
        let ports: Vec<i32> = subset.ports.iter().flatten().map(|p| p.port).collect();
        let ports = if ports.is_empty() { vec![0] } else { ports };
        for (list, ready) in [(&subset.addresses, true), (&subset.not_ready_addresses, false)] {
            for address in list.iter().flatten() {
                for port in &ports {
                    *pairs.entry((address.ip.clone(), *port)).or_insert(true) &= ready;
                }
            }
        }
    }
    pairs
}

proptest! {
    /// Packing says exactly what was said, says it once, and packing again changes nothing.
    #[test]
    fn packing_changes_nothing_that_is_said(subsets in prop::collection::vec(subset(), 0..6)) {
        let pack = |subsets: &[EndpointSubset]| {
            let mut packer = Packer::default();
            packer.add_all(subsets);
            packer.pack()
        };
        let packed = pack(&subsets);
        prop_assert_eq!(pairs(&packed), pairs(&subsets));
        prop_assert_eq!(pack(&packed), packed.clone());
        let said: usize = packed.iter().map(|s| {
            let addresses = s.addresses.iter().chain(&s.not_ready_addresses).map(Vec::len).sum::<usize>();
            addresses * s.ports.as_ref().map_or(1, Vec::len)
        }).sum();
        prop_assert_eq!(said, pairs(&packed).len());
    }

    /// Truncation leaves exactly the capacity, ready ones as far as there are any.
    #[test]
    fn truncation_leaves_the_capacity(sizes in prop::collection::vec((0..900_usize, 0..900_usize), 1..5)) {
        let address = |i: usize| json!({"ip": format!("10.{}.{}.1", i / 250, i % 250)});
        let mut subsets: Vec<EndpointSubset> = sizes.iter().map(|(ready, not_ready)| serde_json::from_value(json!({
            "addresses": (0..*ready).map(address).collect::<Vec<_>>(),
            "notReadyAddresses": (0..*not_ready).map(address).collect::<Vec<_>>()})).unwrap()).collect();
        let sum = |subsets: &[EndpointSubset]| {
            let len = |list: &Option<Vec<_>>| list.as_ref().map_or(0, Vec::len);
            subsets.iter().fold((0, 0), |(r, n), s| (r + len(&s.addresses), n + len(&s.not_ready_addresses)))
        };
        let before = sum(&subsets);
        let cut = truncate(&mut subsets);
        let after = sum(&subsets);
        prop_assert_eq!(cut, before.0 + before.1 > CAPACITY);
        prop_assert_eq!(after.0, before.0.min(CAPACITY));
        prop_assert_eq!(after.0 + after.1, (before.0 + before.1).min(CAPACITY));
    }
}

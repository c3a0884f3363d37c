use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::plan::*;
use super::*;
use crate::change::{ENDPOINTS, SERVICES};
use crate::world::World;

fn world(subsets: Value) -> World {
    let mut world = World::default();
    world.put(SERVICES, json!({"metadata": {"namespace": "shop", "name": "db"}, "spec": {"clusterIP": "10.96.0.9"}}));
    world.put(ENDPOINTS, json!({
        "metadata": {"namespace": "shop", "name": "db", "uid": "ep", "labels": {"team": "a"},
            "annotations": {"note": "x", "endpoints.kubernetes.io/last-change-trigger-time": "y", "kubectl.kubernetes.io/last-applied-configuration": "z"}},
        "subsets": subsets}));
    world
}

fn make_plan(world: &World) -> Plan {
    let slices: Vec<_> = world.all::<EndpointSlice>();
    plan(world.get::<Endpoints>("shop", "db").as_deref(), world.get::<Service>("shop", "db").as_deref(), &slices)
}

fn settle(world: &mut World) -> Vec<Value> {
    let plan = make_plan(world);
    world.apply_all(&plan.changes);
    assert_eq!(make_plan(world).changes, [], "a second plan changes nothing");
    world.all::<EndpointSlice>().iter().map(|slice| serde_json::to_value(&**slice).unwrap()).collect()
}

fn edit(world: &mut World, edit: impl FnOnce(&mut Value)) {
    world.edit(ENDPOINTS, &Key::new("shop", "db"), edit);
}

#[test]
fn a_slice_says_what_the_endpoints_say() {
    let mut world =
        world(json!([{"addresses": [{"ip": "1.2.3.4", "hostname": "one"}], "notReadyAddresses": [{"ip": "1.2.3.5"}],
        "ports": [{"port": 9376}]}]));
    let mut slices = settle(&mut world);
    let mut slice = slices.remove(0);
    assert!(slice["metadata"]["name"].as_str().unwrap().starts_with("db-"));
    for field in ["name", "uid", "resourceVersion", "creationTimestamp", "generation"] {
        slice["metadata"].as_object_mut().unwrap().remove(field);
    }
    assert_eq!(
        slice,
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"generateName": "db-", "namespace": "shop", "annotations": {"note": "x"},
                "labels": {"team": "a", "kubernetes.io/service-name": "db",
                    "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Endpoints", "name": "db", "uid": "ep",
                    "controller": true, "blockOwnerDeletion": true}]},
            "ports": [{"name": "", "port": 9376, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": ["1.2.3.4"], "conditions": {"ready": true}, "hostname": "one"},
                {"addresses": ["1.2.3.5"], "conditions": {"ready": false}}],
        })
    );
}

#[test]
fn families_and_ports_have_slices_of_their_own_and_slices_are_used_again() {
    let mut world = world(json!([
        {"addresses": [{"ip": "1.2.3.4"}, {"ip": "fd00::1"}, {"ip": "1.2.3.4"}], "ports": [{"name": "a", "port": 1}]},
        {"addresses": [{"ip": "1.2.3.9"}], "ports": [{"name": "b", "port": 2}]}]));
    assert_eq!(settle(&mut world).len(), 3);
    edit(&mut world, |e| {
        e["subsets"] = json!([{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"name": "c", "port": 3}]}])
    });
    let names: Vec<String> = world.all::<EndpointSlice>().iter().map(|s| s.name().to_owned()).collect();
    let slices = settle(&mut world);
    assert_eq!(slices.len(), 1);
    assert!(names.contains(&slices[0]["metadata"]["name"].as_str().unwrap().to_owned()));
    assert_eq!(slices[0]["ports"][0]["name"], "c");
    edit(&mut world, |e| e["subsets"] = Value::Null);
    assert!(settle(&mut world).is_empty());
}

#[test]
fn what_is_not_to_be_mirrored_is_not() {
    let subsets = json!([{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 1}]}]);
    type Step = fn(&mut World);
    let steps: [(&str, Step); 4] = [
        ("a selector", |w| w.edit(SERVICES, &Key::new("shop", "db"), |s| s["spec"]["selector"] = json!({"a": "b"}))),
        ("the label", |w| {
            edit(w, |e| e["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] = json!("true"))
        }),
        ("a lock", |w| {
            edit(w, |e| e["metadata"]["annotations"]["control-plane.alpha.kubernetes.io/leader"] = json!("{}"))
        }),
        ("no Service", |w| w.remove(SERVICES, &Key::new("shop", "db"))),
    ];
    for (why, step) in steps {
        let mut world = world(subsets.clone());
        assert_eq!(settle(&mut world).len(), 1);
        step(&mut world);
        assert!(settle(&mut world).is_empty(), "{why}");
    }
    let mut world = world(subsets);
    settle(&mut world);
    world.remove(ENDPOINTS, &Key::new("shop", "db"));
    assert!(settle(&mut world).is_empty());
}

#[test]
fn what_cannot_be_mirrored_is_told() {
    let many: Vec<Value> = (0..1002).map(|i| json!({"ip": format!("10.0.{}.{}", i / 250, i % 250)})).collect();
    let mut world =
        world(json!([{"addresses": many, "notReadyAddresses": [{"ip": "nonsense"}], "ports": [{"port": 1}]}]));
    let notes: Vec<String> =
        make_plan(&world).notes.iter().map(|note| format!("{}: {}", note.reason, note.message)).collect();
    assert_eq!(
        notes,
        [
            "InvalidIPAddress: Skipped 1 invalid IP addresses when mirroring to EndpointSlices",
            "TooManyAddressesToMirror: A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 2 addresses were skipped",
        ]
    );
    assert_eq!(settle(&mut world)[0]["endpoints"].as_array().unwrap().len(), 1000);
}

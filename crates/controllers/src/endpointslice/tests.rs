use std::collections::BTreeMap;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::plan::*;
use super::*;
use crate::change::{Act, NODES, PODS};
use crate::objects::Pod;
use crate::world::World;
use k8s_openapi::api::core::v1::Service;

fn service(spec: Value) -> Value {
    let mut service = json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "svc", "labels": {"team": "a"}},
        "spec": {"clusterIP": "10.96.0.5", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]}});
    for (key, value) in spec.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    service
}

fn pod(name: &str, node: &str, ip: &str, ready: bool) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": node, "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
}

fn node(name: &str, zone: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}})
}

/// A world with a Service and three nodes, `n0` to `n2`, in zones `z0` to `z2`.
fn world(spec: Value) -> World {
    let mut world = World::default();
    world.put(SERVICES, service(spec));
    for i in 0..3 {
        world.put(NODES, node(&format!("n{i}"), &format!("z{i}")));
    }
    world
}

fn make_plan(world: &World, limit: usize) -> Plan {
    let service = world.get::<Service>("shop", "web").unwrap();
    let pods: Vec<_> = world.all::<Pod>().into_iter().filter(|pod| selects(&service, pod)).collect();
    let slices: Vec<_> = world.all::<EndpointSlice>().into_iter().filter(|slice| !slice.deleting()).collect();
    let nodes: BTreeMap<String, Arc<Node>> =
        world.all::<Node>().into_iter().map(|node| (node.name().to_owned(), node)).collect();
    plan(&Snapshot {
        service: &service,
        pods: &pods,
        node: &|name| nodes.get(name).cloned(),
        slices: &slices,
        trigger_time: None,
        endpoints_per_slice: limit,
    })
}

/// Plans and applies; tells how many writes that took.
fn settle(world: &mut World, limit: usize) -> usize {
    let plan = make_plan(world, limit);
    world.apply_all(&plan.changes);
    assert_eq!(make_plan(world, limit).changes, [], "a second plan changes nothing");
    plan.changes.len()
}

fn slices(world: &World) -> Vec<Value> {
    world.all::<EndpointSlice>().iter().map(|slice| serde_json::to_value(&**slice).unwrap()).collect()
}

/// Address, ready, serving, terminating of every endpoint.
fn conditions(world: &World) -> Vec<String> {
    let mut all: Vec<String> = slices(world)
        .iter()
        .flat_map(|slice| slice["endpoints"].as_array().unwrap().clone())
        .map(|e| {
            let c = |name: &str| if e["conditions"][name] == true { name } else { "-" }.to_owned();
            format!("{} {} {} {}", e["addresses"][0].as_str().unwrap(), c("ready"), c("serving"), c("terminating"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_slice_looks_as_kubernetes_makes_it() {
    let mut world = world(json!({}));
    world.put(PODS, pod("web-1", "n1", "10.244.1.5", true));
    settle(&mut world, 100);
    let slices = slices(&world);
    let mut slice = slices[0].clone();
    assert!(slice["metadata"]["name"].as_str().unwrap().starts_with("web-"));
    for field in ["name", "uid", "resourceVersion", "creationTimestamp", "generation"] {
        slice["metadata"].as_object_mut().unwrap().remove(field);
    }
    let uid = world.get::<Pod>("shop", "web-1").unwrap().uid().to_owned();
    assert_eq!(
        slice,
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "generateName": "web-", "namespace": "shop",
                "labels": {"team": "a", "kubernetes.io/service-name": "web",
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "svc",
                    "controller": true, "blockOwnerDeletion": true}]},
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{
                "addresses": ["10.244.1.5"], "nodeName": "n1", "zone": "z1",
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": uid}}],
        })
    );
}

#[test]
fn conditions_follow_the_pod() {
    for (publish, wanted) in [
        (false, ["1 ready serving -", "2 - - -", "3 - serving terminating", "4 - - terminating"]),
        (true, ["1 ready serving -", "2 ready - -", "3 ready serving terminating", "4 ready - terminating"]),
    ] {
        let mut world = world(json!({"publishNotReadyAddresses": publish}));
        for (i, ready, deleting) in [(1, true, false), (2, false, false), (3, true, true), (4, false, true)] {
            let mut pod = pod(&format!("p{i}"), "n0", &format!("10.0.0.{i}"), ready);
            if deleting {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            world.put(PODS, pod);
        }
        for (name, phase, ip) in [("done", "Succeeded", "10.0.0.8"), ("bad", "Failed", "10.0.0.9")] {
            let mut ended = pod(name, "n0", ip, true);
            ended["status"]["phase"] = json!(phase);
            world.put(PODS, ended);
        }
        let mut addressless = pod("starting", "n0", "", false);
        addressless["status"] = json!({"phase": "Pending"});
        world.put(PODS, addressless);
        settle(&mut world, 100);
        assert_eq!(conditions(&world), wanted.map(|row| format!("10.0.0.{row}")));
    }
}

#[test]
fn a_pod_without_its_node_is_left_out_unless_published() {
    let mut first = world(json!({}));
    first.put(PODS, pod("web-1", "nowhere", "10.0.0.1", true));
    assert_eq!(make_plan(&first, 100).missing_nodes, ["nowhere"]);
    settle(&mut first, 100);
    assert_eq!(conditions(&first), [] as [&str; 0]);
    first.put(NODES, node("nowhere", "z9"));
    settle(&mut first, 100);
    assert_eq!(slices(&first)[0]["endpoints"][0]["zone"], "z9");

    let mut second = world(json!({"publishNotReadyAddresses": true}));
    second.put(PODS, pod("web-1", "nowhere", "10.0.0.1", true));
    settle(&mut second, 100);
    assert_eq!(conditions(&second).len(), 1);
}

#[test]
fn named_ports_make_a_group_for_each_number() {
    let ports = json!([{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"},
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns", "appProtocol": "x"}]);
    let mut world = world(json!({"ports": ports}));
    for (i, number) in [8080, 8080, 9090].into_iter().enumerate() {
        let mut pod = pod(&format!("p{i}"), "n0", &format!("10.0.0.{i}"), true);
        pod["spec"]["containers"] = json!([{"name": "c", "ports": [{"name": "web", "containerPort": number},
            {"name": "dns", "containerPort": 5353, "protocol": "TCP"}]}]);
        world.put(PODS, pod);
    }
    let mut sidecar = pod("p3", "n0", "10.0.0.3", true);
    sidecar["spec"]["initContainers"] = json!([
        {"name": "i", "ports": [{"name": "web", "containerPort": 1}]},
        {"name": "s", "restartPolicy": "Always", "ports": [{"name": "web", "containerPort": 7070},
            {"name": "dns", "containerPort": 5353, "protocol": "UDP"}]}]);
    world.put(PODS, sidecar);
    assert_eq!(settle(&mut world, 100), 3);
    let mut found: Vec<String> = slices(&world)
        .iter()
        .map(|s| {
            let ports: Vec<String> =
                s["ports"].as_array().unwrap().iter().map(|p| format!("{}={}", p["name"], p["port"])).collect();
            format!("{} {}", ports.join(","), s["endpoints"].as_array().unwrap().len())
        })
        .collect();
    found.sort();
    assert_eq!(found, [r#""http"=7070,"dns"=5353 1"#, r#""http"=8080 2"#, r#""http"=9090 1"#]);
}

#[test]
fn hints_say_for_whom_an_endpoint_is() {
    let zone = json!({"forZones": [{"name": "z1"}]});
    let both = json!({"forZones": [{"name": "z1"}], "forNodes": [{"name": "n1"}]});
    for (distribution, wanted) in [
        (json!("PreferClose"), &zone),
        (json!("PreferSameZone"), &zone),
        (json!("PreferSameNode"), &both),
        (Value::Null, &Value::Null),
        (json!("Other"), &Value::Null),
    ] {
        let mut world = world(json!({"trafficDistribution": distribution}));
        world.put(PODS, pod("a", "n1", "10.0.0.1", true));
        world.put(PODS, pod("b", "n1", "10.0.0.2", false));
        settle(&mut world, 100);
        let endpoints = slices(&world)[0]["endpoints"].clone();
        assert_eq!(endpoints[0]["hints"], *wanted, "{distribution}");
        assert_eq!(endpoints[1]["hints"], Value::Null, "not ready");
        let key = Key::new("shop", "web");
        world.edit(SERVICES, &key, |s| {
            s["metadata"]["annotations"] = json!({"service.kubernetes.io/topology-mode": "Auto"})
        });
        settle(&mut world, 100);
        assert_eq!(slices(&world)[0]["endpoints"][0]["hints"], Value::Null);
    }
}

#[test]
fn a_headless_service_labels_its_slices_and_names_its_pods() {
    let mut world = world(json!({"clusterIP": "None", "ports": []}));
    let mut named = pod("web-0", "n0", "10.0.0.1", true);
    named["spec"]["hostname"] = json!("zero");
    named["spec"]["subdomain"] = json!("web");
    world.put(PODS, named.clone());
    named["metadata"]["name"] = json!("web-1");
    named["spec"]["subdomain"] = json!("other");
    world.put(PODS, named);
    settle(&mut world, 100);
    let slice = &slices(&world)[0];
    assert_eq!(slice["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    assert_eq!(slice["ports"], json!([]));
    assert_eq!(slice["endpoints"][0]["hostname"], "zero");
    assert_eq!(slice["endpoints"][1]["hostname"], Value::Null);
    world.edit(SERVICES, &Key::new("shop", "web"), |s| s["spec"]["clusterIP"] = json!("10.96.0.7"));
    settle(&mut world, 100);
    assert_eq!(slices(&world)[0]["metadata"]["labels"]["service.kubernetes.io/headless"], Value::Null);
}

#[test]
fn no_endpoints_is_one_empty_slice_that_is_used_again() {
    let mut world = world(json!({}));
    assert_eq!(settle(&mut world, 100), 1);
    let empty = slices(&world).remove(0);
    assert_eq!((&empty["endpoints"], &empty["ports"]), (&json!([]), &json!([])));
    let key = world.put(PODS, pod("a", "n0", "10.0.0.1", true));
    assert_eq!(settle(&mut world, 100), 1);
    assert_eq!(slices(&world)[0]["metadata"]["name"], empty["metadata"]["name"]);
    world.remove(PODS, &key);
    assert_eq!(settle(&mut world, 100), 1);
    assert_eq!((slices(&world).len(), &slices(&world)[0]["ports"]), (1, &json!([])));
}

#[test]
fn both_families_have_slices_of_their_own() {
    let mut world = world(json!({"ipFamilies": ["IPv4", "IPv6"]}));
    let mut dual = pod("a", "n0", "10.0.0.1", true);
    dual["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}, {"ip": "fd00:0:0::1"}]);
    world.put(PODS, dual);
    settle(&mut world, 100);
    assert_eq!(conditions(&world), ["10.0.0.1 ready serving -", "fd00::1 ready serving -"]);
    world.edit(SERVICES, &Key::new("shop", "web"), |s| s["spec"]["ipFamilies"] = json!(["IPv6"]));
    assert_eq!(settle(&mut world, 100), 1);
    assert_eq!(slices(&world)[0]["addressType"], "IPv6");
}

#[test]
fn the_slices_of_an_older_service_of_the_name_are_deleted() {
    let mut world = world(json!({}));
    world.put(PODS, pod("a", "n0", "10.0.0.1", true));
    settle(&mut world, 100);
    world.edit(SERVICES, &Key::new("shop", "web"), |s| s["metadata"]["uid"] = json!("new"));
    let acts: Vec<_> = make_plan(&world, 100).changes.into_iter().map(|change| change.act).collect();
    assert!(matches!(acts[..], [Act::Delete(_), Act::Create(_)]), "{acts:?}");
}

#[test]
fn a_service_that_ends_gets_no_new_slices() {
    let mut world = world(json!({}));
    world.put(PODS, pod("a", "n0", "10.0.0.1", true));
    let key = Key::new("shop", "web");
    world.edit(SERVICES, &key, |s| {
        s["metadata"]["finalizers"] = json!(["x"]);
        s["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    assert_eq!(make_plan(&world, 100).changes, []);
}

#[test]
fn one_pod_more_or_less_is_one_write_among_many_slices() {
    let mut world = world(json!({}));
    for i in 0..95 {
        world.put(PODS, pod(&format!("p{i:03}"), "n0", &format!("10.0.0.{i}"), true));
    }
    assert_eq!(settle(&mut world, 10), 10);
    // The last slice has room for five: the new one goes there.
    world.put(PODS, pod("new", "n1", "10.0.1.1", true));
    assert_eq!(settle(&mut world, 10), 1);
    // A hole in one slice and an endpoint more: the hole is filled.
    world.remove(PODS, &Key::new("shop", "p017"));
    world.put(PODS, pod("newer", "n1", "10.0.1.2", true));
    assert_eq!(settle(&mut world, 10), 1);
    world.edit(PODS, &Key::new("shop", "p055"), |p| p["status"]["conditions"][0]["status"] = json!("False"));
    assert_eq!(settle(&mut world, 10), 1);
    assert_eq!(slices(&world).len(), 10);
}

#[test]
fn the_trigger_time_is_that_of_the_change() {
    let mut world = world(json!({}));
    let mut times = TriggerTimes::default();
    let update = |world: &World, times: &mut TriggerTimes| {
        let service = world.get::<Service>("shop", "web").unwrap();
        times.update(&service, &world.all::<Pod>()).map(|time| time.to_string())
    };
    let at = |second: u8| json!(format!("2030-01-01T00:00:0{second}Z"));
    world.edit(SERVICES, &Key::new("shop", "web"), |s| s["metadata"]["creationTimestamp"] = at(1));
    for i in 2..5 {
        let mut pod = pod(&format!("p{i}"), "n0", &format!("10.0.0.{i}"), true);
        pod["status"]["conditions"][0]["lastTransitionTime"] = at(i);
        world.put(PODS, pod);
    }
    assert_eq!(update(&world, &mut times).as_deref(), Some("2030-01-01T00:00:01Z"), "the Service is new");
    assert_eq!(update(&world, &mut times), None, "nothing changed");
    for (name, second) in [("p3", 8), ("p4", 7)] {
        let key = Key::new("shop", name);
        world.edit(PODS, &key, |p| p["status"]["conditions"][0]["lastTransitionTime"] = at(second));
    }
    assert_eq!(update(&world, &mut times).as_deref(), Some("2030-01-01T00:00:07Z"), "the earliest change");
    times.forget(&Key::new("shop", "web"));
    assert_eq!(update(&world, &mut times).as_deref(), Some("2030-01-01T00:00:01Z"));
}

/// What one step of a history does to a Pod.
#[derive(Clone, Debug)]
enum Step {
    Put { pod: u8, ready: bool, port: u8, node: u8 },
    Remove { pod: u8 },
    Terminate { pod: u8 },
    Label { service: u8 },
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40_u8, any::<bool>(), 0..2_u8, 0..4_u8)
            .prop_map(|(pod, ready, port, node)| Step::Put { pod, ready, port, node }),
        2 => (0..40_u8).prop_map(|pod| Step::Remove { pod }),
        1 => (0..40_u8).prop_map(|pod| Step::Terminate { pod }),
        1 => (0..2_u8).prop_map(|service| Step::Label { service }),
        2 => Just(Step::Settle),
    ]
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::Put { pod: i, ready, port, node } => {
            let mut value = pod(&format!("p{i}"), &format!("n{node}"), &format!("10.0.0.{i}"), *ready);
            value["spec"]["containers"] =
                json!([{"name": "c", "ports": [{"name": "web", "containerPort": 8000 + u16::from(*port)}]}]);
            world.put(PODS, value);
        }
        Step::Remove { pod } => world.remove(PODS, &Key::new("shop", &format!("p{pod}"))),
        Step::Terminate { pod } => {
            let key = Key::new("shop", &format!("p{pod}"));
            if world.document(PODS, "shop", &key.name).is_some() {
                world.edit(PODS, &key, |p| p["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
            }
        }
        Step::Label { service } => {
            world.edit(SERVICES, &Key::new("shop", "web"), |s| {
                s["metadata"]["labels"]["team"] = json!(service.to_string())
            });
        }
        Step::Settle => {}
    }
}

/// The endpoints that there should be, and those that there are: address, port, ready.
fn wanted_and_found(world: &World) -> (Vec<String>, Vec<String>) {
    let mut wanted: Vec<String> = world
        .all::<Pod>()
        .iter()
        .filter(|pod| pod.node_name() != Some("n3"))
        .map(|pod| format!("{} {} {}", pod.status.ips[0], pod.spec.ports[0].number, pod.ready() && !pod.deleting()))
        .collect();
    let mut found: Vec<String> = slices(world)
        .iter()
        .flat_map(|s| {
            let port = s["ports"][0]["port"].clone();
            let endpoints = s["endpoints"].as_array().unwrap().clone();
            endpoints
                .into_iter()
                .map(move |e| format!("{} {port} {}", e["addresses"][0].as_str().unwrap(), e["conditions"]["ready"]))
        })
        .collect();
    wanted.sort();
    found.sort();
    (wanted, found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over any history of Pods: the plan converges at once, no endpoint is lost or doubled, no slice is too large,
    /// no more slices exist than twice what is needed, and one change of a Pod costs at most two writes (it may leave
    /// one group and join another).
    #[test]
    fn any_history_ends_in_exactly_the_endpoints(steps in prop::collection::vec(step(), 1..60), limit in 1..8_usize) {
        let mut world = world(json!({"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}));
        let mut pods_changed = 0;
        let mut relabelled = true;
        for step in steps.iter().chain([&Step::Settle]) {
            take(&mut world, step);
            match step {
                Step::Settle => {
                    let writes = settle(&mut world, limit);
                    if !relabelled {
                        prop_assert!(writes <= 2 * pods_changed + 1, "{writes} writes for {pods_changed} Pods");
                    }
                    let (wanted, found) = wanted_and_found(&world);
                    prop_assert_eq!(wanted, found);
                    for slice in slices(&world) {
                        prop_assert!(slice["endpoints"].as_array().unwrap().len() <= limit);
                    }
                    (pods_changed, relabelled) = (0, false);
                }
                Step::Label { .. } => relabelled = true,
                _ => pods_changed += 1,
            }
        }
    }

    /// A single change of a single Pod, at any time.
    #[test]
    fn one_change_of_a_pod_touches_at_most_two_slices(steps in prop::collection::vec(step(), 1..60), limit in 1..8_usize) {
        let mut world = world(json!({"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}));
        settle(&mut world, limit);
        for step in &steps {
            take(&mut world, step);
            let writes = settle(&mut world, limit);
            match step {
                Step::Label { .. } | Step::Settle => {}
                _ => prop_assert!(writes <= 2, "{writes} writes for {step:?}"),
            }
        }
    }

    /// The same snapshot gives the same plan, to the byte.
    #[test]
    fn a_plan_depends_on_nothing_but_the_snapshot(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = world(json!({"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}));
        for step in &steps {
            take(&mut world, step);
        }
        prop_assert_eq!(format!("{:?}", make_plan(&world, 3)), format!("{:?}", make_plan(&world, 3)));
    }
}

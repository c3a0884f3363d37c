use serde_json::{Value, json};

use super::plan::*;
use super::*;
use crate::change::NODES;
use crate::objects::Node;
use crate::world::World;

/// What the runner does, without a network.
fn drive(world: &mut World, key: &Key) -> Plan {
    let Some(set) = world.get::<DaemonSet>(&key.namespace, &key.name) else { return Plan::default() };
    let owned = |world: &World| {
        let pods = world.all::<Pod>().into_iter();
        pods.filter(|pod| pod.controller().is_some_and(|owner| owner.uid == set.uid())).collect::<Vec<_>>()
    };
    let (nodes, pods) = (world.all::<Node>(), owned(world));
    let plan = plan(&Snapshot { set: &set, nodes: &nodes, pods: &pods, now: world.now });
    for node in &plan.create {
        world.apply(&new_pod(&set, node)).unwrap();
    }
    world.apply_all(&plan.delete);
    let pods = owned(world);
    let wanted = status(&Snapshot { set: &set, nodes: &nodes, pods: &pods, now: world.now });
    if wanted != set.status {
        world.apply(&write(&set, &wanted)).unwrap();
    }
    plan
}

/// Lets the Pods go that are to end, as their nodes do.
fn end_all(world: &mut World) {
    for pod in world.all::<Pod>().iter().filter(|pod| pod.deleting()) {
        world.remove(PODS, &Key::of(&**pod));
    }
}

fn settle(world: &mut World, key: &Key) {
    for _ in 0..10 {
        drive(world, key);
        end_all(world);
    }
    let before = world.writes;
    drive(world, key);
    assert_eq!(world.writes, before, "nothing is left to do");
}

fn node(world: &mut World, name: &str) -> Key {
    world.put(NODES, json!({ "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } } }))
}

fn world(nodes: usize) -> (World, Key) {
    let mut world = World::default();
    for i in 0..nodes {
        node(&mut world, &format!("n{i}"));
    }
    let set = json!({
        "metadata": {
            "namespace": "shop", "name": "log", "uid": "ds", "generation": 1,
            "annotations": { "deprecated.daemonset.template.generation": "1" },
        },
        "spec": {
            "selector": { "matchLabels": { "app": "log" } },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } },
            "template": {
                "metadata": { "labels": { "app": "log" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    });
    let key = world.put(DAEMON_SETS, set);
    (world, key)
}

/// Binds all Pods to the nodes that they are for and makes them ready.
fn run_all(world: &mut World) {
    for pod in world.all::<Pod>() {
        let now = world.now.to_string();
        world.edit(PODS, &Key::of(&*pod), |pod| {
            let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
            let target = pod.pointer(&format!("{terms}/0/matchFields/0/values/0")).cloned().unwrap();
            pod["spec"]["nodeName"] = target;
            pod["status"] = json!({ "phase": "Running", "conditions": [
                { "type": "Ready", "status": "True", "lastTransitionTime": now },
            ] });
        });
    }
}

fn status_of(world: &World) -> Value {
    world.document(DAEMON_SETS, "shop", "log").unwrap()["status"].clone()
}

#[test]
fn every_node_gets_one() {
    let (mut world, key) = world(3);
    settle(&mut world, &key);
    assert_eq!(world.all::<Pod>().len(), 3);
    run_all(&mut world);
    settle(&mut world, &key);
    assert_eq!(
        status_of(&world),
        json!({
            "currentNumberScheduled": 3, "numberMisscheduled": 0, "desiredNumberScheduled": 3, "numberReady": 3,
            "observedGeneration": 1, "updatedNumberScheduled": 3, "numberAvailable": 3,
        })
    );
    node(&mut world, "n3");
    settle(&mut world, &key);
    let nodes: Vec<_> = world.all::<Pod>();
    assert_eq!(nodes.len(), 4);
    assert_eq!(status_of(&world)["numberUnavailable"], 1);
    let pod = world.document(PODS, "shop", nodes[0].name()).unwrap();
    let tolerations = pod["spec"]["tolerations"].as_array().unwrap();
    assert!(tolerations.iter().any(|t| t["key"] == "node.kubernetes.io/unschedulable"));
    assert_eq!(pod["metadata"]["labels"]["pod-template-generation"], "1");
}

#[test]
fn selectors_and_taints_decide() {
    let (mut world, key) = world(3);
    let name = |name: &str| Key::new("", name);
    world.edit(NODES, &name("n0"), |n| n["metadata"]["labels"]["disk"] = json!("ssd"));
    world.edit(NODES, &name("n1"), |n| n["metadata"]["labels"]["disk"] = json!("ssd"));
    world.edit(NODES, &name("n1"), |n| n["spec"]["taints"] = json!([{ "key": "own", "effect": "NoSchedule" }]));
    world.edit(DAEMON_SETS, &key, |s| s["spec"]["template"]["spec"]["nodeSelector"] = json!({ "disk": "ssd" }));
    settle(&mut world, &key);
    run_all(&mut world);
    let on =
        |world: &World| world.all::<Pod>().iter().filter_map(|p| p.node_name().map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(on(&world), ["n0"]);
    // A taint that comes later drives nobody away, unless it says so.
    world.edit(NODES, &name("n0"), |n| n["spec"]["taints"] = json!([{ "key": "own", "effect": "NoSchedule" }]));
    settle(&mut world, &key);
    assert_eq!(on(&world), ["n0"]);
    assert_eq!(status_of(&world)["numberMisscheduled"], 1);
    world.edit(NODES, &name("n0"), |n| n["spec"]["taints"] = json!([{ "key": "own", "effect": "NoExecute" }]));
    settle(&mut world, &key);
    assert!(on(&world).is_empty());
}

#[test]
fn a_new_template_replaces_one_at_a_time() {
    let (mut world, key) = world(3);
    settle(&mut world, &key);
    run_all(&mut world);
    settle(&mut world, &key);
    world.edit(DAEMON_SETS, &key, |s| s["spec"]["template"]["spec"]["containers"][0]["image"] = json!("j"));
    for round in 1..=3 {
        let plan = drive(&mut world, &key);
        assert_eq!((plan.create.len(), plan.delete.len()), (0, 1), "round {round}");
        assert_eq!(drive(&mut world, &key), Plan::default(), "what ends is waited for");
        end_all(&mut world);
        let plan = drive(&mut world, &key);
        assert_eq!((plan.create.len(), plan.delete.len()), (1, 0), "round {round}");
        // Nothing more goes before the new one serves.
        assert_eq!(drive(&mut world, &key), Plan::default());
        run_all(&mut world);
    }
    settle(&mut world, &key);
    assert_eq!(status_of(&world)["updatedNumberScheduled"], 3);
    let set = world.get::<DaemonSet>("shop", "log").unwrap();
    assert!(world.all::<Pod>().iter().all(|pod| pod.label(REVISION) == Some(&revision(&set))));
}

#[test]
fn by_hand_nothing_is_replaced_and_what_ended_is() {
    let (mut world, key) = world(1);
    world.edit(DAEMON_SETS, &key, |s| s["spec"]["updateStrategy"] = json!({ "type": "OnDelete" }));
    settle(&mut world, &key);
    run_all(&mut world);
    world.edit(DAEMON_SETS, &key, |s| s["spec"]["template"]["spec"]["containers"][0]["image"] = json!("j"));
    settle(&mut world, &key);
    assert_eq!(status_of(&world).get("updatedNumberScheduled"), None);
    let first = world.all::<Pod>()[0].clone();
    world.edit(PODS, &Key::of(&*first), |pod| pod["status"]["phase"] = json!("Failed"));
    settle(&mut world, &key);
    assert_ne!(world.all::<Pod>()[0].name(), first.name());
    assert_eq!(status_of(&world)["updatedNumberScheduled"], 1);
}

#[test]
fn where_it_says_so_the_new_one_comes_before_the_old_one_goes() {
    let (mut world, key) = world(3);
    let surge = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": "34%" } });
    world.edit(DAEMON_SETS, &key, |s| s["spec"]["updateStrategy"] = surge);
    settle(&mut world, &key);
    run_all(&mut world);
    settle(&mut world, &key);
    world.edit(DAEMON_SETS, &key, |s| s["spec"]["template"]["spec"]["containers"][0]["image"] = json!("j"));
    for left in [1, 0] {
        // A third of three nodes, and what is begun is two of them.
        let plan = drive(&mut world, &key);
        assert_eq!((plan.create.len(), plan.delete.len()), (2 - usize::from(left == 0), 0));
        assert_eq!(drive(&mut world, &key), Plan::default(), "the old ones serve until the new ones do");
        assert_eq!(status_of(&world)["numberAvailable"], 3);
        run_all(&mut world);
        let plan = drive(&mut world, &key);
        assert_eq!((plan.create.len(), plan.delete.len()), (0, 2 - usize::from(left == 0)));
        end_all(&mut world);
    }
    settle(&mut world, &key);
    assert_eq!((world.all::<Pod>().len(), &status_of(&world)["updatedNumberScheduled"]), (3, &json!(3)));
}

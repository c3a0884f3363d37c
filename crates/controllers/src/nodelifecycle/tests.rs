use serde_json::{Value, json};

use super::plan::*;
use super::*;
use crate::cache::Key;
use crate::change::{Act, PODS};
use crate::objects::Pod;
use crate::world::World;

const GRACE: Duration = Duration::from_secs(4);
const CAP: Duration = Duration::from_secs(5);

fn node(ready: &str) -> Value {
    json!({"metadata": {"name": "n1"}, "status": {"conditions": [
        {"type": "Ready", "status": ready}, {"type": "MemoryPressure", "status": "False"}]}})
}

fn pod(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["nodeName"] = json!("n1");
    json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec,
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn toleration(seconds: Value) -> Value {
    let mut toleration = json!({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"});
    if !seconds.is_null() {
        toleration["tolerationSeconds"] = seconds;
    }
    json!({"tolerations": [toleration]})
}

fn make_plan(world: &World, silent: u64, tainted: &[(&str, u64)], all_silent: bool) -> Plan {
    let node = world.get::<Node>("", "n1").unwrap();
    let tainted = tainted.iter().map(|(key, s)| ((*key).to_owned(), Duration::from_secs(*s))).collect();
    plan(&Snapshot {
        node: &node,
        pods: &world.all::<Pod>(),
        silent: Duration::from_secs(silent),
        tainted: &tainted,
        all_silent,
        grace: GRACE,
        eviction_after: CAP,
        now: world.now,
    })
}

/// Plans and applies until nothing changes.
fn settle(world: &mut World, silent: u64) {
    for _ in 0..3 {
        let plan = make_plan(world, silent, &[], false);
        world.apply_all(&plan.changes);
    }
    assert_eq!(make_plan(world, silent, &[], false).changes, []);
}

fn taints(world: &World) -> Vec<String> {
    let node = world.get::<Node>("", "n1").unwrap();
    let mut all: Vec<String> = node.taints().iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
    all.sort();
    all
}

fn names(world: &World) -> Vec<String> {
    world.all::<Pod>().iter().map(|pod| pod.name().to_owned()).collect()
}

#[test]
fn a_node_that_renews_is_left_alone_until_its_grace_is_over() {
    let mut world = World::default();
    world.put(NODES, node("True"));
    world.put(PODS, pod("a", json!({})));
    let plan = make_plan(&world, 1, &[], false);
    assert_eq!((plan.changes.len(), plan.again), (0, Some(Duration::from_secs(3))));
}

#[test]
fn a_silent_node_is_unknown_and_tainted_and_its_pods_are_not_ready() {
    let mut world = World::default();
    world.put(NODES, node("True"));
    world.put(PODS, pod("a", json!({})));
    let plan = make_plan(&world, 4, &[], false);
    let said: Vec<_> = plan.notes.iter().map(|(_, note)| (note.reason, note.message.as_str())).collect();
    assert_eq!(said, [("NodeNotReady", "Node n1 status is now: NodeNotReady"), ("NodeNotReady", "Node is not ready")]);
    world.apply_all(&plan.changes);
    assert!(!world.all::<Pod>()[0].ready(), "at once");
    settle(&mut world, 4);
    let conditions = &world.document(NODES, "", "n1").unwrap()["status"]["conditions"];
    let found: Vec<_> = conditions
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{} {} {}", c["type"], c["status"], c["reason"]))
        .collect();
    assert_eq!(
        found,
        [
            r#""Ready" "Unknown" "NodeStatusUnknown""#,
            r#""MemoryPressure" "Unknown" "NodeStatusUnknown""#,
            r#""DiskPressure" "Unknown" "NodeStatusNeverUpdated""#,
            r#""PIDPressure" "Unknown" "NodeStatusNeverUpdated""#,
        ]
    );
    assert_eq!(
        taints(&world),
        ["node.kubernetes.io/unreachable:NoExecute", "node.kubernetes.io/unreachable:NoSchedule"]
    );
    assert_eq!(names(&world), ["a"], "its time is not over yet");

    // It comes back: its own status says so, and the taints go.
    world.edit(NODES, &Key::new("", "n1"), |n| n["status"]["conditions"][0]["status"] = json!("True"));
    settle(&mut world, 0);
    assert_eq!(taints(&world), [] as [&str; 0]);
}

#[test]
fn pods_of_a_silent_node_go_without_grace_when_their_time_is_over() {
    let mut world = World::default();
    world.put(NODES, node("True"));
    world.put(PODS, pod("default", json!({})));
    world.put(PODS, pod("usual", toleration(json!(300))));
    world.put(PODS, pod("short", toleration(json!(2))));
    world.put(PODS, pod("forever", toleration(Value::Null)));
    world.put(PODS, pod("ending", toleration(Value::Null)));
    world.edit(PODS, &Key::new("shop", "ending"), |p| {
        p["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")
    });
    settle(&mut world, 4);
    assert_eq!(names(&world).len(), 5);
    assert_eq!(make_plan(&world, 4, &[], false).again, Some(Duration::from_secs(2)));
    settle(&mut world, 6);
    assert_eq!(names(&world), ["default", "ending", "forever", "usual"]);
    settle(&mut world, 9);
    assert_eq!(names(&world), ["forever"], "gone at once, though they were bound");
}

#[test]
fn nobody_is_evicted_while_nothing_is_heard_of_any_node() {
    let mut world = World::default();
    world.put(NODES, node("Unknown"));
    world.put(PODS, pod("a", json!({})));
    settle(&mut world, 4);
    let plan = make_plan(&world, 100, &[], true);
    assert_eq!(plan.changes, []);
    assert!(plan.again.is_some());
}

#[test]
fn a_node_that_is_not_ready_keeps_its_pods_for_a_while_and_lets_them_end() {
    let mut world = World::default();
    world.put(NODES, node("False"));
    world.put(PODS, pod("a", json!({})));
    settle(&mut world, 0);
    assert_eq!(taints(&world), ["node.kubernetes.io/not-ready:NoExecute", "node.kubernetes.io/not-ready:NoSchedule"]);
    let key = "node.kubernetes.io/not-ready";
    assert_eq!(make_plan(&world, 0, &[(key, 3)], false).again, Some(Duration::from_secs(2)));
    let plan = make_plan(&world, 0, &[(key, 5)], false);
    assert!(matches!(&plan.changes[..], [Change { act: Act::Delete(how), .. }] if how.grace.is_none()));
    assert_eq!(plan.notes[0].1.message, "Marking for deletion Pod shop/a");
}

use crate::change::Change;

#[test]
fn taints_of_the_user_evict_and_stay() {
    let mut world = World::default();
    world.put(NODES, node("True"));
    world.edit(NODES, &Key::new("", "n1"), |n| {
        n["spec"]["taints"] = json!([{"key": "drain", "value": "x", "effect": "NoExecute"}]);
        n["spec"]["unschedulable"] = json!(true);
    });
    world.put(PODS, pod("intolerant", json!({})));
    world.put(
        PODS,
        pod("patient", json!({"tolerations": [{"key": "drain", "operator": "Exists", "tolerationSeconds": 60}]})),
    );
    let plan = make_plan(&world, 0, &[("drain", 1)], false);
    world.apply_all(&plan.changes);
    assert!(world.get::<Pod>("shop", "intolerant").unwrap().deleting());
    assert!(!world.get::<Pod>("shop", "patient").unwrap().deleting(), "the cap is for nodes that are not ready");
    assert_eq!(taints(&world), ["drain:NoExecute", "node.kubernetes.io/unschedulable:NoSchedule"]);
    let plan = make_plan(&world, 0, &[("drain", 60)], false);
    assert_eq!(plan.changes.len(), 1);
}

#[test]
fn pressure_is_a_taint() {
    let mut world = World::default();
    world.put(NODES, node("True"));
    let key = Key::new("", "n1");
    world.edit(NODES, &key, |n| n["status"]["conditions"][1]["status"] = json!("True"));
    settle(&mut world, 0);
    assert_eq!(taints(&world), ["node.kubernetes.io/memory-pressure:NoSchedule"]);
    world.edit(NODES, &key, |n| n["status"]["conditions"][1]["status"] = json!("False"));
    settle(&mut world, 0);
    assert_eq!(taints(&world), [] as [&str; 0]);
}

use serde_json::json;

use super::plan::*;
use super::*;
use crate::change::PODS;
use crate::world::World;

#[test]
fn a_pod_of_no_node_fails_and_goes() {
    let mut world = World::default();
    world.put(
        PODS,
        json!({"metadata": {"namespace": "shop", "name": "a"}, "spec": {"nodeName": "gone"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}),
    );
    let changes = end(&world.get::<Pod>("shop", "a").unwrap(), true, world.now);
    world.apply(&changes[0]).unwrap();
    let status = &world.document(PODS, "shop", "a").unwrap()["status"];
    assert_eq!(status["phase"], "Failed");
    assert_eq!(status["conditions"][1]["type"], "DisruptionTarget");
    assert_eq!(status["conditions"][0]["type"], "Ready");
    world.apply(&changes[1]).unwrap();
    assert!(world.all::<Pod>().is_empty());
}

#[test]
fn an_ended_pod_only_goes() {
    let mut world = World::default();
    world.put(PODS, json!({"metadata": {"namespace": "shop", "name": "a"}, "status": {"phase": "Succeeded"}}));
    assert_eq!(end(&world.all::<Pod>()[0], false, world.now).len(), 1);
}

#[test]
fn the_oldest_ended_pods_go_first() {
    let mut world = World::default();
    for (name, phase, day) in
        [("young", "Failed", 3), ("old", "Succeeded", 1), ("running", "Running", 1), ("middle", "Failed", 2)]
    {
        world.put(
            PODS,
            json!({"metadata": {"namespace": "shop", "name": name,
            "creationTimestamp": format!("2026-01-0{day}T00:00:00Z")}, "status": {"phase": phase}}),
        );
    }
    let names = |kept: usize| surplus(world.all::<Pod>(), kept).iter().map(|p| p.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(1), ["old", "middle"]);
    assert_eq!(names(2), ["old"]);
    assert_eq!(names(3), [] as [&str; 0]);
    assert_eq!(names(0), [] as [&str; 0], "0 keeps all");
}

use proptest::prelude::*;
use serde_json::{Value, json};

use super::plan::*;
use super::*;
use crate::caches::orphans;
use crate::change::{REPLICA_SETS, REPLICATION_CONTROLLERS};
use crate::objects::ReplicaSet;
use crate::objects::workload::ReplicationController;
use crate::world::World;

/// What the runner does, without a network.
pub(crate) fn drive(world: &mut World, key: &Key) -> Plan {
    let Some(set) = world.get::<ReplicaSet>(&key.namespace, &key.name) else { return Plan::default() };
    let claims = |world: &World| {
        let pods = world.all::<Pod>().into_iter().filter(|pod| match pod.controller() {
            Some(owner) => owner.uid == set.uid(),
            None => pod.namespace() == key.namespace && pod.active(),
        });
        claim::claim(&*set, &set.spec.selector, pods)
    };
    let first = claims(world);
    for pod in first.adopt {
        world.apply(&claim::adopt((REPLICA_SETS, &*set), (PODS, &*pod))).unwrap();
    }
    for pod in first.release {
        world.apply(&claim::release(&*set, (PODS, &*pod))).unwrap();
    }
    let (active, ended): (Vec<_>, Vec<_>) = claims(world).owned.into_iter().partition(|pod| pod.active());
    let terminating = ended.iter().filter(|pod| pod.deleting() && !pod.terminal()).count();
    let plan = plan(&Snapshot { set: &set, active: &active, related: &active, now: world.now });
    let left = survivors(&active, &plan);
    let wanted = status(&set, &left, terminating + plan.delete.len(), None, world.now);
    if !plan.delete.is_empty() {
        let set = world.get::<ReplicaSet>(&key.namespace, &key.name).unwrap();
        world.apply(&announce(&set, &active, &left, terminating, world.now)).unwrap();
    }
    for _ in 0..plan.create {
        world.apply(&new_pod(&set)).unwrap();
    }
    world.apply_all(&plan.delete);
    let set = world.get::<ReplicaSet>(&key.namespace, &key.name).unwrap();
    if wanted != set.status {
        world.apply(&write(&set, &wanted)).unwrap();
    }
    plan
}

fn set(replicas: i32) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "rs", "generation": 3},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "x": "y"}, "annotations": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i", "later": {"field": 1}}]}}}})
}

fn world(replicas: i32) -> (World, Key) {
    let mut world = World::default();
    let key = world.put(REPLICA_SETS, set(replicas));
    (world, key)
}

fn settle(world: &mut World, key: &Key) {
    for _ in 0..5 {
        drive(world, key);
    }
    let before = world.writes;
    drive(world, key);
    assert_eq!(world.writes, before, "nothing is left to do");
}

/// Binds a Pod and makes it ready.
pub(crate) fn run_pod(world: &mut World, pod: &Pod, ready: bool) {
    let now = world.now.to_string();
    let edit = |p: &mut Value| {
        p["spec"]["nodeName"] = json!("n0");
        p["status"]["phase"] = json!("Running");
        let status = if ready { "True" } else { "False" };
        if p["status"]["conditions"][0]["status"] != status {
            p["status"]["conditions"] = json!([{"type": "Ready", "status": status, "lastTransitionTime": now}]);
        }
    };
    world.edit(PODS, &Key::of(pod), edit);
}

#[test]
fn a_pod_is_made_from_the_template_with_nothing_lost() {
    let (mut world, key) = world(1);
    settle(&mut world, &key);
    let name = world.all::<Pod>()[0].name().to_owned();
    assert!(name.starts_with("web-"));
    let pod = world.document(PODS, "shop", &name).unwrap();
    assert_eq!(pod["spec"], json!({"containers": [{"name": "c", "image": "i", "later": {"field": 1}}]}));
    assert_eq!(pod["metadata"]["labels"], json!({"app": "web", "x": "y"}));
    assert_eq!(pod["metadata"]["annotations"], json!({"a": "b"}));
    assert_eq!(
        pod["metadata"]["ownerReferences"],
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs",
            "controller": true, "blockOwnerDeletion": true}])
    );
}

#[test]
fn the_status_counts() {
    let (mut world, key) = world(3);
    world.edit(REPLICA_SETS, &key, |s| s["spec"]["minReadySeconds"] = json!(10));
    settle(&mut world, &key);
    let pods = world.all::<Pod>();
    run_pod(&mut world, &pods[0], true);
    run_pod(&mut world, &pods[1], false);
    world.edit(PODS, &Key::of(&*pods[2]), |p| p["metadata"]["labels"] = json!({"app": "web"}));
    settle(&mut world, &key);
    let status = |world: &World| world.document(REPLICA_SETS, "shop", "web").unwrap()["status"].clone();
    let generation = world.get::<ReplicaSet>("shop", "web").unwrap().metadata.generation;
    let mut wanted = json!({"replicas": 3, "fullyLabeledReplicas": 2, "readyReplicas": 1, "terminatingReplicas": 0,
        "observedGeneration": generation});
    assert_eq!(status(&world), wanted);
    let set = world.get::<ReplicaSet>("shop", "web").unwrap();
    assert_eq!(next_available(&set, &world.all::<Pod>(), world.now), Some(Duration::from_secs(10)));
    world.pass(10);
    settle(&mut world, &key);
    wanted["availableReplicas"] = json!(1);
    assert_eq!(status(&world), wanted);
    assert_eq!(next_available(&set, &world.all::<Pod>(), world.now), None);
    world.apply(&Change::delete(PODS, &*world.get::<Pod>("shop", pods[0].name()).unwrap())).unwrap();
    settle(&mut world, &key);
    assert_eq!(status(&world)["terminatingReplicas"], 1);
    assert_eq!(status(&world)["replicas"], 3);
}

use std::time::Duration;

#[test]
fn a_failure_is_a_condition_until_it_is_over() {
    let (mut world, key) = world(1);
    let get = |world: &World| world.get::<ReplicaSet>("shop", &key.name).unwrap();
    let failure = Failure { reason: "FailedCreate", message: "pods \"web-\" is forbidden".to_owned() };
    let failed = status(&get(&world), &[], 0, Some(&failure), world.now);
    let condition = &failed.conditions[0];
    assert_eq!((condition.type_.as_str(), condition.reason.as_deref()), ("ReplicaFailure", Some("FailedCreate")));
    let set = get(&world);
    world.apply(&write(&set, &failed)).unwrap();
    let other = Failure { reason: "FailedDelete", message: String::new() };
    assert_eq!(status(&get(&world), &[], 0, Some(&other), world.now), get(&world).status, "it stays as it was first");
    let over = status(&get(&world), &[], 0, None, world.now);
    let set = get(&world);
    world.apply(&write(&set, &over)).unwrap();
    assert!(get(&world).status.conditions.is_empty());
}

#[test]
fn a_deletion_is_announced_or_given_up() {
    let (mut world, key) = world(2);
    settle(&mut world, &key);
    world.edit(REPLICA_SETS, &key, |s| s["spec"]["replicas"] = json!(0));
    let read = world.get::<ReplicaSet>("shop", "web").unwrap();
    let announced = announce(&read, &world.all::<Pod>(), &[], 0, world.now);
    world.edit(REPLICA_SETS, &key, |s| s["spec"]["replicas"] = json!(1));
    assert!(matches!(world.apply(&announced), Err(WriteError::Conflict(_))));
}

/// Pods in the order in which they should be deleted, as changes of a Pod that runs, is ready, and old.
#[test]
fn pods_are_deleted_in_kubernetes_order() {
    let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let rows = [
        ("unbound", json!({"spec": {"nodeName": null}})),
        ("pending", json!({"status": {"phase": "Pending"}})),
        ("unknown", json!({"status": {"phase": "Unknown"}})),
        ("unready", json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})),
        ("cheap", json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}}})),
        ("crowded", json!({"spec": {"nodeName": "full"}})),
        (
            "crowded-too",
            json!({"spec": {"nodeName": "full"}, "status": {"containerStatuses": [{"restartCount": 0}]},
            "metadata": {"uid": "zz"}}),
        ),
        (
            "just-ready",
            json!({"status": {"conditions":
            [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T23:59:00Z"}]}}),
        ),
        ("restarted", json!({"status": {"containerStatuses": [{"restartCount": 3}]}})),
        ("young", json!({"metadata": {"creationTimestamp": "2026-01-01T23:00:00Z"}})),
        ("old", json!({"metadata": {"uid": "a"}})),
        ("old-too", json!({"metadata": {"uid": "b"}})),
        ("dear", json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "5"}}})),
    ];
    let mut pods: Vec<Arc<Pod>> = Vec::new();
    for (i, (name, difference)) in rows.iter().enumerate() {
        let mut world = World::default();
        let key = world.put(
            PODS,
            json!({
            "metadata": {"namespace": "shop", "name": name, "uid": format!("u{i}"),
                "creationTimestamp": "2026-01-01T01:00:00Z"},
            "spec": {"nodeName": format!("n{i}")},
            "status": {"phase": "Running", "containerStatuses": [{"restartCount": 0}], "conditions":
                [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T02:00:00Z"}]}}),
        );
        let pod = world.get::<Pod>("shop", name).unwrap();
        world.apply(&Change::merge(PODS, &*pod, crate::change::Part::Main, difference.clone())).unwrap();
        pods.push(world.get::<Pod>("shop", &key.name).unwrap());
    }
    let set: ReplicaSet = serde_json::from_value(set(0)).unwrap();
    let wanted: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    for turn in 0..pods.len() {
        pods.rotate_left(turn);
        let plan = plan(&Snapshot { set: &set, active: &pods, related: &pods, now });
        let found: Vec<&str> = plan.delete.iter().map(|change| change.name.as_str()).collect();
        assert_eq!(found, wanted);
    }
}

#[test]
fn orphans_are_adopted_and_strangers_released() {
    let (mut world, key) = world(2);
    world.put(PODS, json!({"metadata": {"namespace": "shop", "name": "lonely", "labels": {"app": "web"}}}));
    world.put(PODS, json!({"metadata": {"namespace": "other", "name": "far", "labels": {"app": "web"}}}));
    let plan = drive(&mut world, &key);
    assert_eq!(plan.create, 1);
    assert_eq!(world.get::<Pod>("shop", "lonely").unwrap().controller().unwrap().uid, "rs");
    assert!(world.get::<Pod>("other", "far").unwrap().controller().is_none());
    world.edit(PODS, &Key::new("shop", "lonely"), |p| p["metadata"]["labels"]["app"] = json!("debug"));
    assert_eq!(drive(&mut world, &key).create, 1);
    assert!(world.get::<Pod>("shop", "lonely").unwrap().controller().is_none());
    assert_eq!(orphans("shop"), "shop/");
}

#[test]
fn a_set_that_ends_makes_nothing() {
    let (mut world, key) = world(2);
    world.edit(REPLICA_SETS, &key, |s| {
        s["metadata"]["finalizers"] = json!(["orphan"]);
        s["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    assert_eq!(drive(&mut world, &key), Plan::default());
}

#[test]
fn one_go_makes_at_most_500() {
    let (world, _) = world(2000);
    let set = world.get::<ReplicaSet>("shop", "web").unwrap();
    assert_eq!(plan(&Snapshot { set: &set, active: &[], related: &[], now: world.now }).create, 500);
}

#[derive(Clone, Debug)]
enum Step {
    Scale(i32),
    Run(usize, bool),
    Fail(usize),
    Gone(usize),
    Delete(usize),
    Relabel(usize),
    Orphan,
    Drive,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..12_i32).prop_map(Step::Scale),
        3 => ((0..20_usize), any::<bool>()).prop_map(|(pod, ready)| Step::Run(pod, ready)),
        1 => (0..20_usize).prop_map(Step::Fail),
        1 => (0..20_usize).prop_map(Step::Gone),
        1 => (0..20_usize).prop_map(Step::Delete),
        1 => (0..20_usize).prop_map(Step::Relabel),
        1 => Just(Step::Orphan),
        4 => Just(Step::Drive),
    ]
}

fn take(world: &mut World, key: &Key, step: &Step) {
    let pods = world.all::<Pod>();
    let pick = |i: &usize| pods.get(i % pods.len().max(1)).cloned();
    match step {
        Step::Scale(replicas) => world.edit(REPLICA_SETS, key, |s| s["spec"]["replicas"] = json!(replicas)),
        Step::Run(i, ready) => pick(i).into_iter().for_each(|pod| run_pod(world, &pod, *ready)),
        Step::Fail(i) => pick(i).into_iter().for_each(|pod| {
            world.edit(PODS, &Key::of(&*pod), |p| p["status"]["phase"] = json!("Failed"));
        }),
        Step::Gone(i) => pick(i).into_iter().for_each(|pod| world.remove(PODS, &Key::of(&*pod))),
        Step::Delete(i) => pick(i).into_iter().for_each(|pod| {
            world.apply(&Change::delete(PODS, &*pod)).unwrap();
        }),
        Step::Relabel(i) => pick(i).into_iter().for_each(|pod| {
            world.edit(PODS, &Key::of(&*pod), |p| p["metadata"]["labels"]["app"] = json!("debug"));
        }),
        Step::Orphan => {
            let name = format!("orphan-{}", world.writes);
            world.put(PODS, json!({"metadata": {"namespace": "shop", "name": name, "labels": {"app": "web"}}}));
        }
        Step::Drive => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Over any history: after each go there are as many active Pods as asked for, never more made than were missing,
    /// none deleted that was not too much, and a ready one only when no other is left.
    #[test]
    fn there_are_never_too_many(steps in prop::collection::vec(step(), 1..80)) {
        let (mut world, key) = world(3);
        for step in &steps {
            take(&mut world, &key, step);
            if !matches!(step, Step::Drive) {
                continue;
            }
            let matching = |world: &World| -> Vec<Arc<Pod>> {
                world.all::<Pod>().into_iter().filter(|p| p.active() && p.label("app") == Some("web")).collect()
            };
            let before = matching(&world);
            let wanted = world.get::<ReplicaSet>("shop", "web").unwrap().replicas() as usize;
            let plan = drive(&mut world, &key);
            let after = matching(&world);
            prop_assert_eq!(after.len(), wanted);
            prop_assert_eq!(plan.create, wanted.saturating_sub(before.len()));
            prop_assert_eq!(plan.delete.len(), before.len().saturating_sub(wanted));
            let ready = |pods: &[Arc<Pod>]| pods.iter().filter(|p| p.ready()).count();
            prop_assert!(ready(&after) >= ready(&before).min(wanted));
        }
    }
}

#[test]
fn a_replication_controller_is_a_replica_set_with_labels_alone() {
    let mut world = World::default();
    let key = world.put(
        REPLICATION_CONTROLLERS,
        json!({
            "metadata": { "namespace": "shop", "name": "old", "uid": "rc" },
            "spec": {
                "replicas": 2, "selector": { "app": "old" },
                "template": { "metadata": { "labels": { "app": "old" } }, "spec": {} },
            },
        }),
    );
    let set = world.get::<ReplicationController>(&key.namespace, &key.name).unwrap();
    let labels = std::collections::BTreeMap::from([("app".to_owned(), "old".to_owned())]);
    assert!(selector::matches(&set.spec.selector, Some(&labels)) && !selector::matches(&set.spec.selector, None));
    let planned = plan(&Snapshot { set: &set, active: &[], related: &[], now: world.now });
    assert_eq!(planned.create, 2);
    for _ in 0..planned.create {
        world.apply(&new_pod(&set)).unwrap();
    }
    let pods = world.all::<Pod>();
    let owner = pods[0].controller().unwrap();
    assert_eq!((owner.kind.as_str(), owner.api_version.as_str()), ("ReplicationController", "v1"));
    world.apply(&write(&set, &status(&set, &pods, 3, None, world.now))).unwrap();
    let written = &world.document(REPLICATION_CONTROLLERS, "shop", "old").unwrap()["status"];
    assert_eq!((&written["replicas"], &written["terminatingReplicas"]), (&json!(2), &Value::Null));
}

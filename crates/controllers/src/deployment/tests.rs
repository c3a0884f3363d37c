use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::bounds::Bounds;
use super::plan::*;
use super::*;
use crate::change::PODS;
use crate::replicaset::tests as replicasets;
use crate::world::World;

fn key() -> Key {
    Key::new("shop", "web")
}

fn deployment(replicas: i32, spec: Value) -> Value {
    let mut value = json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "dep", "generation": 1,
            "annotations": {"kubernetes.io/change-cause": "first", super::super::objects::LAST_APPLIED: "{}"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}}});
    for (field, part) in spec.as_object().unwrap() {
        value["spec"][field] = part.clone();
    }
    value
}

fn world(replicas: i32, spec: Value) -> World {
    let mut world = World::default();
    world.put(DEPLOYMENTS, deployment(replicas, spec));
    world
}

fn get(world: &World) -> Arc<Deployment> {
    world.get::<Deployment>("shop", "web").unwrap()
}

fn make_plan(world: &World) -> Plan {
    let deployment = get(world);
    let all = world.all::<ReplicaSet>();
    let sets = claim::claim(&*deployment, &deployment.spec.selector, all.clone()).owned;
    let pods = world.all::<Pod>();
    plan(&Snapshot {
        deployment: &deployment,
        sets: &sets,
        has_pods: &|uid| pods.iter().any(|p| p.controller().is_some_and(|c| c.uid == uid) && !p.terminal()),
        taken: &|name| all.iter().any(|set| set.name() == name),
        now: world.now,
    })
}

/// What the runner does, without a network; tells what was said.
fn drive(world: &mut World) -> Vec<String> {
    let plan = make_plan(world);
    let mut said = Vec::new();
    for (change, note) in plan.sets {
        world.apply(&change).unwrap();
        said.extend(note.map(|note| note.message));
    }
    world.apply_all(&plan.deployment);
    said
}

fn drive_sets(world: &mut World) {
    for set in world.all::<ReplicaSet>() {
        replicasets::drive(world, &Key::of(&*set));
    }
}

/// All Pods run and are ready; those that end are gone.
fn kubelets(world: &mut World) {
    for pod in world.all::<Pod>() {
        if pod.deleting() {
            world.remove(PODS, &Key::of(&*pod));
        } else {
            replicasets::run_pod(world, &pod, true);
        }
    }
}

/// Everybody works until nothing changes; tells what was said.
fn settle(world: &mut World) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..200 {
        let before = world.revision;
        said.extend(drive(world));
        drive_sets(world);
        kubelets(world);
        if world.revision == before {
            return said;
        }
    }
    panic!("it never settles: {said:?}");
}

fn image(world: &mut World, image: &str) {
    world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image));
}

fn condition(world: &World, kind: &str) -> (String, String, String) {
    let found = get(world).status.conditions.iter().find(|c| c.type_ == kind).cloned().unwrap();
    (found.status, found.reason.unwrap_or_default(), found.message.unwrap_or_default())
}

/// Image, size and revision of every ReplicaSet, by revision.
fn history(world: &World) -> Vec<(String, i32, String)> {
    let mut all: Vec<_> = world
        .all::<ReplicaSet>()
        .iter()
        .map(|set| {
            let image = set.spec.template.value()["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
            (image, set.replicas(), set.annotation("deployment.kubernetes.io/revision").unwrap().to_owned())
        })
        .collect();
    all.sort_by_key(|(_, _, revision)| revision.parse::<i64>().unwrap());
    all
}

fn row(image: &str, replicas: i32, revision: &str) -> (String, i32, String) {
    (image.to_owned(), replicas, revision.to_owned())
}

#[test]
fn a_deployment_makes_a_replica_set_as_kubernetes_does() {
    let mut world = world(3, json!({}));
    assert_eq!(drive(&mut world).len(), 1);
    let set = world.all::<ReplicaSet>()[0].clone();
    let name = set.name().to_owned();
    let hash = name.strip_prefix("web-").unwrap();
    assert_eq!(hash.len(), 10);
    let document = world.document(REPLICA_SETS, "shop", &name).unwrap();
    assert_eq!(document["metadata"]["labels"], json!({"app": "web", "pod-template-hash": hash}));
    assert_eq!(
        document["metadata"]["annotations"],
        json!({"kubernetes.io/change-cause": "first", "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "3", "deployment.kubernetes.io/max-replicas": "4"})
    );
    assert_eq!(document["metadata"]["ownerReferences"][0]["controller"], true);
    assert_eq!(document["spec"]["selector"], json!({"matchLabels": {"app": "web", "pod-template-hash": hash}}));
    assert_eq!(document["spec"]["template"]["metadata"]["labels"]["pod-template-hash"], hash);
    assert_eq!(get(&world).annotation("deployment.kubernetes.io/revision"), Some("1"));
    let wanted = ("True".to_owned(), "NewReplicaSetCreated".to_owned(), format!("Created new replica set {name:?}"));
    assert_eq!(condition(&world, "Progressing"), wanted);
    assert_eq!(condition(&world, "Available").1, "MinimumReplicasUnavailable");
}

#[test]
fn a_rollout_ends_as_kubectl_rollout_status_expects() {
    let mut world = world(3, json!({}));
    let said = settle(&mut world);
    let name = world.all::<ReplicaSet>()[0].name().to_owned();
    assert_eq!(said, [format!("Scaled up replica set {name} from 0 to 3")]);
    let status = &world.document(DEPLOYMENTS, "shop", "web").unwrap()["status"];
    for (field, value) in [("replicas", 3), ("updatedReplicas", 3), ("readyReplicas", 3), ("availableReplicas", 3)] {
        assert_eq!(status[field], value, "{field}");
    }
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["unavailableReplicas"], Value::Null);
    let complete = ("NewReplicaSetAvailable".to_owned(), format!("ReplicaSet {name:?} has successfully progressed."));
    let found = condition(&world, "Progressing");
    assert_eq!((found.1, found.2), complete);
    assert_eq!(condition(&world, "Available").2, "Deployment has minimum availability.");
    assert_eq!(make_plan(&world), Plan::default());
}

#[test]
fn a_new_image_rolls_and_undo_rolls_back() {
    let mut world = world(3, json!({}));
    settle(&mut world);
    image(&mut world, "v2");
    settle(&mut world);
    assert_eq!(history(&world), [row("v1", 0, "1"), row("v2", 3, "2")]);
    image(&mut world, "v3");
    settle(&mut world);
    // `kubectl rollout undo` puts the template of revision 1 into the Deployment.
    image(&mut world, "v1");
    settle(&mut world);
    assert_eq!(history(&world), [row("v2", 0, "2"), row("v3", 0, "3"), row("v1", 3, "4")]);
    let set = world.all::<ReplicaSet>().into_iter().find(|set| set.replicas() == 3).unwrap();
    assert_eq!(set.annotation("deployment.kubernetes.io/revision-history"), Some("1"));
    assert_eq!(get(&world).annotation("deployment.kubernetes.io/revision"), Some("4"));
}

#[test]
fn the_history_is_kept_as_long_as_asked_for() {
    let mut world = world(1, json!({"revisionHistoryLimit": 2}));
    for version in ["v1", "v2", "v3", "v4", "v5"] {
        image(&mut world, version);
        settle(&mut world);
    }
    assert_eq!(history(&world), [row("v3", 0, "3"), row("v4", 0, "4"), row("v5", 1, "5")]);
    world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["revisionHistoryLimit"] = json!(0));
    settle(&mut world);
    assert_eq!(history(&world), [row("v5", 1, "5")]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = world(2, json!({}));
    settle(&mut world);
    world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["paused"] = json!(true));
    image(&mut world, "v2");
    world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["replicas"] = json!(5));
    settle(&mut world);
    assert_eq!(history(&world), [row("v1", 5, "1")]);
    assert_eq!(condition(&world, "Progressing").1, "DeploymentPaused");
    world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["paused"] = json!(false));
    drive(&mut world);
    settle(&mut world);
    assert_eq!(history(&world), [row("v1", 0, "1"), row("v2", 5, "2")]);
    assert_eq!(condition(&world, "Progressing").1, "NewReplicaSetAvailable");
}

#[test]
fn recreate_waits_until_the_old_pods_are_gone() {
    let mut world = world(2, json!({"strategy": {"type": "Recreate"}}));
    settle(&mut world);
    image(&mut world, "v2");
    for _ in 0..5 {
        drive(&mut world);
        drive_sets(&mut world);
    }
    assert!(world.all::<Pod>().iter().all(|pod| pod.deleting()), "the old ones are on their way out");
    assert_eq!(history(&world), [row("v1", 0, "1")]);
    settle(&mut world);
    assert_eq!(history(&world), [row("v1", 0, "1"), row("v2", 2, "2")]);
}

#[test]
fn a_rollout_without_progress_times_out() {
    let mut world = world(2, json!({"progressDeadlineSeconds": 60}));
    drive(&mut world);
    let plan = make_plan(&world);
    assert_eq!(plan.again.map(|after| after.as_secs()), Some(61));
    world.pass(30);
    drive_sets(&mut world);
    drive(&mut world);
    drive_sets(&mut world);
    drive(&mut world);
    assert_eq!(condition(&world, "Progressing").1, "ReplicaSetUpdated", "Pods were made: that is progress");
    world.pass(60);
    drive(&mut world);
    assert_eq!(condition(&world, "Progressing").0, "True");
    world.pass(1);
    drive(&mut world);
    let (status, reason, message) = condition(&world, "Progressing");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ProgressDeadlineExceeded"));
    assert!(message.ends_with("has timed out progressing."), "{message}");
    assert_eq!(make_plan(&world).again, None);
    settle(&mut world);
    assert_eq!(condition(&world, "Progressing").1, "NewReplicaSetAvailable");
}

#[test]
fn a_name_that_is_taken_is_not_taken_again() {
    let mut world = world(1, json!({}));
    let name = super::sets::new_name(&get(&world));
    world.put(
        REPLICA_SETS,
        json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"app": "other"}},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "other"}}}}),
    );
    drive(&mut world);
    assert_eq!(get(&world).status.collision_count, Some(1));
    assert_eq!(world.all::<ReplicaSet>().len(), 1);
    settle(&mut world);
    assert_eq!(world.all::<ReplicaSet>().len(), 2);
    assert_ne!(super::sets::new_name(&get(&world)), name);
}

#[test]
fn a_failure_to_make_pods_is_told() {
    let mut world = world(1, json!({}));
    drive(&mut world);
    let set = Key::of(&*world.all::<ReplicaSet>()[0]);
    world.edit(REPLICA_SETS, &set, |s| {
        s["status"]["conditions"] =
            json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}]);
    });
    drive(&mut world);
    assert_eq!(condition(&world, "ReplicaFailure"), ("True".into(), "FailedCreate".into(), "quota".into()));
    let deployment = get(&world);
    let change = status::creation_failed(&deployment, "Failed to create new replica set", world.now).unwrap();
    world.apply(&change).unwrap();
    assert_eq!(condition(&world, "Progressing").1, "ReplicaSetCreateError");
    settle(&mut world);
    assert!(!get(&world).status.conditions.iter().any(|c| c.type_ == "ReplicaFailure"));
}

#[test]
fn bounds_are_percentages_or_numbers() {
    let rows = [
        (10, json!("25%"), json!("25%"), 13, 8),
        (3, json!("25%"), json!("25%"), 4, 3),
        (1, json!("0%"), json!("10%"), 1, 0),
        (5, json!(2), json!(1), 7, 4),
        (2, json!(0), json!(5), 2, 0),
        (0, json!("25%"), json!("25%"), 0, 0),
        (4, json!("150%"), json!(0), 10, 4),
    ];
    for (replicas, surge, unavailable, most, least) in rows {
        let strategy =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
        let found: Deployment = serde_json::from_value(deployment(replicas, json!({"strategy": strategy}))).unwrap();
        let bounds = Bounds::of(&found);
        assert_eq!((bounds.most(), bounds.least()), (most, least), "{replicas} +{surge} -{unavailable}");
    }
}

#[test]
fn a_change_of_size_in_the_middle_is_shared_out() {
    // Three ReplicaSets of a rollout at size 10 (+3): 5, 5 and 3; then 30 are wanted.
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}});
    let mut world = world(10, json!({"strategy": rolling}));
    for version in ["v1", "v2", "v3"] {
        image(&mut world, version);
        drive(&mut world);
        world.pass(1);
    }
    for set in world.all::<ReplicaSet>() {
        let size = if history_of(&set) == "v3" { 3 } else { 5 };
        world.edit(REPLICA_SETS, &Key::of(&*set), |s| {
            s["spec"]["replicas"] = json!(size);
            s["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] = json!("13");
            s["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] = json!("10");
        });
    }
    world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["replicas"] = json!(30));
    drive(&mut world);
    let sizes: BTreeMap<String, i32> =
        world.all::<ReplicaSet>().iter().map(|s| (history_of(s), s.replicas())).collect();
    assert_eq!(sizes, [("v1", 13), ("v2", 13), ("v3", 7)].map(|(v, n)| (v.to_owned(), n)).into());
}

#[test]
fn a_resize_to_the_size_that_it_has_does_not_hold_a_rollout_up() {
    // The only ReplicaSet that has Pods is an old one, and has as many as are wanted by now.
    let mut world = world(4, json!({}));
    settle(&mut world);
    image(&mut world, "v2");
    drive(&mut world);
    for set in world.all::<ReplicaSet>() {
        let size = if history_of(&set) == "v1" { 3 } else { 0 };
        world.edit(REPLICA_SETS, &Key::of(&*set), |s| s["spec"]["replicas"] = json!(size));
    }
    world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["replicas"] = json!(3));
    settle(&mut world);
    assert_eq!(history(&world), [row("v1", 0, "1"), row("v2", 3, "2")]);
}

fn history_of(set: &ReplicaSet) -> String {
    set.spec.template.value()["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

#[derive(Clone, Debug)]
enum Step {
    Image(u8),
    Pause(bool),
    Run(usize, bool),
    Gone(usize),
    Deployment,
    Set(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..4_u8).prop_map(Step::Image),
        1 => any::<bool>().prop_map(Step::Pause),
        6 => ((0..30_usize), prop::bool::weighted(0.8)).prop_map(|(pod, ready)| Step::Run(pod, ready)),
        2 => (0..30_usize).prop_map(Step::Gone),
        6 => Just(Step::Deployment),
        8 => (0..5_usize).prop_map(Step::Set),
    ]
}

fn available(world: &World) -> i32 {
    world.all::<Pod>().iter().filter(|pod| pod.active() && pod.ready()).count() as i32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Over any history of images, pauses and Pods, with every controller acting whenever it likes on whatever it knows:
    /// the sizes never add up to more than may be, and no step of a controller takes available Pods below what must be
    /// available (or below what there was, if that was less already). Where ready Pods fail by themselves the latter
    /// cannot be: one may fail after it was decided that another can go. In the end everything is as asked for.
    #[test]
    fn a_rollout_stays_within_its_bounds(
        steps in prop::collection::vec(step(), 1..150), replicas in 1..9_i32, surge in 0..4_i32, unavailable in 0..4_i32, fail in any::<bool>(),
    ) {
        let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable.max(i32::from(surge == 0))});
        let mut world = world(replicas, json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}));
        settle(&mut world);
        let bounds = Bounds::of(&get(&world));
        for step in &steps {
            let pods = world.all::<Pod>();
            let before = available(&world);
            match step {
                Step::Image(version) => image(&mut world, &format!("v{version}")),
                Step::Pause(paused) => world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["paused"] = json!(paused)),
                Step::Run(i, ready) => {
                    let pod = pods[i % pods.len().max(1)..].first().filter(|pod| fail || *ready || !pod.ready());
                    pod.iter().for_each(|pod| replicasets::run_pod(&mut world, pod, *ready));
                }
                Step::Gone(i) => {
                    let ending: Vec<_> = pods.iter().filter(|pod| pod.deleting()).collect();
                    ending.get(i % ending.len().max(1)).iter().for_each(|p| world.remove(PODS, &Key::of(&****p)));
                }
                Step::Deployment => { drive(&mut world); }
                Step::Set(i) => {
                    let sets = world.all::<ReplicaSet>();
                    if let Some(set) = sets.get(i % sets.len().max(1)) {
                        replicasets::drive(&mut world, &Key::of(&**set));
                    }
                }
            }
            let sizes: i32 = world.all::<ReplicaSet>().iter().map(|set| set.replicas()).sum();
            prop_assert!(sizes <= bounds.most(), "{sizes} Pods wanted, at most {}", bounds.most());
            if !fail && matches!(step, Step::Deployment | Step::Set(_)) {
                let after = available(&world);
                prop_assert!(after >= before.min(bounds.least()), "{before} -> {after}, least {}", bounds.least());
            }
        }
        world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["paused"] = json!(false));
        settle(&mut world);
        let wanted = get(&world).spec.template.value()["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
        let active: Vec<_> = world.all::<ReplicaSet>().into_iter().filter(|set| set.replicas() > 0).collect();
        prop_assert_eq!(active.len(), 1);
        prop_assert_eq!((history_of(&active[0]), active[0].replicas()), (wanted, replicas));
        prop_assert_eq!(available(&world), replicas);
    }

    /// Over any history of sizes too, it ends as asked for.
    #[test]
    fn any_history_of_sizes_and_images_ends_as_asked(
        steps in prop::collection::vec((0..12_i32, 0..4_u8, 0..4_usize), 1..20), recreate in any::<bool>(),
    ) {
        let strategy = if recreate { json!({"type": "Recreate"}) } else {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        };
        let mut world = world(3, json!({"strategy": strategy}));
        for (replicas, version, rounds) in &steps {
            world.edit(DEPLOYMENTS, &key(), |d| d["spec"]["replicas"] = json!(replicas));
            image(&mut world, &format!("v{version}"));
            for _ in 0..*rounds {
                drive(&mut world);
                drive_sets(&mut world);
                kubelets(&mut world);
            }
        }
        settle(&mut world);
        let (replicas, version, _) = steps.last().unwrap();
        let sizes: BTreeMap<String, i32> =
            world.all::<ReplicaSet>().iter().filter(|s| s.replicas() > 0).map(|s| (history_of(s), s.replicas())).collect();
        let wanted = if *replicas > 0 { [(format!("v{version}"), *replicas)].into() } else { BTreeMap::new() };
        prop_assert_eq!(sizes, wanted);
        prop_assert_eq!(world.all::<Pod>().len(), *replicas as usize);
    }
}

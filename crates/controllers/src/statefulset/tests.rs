use serde_json::{Value, json};

use super::plan::*;
use super::*;
use crate::world::World;

/// What the runner does, without a network.
fn drive(world: &mut World, key: &Key) -> Vec<Change> {
    let Some(set) = world.get::<StatefulSet>(&key.namespace, &key.name) else { return Vec::new() };
    let before = revisions::sorted(world.all());
    let present = revisions::present((STATEFUL_SETS, &*set), &set.spec.template, HASH, &before);
    if let Some(change) = &present.change {
        world.apply(change).unwrap();
    }
    let (current, update) = versions(&set, &present.name, &before);
    let pods = world.all::<Pod>();
    let snapshot = |pods, now| Snapshot { set: &set, pods, current: &current, update: &update, now };
    let plan = plan(&snapshot(&pods, world.now));
    world.apply_all(&plan);
    let pods = world.all::<Pod>();
    let status = status(&snapshot(&pods, world.now));
    if status != set.status {
        world.apply(&write(&set, &status)).unwrap();
    }
    let known = revisions::sorted(world.all());
    world.apply_all(&revisions::forget(&known, |name| is_used(name, &status, &pods), Some(1)));
    plan
}

fn world(replicas: i32, more: &Value) -> (World, Key) {
    let mut world = World::default();
    let mut set = json!({
        "metadata": { "namespace": "shop", "name": "db", "uid": "sts", "generation": 1 },
        "spec": {
            "replicas": replicas, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
            "template": {
                "metadata": { "labels": { "app": "db" } },
                "spec": { "containers": [{ "name": "c", "image": "one" }] },
            },
        },
    });
    for (field, value) in more.as_object().unwrap() {
        set["spec"][field] = value.clone();
    }
    let key = world.put(STATEFUL_SETS, set);
    (world, key)
}

/// What nodes do: bind, run, and end what is to end.
fn nodes_work(world: &mut World) {
    for pod in world.all::<Pod>() {
        let key = Key::of(&*pod);
        if pod.deleting() {
            world.remove(PODS, &key);
            continue;
        }
        let now = world.now.to_string();
        world.edit(PODS, &key, |pod| {
            pod["spec"]["nodeName"] = "n".into();
            if pod["status"].is_null() {
                let ready = json!({ "type": "Ready", "status": "True", "lastTransitionTime": now });
                pod["status"] = json!({ "phase": "Running", "conditions": [ready] });
            }
        });
    }
}

fn settle(world: &mut World, key: &Key) {
    for _ in 0..30 {
        drive(world, key);
        nodes_work(world);
    }
    let before = world.writes;
    drive(world, key);
    assert_eq!(world.writes, before, "nothing is left to do");
}

fn names(world: &World) -> Vec<String> {
    world.all::<Pod>().iter().map(|pod| pod.name().to_owned()).collect()
}

fn images(world: &World) -> Vec<String> {
    let image = |pod: &Arc<Pod>| {
        let pod = world.document(PODS, "shop", pod.name()).unwrap();
        pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    world.all::<Pod>().iter().map(image).collect()
}

fn set_image(world: &mut World, key: &Key, image: &str) {
    world.edit(STATEFUL_SETS, key, |set| set["spec"]["template"]["spec"]["containers"][0]["image"] = image.into());
}

#[test]
fn pods_are_made_one_after_another_and_know_who_they_are() {
    let (mut world, key) = world(3, &json!({}));
    drive(&mut world, &key);
    assert_eq!(names(&world), ["db-0"]);
    drive(&mut world, &key);
    assert_eq!(names(&world), ["db-0"], "the second waits for the first");
    settle(&mut world, &key);
    assert_eq!(names(&world), ["db-0", "db-1", "db-2"]);
    let pod = world.document(PODS, "shop", "db-1").unwrap();
    assert_eq!((pod["spec"]["hostname"].as_str(), pod["spec"]["subdomain"].as_str()), (Some("db-1"), Some("db")));
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-1");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    let set = world.get::<StatefulSet>("shop", "db").unwrap();
    assert_eq!(labels["controller-revision-hash"], set.status.current_revision.as_str());
    let status = &set.status;
    assert_eq!(
        (status.replicas, status.ready_replicas, status.current_replicas, status.updated_replicas),
        (3, 3, 3, 3)
    );
    assert_eq!(status.current_revision, status.update_revision);
}

#[test]
fn all_at_once_where_order_does_not_matter() {
    let (mut world, key) = world(3, &json!({ "podManagementPolicy": "Parallel", "ordinals": { "start": 5 } }));
    drive(&mut world, &key);
    assert_eq!(names(&world), ["db-5", "db-6", "db-7"]);
    settle(&mut world, &key);
    world.edit(STATEFUL_SETS, &key, |set| set["spec"]["replicas"] = 0.into());
    assert_eq!(drive(&mut world, &key).len(), 3);
    settle(&mut world, &key);
    assert_eq!(names(&world), [""; 0]);
}

#[test]
fn the_last_goes_first_and_is_waited_for() {
    let (mut world, key) = world(3, &json!({}));
    settle(&mut world, &key);
    world.edit(STATEFUL_SETS, &key, |set| set["spec"]["replicas"] = 1.into());
    let went: Vec<_> = drive(&mut world, &key).into_iter().map(|change| change.name).collect();
    assert_eq!(went, ["db-2"]);
    assert!(drive(&mut world, &key).is_empty(), "it is waited for");
    settle(&mut world, &key);
    assert_eq!(names(&world), ["db-0"]);
}

#[test]
fn an_update_goes_from_the_last_to_the_first_one_at_a_time() {
    let (mut world, key) = world(3, &json!({}));
    settle(&mut world, &key);
    set_image(&mut world, &key, "two");
    let went: Vec<_> = drive(&mut world, &key).into_iter().map(|change| change.name).collect();
    assert_eq!(went, ["db-2"]);
    assert!(drive(&mut world, &key).is_empty(), "it is waited for");
    let mid = world.get::<StatefulSet>("shop", "db").unwrap();
    assert_ne!(mid.status.current_revision, mid.status.update_revision);
    settle(&mut world, &key);
    assert_eq!(images(&world), ["two", "two", "two"]);
    let done = world.get::<StatefulSet>("shop", "db").unwrap();
    assert_eq!(done.status.current_revision, done.status.update_revision);
    // Back again, as `kubectl rollout undo` does it: the old revision is the newest.
    set_image(&mut world, &key, "one");
    settle(&mut world, &key);
    assert_eq!(images(&world), ["one", "one", "one"]);
    let numbers: Vec<i64> = revisions::sorted(world.all()).iter().map(|revision| revision.revision).collect();
    assert_eq!(numbers, [2, 3]);
}

#[test]
fn a_partition_holds_those_below_it_also_when_they_are_made_anew() {
    let update = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } });
    let (mut world, key) = world(3, &json!({ "updateStrategy": update }));
    settle(&mut world, &key);
    set_image(&mut world, &key, "two");
    settle(&mut world, &key);
    assert_eq!(images(&world), ["one", "one", "two"]);
    world.remove(PODS, &Key::new("shop", "db-0"));
    settle(&mut world, &key);
    assert_eq!(images(&world), ["one", "one", "two"]);
    let status = &world.get::<StatefulSet>("shop", "db").unwrap().status;
    assert_eq!((status.current_replicas, status.updated_replicas), (2, 1));
    assert_ne!(status.current_revision, status.update_revision);
}

#[test]
fn on_delete_nothing_is_replaced_by_itself() {
    let (mut world, key) = world(2, &json!({ "updateStrategy": { "type": "OnDelete" } }));
    settle(&mut world, &key);
    set_image(&mut world, &key, "two");
    settle(&mut world, &key);
    assert_eq!(images(&world), ["one", "one"]);
    world.remove(PODS, &Key::new("shop", "db-1"));
    settle(&mut world, &key);
    assert_eq!(images(&world), ["one", "two"]);
}

#[test]
fn what_ended_is_made_anew_and_what_lost_its_labels_gets_them_back() {
    let (mut world, key) = world(2, &json!({}));
    settle(&mut world, &key);
    world.edit(PODS, &Key::new("shop", "db-0"), |pod| pod["status"]["phase"] = "Failed".into());
    settle(&mut world, &key);
    assert_eq!(world.get::<StatefulSet>("shop", "db").unwrap().status.ready_replicas, 2);
    world.edit(PODS, &Key::new("shop", "db-1"), |pod| {
        pod["metadata"]["labels"].as_object_mut().unwrap().remove("statefulset.kubernetes.io/pod-name");
    });
    settle(&mut world, &key);
    let pod = world.document(PODS, "shop", "db-1").unwrap();
    assert_eq!(pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"], "db-1");
}

#[test]
fn several_may_be_missing_where_it_says_so() {
    let update = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0, "maxUnavailable": 2 } });
    let (mut world, key) = world(4, &json!({ "updateStrategy": update, "podManagementPolicy": "Parallel" }));
    settle(&mut world, &key);
    set_image(&mut world, &key, "two");
    let went: Vec<_> = drive(&mut world, &key).into_iter().map(|change| change.name).collect();
    assert_eq!(went, ["db-3", "db-2"]);
    settle(&mut world, &key);
    assert_eq!(images(&world), ["two"; 4]);
}

#[test]
fn names_are_read_as_they_are_written() {
    let (world, _) = world(1, &json!({}));
    let set = world.get::<StatefulSet>("shop", "db").unwrap();
    let rows =
        [("db-0", Some(0)), ("db-12", Some(12)), ("db-01", None), ("db-", None), ("db-x", None), ("dba-1", None)];
    for (name, ordinal) in rows {
        assert_eq!(identity::ordinal(&set, name), ordinal, "{name}");
    }
}

#[test]
fn claims_are_named() {
    let (world, _) = world(1, &json!({ "volumeClaimTemplates": [{ "metadata": { "name": "data" } }] }));
    let set = world.get::<StatefulSet>("shop", "db").unwrap();
    assert_eq!(claim_templates(&set).collect::<Vec<_>>(), ["data"]);
}

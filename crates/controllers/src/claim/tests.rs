use serde_json::{Value, json};

use super::*;
use crate::change::{PODS, REPLICA_SETS};
use crate::objects::{Pod, ReplicaSet};
use crate::world::World;

fn owner(deleting: bool) -> ReplicaSet {
    let end = if deleting { json!("2026-01-01T00:00:00Z") } else { Value::Null };
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "me", "deletionTimestamp": end},
        "spec": {"selector": {"matchLabels": {"app": "web"}}}}))
    .unwrap()
}

fn pod(name: &str, app: &str, controller: &str, deleting: bool) -> Arc<Pod> {
    let owners = if controller.is_empty() {
        json!([{"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "me"}])
    } else {
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": controller, "controller": true}])
    };
    let end = if deleting { json!("2026-01-01T00:00:00Z") } else { Value::Null };
    let value = json!({"metadata": {"namespace": "shop", "name": name, "uid": name, "labels": {"app": app},
        "ownerReferences": owners, "deletionTimestamp": end}});
    Arc::new(serde_json::from_value(value).unwrap())
}

#[test]
fn candidates_are_sorted_out() {
    let all = || {
        [
            pod("mine", "web", "me", false),
            pod("mine-ending", "web", "me", true),
            pod("relabelled", "db", "me", false),
            pod("others", "web", "other", false),
            pod("orphan", "web", "", false),
            pod("orphan-ending", "web", "", true),
            pod("stranger", "db", "", false),
        ]
    };
    let names = |pods: &[Arc<Pod>]| pods.iter().map(|p| p.name().to_owned()).collect::<Vec<_>>();
    let living = owner(false);
    let claims = claim(&living, &living.spec.selector, all());
    assert_eq!(names(&claims.owned), ["mine", "mine-ending"]);
    assert_eq!(names(&claims.adopt), ["orphan"]);
    assert_eq!(names(&claims.release), ["relabelled"]);
    let ending = owner(true);
    let claims = claim(&ending, &ending.spec.selector, all());
    assert_eq!(names(&claims.owned), ["mine", "mine-ending"]);
    assert!(claims.adopt.is_empty() && claims.release.is_empty());
}

#[test]
fn an_adopted_object_is_owned_and_a_released_one_is_not() {
    let mut world = World::default();
    let key = world.put(PODS, json!({"metadata": {"namespace": "shop", "name": "p", "labels": {"app": "web"}}}));
    let get = |world: &World| world.get::<Pod>("shop", "p").unwrap();
    let (owner, pod) = (owner(false), get(&world));
    world.apply(&adopt((REPLICA_SETS, &owner), (PODS, &*pod))).unwrap();
    assert_eq!(get(&world).controller().unwrap().uid, "me");
    assert_eq!(get(&world).controller().unwrap().block_owner_deletion, Some(true));
    world.apply(&release(&owner, (PODS, &*pod))).unwrap();
    assert!(get(&world).controller().is_none());
    assert_eq!(key.name, "p");
}

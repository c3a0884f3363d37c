use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

use super::plan::*;
use super::*;
use crate::change::{DEPLOYMENTS, NAMESPACES};
use crate::world::World;

fn world() -> World {
    let mut world = World::default();
    world.put(
        NAMESPACES,
        json!({"metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["held"]},
        "spec": {"finalizers": ["kubernetes", "mine"]}, "status": {"phase": "Terminating"}}),
    );
    world
}

fn get(world: &World) -> Arc<Namespace> {
    world.get::<Namespace>("", "shop").unwrap()
}

fn conditions(world: &World) -> Vec<String> {
    let status = &world.document(NAMESPACES, "", "shop").unwrap()["status"];
    let row = |c: &Value| {
        format!(
            "{} {} {}: {}",
            c["type"].as_str().unwrap(),
            c["status"].as_str().unwrap(),
            c["reason"].as_str().unwrap(),
            c["message"].as_str().unwrap()
        )
    };
    status["conditions"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn conditions_say_what_is_left_as_kubernetes_says_it() {
    let mut world = world();
    let object = |finalizers: &[&str]| ObjectMeta {
        finalizers: Some(finalizers.iter().map(|f| (*f).to_owned()).collect()),
        ..ObjectMeta::default()
    };
    let mut remains = Remains::default();
    remains.note(PODS, &[object(&["a/b"]), object(&[])]);
    remains.note(DEPLOYMENTS, &[object(&["a/b", "c"])]);
    remains.fail("secrets.: no".to_owned());
    assert!(!remains.is_nothing());
    world.apply(&status(&get(&world), &remains, world.now).unwrap()).unwrap();
    assert_eq!(
        conditions(&world),
        [
            "NamespaceDeletionDiscoveryFailure False ResourcesDiscovered: All resources successfully discovered",
            "NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions: All legacy kube types successfully parsed",
            "NamespaceDeletionContentFailure True ContentDeletionFailed: Failed to delete all resource types, 1 remaining: secrets.: no",
            "NamespaceContentRemaining True SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances",
            "NamespaceFinalizersRemaining True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: a/b in 2 resource instances, c in 1 resource instances",
        ]
    );
    assert_eq!(status(&get(&world), &remains, world.now), None);
    world.pass(5);
    world.apply(&status(&get(&world), &Remains::default(), world.now).unwrap()).unwrap();
    assert!(conditions(&world).iter().all(|row| row.contains(" False ")), "{:?}", conditions(&world));
}

#[test]
fn an_empty_namespace_is_let_go() {
    let mut world = world();
    assert!(waits(&get(&world)));
    world.apply(&finalize(&get(&world))).unwrap();
    assert_eq!(world.document(NAMESPACES, "", "shop").unwrap()["spec"]["finalizers"], json!(["mine"]));
    assert!(!waits(&get(&world)));
    let living: Namespace =
        serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": {"finalizers": ["kubernetes"]}})).unwrap();
    assert!(!waits(&living));
}

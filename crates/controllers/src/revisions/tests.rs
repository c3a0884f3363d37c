use serde_json::json;

use super::*;
use crate::change::STATEFUL_SETS;
use crate::objects::workload::StatefulSet;
use crate::world::World;

fn set(image: &str) -> StatefulSet {
    let template = json!({ "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [{ "image": image }] } });
    serde_json::from_value(json!({
        "metadata": { "namespace": "shop", "name": "db", "uid": "u" },
        "spec": { "selector": { "matchLabels": { "app": "db" } }, "template": template },
    }))
    .unwrap()
}

fn settle(world: &mut World, set: &StatefulSet) -> String {
    let known = sorted(world.all());
    let present = present((STATEFUL_SETS, set), &set.spec.template, "hash", &known);
    if let Some(change) = &present.change {
        world.apply(change).unwrap();
    }
    present.name
}

#[test]
fn a_template_has_one_revision_and_the_newest_number() {
    let mut world = World::default();
    let (a, b) = (set("a"), set("b"));
    let first = settle(&mut world, &a);
    assert_eq!(settle(&mut world, &a), first);
    let second = settle(&mut world, &b);
    assert_ne!(first, second);
    assert_eq!(settle(&mut world, &a), first, "to go back is to have the old revision");
    let known = sorted(world.all::<ControllerRevision>());
    let numbers: Vec<_> = known.iter().map(|revision| (revision.name().to_owned(), revision.revision)).collect();
    assert_eq!(numbers, [(second, 2), (first, 3)]);
    let template = template(&known[1]).unwrap();
    assert_eq!(template, a.spec.template);
    assert_eq!(known[1].label("app"), Some("db"));
    assert_eq!(known[1].controller().map(|owner| owner.uid.as_str()), Some("u"));
}

#[test]
fn the_oldest_that_nobody_uses_are_forgotten() {
    let mut world = World::default();
    let names: Vec<String> = ["a", "b", "c", "d", "e"].map(|image| settle(&mut world, &set(image))).into();
    let known = sorted(world.all());
    let gone: Vec<String> =
        forget(&known, |name| name == names[0] || name == names[4], Some(1)).into_iter().map(|c| c.name).collect();
    assert_eq!(gone, [names[1].clone(), names[2].clone()]);
    assert!(forget(&known, |_| false, None).is_empty());
}

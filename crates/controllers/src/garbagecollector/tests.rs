use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::graph::Graph;
use super::plan::plan;
use super::*;
use crate::change::{Act, CONFIG_MAPS, Change, Propagation};

fn meta(name: &str, difference: Value) -> ObjectMeta {
    let mut value = json!({"namespace": "shop", "name": name, "uid": name, "resourceVersion": "7"});
    for (field, content) in difference.as_object().unwrap() {
        value[field] = content.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn owned(name: &str, owners: &[&str]) -> ObjectMeta {
    let reference = |uid: &&str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid, "blockOwnerDeletion": true});
    meta(name, json!({"ownerReferences": owners.iter().map(reference).collect::<Vec<_>>()}))
}

fn ending(mut metadata: ObjectMeta, finalizer: &str) -> ObjectMeta {
    metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    metadata.finalizers = (!finalizer.is_empty()).then(|| vec![finalizer.to_owned()]);
    metadata
}

fn uids(names: &[&str]) -> BTreeSet<Uid> {
    names.iter().map(|name| Uid::new(name)).collect()
}

fn set(list: Vec<Uid>) -> BTreeSet<Uid> {
    list.into_iter().collect()
}

#[test]
fn a_uid_is_its_number_or_a_hash() {
    let uuid = "12345678-9abc-def0-1234-56789abcdef0";
    assert_eq!(Uid::new(uuid).to_string(), "123456789abcdef0123456789abcdef0");
    assert_ne!(Uid::new("a"), Uid::new("b"));
    assert_ne!(Uid::new("123456789abcdef0123456789abcdef0"), Uid::new(uuid));
}

#[test]
fn the_graph_tells_whom_to_look_at() {
    let mut graph = Graph::default();
    assert_eq!(set(graph.observe(0, &owned("pod", &["set"]))), uids(&["pod"]), "its owner is not known");
    assert!(graph.is_doubtful(Uid::new("pod")));
    graph.observe(0, &meta("set", json!({})));
    assert!(!graph.is_doubtful(Uid::new("pod")));
    assert_eq!(set(graph.observe(0, &owned("pod", &["set"]))), uids(&[]), "nothing has changed");

    assert_eq!(set(graph.observe(0, &ending(meta("set", json!({})), "foregroundDeletion"))), uids(&["set", "pod"]));
    assert_eq!(graph.blocking(Uid::new("set")), [Uid::new("pod")]);
    assert_eq!(graph.owner_state(Uid::new("set"), "shop"), OwnerState::Waiting);
    assert_eq!(set(graph.forget(Uid::new("pod"))), uids(&["set"]), "the owner waited for it");
    assert!(graph.blocking(Uid::new("set")).is_empty());

    graph.observe(0, &owned("other", &["set"]));
    assert_eq!(set(graph.forget(Uid::new("set"))), uids(&["other"]));
    assert_eq!(graph.owner_state(Uid::new("set"), "shop"), OwnerState::Dangling);
    assert_eq!(graph.owner_state(Uid::new("never seen"), "shop"), OwnerState::Unseen);
}

#[test]
fn an_owner_of_another_namespace_is_nobody() {
    let mut graph = Graph::default();
    graph.observe(0, &meta("far", json!({"namespace": "other"})));
    graph.observe(0, &meta("node", json!({"namespace": null})));
    assert_eq!(graph.owner_state(Uid::new("far"), "shop"), OwnerState::Unseen);
    assert_eq!(graph.owner_state(Uid::new("node"), "shop"), OwnerState::Solid);
}

fn decide(object: &ObjectMeta, dependents: Dependents, states: &[(&str, OwnerState)]) -> Vec<Change> {
    plan(CONFIG_MAPS, object, dependents, |owner| {
        states.iter().find(|(uid, _)| *uid == owner.uid).map(|(_, state)| *state).unwrap()
    })
}

fn deleted(changes: &[Change]) -> Option<Propagation> {
    changes.iter().find_map(|change| match &change.act {
        Act::Delete(deletion) => {
            assert_eq!(deletion.uid.as_deref(), Some("o"));
            deletion.propagation
        }
        _ => None,
    })
}

#[test]
fn an_object_goes_when_its_last_owner_has_gone() {
    use OwnerState::{Dangling, Solid, Waiting};
    let none = Dependents::default();
    let some = Dependents { any: true, waiting: false };
    let both = owned("o", &["a", "b"]);
    assert_eq!(decide(&both, none, &[("a", Solid), ("b", Solid)]), []);
    assert_eq!(decide(&owned("o", &[]), none, &[]), []);
    let kept = decide(&both, none, &[("a", Solid), ("b", Dangling)]);
    let Act::Merge(_, patch) = &kept[0].act else { panic!("the dead owner is struck out") };
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    assert_eq!(patch["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
    assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "a");

    let dead = [("a", Dangling), ("b", Dangling)];
    assert_eq!(deleted(&decide(&both, some, &dead)), Some(Propagation::Background));
    let mut orphaning = both.clone();
    orphaning.finalizers = Some(vec!["orphan".to_owned()]);
    assert_eq!(deleted(&decide(&orphaning, some, &dead)), Some(Propagation::Orphan));

    let waiting = [("a", Waiting), ("b", Dangling)];
    assert_eq!(deleted(&decide(&both, none, &waiting)), Some(Propagation::Background), "it owns nothing itself");
    assert_eq!(deleted(&decide(&both, some, &waiting)), Some(Propagation::Foreground));
    let circle = decide(&both, Dependents { any: true, waiting: true }, &waiting);
    let Act::Merge(_, patch) = &circle[0].act else { panic!("a circle is broken first") };
    assert_eq!(patch["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], false);
    assert_eq!(deleted(&circle), Some(Propagation::Foreground));
}

#[test]
fn finalizers_and_owners_are_struck_out_one_by_one() {
    let mut object = owned("o", &["a", "b"]);
    object.finalizers = Some(vec!["orphan".to_owned(), "x".to_owned()]);
    let patch = |change: Option<Change>| match change.map(|change| change.act) {
        Some(Act::Merge(_, patch)) => patch["metadata"].clone(),
        _ => Value::Null,
    };
    assert_eq!(patch(plan::release(CONFIG_MAPS, &object, "orphan"))["finalizers"], json!(["x"]));
    assert_eq!(patch(plan::release(CONFIG_MAPS, &object, "none")), Value::Null);
    assert_eq!(patch(plan::disown(CONFIG_MAPS, &object, "a"))["ownerReferences"][0]["uid"], "b");
    assert_eq!(patch(plan::disown(CONFIG_MAPS, &object, "z")), Value::Null);
}

proptest! {
    /// Over any history, the graph knows exactly who owns whom.
    #[test]
    fn the_graph_follows_any_history(steps in prop::collection::vec((0..8_u8, prop::collection::btree_set(0..8_u8, 0..3), 0..4_u8), 1..80)) {
        let mut graph = Graph::default();
        let mut model: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        for (object, owners, what) in steps {
            let name = |i: &u8| format!("o{i}");
            if what == 0 {
                graph.forget(Uid::new(&name(&object)));
                model.remove(&object);
            } else {
                let names: Vec<String> = owners.iter().map(name).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                graph.observe(0, &owned(&name(&object), &names));
                model.insert(object, owners);
            }
            prop_assert_eq!(graph.len(), model.len());
            for owner in 0..8_u8 {
                let wanted: BTreeSet<Uid> =
                    model.iter().filter(|(_, owners)| owners.contains(&owner)).map(|(o, _)| Uid::new(&name(o))).collect();
                prop_assert_eq!(set(graph.dependents(Uid::new(&name(&owner)))), wanted.clone());
                prop_assert_eq!(set(graph.blocking(Uid::new(&name(&owner)))), wanted);
            }
        }
    }
}

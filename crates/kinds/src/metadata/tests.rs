use serde_json::json;

use super::*;
use crate::Strategy;

struct Plain;

impl Strategy for Plain {}

fn kind(scope: Scope) -> Kind {
    Kind {
        group: "",
        version: "v1",
        kind: "Thing",
        plural: "things",
        singular: "thing",
        short_names: &[],
        categories: &[],
        scope,
        subresources: &[],
        schema: "",
        strategy: &Plain,
    }
}

fn created(metadata: Value) -> Vec<String> {
    let kind = kind(Scope::Namespaced);
    validate(&kind, &json!({ "metadata": metadata })).iter().map(ToString::to_string).collect()
}

#[test]
fn new_objects() {
    assert!(created(json!({"name": "a.b", "namespace": "ns", "labels": {"a": ""}})).is_empty());
    assert_eq!(
        created(json!({})),
        ["metadata.name: Required value: name or generateName is required", "metadata.namespace: Required value"]
    );
    let rows = [
        (json!({"name": "A", "namespace": "ns"}), "metadata.name: Invalid value: \"A\""),
        (
            json!({"name": "a", "generateName": "AB-", "namespace": "ns"}),
            "metadata.generateName: Invalid value: \"AB-\"",
        ),
        (json!({"name": "a", "namespace": "n.s"}), "metadata.namespace: Invalid value: \"n.s\": must not contain dots"),
        (
            json!({"name": "a", "namespace": "n", "generation": -1}),
            "metadata.generation: Invalid value: -1: must be greater than or equal to 0",
        ),
        (json!({"name": "a", "namespace": "n", "labels": {"ok": "x y"}}), "metadata.labels: Invalid value: \"x y\""),
        (
            json!({"name": "a", "namespace": "n", "annotations": {"A b": "c"}}),
            "metadata.annotations: Invalid value: \"A b\": name part must consist of",
        ),
        (
            json!({"name": "a", "namespace": "n", "annotations": {"a": "x".repeat(256 * 1024)}}),
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        (
            json!({"name": "a", "namespace": "n", "finalizers": ["own"]}),
            "metadata.finalizers[0]: Invalid value: \"own\": name is neither a standard finalizer name nor is it fully qualified",
        ),
        (
            json!({"name": "a", "namespace": "n", "finalizers": ["orphan", "foregroundDeletion"]}),
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
        ),
        (
            json!({"name": "a", "namespace": "n", "managedFields": [{"operation": "Guess"}]}),
            "metadata.managedFields[0].operation: Invalid value: \"Guess\": must be `Apply` or `Update`",
        ),
    ];
    for (metadata, want) in rows {
        let got = created(metadata.clone());
        assert_eq!(got.len(), 1, "{metadata}: {got:?}");
        assert!(got[0].starts_with(want), "{}", got[0]);
    }
}

#[test]
fn cluster_objects_have_no_namespace() {
    let object = json!({"metadata": {"name": "a", "namespace": "n"}});
    let faults = validate(&kind(Scope::Cluster), &object);
    assert_eq!(faults[0].to_string(), "metadata.namespace: Forbidden: not allowed on this type");
}

#[test]
fn owners() {
    let owner = |kind: &str, name: &str| json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true});
    let metadata = |owners: Vec<Value>| json!({"name": "a", "namespace": "n", "ownerReferences": owners});
    assert!(created(metadata(vec![owner("Deployment", "d")])).is_empty());
    assert_eq!(
        created(metadata(vec![owner("A", "a"), owner("B", "b")])),
        [
            r#"metadata.ownerReferences: Invalid value: [{"apiVersion":"apps/v1","kind":"A","name":"a","uid":"u","controller":true},{"apiVersion":"apps/v1","kind":"B","name":"b","uid":"u","controller":true}]: Only one reference can have Controller set to true. Found "true" in references for A/a and B/b"#
        ]
    );
    assert_eq!(created(metadata(vec![json!({})])).len(), 4);
    assert_eq!(
        created(metadata(vec![json!({"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"})])),
        [
            r#"metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"e","uid":"u"}: /v1, Kind=Event is disallowed from being an owner"#
        ]
    );
}

#[test]
fn changed_objects() {
    let old = json!({"metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "5",
        "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.b/c"]}});
    let changed = |field: &str, value: Value| {
        let mut new = old.clone();
        new["metadata"][field] = value;
        validate_update(&new, &old).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(changed("labels", json!({"a": "b"})).is_empty());
    assert_eq!(
        changed("finalizers", json!(["a.b/c", "x.y/z"])),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x.y/z\"}"
        ]
    );
    assert_eq!(changed("uid", json!("2")), ["metadata.uid: Invalid value: \"2\": field is immutable"]);
    assert_eq!(
        changed("deletionTimestamp", Value::Null),
        ["metadata.deletionTimestamp: Invalid value: null: field is immutable"]
    );
    assert_eq!(
        changed("resourceVersion", json!("")),
        ["metadata.resourceVersion: Invalid value: \"\": must be specified for an update"]
    );
}

//! What Kubernetes says of ReplicaSets.

use serde_json::{Value, json};

use super::*;

fn created() -> Value {
    let mut object = json!({
        "metadata": {"name": "r", "creationTimestamp": "1970-01-01T00:00:00Z"},
        "spec": {
            "selector": {
                "matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "q", "operator": "DoesNotExist"}],
            },
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"image": "i", "name": "c"}, {"image": "j:2", "name": "d"}]},
            },
        },
        "status": {"replicas": 7},
    });
    ReplicaSet.default(&mut object);
    ReplicaSet.prepare_for_create(&mut object);
    object
}

fn texts_of(faults: Vec<Error>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let object = created();
    assert_eq!(texts_of(ReplicaSet.validate(&object)), Vec::<String>::new());
    assert_eq!((&object["spec"]["replicas"], &object["status"]), (&json!(1), &json!({"replicas": 0})));
    assert_eq!(object["spec"]["template"]["spec"]["restartPolicy"], "Always");
    assert_eq!(ReplicaSet.fields(&object), [("status.replicas", "0".to_owned())]);
}

#[test]
fn refused() {
    let old = created();
    let mut new = old.clone();
    new["spec"]["replicas"] = json!(-1);
    new["spec"]["minReadySeconds"] = json!(-2);
    new["spec"]["selector"] = json!({"matchLabels": {"a": "b"}});
    let expected = [
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        "spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0",
        r#"spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable"#,
    ];
    assert_eq!(texts_of(ReplicaSet.validate_update(&new, &old)), expected);
    assert_eq!(texts_of(ReplicaSet.validate(&new)), expected[..2]);
}

#[test]
fn status() {
    let old = created();
    let mut new = old.clone();
    new["status"] = json!({"replicas": 1, "fullyLabeledReplicas": 2, "availableReplicas": 1, "observedGeneration": -1});
    new["spec"]["replicas"] = json!(5);
    ReplicaSet.prepare_for_status_update(&mut new, &old);
    assert_eq!(new["spec"], old["spec"]);
    let expected = [
        "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
        "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas",
    ];
    assert_eq!(texts_of(ReplicaSet.validate_status_update(&new, &old)), expected);
    assert_eq!(ReplicaSet.generation_changes(&new, &old), Some(false));
}

#[test]
fn rows() {
    let mut object = created();
    object["status"] = json!({"replicas": 3, "readyReplicas": 2});
    assert_eq!(json!(ReplicaSet.row(&object, 300)), json!(["r", 1, 3, 2, "5m", "c,d", "i,j:2", "a=b,!q"]));
    let columns: Vec<_> = ReplicaSet.columns().iter().map(|column| (column.name, column.kind)).collect();
    assert_eq!(columns[1..4], [("Desired", "integer"), ("Current", "integer"), ("Ready", "integer")]);
}

use serde_json::{Value, json};

use super::KIND;

fn stateful_set(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "metadata": { "name": "s" },
        "spec": {
            "serviceName": "web",
            "selector": { "matchLabels": { "app": "s" } },
            "template": {
                "metadata": { "labels": { "app": "s" } },
                "spec": { "containers": [{
                    "name": "c", "image": "i", "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                }] },
            },
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
            }],
        },
    });
    change(&mut object);
    KIND.strategy.default(&mut object);
    object
}

/// What is changed, how, and the fault.
type Row = (&'static str, fn(&mut Value), &'static str);

fn faults(object: &Value) -> Vec<String> {
    KIND.strategy.validate(object).iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let object = stateful_set(|_| {});
    assert!(faults(&object).is_empty(), "{:?}", faults(&object));
    let spec = &object["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(spec["podManagementPolicy"], "OrderedReady");
    assert_eq!(spec["updateStrategy"], json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } }));
    let retained = json!({ "whenDeleted": "Retain", "whenScaled": "Retain" });
    assert_eq!(spec["persistentVolumeClaimRetentionPolicy"], retained);
    let stated = stateful_set(|s| s["spec"]["updateStrategy"] = json!({ "type": "RollingUpdate" }));
    assert_eq!(stated["spec"]["updateStrategy"], json!({ "type": "RollingUpdate" }));
}

#[test]
fn what_is_wrong_is_told() {
    let table: [Row; 6] = [
        (
            "an order that is none",
            |s| s["spec"]["podManagementPolicy"] = "Random".into(),
            "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
        ),
        (
            "a volume of nobody's",
            |s| s["spec"]["volumeClaimTemplates"] = json!([]),
            "spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
        ),
        (
            "fewer than none",
            |s| s["spec"]["replicas"] = (-1).into(),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "a Service's name",
            |s| s["spec"]["serviceName"] = "a.b".into(),
            "spec.serviceName: Invalid value: \"a.b\": must not contain dots",
        ),
        (
            "an update by hand with steps",
            |s| s["spec"]["updateStrategy"] = json!({ "type": "OnDelete", "rollingUpdate": { "partition": 1 } }),
            "spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":1,\"MaxUnavailable\":null}: only allowed for \
             updateStrategy 'RollingUpdate'",
        ),
        (
            "what is kept",
            |s| s["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({ "whenScaled": "Hide" }),
            "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Hide\": supported values: \
             \"Delete\", \"Retain\"",
        ),
    ];
    for (what, change, expected) in table {
        assert_eq!(faults(&stateful_set(change)), [expected], "{what}");
    }
}

#[test]
fn most_of_it_stays() {
    let old = stateful_set(|_| {});
    let update = |change: fn(&mut Value)| {
        let new = stateful_set(change);
        KIND.strategy.validate_update(&new, &old).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(update(|s| s["spec"]["replicas"] = 3.into()).is_empty());
    assert_eq!(
        update(|s| s["spec"]["serviceName"] = "other".into()),
        ["spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
          'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are \
          forbidden"]
    );
}

#[test]
fn a_status_adds_up() {
    let status = json!({ "status": { "replicas": 1, "readyReplicas": 2, "availableReplicas": 3 } });
    let faults: Vec<_> =
        KIND.strategy.validate_status_update(&status, &json!({})).iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 3: cannot be greater than status.readyReplicas",
        ]
    );
}

use serde_json::{Value, json};

use super::KIND;

fn daemon_set(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "metadata": { "name": "d" },
        "spec": {
            "selector": { "matchLabels": { "app": "d" } },
            "template": {
                "metadata": { "labels": { "app": "d" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
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
    let object = daemon_set(|_| {});
    assert!(faults(&object).is_empty(), "{:?}", faults(&object));
    let update = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } });
    assert_eq!(object["spec"]["updateStrategy"], update);
    assert_eq!(object["spec"]["revisionHistoryLimit"], 10);
    assert!(object["spec"].get("replicas").is_none());
}

#[test]
fn what_is_wrong_is_told() {
    let table: [Row; 6] = [
        (
            "another label",
            |d| d["spec"]["template"]["metadata"]["labels"]["app"] = "x".into(),
            "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
        ),
        (
            "a selector of nothing",
            |d| d["spec"]["selector"] = json!({}),
            "spec.selector: Invalid value: {}: empty selector is invalid for daemonset",
        ),
        (
            "Pods that end",
            |d| d["spec"]["template"]["spec"]["restartPolicy"] = "Never".into(),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
        (
            "neither fewer nor more",
            |d| d["spec"]["updateStrategy"] = json!({ "rollingUpdate": { "maxUnavailable": 0 } }),
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (
            "fewer and more",
            |d| d["spec"]["updateStrategy"] = json!({ "rollingUpdate": { "maxUnavailable": 1, "maxSurge": "10%" } }),
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: \"10%\": may not be set when maxUnavailable is \
             non-zero",
        ),
        (
            "more than all",
            |d| d["spec"]["updateStrategy"] = json!({ "rollingUpdate": { "maxUnavailable": "101%" } }),
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
        ),
    ];
    for (what, change, expected) in table {
        assert_eq!(faults(&daemon_set(change)), [expected], "{what}");
    }
}

#[test]
fn templates_are_counted() {
    let mut old = daemon_set(|_| {});
    KIND.strategy.prepare_for_create(&mut old);
    let count = |object: &Value| object["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone();
    assert_eq!(count(&old), "1");
    let mut same = old.clone();
    same["spec"]["minReadySeconds"] = 3.into();
    KIND.strategy.prepare_for_update(&mut same, &old);
    assert_eq!(count(&same), "1");
    let mut new = old.clone();
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "j".into();
    KIND.strategy.prepare_for_update(&mut new, &old);
    assert_eq!(count(&new), "2");
}

#[test]
fn the_selector_stays() {
    let old = daemon_set(|_| {});
    let new = daemon_set(|d| {
        d["spec"]["selector"]["matchLabels"] = json!({ "b": "c" });
        d["spec"]["template"]["metadata"]["labels"]["b"] = "c".into();
    });
    let faults: Vec<_> = KIND.strategy.validate_update(&new, &old).iter().map(ToString::to_string).collect();
    assert_eq!(faults, ["spec.selector: Invalid value: {\"matchLabels\":{\"b\":\"c\"}}: field is immutable"]);
}

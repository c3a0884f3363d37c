use serde_json::{Value, json};

use super::KIND;

fn faults(spec: Value) -> Vec<String> {
    KIND.strategy.validate(&json!({ "spec": spec })).iter().map(ToString::to_string).collect()
}

#[test]
fn one_bound_at_most() {
    let selector = json!({ "matchLabels": { "a": "b" } });
    assert!(faults(json!({ "minAvailable": "50%", "selector": selector })).is_empty());
    assert_eq!(
        faults(json!({ "minAvailable": 1, "maxUnavailable": "10%", "selector": selector })),
        [
            "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":{\"matchLabels\":{\"a\":\"b\"}},\"MaxUnavailable\":\"10%\",\
          \"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set"
        ]
    );
    assert_eq!(
        faults(json!({ "maxUnavailable": "120%", "unhealthyPodEvictionPolicy": "Maybe" })),
        [
            "spec.maxUnavailable: Invalid value: \"120%\": must not be greater than 100%",
            "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Maybe\": supported values: \"AlwaysAllow\", \
             \"IfHealthyBudget\"",
        ]
    );
    assert_eq!(
        faults(json!({ "minAvailable": -1 })),
        ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]
    );
}

#[test]
fn what_a_table_shows() {
    let object =
        json!({ "metadata": { "name": "p" }, "spec": { "minAvailable": 2 }, "status": { "disruptionsAllowed": 1 } });
    assert_eq!(json!(KIND.strategy.row(&object, 0)), json!(["p", "2", "N/A", 1, "<unknown>"]));
}

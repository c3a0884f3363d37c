use serde_json::json;

use super::KIND;

#[test]
fn a_handler_that_stays() {
    let faults = |object| KIND.strategy.validate(&object).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(faults(json!({})), ["handler: Required value"]);
    assert!(faults(json!({ "handler": "runc", "overhead": { "podFixed": { "cpu": "10m" } } })).is_empty());
    let twice = json!([{ "key": "a", "operator": "Exists" }, { "key": "a", "operator": "Exists" }]);
    let faults = faults(json!({ "handler": "runc", "scheduling": { "tolerations": twice } }));
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("scheduling.tolerations[1]: Duplicate value"), "{faults:?}");
    let (old, new) = (json!({ "handler": "runc" }), json!({ "handler": "kata" }));
    let faults: Vec<_> = KIND.strategy.validate_update(&new, &old).iter().map(ToString::to_string).collect();
    assert_eq!(faults, ["handler: Invalid value: \"kata\": field is immutable"]);
}

#[test]
fn old_labels_are_warned_of() {
    let class = json!({ "handler": "h", "scheduling": { "nodeSelector": { "beta.kubernetes.io/os": "linux" } } });
    assert_eq!(
        KIND.strategy.warnings(&class, None),
        ["scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead"]
    );
}

use serde_json::{Value, json};

use super::{KIND, SYSTEM};

fn faults(object: &Value) -> Vec<String> {
    KIND.strategy.validate(object).iter().map(ToString::to_string).collect()
}

#[test]
fn the_highest_are_the_systems() {
    let class = |name: &str, value: i64| json!({ "metadata": { "name": name }, "value": value });
    for (name, value, _) in SYSTEM {
        assert!(faults(&class(name, value)).is_empty(), "{name}");
    }
    assert!(faults(&class("high", 1_000_000_000)).is_empty());
    assert_eq!(
        faults(&class("high", 1_000_000_001)),
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
    );
    assert_eq!(
        faults(&class("system-mine", 1)),
        [
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: \
          system-mine is not a known system priority class"
        ]
    );
    assert_eq!(
        faults(&class("system-node-critical", 1)),
        [
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: \
          value of system-node-critical PriorityClass must be 2000001000"
        ]
    );
}

#[test]
fn value_and_preemption_stay() {
    let mut old = json!({ "metadata": { "name": "c" }, "value": 1 });
    KIND.strategy.default(&mut old);
    let mut new = old.clone();
    new["value"] = 2.into();
    new["preemptionPolicy"] = "Never".into();
    let faults: Vec<_> = KIND.strategy.validate_update(&new, &old).iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "value: Forbidden: may not be changed in an update.",
            "preemptionPolicy: Invalid value: \"Never\": field is immutable",
        ]
    );
}

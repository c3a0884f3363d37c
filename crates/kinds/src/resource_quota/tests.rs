use serde_json::{Value, json};

use super::KIND;

fn faults(spec: Value) -> Vec<String> {
    KIND.strategy.validate(&json!({ "spec": spec })).iter().map(ToString::to_string).collect()
}

#[test]
fn known_resources_and_scopes() {
    let fine = json!({ "hard": {
        "pods": "4", "requests.cpu": "1", "limits.memory": "1Gi", "services.nodeports": "0", "count/deployments.apps": "2",
        "requests.example.com/gpu": "1",
    } });
    assert!(faults(fine).is_empty());
    let table = [
        (
            json!({ "hard": { "nonsense": "1" } }),
            vec![
                "spec.hard[nonsense]: Invalid value: \"nonsense\": must be a standard resource type or fully qualified",
                "spec.hard[nonsense]: Invalid value: \"nonsense\": must be a standard resource for quota",
            ],
        ),
        (json!({ "hard": { "pods": "1500m" } }), vec!["spec.hard[pods]: Invalid value: \"1500m\": must be an integer"]),
        (
            json!({ "hard": { "requests.cpu": "1" }, "scopes": ["BestEffort"] }),
            vec!["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"],
        ),
        (
            json!({ "hard": { "pods": "1" }, "scopes": ["Terminating", "NotTerminating"] }),
            vec!["spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes"],
        ),
        (
            json!({ "hard": { "pods": "1" }, "scopeSelector": { "matchExpressions": [
                { "scopeName": "PriorityClass", "operator": "In" },
            ] } }),
            vec![
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is \
                 'In' or 'NotIn' for scope selector",
            ],
        ),
    ];
    for (spec, expected) in table {
        assert_eq!(faults(spec), expected);
    }
}

#[test]
fn a_table_sets_limits_apart() {
    let quota = json!({
        "metadata": { "name": "q" },
        "status": { "hard": { "pods": "4", "limits.cpu": "2" }, "used": { "pods": "1", "limits.cpu": "500m" } },
    });
    assert_eq!(json!(KIND.strategy.row(&quota, 0)), json!(["q", "pods: 1/4", "limits.cpu: 500m/2", "<unknown>"]));
}

#[test]
fn more_asked_for_than_used_is_warned_of() {
    let quota = json!({ "spec": { "hard": { "cpu": "2", "limits.cpu": "1" } } });
    assert_eq!(KIND.strategy.warnings(&quota, None), ["ResourceQuota cpu (2) should be less than limits.cpu (1)"]);
}

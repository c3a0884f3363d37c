use serde_json::{Value, json};

use super::KIND;
use crate::pod::{broken_limits, fill_in_limits};

fn range(limit: Value) -> Value {
    let mut object = json!({ "metadata": { "name": "l" }, "spec": { "limits": [limit] } });
    KIND.strategy.default(&mut object);
    object
}

fn faults(limit: Value) -> Vec<String> {
    KIND.strategy.validate(&range(limit)).iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_not_said_follows() {
    let limit = range(json!({ "type": "Container", "max": { "cpu": "2" }, "min": { "memory": "1Mi" } }));
    let limit = &limit["spec"]["limits"][0];
    assert_eq!(limit["default"], json!({ "cpu": "2" }));
    assert_eq!(limit["defaultRequest"], json!({ "cpu": "2", "memory": "1Mi" }));
}

#[test]
fn bounds_do_not_contradict() {
    assert_eq!(
        faults(json!({ "type": "Pod", "min": { "cpu": "2" }, "max": { "cpu": "1" } })),
        ["spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"]
    );
    assert_eq!(
        faults(json!({ "type": "Pod", "default": { "cpu": "2" } })),
        ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"]
    );
    assert_eq!(
        faults(json!({ "type": "Node" })),
        ["spec.limits[0].type: Invalid value: \"Node\": must be a standard limit type or fully qualified"]
    );
    assert_eq!(
        faults(json!({ "type": "Container", "max": { "pods": "2" } })).first().map(String::as_str),
        Some("spec.limits[0].max[pods]: Invalid value: \"pods\": must be a standard resource for containers")
    );
}

#[test]
fn pods_get_what_they_do_not_say() {
    let range = range(json!({ "type": "Container", "default": { "cpu": "1" }, "defaultRequest": { "cpu": "100m" } }));
    let mut pod = json!({ "metadata": { "name": "p" }, "spec": { "containers": [
        { "name": "a" }, { "name": "b", "resources": { "limits": { "cpu": "2" } } },
    ] } });
    fill_in_limits(&mut pod, std::slice::from_ref(&range));
    let containers = &pod["spec"]["containers"];
    assert_eq!(containers[0]["resources"], json!({ "limits": { "cpu": "1" }, "requests": { "cpu": "100m" } }));
    assert_eq!(containers[1]["resources"], json!({ "limits": { "cpu": "2" }, "requests": { "cpu": "100m" } }));
    assert_eq!(
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container a; cpu limit for container a; cpu request for container b"
    );
}

#[test]
fn pods_keep_within_bounds() {
    let pod = json!({ "spec": { "containers": [
        { "name": "a", "resources": { "requests": { "cpu": "1" }, "limits": { "cpu": "3" } } },
        { "name": "b", "resources": { "requests": { "cpu": "1" }, "limits": { "cpu": "1" } } },
    ] } });
    let broken = |limit: Value| broken_limits(&pod, &range(limit));
    assert!(broken(json!({ "type": "Container", "min": { "cpu": "1" }, "max": { "cpu": "3" } })).is_empty());
    assert_eq!(
        broken(json!({ "type": "Container", "max": { "cpu": "2" } })),
        ["maximum cpu usage per Container is 2, but limit is 3"]
    );
    assert_eq!(
        broken(json!({ "type": "Pod", "max": { "cpu": "3" } })),
        ["maximum cpu usage per Pod is 3, but limit is 4"]
    );
    assert_eq!(
        broken(json!({ "type": "Pod", "min": { "memory": "1Gi" } })),
        ["minimum memory usage per Pod is 1Gi.  No request is specified"]
    );
    assert_eq!(
        broken(json!({ "type": "Container", "maxLimitRequestRatio": { "cpu": "2" } })),
        ["cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"]
    );
}

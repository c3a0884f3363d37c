use serde_json::{Value, json};

use super::{matches, take, usage};
use crate::{Kind, deployment, pod, service};

const NOW: i64 = 1_800_000_000;

fn printed(kind: &Kind, object: &Value) -> Value {
    let used = usage(kind, object, NOW).into_iter();
    used.map(|(name, amount)| (name, Value::from(amount.to_string()))).collect::<serde_json::Map<_, _>>().into()
}

fn pod(resources: Value) -> Value {
    json!({ "spec": { "containers": [{ "name": "c", "resources": resources }] } })
}

#[test]
fn what_objects_count_for() {
    assert_eq!(printed(&deployment::KIND, &json!({})), json!({ "count/deployments.apps": "1" }));
    let balanced = json!({ "spec": { "type": "LoadBalancer", "ports": [{}, {}] } });
    let counted = |node_ports: &str, balancers: &str| {
        json!({
            "count/services": "1", "services": "1", "services.nodeports": node_ports,
            "services.loadbalancers": balancers,
        })
    };
    assert_eq!(printed(&service::KIND, &balanced), counted("2", "1"));
    let bare = json!({ "spec": {
        "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{ "nodePort": 30000 }, {}],
    } });
    assert_eq!(printed(&service::KIND, &bare), counted("1", "1"));
    assert_eq!(printed(&service::KIND, &json!({ "spec": { "type": "ClusterIP", "ports": [{}] } })), counted("0", "0"));
    let asks = pod(json!({ "requests": { "cpu": "100m", "example.com/gpu": "2" }, "limits": { "memory": "1Gi" } }));
    assert_eq!(
        printed(&pod::KIND, &asks),
        json!({
            "count/pods": "1", "pods": "1", "cpu": "100m", "requests.cpu": "100m", "requests.example.com/gpu": "2",
            "limits.memory": "1Gi",
        })
    );
    let ended = json!({ "status": { "phase": "Succeeded" }, "spec": { "containers": [] } });
    assert_eq!(printed(&pod::KIND, &ended), json!({ "count/pods": "1" }));
    let lost = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30 } });
    assert_eq!(printed(&pod::KIND, &lost), json!({ "count/pods": "1" }));
}

#[test]
fn scopes_choose_pods() {
    let quota = |spec: Value| {
        let mut quota = json!({ "spec": spec });
        quota["spec"]["hard"] = json!({ "pods": "1" });
        quota
    };
    let (greedy, modest) = (pod(json!({})), pod(json!({ "requests": { "cpu": "1" } })));
    let best_effort = quota(json!({ "scopes": ["BestEffort"] }));
    assert!(matches(&best_effort, &pod::KIND, &greedy) && !matches(&best_effort, &pod::KIND, &modest));
    assert!(!matches(&best_effort, &service::KIND, &json!({})));
    let classes = quota(json!({ "scopeSelector": { "matchExpressions": [
        { "scopeName": "PriorityClass", "operator": "In", "values": ["high"] },
    ] } }));
    let mut high = greedy.clone();
    high["spec"]["priorityClassName"] = "high".into();
    assert!(matches(&classes, &pod::KIND, &high) && !matches(&classes, &pod::KIND, &greedy));
    let ending = quota(json!({ "scopes": ["Terminating"] }));
    let mut short = greedy.clone();
    short["spec"]["activeDeadlineSeconds"] = 5.into();
    assert!(matches(&ending, &pod::KIND, &short) && !matches(&ending, &pod::KIND, &greedy));
}

#[test]
fn a_quota_is_taken_until_it_is_used_up() {
    let quota = |hard: Value, used: Value| json!({ "metadata": { "name": "q" }, "spec": { "hard": hard }, "status": { "hard": hard, "used": used } });
    let service = |kind: &str| json!({ "spec": { "type": kind, "ports": [{}] } });
    let hard = json!({ "services": "2", "services.nodeports": "1" });
    let some = quota(hard.clone(), json!({ "services": "1", "services.nodeports": "0" }));
    let taken = take(&some, &service::KIND, &service("NodePort"), None, NOW).unwrap();
    let used: Vec<String> = taken.used.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    assert_eq!((used, taken.anything), (vec!["services=2".to_owned(), "services.nodeports=1".to_owned()], true));
    let full = quota(hard.clone(), json!({ "services": "2", "services.nodeports": "1" }));
    assert_eq!(
        take(&full, &service::KIND, &service("NodePort"), None, NOW).unwrap_err(),
        "exceeded quota: q, requested: services=1,services.nodeports=1, used: services=2,services.nodeports=1, limited: \
         services=2,services.nodeports=1"
    );
    let changed = take(&full, &service::KIND, &service("NodePort"), Some(&service("ClusterIP")), NOW);
    assert_eq!(
        changed.unwrap_err(),
        "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1"
    );
    let unchanged = take(&full, &service::KIND, &service("NodePort"), Some(&service("NodePort")), NOW).unwrap();
    assert!(!unchanged.anything);
    let fresh = quota(hard, json!({}));
    assert_eq!(
        take(&fresh, &service::KIND, &service("ClusterIP"), None, NOW).unwrap_err(),
        "status unknown for quota: q, resources: services,services.nodeports"
    );
}

#[test]
fn what_is_counted_must_be_said() {
    let hard = json!({ "limits.cpu": "2", "requests.memory": "1Gi", "pods": "3" });
    let used = json!({ "limits.cpu": "0", "requests.memory": "0", "pods": "0" });
    let quota =
        json!({ "metadata": { "name": "q" }, "spec": { "hard": hard }, "status": { "hard": hard, "used": used } });
    assert_eq!(
        take(&quota, &pod::KIND, &pod(json!({ "requests": { "memory": "1Mi" } })), None, NOW).unwrap_err(),
        "failed quota: q: must specify limits.cpu for: c"
    );
}

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use super::plan::*;
use crate::change::Act;
use crate::objects::Pod;

const NOW: &str = "2026-01-01T00:10:00Z";

fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
    let document = json!({
        "metadata": { "namespace": "shop", "name": "b", "generation": 2, "resourceVersion": "7" },
        "spec": spec, "status": status,
    });
    serde_json::from_value(document).unwrap()
}

fn pods(ready: usize, unready: usize) -> Vec<Arc<Pod>> {
    let pod = |i: usize| {
        let status = if i < ready { "True" } else { "False" };
        let pod = json!({
            "metadata": { "namespace": "shop", "name": format!("p{i}") },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": status }] },
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    };
    (0..ready + unready).map(pod).collect()
}

fn planned(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], scale: Result<i32, String>) -> Value {
    let now: Timestamp = NOW.parse().unwrap();
    json!(status(&Snapshot { budget, pods, scale, now }))
}

fn numbers(status: &Value) -> [i64; 4] {
    ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"].map(|n| status[n].as_i64().unwrap_or(0))
}

#[test]
fn bounds_of_all_kinds() {
    let table = [
        ("at least two", json!({ "minAvailable": 2 }), pods(3, 1), Ok(4), [4, 2, 3, 1]),
        ("at least half, rounded up", json!({ "minAvailable": "50%" }), pods(3, 0), Ok(3), [3, 2, 3, 1]),
        ("one fewer", json!({ "maxUnavailable": 1 }), pods(3, 0), Ok(3), [3, 2, 3, 1]),
        ("a third fewer, rounded up", json!({ "maxUnavailable": "30%" }), pods(4, 0), Ok(4), [4, 2, 4, 2]),
        ("fewer than there should be", json!({ "maxUnavailable": 1 }), pods(1, 0), Ok(3), [3, 2, 1, 0]),
        ("nobody's Pods", json!({ "maxUnavailable": 1 }), pods(2, 0), Ok(0), [0, 0, 2, 0]),
        ("nothing said", json!({}), pods(2, 0), Ok(2), [0, 0, 2, 0]),
    ];
    for (what, spec, pods, scale, expected) in table {
        assert_eq!(numbers(&planned(&budget(spec, json!({})), &pods, scale)), expected, "{what}");
    }
}

#[test]
fn the_evicted_are_not_counted_until_they_are_given_up() {
    let old = json!({
        "disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3,
        "disruptedPods": { "p0": "2026-01-01T00:09:00Z", "p1": "2026-01-01T00:07:00Z", "gone": "2026-01-01T00:09:59Z" },
    });
    let budget = budget(json!({ "minAvailable": 1 }), old);
    let status_document = planned(&budget, &pods(3, 0), Ok(3));
    assert_eq!(numbers(&status_document), [3, 1, 2, 1]);
    assert_eq!(status_document["disruptedPods"], json!({ "p0": "2026-01-01T00:09:00Z" }));
    let status = serde_json::from_value(status_document).unwrap();
    let change = write(&budget, &status).unwrap();
    let Act::Merge(_, patch) = change.act else { panic!("{change:?}") };
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    assert_eq!(patch["status"]["disruptedPods"]["p1"], Value::Null);
    assert!(patch["status"]["disruptedPods"].as_object().unwrap().contains_key("gone"));
    assert!(next_look(&status, NOW.parse().unwrap()).unwrap().as_secs() >= 60);
}

#[test]
fn a_scale_that_is_not_known_allows_nothing() {
    let status = planned(&budget(json!({ "maxUnavailable": 1 }), json!({})), &pods(3, 0), Err("why".to_owned()));
    assert_eq!(status["disruptionsAllowed"], 0);
    assert_eq!(status["observedGeneration"], 2);
    let condition = &status["conditions"][0];
    assert_eq!((&condition["reason"], &condition["message"]), (&json!("SyncFailed"), &json!("why")));
}

#[test]
fn what_is_so_is_not_written() {
    let first = planned(&budget(json!({ "minAvailable": 1 }), json!({})), &pods(2, 0), Ok(2));
    let settled = budget(json!({ "minAvailable": 1 }), first.clone());
    let again = planned(&settled, &pods(2, 0), Ok(2));
    assert_eq!(again, first);
    assert_eq!(write(&settled, &serde_json::from_value(again).unwrap()), None);
}

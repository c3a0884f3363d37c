use serde_json::{Value, json};

use super::*;

fn pod(containers: Value, inits: Value) -> Pod {
    serde_json::from_value(json!({"spec": {"containers": containers, "initContainers": inits}})).unwrap()
}

fn container(name: &str, resources: Value) -> Value {
    json!({"name": name, "resources": resources})
}

fn values(limits: &Limits, version: Version) -> Vec<String> {
    limits.settings(version).into_iter().map(|s| format!("{}={}", s.file, s.value)).collect()
}

#[test]
fn files_of_both_versions() {
    let resources = json!({"requests": {"cpu": "250m"}, "limits": {"cpu": "1500m", "memory": "64Mi"}});
    let limits = Limits::of_container(&serde_json::from_value(container("a", resources)).unwrap());
    assert_eq!(
        values(&limits, Version::One),
        ["cpu.shares=256", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000", "memory.limit_in_bytes=67108864"]
    );
    let two = ["cpu.weight=10", "cpu.max=150000 100000", "memory.max=67108864", "memory.oom.group=1"];
    assert_eq!(values(&limits, Version::Two), two);
    assert_eq!(values(&Limits::default(), Version::One), ["cpu.shares=2"]);
    assert_eq!(values(&Limits::default(), Version::Two), ["cpu.weight=1"]);
    let tiny = Limits { cpu_limit: Some(1), ..Limits::default() };
    assert!(values(&tiny, Version::One).contains(&"cpu.cfs_quota_us=1000".to_owned()));
}

#[test]
fn a_pod_is_the_sum_where_all_have_a_limit() {
    let a = container("a", json!({"limits": {"cpu": "1", "memory": "1Mi"}}));
    let b = container("b", json!({"limits": {"cpu": "2"}, "requests": {"cpu": "500m"}}));
    let mut side = container("side", json!({"limits": {"cpu": "1", "memory": "1Mi"}}));
    side["restartPolicy"] = json!("Always");
    let init = container("init", json!({"limits": {"cpu": "9"}}));
    let limits = Limits::of_pod(&pod(json!([a, b]), json!([init, side])));
    assert_eq!(limits, Limits { cpu_request: 9000, cpu_limit: Some(9000), memory_limit: None });
}

#[test]
fn quality_of_service() {
    let same = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    let cases = [
        (json!([container("a", json!({}))]), "BestEffort", 1000),
        (json!([container("a", same.clone())]), "Guaranteed", -997),
        (json!([container("a", same.clone()), container("b", json!({}))]), "Burstable", 999),
        (json!([container("a", json!({"requests": {"memory": "1Gi"}}))]), "Burstable", 750),
        (json!([container("a", json!({"requests": {"memory": "9Gi"}}))]), "Burstable", 3),
    ];
    for (containers, class, adj) in cases {
        let pod = pod(containers.clone(), json!([]));
        assert_eq!(qos_class(&pod), class, "{containers}");
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(oom_score_adj(&pod, spec.containers.last().unwrap(), 4 << 30), adj, "{containers}");
    }
}

//! What quotas, limit ranges, classes and disruption budgets make of what is asked for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, SERVICES, service};
use serde_json::{Value, json};

const CORE: &str = "/api/v1/namespaces/default";
const PODS: &str = "/api/v1/namespaces/default/pods";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

/// Waits until a field of an object is this.
async fn until(cluster: &Cluster, path: &str, pointer: &str, expected: &Value) {
    let deadline = std::time::Instant::now() + cluster::DEADLINE;
    loop {
        let object = cluster.get(path).await.with(200);
        if object.pointer(pointer) == Some(expected) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{pointer} is not {expected}: {object}");
        tokio::task::yield_now().await;
    }
}

fn quota(name: &str, hard: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": name }, "spec": { "hard": hard } })
}

fn pod(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{ "name": "c", "image": "i" }]);
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec })
}

#[tokio::test]
async fn a_quota_lives_through_the_life_of_a_service() {
    let cluster = Cluster::start().await;
    let hard = json!({ "services": "2", "services.nodeports": "1", "count/configmaps": "1" });
    cluster.post(QUOTAS, &quota("q", &hard)).await.with(201);
    let path = format!("{QUOTAS}/q");
    // The Service `kubernetes` is there already.
    let used = |services: &str, ports: &str| json!({ "services": services, "services.nodeports": ports, "count/configmaps": "0" });
    until(&cluster, &path, "/status/used", &used("1", "0")).await;
    cluster.post(SERVICES, &service("a", &json!({ "type": "NodePort" }))).await.with(201);
    let now = cluster.get(&path).await.with(200);
    assert_eq!(now["status"]["used"], used("2", "1"), "it counts from the answer on");
    let refused = cluster.post(SERVICES, &service("b", &json!({}))).await;
    assert_eq!(
        (refused.code, refused.message()),
        (
            403,
            "services \"b\" is forbidden: exceeded quota: q, requested: services=1, used: services=2, limited: services=2"
        )
    );
    let dry = cluster.post(&format!("{SERVICES}?dryRun=All"), &service("b", &json!({}))).await;
    assert_eq!(dry.code, 403);
    cluster.patch(&format!("{SERVICES}/a"), &json!({ "spec": { "type": "ClusterIP" } })).await.with(200);
    until(&cluster, &path, "/status/used", &used("2", "0")).await;
    cluster.delete(&format!("{SERVICES}/a")).await.with(200);
    until(&cluster, &path, "/status/used", &used("1", "0")).await;
    cluster.post(SERVICES, &service("b", &json!({}))).await.with(201);
}

#[tokio::test]
async fn of_many_who_ask_at_once_as_many_get_it_as_the_quota_says() {
    let cluster = Cluster::start().await;
    cluster.post(QUOTAS, &quota("q", &json!({ "count/configmaps": "5" }))).await.with(201);
    until(&cluster, &format!("{QUOTAS}/q"), "/status/used", &json!({ "count/configmaps": "0" })).await;
    let maps = format!("{CORE}/configmaps");
    let bodies: Vec<Value> = (0..20).map(|i| cluster::config_map(&format!("m{i}"))).collect();
    let codes = futures::future::join_all(bodies.iter().map(|body| cluster.post(&maps, body))).await;
    assert_eq!(codes.iter().filter(|answer| answer.code == 201).count(), 5);
    assert_eq!(codes.iter().filter(|answer| answer.code == 403).count(), 15);
    let quota = cluster.get(&format!("{QUOTAS}/q")).await.with(200);
    assert_eq!(quota["status"]["used"], json!({ "count/configmaps": "5" }));
}

#[tokio::test]
async fn limit_ranges_fill_in_and_refuse() {
    let cluster = Cluster::start().await;
    cluster.have_default_account().await;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "l" },
        "spec": { "limits": [{ "type": "Container", "max": { "cpu": "1" }, "defaultRequest": { "cpu": "100m" } }] },
    });
    cluster.post(&format!("{CORE}/limitranges"), &range).await.with(201);
    let made = cluster.post(PODS, &pod("p", &json!({}))).await.with(201);
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({ "limits": { "cpu": "1" }, "requests": { "cpu": "100m" } })
    );
    let greedy = json!([{ "name": "c", "image": "i", "resources": { "limits": { "cpu": "2" } } }]);
    assert_eq!(
        cluster.post(PODS, &pod("g", &json!({ "containers": greedy }))).await.message(),
        "pods \"g\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"
    );
}

#[tokio::test]
async fn classes_say_how_much_a_pod_matters_and_what_runs_it() {
    let cluster = Cluster::start().await;
    cluster.have_default_account().await;
    cluster.get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical").await.with(200);
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "high" }, "value": 1000,
        "preemptionPolicy": "Never",
    });
    cluster.post("/apis/scheduling.k8s.io/v1/priorityclasses", &class).await.with(201);
    let made = cluster.post(PODS, &pod("p", &json!({ "priorityClassName": "high" }))).await.with(201);
    assert_eq!((&made["spec"]["priority"], &made["spec"]["preemptionPolicy"]), (&json!(1000), &json!("Never")));
    assert_eq!(
        cluster.post(PODS, &pod("q", &json!({ "priorityClassName": "low" }))).await.message(),
        "pods \"q\" is forbidden: no PriorityClass with name low was found"
    );
    let runtime = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": "kata" }, "handler": "kata",
        "overhead": { "podFixed": { "memory": "64Mi" } }, "scheduling": { "nodeSelector": { "vm": "yes" } },
    });
    cluster.post("/apis/node.k8s.io/v1/runtimeclasses", &runtime).await.with(201);
    let made = cluster.post(PODS, &pod("k", &json!({ "runtimeClassName": "kata" }))).await.with(201);
    assert_eq!(made["spec"]["overhead"], json!({ "memory": "64Mi" }));
    assert_eq!(made["spec"]["nodeSelector"], json!({ "vm": "yes" }));
}

#[tokio::test]
async fn an_eviction_asks_the_budget() {
    let cluster = Cluster::start().await;
    cluster.have_default_account().await;
    let mut running = pod("p", &json!({ "nodeName": "n1" }));
    running["metadata"]["labels"] = json!({ "app": "web" });
    cluster.post(PODS, &running).await.with(201);
    let ready = json!([{ "type": "Ready", "status": "True" }]);
    let status = json!({ "status": { "phase": "Running", "conditions": ready } });
    cluster.patch(&format!("{PODS}/p/status"), &status).await.with(200);
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "b" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } },
    });
    cluster.post(budgets, &budget).await.with(201);
    let evict = || {
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "p" } });
        let cluster = &cluster;
        async move { cluster.post(&format!("{PODS}/p/eviction"), &eviction).await }
    };
    let refused = evict().await;
    assert_eq!(
        (refused.code, refused.message()),
        (429, "Cannot evict pod as it would violate the pod's disruption budget.")
    );
    assert_eq!(
        refused.body["details"]["causes"][0],
        json!({ "reason": "DisruptionBudget", "message": "The disruption budget b is still being processed by the server." })
    );
    let status = |allowed: u32| {
        json!({ "status": {
            "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1,
            "expectedPods": 1,
        } })
    };
    let path = format!("{budgets}/b/status");
    cluster.patch(&path, &status(0)).await.with(200);
    assert_eq!(
        evict().await.body["details"]["causes"][0]["message"],
        "The disruption budget b needs 1 healthy pods and has 1 currently"
    );
    cluster.patch(&path, &status(1)).await.with(200);
    assert_eq!(evict().await.code, 201);
    let budget = cluster.get(&format!("{budgets}/b")).await.with(200);
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(budget["status"]["disruptedPods"]["p"].is_string(), "{budget}");
    let pod = cluster.get(&format!("{PODS}/p")).await.with(200);
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "DisruptionTarget" && c["reason"] == "EvictionByEvictionAPI"));
}

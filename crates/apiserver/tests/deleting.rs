//! DELETE, finalizers, namespaces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{CONFIG_MAPS, Cluster, SERVICES, config_map, names, service};
use serde_json::json;

#[tokio::test]
async fn what_nothing_holds_goes_at_once() {
    let cluster = Cluster::start().await;
    let created = cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
    let status = cluster.delete(&format!("{CONFIG_MAPS}/c")).await.with(200);
    let want = json!({ "name": "c", "kind": "configmaps", "uid": created["metadata"]["uid"] });
    assert_eq!((&status["status"], &status["details"]), (&json!("Success"), &want));
    assert!(status.get("code").is_none());
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/c")).await.code, 404);
}

#[tokio::test]
async fn a_service_is_answered_with_itself() {
    let cluster = Cluster::start().await;
    cluster.post(SERVICES, &service("s", &json!({}))).await.with(201);
    assert_eq!(cluster.delete(&format!("{SERVICES}/s")).await.with(200)["kind"], "Service");
}

#[tokio::test]
async fn a_finalizer_holds_until_it_is_taken_away() {
    let cluster = Cluster::start().await;
    let mut held = config_map("c");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    cluster.post(CONFIG_MAPS, &held).await.with(201);
    let path = format!("{CONFIG_MAPS}/c");
    let mut waiting = cluster.delete(&path).await.with(200);
    assert!(waiting["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(waiting["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = cluster.delete(&path).await.with(200);
    assert_eq!(again["metadata"]["deletionTimestamp"], waiting["metadata"]["deletionTimestamp"]);
    waiting["metadata"]["finalizers"] = json!(["example.com/hold", "example.com/more"]);
    assert_eq!(cluster.put(&path, &waiting).await.code, 422);
    waiting["metadata"]["finalizers"] = json!([]);
    cluster.put(&path, &waiting).await.with(200);
    assert_eq!(cluster.get(&path).await.code, 404);
}

#[tokio::test]
async fn propagation_is_written_as_finalizers() {
    let cluster = Cluster::start().await;
    for (policy, finalizer, code) in [("Orphan", "orphan", 200), ("Foreground", "foregroundDeletion", 202)] {
        let path = format!("{CONFIG_MAPS}/{}", policy.to_lowercase());
        cluster.post(CONFIG_MAPS, &config_map(&policy.to_lowercase())).await.with(201);
        let waiting = cluster.delete_with(&path, &json!({ "propagationPolicy": policy })).await.with(code);
        assert_eq!(waiting["metadata"]["finalizers"], json!([finalizer]));
        cluster.delete_with(&path, &json!({ "propagationPolicy": "Background" })).await.with(200);
        assert_eq!(cluster.get(&path).await.code, 404);
    }
    let answer = cluster.delete(&format!("{CONFIG_MAPS}/c?propagationPolicy=Sideways")).await;
    assert_eq!(
        answer.message(),
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\": supported \
         values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
    );
}

#[tokio::test]
async fn a_namespace_takes_nothing_in_while_it_ends() {
    let cluster = Cluster::start().await;
    let missing = cluster.post("/api/v1/namespaces/shop/configmaps", &config_map("c")).await;
    assert_eq!((missing.code, missing.message()), (404, "namespaces \"shop\" not found"));
    let shop = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    let created = cluster.post("/api/v1/namespaces", &shop).await.with(201);
    assert_eq!(created["metadata"]["labels"]["kubernetes.io/metadata.name"], "shop");
    assert_eq!(created["spec"]["finalizers"], json!(["kubernetes"]));
    cluster.post("/api/v1/namespaces/shop/configmaps", &config_map("c")).await.with(201);
    let mut ending = cluster.delete("/api/v1/namespaces/shop").await.with(200);
    assert_eq!(ending["status"]["phase"], "Terminating");
    let refused = cluster.post("/api/v1/namespaces/shop/configmaps", &config_map("d")).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message(),
        "configmaps \"d\" is forbidden: unable to create new content in namespace shop because it is being terminated"
    );
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    // Its content can still go; then its finalizer; then it.
    cluster.delete("/api/v1/namespaces/shop/configmaps/c").await.with(200);
    ending["spec"]["finalizers"] = json!([]);
    ending["metadata"]["resourceVersion"] = json!("");
    cluster.put("/api/v1/namespaces/shop/finalize", &ending).await.with(200);
    assert_eq!(cluster.get("/api/v1/namespaces/shop").await.code, 404);
}

#[tokio::test]
async fn a_collection_goes_as_it_is_listed() {
    let cluster = Cluster::start().await;
    for name in ["a", "b"] {
        cluster.post(CONFIG_MAPS, &config_map(name)).await.with(201);
    }
    cluster.post("/api/v1/namespaces/kube-system/configmaps", &config_map("kept")).await.with(201);
    let gone = cluster.delete(CONFIG_MAPS).await.with(200);
    assert_eq!(names(&gone), ["a", "b"]);
    // Beside what every cluster has.
    let others = "/api/v1/configmaps?fieldSelector=metadata.name!%3Dextension-apiserver-authentication";
    assert_eq!(names(&cluster.get(others).await.with(200)), ["kept"]);
}

#[tokio::test]
async fn a_collection_goes_as_far_as_it_is_selected() {
    let cluster = Cluster::start().await;
    for name in ["a", "b"] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = json!({ "app": name });
        cluster.post(CONFIG_MAPS, &object).await.with(201);
    }
    assert_eq!(names(&cluster.delete(&format!("{CONFIG_MAPS}?labelSelector=app%3Da")).await.with(200)), ["a"]);
    assert_eq!(names(&cluster.get(CONFIG_MAPS).await.with(200)), ["b"]);
}

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A Pod, on a node or on none.
async fn pod(cluster: &Cluster, name: &str, node: Option<&str>) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "x" }], "terminationGracePeriodSeconds": 20 },
    });
    cluster.have_default_account().await;
    cluster.post(PODS, &pod).await.with(201);
    if let Some(node) = node {
        let binding =
            json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name }, "target": { "name": node } });
        cluster.post(&format!("{PODS}/{name}/binding"), &binding).await.with(201);
    }
}

#[tokio::test]
async fn a_pod_has_its_grace_on_a_node_only() {
    let cluster = Cluster::start().await;
    pod(&cluster, "nowhere", None).await;
    cluster.delete(&format!("{PODS}/nowhere")).await.with(200);
    assert_eq!(cluster.get(&format!("{PODS}/nowhere")).await.code, 404);

    pod(&cluster, "p", Some("n")).await;
    let path = format!("{PODS}/p");
    let seconds = |pod: &serde_json::Value| {
        let time: jiff::Timestamp = pod["metadata"]["deletionTimestamp"].as_str().unwrap().parse().unwrap();
        time.as_second()
    };
    let generation = |pod: &serde_json::Value| pod["metadata"]["generation"].as_i64().unwrap();
    let before = cluster.get(&path).await.with(200);
    let first = cluster.delete(&path).await.with(200);
    assert_eq!(first["metadata"]["deletionGracePeriodSeconds"], 20);
    assert_eq!(generation(&first), generation(&before) + 1);
    // Longer it cannot be; shorter counts from the first request.
    let longer = cluster.delete_with(&path, &json!({ "gracePeriodSeconds": 60 })).await.with(200);
    assert_eq!(longer["metadata"], first["metadata"]);
    let shorter = cluster.delete_with(&path, &json!({ "gracePeriodSeconds": 5 })).await.with(200);
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    assert_eq!(seconds(&shorter), seconds(&first) - 15);
    assert_eq!(generation(&shorter), generation(&first));
    let gone = cluster.delete(&format!("{path}?gracePeriodSeconds=0")).await.with(200);
    assert_eq!(gone["kind"], "Pod");
    assert_eq!(cluster.get(&path).await.code, 404);
}

#[tokio::test]
async fn an_eviction_is_a_deletion() {
    let cluster = Cluster::start().await;
    pod(&cluster, "p", Some("n")).await;
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "p" },
        "deleteOptions": { "gracePeriodSeconds": 3 },
    });
    cluster.post(&format!("{PODS}/p/eviction"), &eviction).await.with(201);
    assert_eq!(cluster.get(&format!("{PODS}/p")).await.with(200)["metadata"]["deletionGracePeriodSeconds"], 3);
}

#[tokio::test]
async fn namespaces_are_deleted_one_by_one() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.delete("/api/v1/namespaces").await.code, 405);
    let refused = cluster.delete("/api/v1/namespaces/kube-system").await;
    assert_eq!(refused.message(), "namespaces \"kube-system\" is forbidden: this namespace may not be deleted");
}

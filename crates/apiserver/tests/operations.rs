//! What an administrator does while the server runs: backups, bringing them back, new keys for Secrets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use bytes::Bytes;
use cluster::{Cluster, DEADLINE, SERVICES, config_map, service};
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const BACKUP: &str = "/portolan.dev/backup";
const RESTORE: &str = "/portolan.dev/restore";
const ROTATE: &str = "/portolan.dev/rotate-secrets-key";

fn secret(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": { "k": value } })
}

async fn backup(cluster: &Cluster) -> Bytes {
    let request = Request::get(BACKUP).body(Full::new(Bytes::new())).unwrap();
    let response = cluster.raw(request).await;
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap().to_bytes()
}

/// Everything that is stored, as one text.
fn on_disk(cluster: &Cluster) -> String {
    let mut all = String::new();
    cluster.store.load(|record| all += &String::from_utf8_lossy(&record.value)).unwrap();
    all
}

async fn without_versions(cluster: &Cluster, path: &str) -> Value {
    let mut list = cluster.get(path).await.with(200);
    list["metadata"]["resourceVersion"].take();
    for item in list["items"].as_array_mut().unwrap() {
        item["metadata"]["resourceVersion"].take();
    }
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_back_what_was_there_and_what_is_alive_stays() {
    let cluster = Cluster::start().await;
    cluster.post(SERVICES, &service("web", &json!({ "type": "NodePort" }))).await.with(201);
    cluster.post(MAPS, &config_map("kept")).await.with(201);
    cluster.post(SECRETS, &secret("s", "then")).await.with(201);
    let lease =
        |name: &str| json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name } });
    cluster.post(LEASES, &lease("before")).await.with(201);
    let (services, maps) = (without_versions(&cluster, SERVICES).await, without_versions(&cluster, MAPS).await);
    let port =
        services["items"].as_array().unwrap().iter().find(|s| s["metadata"]["name"] == "web").unwrap()["spec"]["ports"]
            [0]["nodePort"]
            .clone();
    let archive = backup(&cluster).await;

    cluster.delete(&format!("{SERVICES}/web")).await.with(200);
    let other = json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": port }] });
    cluster.post(SERVICES, &service("other", &other)).await.with(201);
    cluster.patch(&format!("{MAPS}/kept"), &json!({ "data": { "k": "changed" } })).await.with(200);
    cluster.patch(&format!("{SECRETS}/s"), &json!({ "stringData": { "k": "now" } })).await.with(200);
    cluster.delete(&format!("{LEASES}/before")).await.with(200);
    cluster.post(LEASES, &lease("after")).await.with(201);

    let answer = cluster.send("PUT", RESTORE, &[], archive.clone()).await.with(200);
    assert!(answer["written"].as_u64().unwrap() >= 3 && answer["unchanged"].as_u64().unwrap() > 50, "{answer}");
    assert_eq!(without_versions(&cluster, SERVICES).await, services);
    assert_eq!(without_versions(&cluster, MAPS).await, maps);
    let secret = cluster.get(&format!("{SECRETS}/s")).await.with(200);
    assert_eq!(secret["data"]["k"], "dGhlbg==");
    assert_eq!(cluster.get(&format!("{LEASES}/after")).await.code, 200, "who lives goes on");
    assert_eq!(cluster.get(&format!("{LEASES}/before")).await.code, 404);
    // The port is the Service's again, and nobody else's.
    assert_eq!(cluster.post(SERVICES, &service("other", &other)).await.code, 422);

    let again = cluster.send("PUT", RESTORE, &[], archive).await.with(200);
    assert_eq!((&again["written"], &again["removed"]), (&json!(0), &json!(0)), "there is nothing left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_backup_of_this_cluster_changes_nothing() {
    let (cluster, another) = (Cluster::start().await, Cluster::start().await);
    another.post(SECRETS, &secret("s", "x")).await.with(201);
    let foreign = backup(&another).await;
    let revision = cluster.store.revision();
    let cut = foreign.slice(..foreign.len() - 1);
    let rows = [
        (Bytes::from_static(b"{}"), "it is no backup of this version of Portolan"),
        (cut, "the backup is cut off or damaged"),
        (foreign, "/registry/secrets/default/s: it is sealed with the key"),
    ];
    for (body, why) in rows {
        let refused = cluster.send("PUT", RESTORE, &[], body).await;
        assert_eq!(refused.code, 400);
        assert!(refused.message().contains(why), "{}", refused.message());
    }
    assert_eq!(cluster.send("PUT", BACKUP, &[], "").await.code, 405);
    assert_eq!(cluster.store.revision(), revision);
    let tokened = cluster.acting_as("robot", &[]);
    for (method, path) in [("GET", BACKUP), ("PUT", RESTORE), ("POST", ROTATE)] {
        let request = Request::builder().method(method).uri(path).body(Full::new(Bytes::new())).unwrap();
        assert_eq!(tokened.handle(request).await.status(), 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_sealed_on_disk_and_keys_can_be_changed() {
    let cluster = Cluster::start().await;
    cluster.post(SECRETS, &secret("s", "hunter2")).await.with(201);
    // `hunter2` in base64, as it would stand there.
    assert!(!on_disk(&cluster).contains("aHVudGVyMg") && !on_disk(&cluster).contains("hunter2"));
    let key = "/registry/secrets/default/s";
    let sealed = cluster.store.get(key).unwrap().unwrap().value;
    let answer = cluster.send("POST", ROTATE, &[], "").await.with(200);
    assert_eq!(answer["sealed"], 1);
    let resealed = cluster.store.get(key).unwrap().unwrap().value;
    assert_ne!(sealed, resealed);
    let value = |secret: Value| secret["data"]["k"].as_str().unwrap().to_owned();
    assert_eq!(value(cluster.get(&format!("{SECRETS}/s")).await.with(200)), "aHVudGVyMg==");
    // One from before there were keys is read, and sealed at the next start.
    let clear = json!({
        "kind": "Secret", "apiVersion": "v1", "data": { "k": "b2xk" }, "type": "Opaque",
        "metadata": { "name": "old", "namespace": "default", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z" },
    });
    let put = store::Transaction::new().put("/registry/secrets/default/old", clear.to_string());
    cluster.store.commit(put).await.unwrap();
    let cluster = cluster.restart().await;
    assert_eq!(value(cluster.get(&format!("{SECRETS}/s")).await.with(200)), "aHVudGVyMg==");
    assert_eq!(value(cluster.get(&format!("{SECRETS}/old")).await.with(200)), "b2xk");
    let deadline = std::time::Instant::now() + DEADLINE;
    while on_disk(&cluster).contains("b2xk") {
        assert!(std::time::Instant::now() < deadline, "it is never sealed");
        tokio::task::yield_now().await;
    }
}

//! Events of both groups are the same objects.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use bytes::Bytes;
use cluster::Cluster;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

const CORE: &str = "/api/v1/namespaces/default/events";
const NEW: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What a recorder of client-go sends.
fn event() -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "n1.1", "namespace": "default" },
        "eventTime": "2026-01-02T03:04:05.000006Z", "reportingController": "kube-proxy",
        "reportingInstance": "kube-proxy-n1", "action": "StartKubeProxy", "reason": "Starting", "type": "Normal",
        "regarding": { "kind": "Node", "name": "n1" }, "note": "it starts",
    })
}

#[tokio::test]
async fn an_event_of_one_group_is_seen_in_the_other() {
    let cluster = Cluster::start().await;
    let mut watch = cluster.watch(&format!("{NEW}?watch=1&fieldSelector=regarding.name%3Dn1")).await;
    let made = cluster.post(NEW, &event()).await.with(201);
    assert_eq!((&made["apiVersion"], &made["note"]), (&json!("events.k8s.io/v1"), &json!("it starts")));
    let core = cluster.get(&format!("{CORE}/n1.1")).await.with(200);
    assert_eq!((&core["message"], &core["involvedObject"]["name"]), (&json!("it starts"), &json!("n1")));
    assert_eq!((&core["reportingComponent"], &core["apiVersion"]), (&json!("kube-proxy"), &json!("v1")));
    assert!(core.get("note").is_none());

    // Recorders count what happens again by a strategic merge.
    let series =
        json!({ "series": { "count": 2, "lastObservedTime": "2026-01-02T03:04:06.000000Z" }, "note": "again" });
    let headers = [("content-type", "application/strategic-merge-patch+json")];
    let patched = cluster.send("PATCH", &format!("{NEW}/n1.1"), &headers, series.to_string()).await.with(200);
    assert_eq!((&patched["series"]["count"], &patched["note"]), (&json!(2), &json!("again")));
    let operations = json!([{ "op": "replace", "path": "/note", "value": "thrice" }]);
    let headers = [("content-type", "application/json-patch+json")];
    cluster.send("PATCH", &format!("{NEW}/n1.1"), &headers, operations.to_string()).await.with(200);
    assert_eq!(cluster.get(&format!("{CORE}/n1.1")).await.with(200)["message"], "thrice");

    let list = cluster.get("/apis/events.k8s.io/v1/events").await.with(200);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("EventList"), &json!("events.k8s.io/v1")));
    assert_eq!(list["items"][0]["note"], "thrice");
    for (kind, note) in [("ADDED", "it starts"), ("MODIFIED", "again"), ("MODIFIED", "thrice")] {
        let told = watch.next().await.unwrap();
        assert_eq!((&told["type"], &told["object"]["note"]), (&json!(kind), &json!(note)));
    }
    cluster.delete(&format!("{NEW}/n1.1")).await.with(200);
    cluster.get(&format!("{CORE}/n1.1")).await.with(404);
    cluster.stop().await;
}

#[tokio::test]
async fn they_are_made_and_had_in_protobuf() {
    let cluster = Cluster::start().await;
    let body = apiserver::protobuf::write_named(event().to_string().as_bytes()).unwrap();
    let request = Request::post(NEW).header("content-type", PROTOBUF).header("accept", PROTOBUF);
    let response = cluster.raw(request.body(Full::new(Bytes::from(body))).unwrap()).await;
    assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (201, &PROTOBUF.parse().unwrap()));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let of_type = kinds::schema::get("io.k8s.api.events.v1.Event").unwrap();
    let made = apiserver::protobuf::read(&body, of_type).unwrap();
    let mut json = cluster.get(&format!("{NEW}/n1.1")).await.with(200);
    // No time and none that is written are the same.
    json.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(made, json);
    assert_eq!(made["regarding"], json!({ "kind": "Node", "name": "n1" }));
    cluster.stop().await;
}

#[tokio::test]
async fn what_new_events_must_say() {
    let cluster = Cluster::start().await;
    let mut old = event();
    old.as_object_mut().unwrap().remove("eventTime");
    old["deprecatedCount"] = json!(3);
    let refused = cluster.post(NEW, &old).await.with(422);
    let fields: Vec<_> = refused["details"]["causes"].as_array().unwrap().iter().map(|c| &c["field"]).collect();
    assert_eq!(fields, ["eventTime", "deprecatedCount"]);
    let group = cluster.get("/apis/events.k8s.io/v1").await.with(200);
    assert_eq!(group["resources"][0]["name"], "events");
    assert_eq!(cluster.get(&format!("{NEW}/x/status")).await.code, 404);
    cluster.stop().await;
}

//! In which forms objects, lists, watches and refusals are had: protobuf, YAML, compressed, metadata alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::io::Read;

use apiserver::protobuf;
use bytes::{Buf, Bytes, BytesMut};
use cluster::{Cluster, DEADLINE};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use kinds::schema;
use serde_json::{Value, json};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// An answer as it comes, with its headers.
async fn send(cluster: &Cluster, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = cluster.raw(request.body(Full::new(body.to_owned().into())).unwrap()).await;
    let headers = response.headers().clone();
    (headers, response.into_body().collect().await.unwrap().to_bytes())
}

async fn get(cluster: &Cluster, path: &str, accept: &str) -> (HeaderMap, Bytes) {
    send(cluster, "GET", path, &[("accept", accept)], "").await
}

/// The object in a body of protobuf.
#[track_caller]
fn decoded(answer: &(HeaderMap, Bytes)) -> Value {
    assert_eq!(answer.0["content-type"], PROTOBUF);
    read(&answer.1)
}

fn read(body: &[u8]) -> Value {
    protobuf::read(body, schema::get("io.k8s.api.core.v1.ConfigMap").unwrap()).unwrap()
}

fn config_map(name: &str, size: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": { "app": "web" } },
        "data": { "filled": "x".repeat(size) }, "binaryData": { "b": "AP8=" },
    })
}

/// What is `null` in JSON (`rules`) is not there in protobuf.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[tokio::test]
async fn objects_and_lists_are_the_same_in_protobuf() {
    let cluster = Cluster::start().await;
    for path in ["/api/v1/namespaces/default", "/api/v1/namespaces/default/services/kubernetes"] {
        let json = cluster.get(path).await.with(200);
        assert_eq!(decoded(&get(&cluster, path, PROTOBUF).await), json, "{path}");
    }
    for kind in kinds::registry::all() {
        let group = if kind.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", kind.api_version()) };
        let path = format!("{group}/{}", kind.plural);
        let mut json = cluster.get(&path).await.with(200);
        if json["items"] == json!([]) {
            // Nothing and an empty list are the same in protobuf.
            json.as_object_mut().unwrap().remove("items");
        }
        without_nulls(&mut json);
        assert_eq!(decoded(&get(&cluster, &path, PROTOBUF).await), json, "{path}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn writes_are_read_and_answered_in_protobuf() {
    let cluster = Cluster::start().await;
    let body = protobuf::write_named(config_map("a", 3).to_string().as_bytes()).unwrap();
    let request = Request::post(MAPS).header("content-type", PROTOBUF).header("accept", PROTOBUF);
    let response = cluster.raw(request.body(Full::new(body.into())).unwrap()).await;
    assert_eq!(response.status(), 201);
    let created = (response.headers().clone(), response.into_body().collect().await.unwrap().to_bytes());
    let created = decoded(&created);
    assert_eq!(created, cluster.get(&format!("{MAPS}/a")).await.with(200));
    assert_eq!(created["binaryData"], json!({ "b": "AP8=" }));

    let deleted = send(&cluster, "DELETE", &format!("{MAPS}/a"), &[("accept", PROTOBUF)], "").await;
    let deleted = decoded(&deleted);
    assert_eq!((&deleted["kind"], &deleted["status"]), (&json!("Status"), &json!("Success")));
    cluster.stop().await;
}

#[tokio::test]
async fn a_refusal_comes_in_the_form_that_is_asked_for() {
    let cluster = Cluster::start().await;
    let path = format!("{MAPS}/nowhere");
    let json = cluster.get(&path).await.with(404);
    let mut refusal = decoded(&get(&cluster, &path, PROTOBUF).await);
    // An empty message and none are the same.
    refusal["metadata"] = json!({});
    assert_eq!(refusal, json);
    let (headers, yaml) = get(&cluster, &path, "application/yaml").await;
    assert_eq!(headers["content-type"], "application/yaml");
    assert!(yaml.starts_with(b"apiVersion: v1\n"), "{yaml:?}");
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    assert_eq!(get(&cluster, &path, table).await.0["content-type"], "application/json");
    // Whoever takes none of it hears so in JSON.
    let answer = cluster.send("GET", &path, &[("accept", "application/cbor")], "").await;
    assert_eq!(answer.with(406)["reason"], "NotAcceptable");
    cluster.stop().await;
}

#[tokio::test]
async fn metadata_alone_are_had_in_protobuf() {
    let cluster = Cluster::start().await;
    let whole = cluster.post(MAPS, &config_map("a", 3)).await.with(201);
    let one = decoded(&get(&cluster, &format!("{MAPS}/a"), METADATA).await);
    let want = json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": whole["metadata"],
    });
    assert_eq!(one, want);
    let list = METADATA.replace("PartialObjectMetadata", "PartialObjectMetadataList");
    let (headers, list) = get(&cluster, MAPS, &list).await;
    assert_eq!(headers["content-type"], PROTOBUF);
    let list = read(&list);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"], json!([{ "metadata": whole["metadata"] }]));
    cluster.stop().await;
}

/// A watch in frames of protobuf.
struct Frames {
    body: apiserver::Body,
    read: BytesMut,
}

impl Frames {
    async fn start(cluster: &Cluster, path: &str, accept: &str) -> Self {
        let request = Request::get(path).header("accept", accept).body(Full::default()).unwrap();
        let response = cluster.raw(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
        Self { body: response.into_body(), read: BytesMut::new() }
    }

    /// The type and the object of the next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if self.read.len() >= 4 {
                let length = u32::from_be_bytes(self.read[..4].try_into().unwrap()) as usize;
                if self.read.len() >= length + 4 {
                    self.read.advance(4);
                    return Some(event(&self.read.split_to(length)));
                }
            }
            let frame = tokio::time::timeout(DEADLINE, self.body.frame()).await.unwrap()?;
            self.read.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }
}

/// A `WatchEvent`: field 1 is the type, field 2 a message whose field 1 is the object's body.
fn event(message: &[u8]) -> (String, Value) {
    let at = message.windows(4).position(|w| w == b"k8s\0").unwrap();
    let kind = String::from_utf8(message[2..2 + usize::from(message[1])].to_vec()).unwrap();
    (kind, read(&message[at..]))
}

#[tokio::test]
async fn a_watch_in_protobuf_tells_what_one_in_json_tells() {
    let cluster = Cluster::start().await;
    cluster.post(MAPS, &config_map("before", 300)).await.with(201);
    let query = "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut frames = Frames::start(&cluster, &format!("{MAPS}{query}"), PROTOBUF).await;
    let mut lines = cluster.watch(&format!("{MAPS}{query}")).await;
    let mut metadata = Frames::start(&cluster, &format!("{MAPS}{query}"), METADATA).await;
    cluster.post(MAPS, &config_map("a", 70_000)).await.with(201);
    cluster.patch(&format!("{MAPS}/a"), &json!({ "data": { "c": "d" } })).await.with(200);
    cluster.delete(&format!("{MAPS}/a")).await.with(200);
    for kind in ["ADDED", "BOOKMARK", "ADDED", "MODIFIED", "DELETED"] {
        let (told, mut object) = frames.next().await.unwrap();
        let line = lines.next().await.unwrap();
        assert_eq!((&*told, &line["type"]), (kind, &json!(kind)));
        if kind == "BOOKMARK" {
            // It is written in JSON as no time, and not at all in protobuf.
            object["metadata"]["creationTimestamp"] = Value::Null;
        }
        assert_eq!(object, line["object"]);
        let (told, mut object) = metadata.next().await.unwrap();
        if kind == "BOOKMARK" {
            object["metadata"]["creationTimestamp"] = Value::Null;
        }
        assert_eq!((&*told, &object["kind"]), (kind, &json!("PartialObjectMetadata")));
        assert_eq!(object["metadata"], line["object"]["metadata"]);
    }
    cluster.stop().await;
    assert!(frames.next().await.is_none(), "a watch ends when the server stops");
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_takes_them_so() {
    let cluster = Cluster::start().await;
    for name in ["a", "b", "c"] {
        cluster.post(MAPS, &config_map(name, 60_000)).await.with(201);
    }
    for accept in ["application/json", PROTOBUF, "application/yaml"] {
        let (plain, whole) = get(&cluster, MAPS, accept).await;
        assert!(!plain.contains_key("content-encoding"), "{accept}");
        let headers = [("accept", accept), ("accept-encoding", "deflate, gzip")];
        let (headers, zipped) = send(&cluster, "GET", MAPS, &headers, "").await;
        assert_eq!(
            (&headers["content-encoding"], &headers["vary"]),
            (&"gzip".parse().unwrap(), &"Accept-Encoding".parse().unwrap())
        );
        assert!(zipped.len() < whole.len() / 10, "{} of {}", zipped.len(), whole.len());
        let mut unzipped = Vec::new();
        flate2::read::GzDecoder::new(&*zipped).read_to_end(&mut unzipped).unwrap();
        assert_eq!(unzipped, whole, "{accept}");
    }
    let headers = [("accept-encoding", "gzip")];
    let (headers, _) = send(&cluster, "GET", &format!("{MAPS}/a"), &headers, "").await;
    assert!(!headers.contains_key("content-encoding"), "one small object is sent as it is");
    cluster.stop().await;
}

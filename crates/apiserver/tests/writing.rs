//! POST and PUT.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{CONFIG_MAPS, Cluster, SERVICES, config_map, names, service, version};
use serde_json::{Value, json};

#[tokio::test]
async fn what_only_the_server_says_is_filled_in() {
    let cluster = Cluster::start().await;
    let mut sent = config_map("c");
    sent["metadata"]["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
    sent["metadata"]["uid"] = json!("mine");
    sent["metadata"]["generation"] = json!(7);
    let created = cluster.post(CONFIG_MAPS, &sent).await.with(201);
    let metadata = &created["metadata"];
    assert!(metadata.get("deletionTimestamp").is_none());
    // A kind without generations keeps what its writers say, as in Kubernetes.
    assert_eq!(metadata["generation"], 7);
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
    assert!(metadata["creationTimestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(metadata["namespace"], "default");
}

#[tokio::test]
async fn names_are_generated() {
    let cluster = Cluster::start().await;
    let mut sent = config_map("");
    sent["metadata"] = json!({ "generateName": "web-" });
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let created = cluster.post(CONFIG_MAPS, &sent).await.with(201);
        let name = created["metadata"]["name"].as_str().unwrap().to_owned();
        let random = name.strip_prefix("web-").unwrap();
        assert_eq!(random.len(), 5);
        assert!(random.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b)), "{name}");
        assert!(seen.insert(name));
    }
    sent["metadata"] = json!({ "generateName": "x".repeat(80) });
    let long = cluster.post(CONFIG_MAPS, &sent).await.with(201);
    assert_eq!(long["metadata"]["name"].as_str().unwrap().len(), 63);
}

#[tokio::test]
async fn of_many_updates_of_one_version_one_wins() {
    let cluster = Arc::new(Cluster::start().await);
    let created = cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
    let writers: Vec<_> = (0..20)
        .map(|i| {
            let (cluster, mut mine) = (cluster.clone(), created.clone());
            mine["data"]["a"] = json!(format!("by {i}"));
            tokio::spawn(async move { cluster.put(&format!("{CONFIG_MAPS}/c"), &mine).await })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        let answer = writer.await.unwrap();
        match answer.code {
            200 => won += 1,
            409 => assert_eq!(
                answer.message(),
                "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your \
                 changes to the latest version and try again"
            ),
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn updates_without_a_version_all_win() {
    let cluster = Arc::new(Cluster::start().await);
    cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
    let writers: Vec<_> = (0..20)
        .map(|i| {
            let cluster = cluster.clone();
            let mut mine = config_map("c");
            mine["data"]["a"] = json!(format!("by {i}"));
            tokio::spawn(async move { cluster.put(&format!("{CONFIG_MAPS}/c"), &mine).await.code })
        })
        .collect();
    for writer in writers {
        assert_eq!(writer.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn an_update_that_changes_nothing_writes_nothing() {
    let cluster = Cluster::start().await;
    let created = cluster.post(SERVICES, &service("s", &json!({}))).await.with(201);
    let again = cluster.put(&format!("{SERVICES}/s"), &created).await.with(200);
    assert_eq!(again, created);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let cluster = Cluster::start().await;
    let before = version(&cluster.get(CONFIG_MAPS).await.with(200));
    let answer = cluster.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("c")).await.with(201);
    assert!(answer["metadata"].get("resourceVersion").is_none());
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/c")).await.code, 404);
    let created = cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
    let refused = cluster.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("c")).await;
    assert_eq!(refused.message(), "configmaps \"c\" already exists");
    let mut changed = created.clone();
    changed["data"]["a"] = json!("2");
    let answer = cluster.put(&format!("{CONFIG_MAPS}/c?dryRun=All"), &changed).await.with(200);
    assert_eq!(answer["data"]["a"], "2");
    cluster.delete_with(&format!("{CONFIG_MAPS}/c"), &json!({ "dryRun": ["All"] })).await.with(200);
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/c")).await.with(200), created);
    assert_ne!(version(&created), before);
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_warned_of_or_refused() {
    let cluster = Cluster::start().await;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"NAME"},"nope":1,"data":{"a":"1"},"data":{"b":"2"}}"#;
    let send = |query: &'static str, name: &'static str| {
        let (path, body) = (format!("{CONFIG_MAPS}?{query}"), body.replace("NAME", name));
        let cluster = &cluster;
        async move { cluster.send("POST", &path, &[("content-type", "application/json")], body).await }
    };
    let default = send("", "a").await;
    assert_eq!(default.code, 201);
    assert_eq!(default.warnings, [r#"299 - "duplicate field \"data\"""#, r#"299 - "unknown field \"nope\"""#]);
    assert_eq!(send("fieldValidation=Ignore", "b").await.warnings, [""; 0]);
    let strict = send("fieldValidation=Strict", "c").await;
    assert_eq!(strict.code, 400);
    assert_eq!(
        strict.message(),
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field \"data\", \
         unknown field \"nope\""
    );
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/c")).await.code, 404);
}

#[tokio::test]
async fn too_much_is_refused() {
    let cluster = Cluster::start().await;
    let body = "x".repeat((3 << 20) + 1);
    let answer = cluster.send("POST", CONFIG_MAPS, &[("content-type", "application/json")], body).await;
    assert_eq!((answer.code, answer.message()), (413, "Request entity too large: limit is 3145728"));
    let mut service = service("s", &json!({}));
    // Under the limit of a body, over that of an object.
    service["spec"]["externalName"] = json!("x".repeat(2 << 20));
    service["metadata"]["managedFields"] = json!([]);
    let answer = cluster.post(SERVICES, &service).await;
    assert_eq!((answer.code, answer.message()), (500, "etcdserver: request is too large"));
    assert_eq!(names(&cluster.get(SERVICES).await.with(200)), ["kubernetes"]);
    let ips = cluster.get("/apis/networking.k8s.io/v1/ipaddresses").await.with(200);
    assert_eq!(ips["items"].as_array().unwrap().len(), 1, "the refused Service kept its address");
}

#[tokio::test]
async fn a_body_may_be_compressed() {
    use std::io::Write;
    let cluster = Cluster::start().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(config_map("c").to_string().as_bytes()).unwrap();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    cluster.send("POST", CONFIG_MAPS, &headers, gzip.finish().unwrap()).await.with(201);
}

#[tokio::test]
async fn a_status_is_written_by_its_own_path() {
    let cluster = Cluster::start().await;
    let created = cluster.post(SERVICES, &service("s", &json!({ "type": "LoadBalancer" }))).await.with(201);
    let mut sent = created.clone();
    sent["status"]["loadBalancer"] = json!({ "ingress": [{ "ip": "192.0.2.7" }] });
    sent["spec"]["selector"] = json!({ "a": "b" });
    let through_main = cluster.put(&format!("{SERVICES}/s"), &sent).await.with(200);
    assert_eq!(
        (&through_main["status"], &through_main["spec"]["selector"]),
        (&created["status"], &json!({ "a": "b" }))
    );
    sent["metadata"]["resourceVersion"] = through_main["metadata"]["resourceVersion"].clone();
    sent["spec"]["selector"] = json!({ "c": "d" });
    let through_status = cluster.put(&format!("{SERVICES}/s/status"), &sent).await.with(200);
    assert_eq!(through_status["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.7");
    assert_eq!(through_status["spec"]["selector"], json!({ "a": "b" }));
}

#[tokio::test]
async fn a_panic_or_a_wrong_path_is_an_answer() {
    let cluster = Cluster::start().await;
    let cases = [
        ("POST", "/api/v1/configmaps", 405),
        ("PUT", CONFIG_MAPS, 405),
        ("GET", "/api/v1/namespaces/default/configmaps/c/nothing", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/apis/example.com/v1/things", 404),
        ("GET", "/nothing", 404),
        ("POST", "/version", 405),
        ("OPTIONS", CONFIG_MAPS, 405),
    ];
    for (method, path, code) in cases {
        let answer = cluster.send(method, path, &[], Value::Null.to_string()).await;
        assert_eq!(answer.code, code, "{method} {path}: {}", answer.body);
    }
}

/// A body that panics when it is read.
struct Panics;

impl http_body::Body for Panics {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        panic!("a test of panics")
    }
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let cluster = Cluster::start().await;
    let request = http::Request::post(CONFIG_MAPS).body(Panics).unwrap();
    let answer = cluster::read(cluster.handler.handle(request).await).await;
    assert_eq!(answer.code, 500);
    assert_eq!(
        answer.message(),
        "Internal error occurred: This request caused apiserver to panic. Look in the logs for details."
    );
    cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
}

#[tokio::test]
async fn replicas_are_scaled() {
    let cluster = Cluster::start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "a": "b" } },
            "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "x" }] } },
        },
    });
    let created = cluster.post(path, &deployment).await.with(201);
    let scale = format!("{path}/d/scale");
    let mut shown = cluster.get(&scale).await.with(200);
    assert_eq!((&shown["kind"], &shown["spec"]), (&json!("Scale"), &json!({ "replicas": 1 })));
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = cluster.send("GET", &scale, &table, "").await.with(200);
    let headings: Vec<&Value> = table["columnDefinitions"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(headings, ["Name", "Desired", "Available", "Age"]);
    let row = &table["rows"][0];
    assert_eq!((&row["cells"][0], &row["cells"][1], &row["cells"][2]), (&json!("d"), &json!(1), &json!(0)));
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(table["metadata"]["resourceVersion"], shown["metadata"]["resourceVersion"]);
    let patched = cluster.patch(&scale, &json!({ "spec": { "replicas": 3 } })).await.with(200);
    assert_eq!(patched["spec"]["replicas"], 3);
    shown["spec"]["replicas"] = json!(5);
    assert_eq!(cluster.put(&scale, &shown).await.code, 409);
    let negative = cluster.patch(&scale, &json!({ "spec": { "replicas": -1 } })).await;
    assert_eq!(
        negative.message(),
        "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    let now = cluster.get(&format!("{path}/d")).await.with(200);
    assert_eq!(now["spec"]["replicas"], 3);
    assert_eq!(now["metadata"]["generation"].as_i64(), created["metadata"]["generation"].as_i64().map(|g| g + 1));
}

#[tokio::test]
async fn patches_are_of_three_kinds() {
    let cluster = Cluster::start().await;
    cluster.post(SERVICES, &service("s", &json!({ "ports": [{ "name": "a", "port": 80 }] }))).await.with(201);
    let path = format!("{SERVICES}/s");
    let send = |kind: &'static str, body: Value| {
        let (cluster, path) = (&cluster, &path);
        async move { cluster.send("PATCH", path, &[("content-type", kind)], body.to_string()).await }
    };
    let strategic = json!({ "spec": { "ports": [{ "name": "b", "port": 81 }] } });
    let merged = send("application/strategic-merge-patch+json", strategic).await.with(200);
    assert_eq!(merged["spec"]["ports"].as_array().unwrap().len(), 2);
    let json_patch = json!([{ "op": "replace", "path": "/spec/ports/0/port", "value": 8080 }]);
    let replaced = send("application/json-patch+json", json_patch).await.with(200);
    assert!(replaced["spec"]["ports"].as_array().unwrap().iter().any(|p| p["port"] == 8080));
    let merge = json!({ "spec": { "ports": [{ "port": 1 }] } });
    let merged = send("application/merge-patch+json", merge).await.with(200);
    assert_eq!(merged["spec"]["ports"].as_array().unwrap().len(), 1);
    assert_eq!(send("application/json", json!({})).await.code, 415);
}

#[tokio::test]
async fn an_applier_owns_what_it_applies() {
    let cluster = Cluster::start().await;
    let path = format!("{CONFIG_MAPS}/c?fieldManager=ada");
    let apply = |body: &'static str, query: &'static str| {
        let (cluster, path) = (&cluster, format!("{path}{query}"));
        async move { cluster.send("PATCH", &path, &[("content-type", "application/apply-patch+yaml")], body).await }
    };
    let both = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1', b: '2'}\n";
    let created = apply(both, "").await.with(201);
    assert_eq!(created["data"], json!({ "a": "1", "b": "2" }));
    assert_eq!(version(&apply(both, "").await.with(200)), version(&created));
    let one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}\n";
    assert_eq!(apply(one, "").await.with(200)["data"], json!({ "a": "1" }));
    cluster.patch(&format!("{CONFIG_MAPS}/c?fieldManager=eve"), &json!({ "data": { "a": "3" } })).await.with(200);
    let conflict = apply(one, "").await;
    assert_eq!(
        (conflict.code, conflict.message()),
        (409, "Apply failed with 1 conflict: conflict with \"eve\" using v1: .data.a")
    );
    assert_eq!(apply(one, "&force=true").await.with(200)["data"], json!({ "a": "1" }));
}

//! What is asked of the server is written down, as the policy says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use apiserver::audit::Audit;
use bytes::Bytes;
use cluster::{Cluster, DEADLINE, SERVICES, service};
use serde_json::{Value, json};

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- level: Metadata
  resources: [{group: '', resources: [secrets]}]
- level: RequestResponse
  omitStages: [RequestReceived]
  namespaces: [default]
  resources: [{group: '', resources: [services]}]
- level: None
";

async fn cluster(dir: &Path) -> Cluster {
    let (policy, log) = (dir.join("policy.yaml"), dir.join("audit.log"));
    std::fs::write(&policy, POLICY).unwrap();
    let audit = Arc::new(Audit::open(&policy, &log).unwrap());
    Cluster::start_with(tempfile::tempdir().unwrap(), |config| config.audit = Some(audit)).await
}

/// The events of a path that are written, when there are so many.
async fn events(dir: &Path, path: &str, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let text = std::fs::read_to_string(dir.join("audit.log")).unwrap();
        let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<Value> = all.filter(|event| event["requestURI"] == path).collect();
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_says_is_written_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(dir.path()).await;
    let headers = [("content-type", "application/json"), ("audit-id", "abc"), ("user-agent", "test")];
    let body = service("web", &json!({})).to_string();
    let made = cluster.send("POST", SERVICES, &headers, body).await.with(201);
    let written = events(dir.path(), SERVICES, 1).await;
    let [event] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!((&event["stage"], &event["level"]), (&json!("ResponseComplete"), &json!("RequestResponse")));
    assert_eq!((&event["auditID"], &event["userAgent"]), (&json!("abc"), &json!("test")));
    assert_eq!(event["objectRef"], json!({ "resource": "services", "apiVersion": "v1", "namespace": "default" }));
    assert_eq!(event["user"]["username"], "system:apiserver");
    assert_eq!(event["responseStatus"]["code"], 201);
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "allow");
    assert_eq!(event["requestObject"]["metadata"]["name"], "web");
    assert_eq!(event["responseObject"]["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    assert!(event["responseObject"]["metadata"].get("managedFields").is_none());

    let refused = cluster.send("POST", SERVICES, &headers, service("web", &json!({})).to_string()).await;
    assert_eq!(refused.code, 409);
    let written = events(dir.path(), SERVICES, 2).await;
    assert_eq!(written[1]["responseStatus"]["reason"], "AlreadyExists");

    let secrets = "/api/v1/namespaces/default/secrets";
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "k": "hidden" } });
    cluster.post(secrets, &secret).await.with(201);
    let written = events(dir.path(), secrets, 2).await;
    assert_eq!((&written[0]["stage"], &written[1]["stage"]), (&json!("RequestReceived"), &json!("ResponseComplete")));
    cluster.get("/api/v1/nodes").await.with(200);
    let log = std::fs::read_to_string(dir.path().join("audit.log")).unwrap();
    assert!(!log.contains("hidden") && !log.contains("/api/v1/nodes"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_written_when_it_begins_and_when_it_ends_and_who_may_not_is_too() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(dir.path()).await;
    let path = format!("{SERVICES}?watch=1");
    let watch = cluster.watch(&path).await;
    let begun = events(dir.path(), &path, 1).await;
    assert_eq!((begun.len(), &begun[0]["stage"]), (1, &json!("ResponseStarted")));
    drop(watch);
    let ended = events(dir.path(), &path, 2).await;
    assert_eq!(ended[1]["stage"], "ResponseComplete");
    assert_eq!(ended[0]["auditID"], ended[1]["auditID"]);

    let robot = cluster.acting_as("robot", &[]);
    let path = format!("{SERVICES}/web");
    let request = http::Request::get(&path).body(http_body_util::Full::new(Bytes::new())).unwrap();
    assert_eq!(robot.handle(request).await.status(), 403);
    let written = events(dir.path(), &path, 1).await;
    assert_eq!(written[0]["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(written[0]["responseStatus"]["reason"], "Forbidden");
    assert_eq!(written[0]["user"]["username"], "robot");
}

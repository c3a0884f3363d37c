//! A server in the test's own process, without sockets.

#![allow(clippy::unwrap_used, dead_code, reason = "a test that cannot go on fails; not every test uses all of it")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::pki::{Authority, Subject};
use apiserver::{Body, Config, Handler, Server, StaticToken, User};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use store::Store;
use tempfile::TempDir;

/// How long anything that is waited for may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Cluster {
    pub dir: TempDir,
    pub store: Store,
    pub authority: Arc<Authority>,
    server: Option<Server>,
    pub handler: Handler,
}

/// An answer that is read to its end.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

impl Answer {
    /// The object, which must have been had with this code.
    #[track_caller]
    pub fn with(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.body);
        self.body
    }

    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Cluster {
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    pub async fn start_in(dir: TempDir) -> Self {
        Self::start_with(dir, |_| {}).await
    }

    pub async fn start_with(dir: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let authority = Arc::new(Authority::load_or_create(&dir.path().join("pki")).unwrap());
        let store = Store::open(dir.path().join("store")).unwrap();
        let mut config = Config {
            store: store.clone(),
            authority: authority.clone(),
            listen: Vec::new(),
            advertise: Ipv4Addr::new(192, 0, 2, 1).into(),
            names: Vec::new(),
            service_cidr: "10.96.0.0/16".parse().unwrap(),
            node_ports: 30_000..=32_767,
            tokens: vec![StaticToken::new("secret", User::authenticated("tokened", []))],
            audit: None,
        };
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        let handler = server.handler();
        Self { dir, store, authority, server: Some(server), handler }
    }

    /// Stops the server and starts another one on the same data.
    pub async fn restart(mut self) -> Self {
        self.server.take().unwrap().shutdown().await;
        self.store.close().await;
        let Self { dir, store, handler, .. } = self;
        drop((store, handler));
        Self::start_in(dir).await
    }

    pub fn addresses(&self) -> &[std::net::SocketAddr] {
        self.server.as_ref().unwrap().addresses()
    }

    /// The kubeconfig of an administrator who comes over a socket.
    pub fn kubeconfig(&self) -> String {
        let admin = self.authority.issue_client(&Subject::in_group("kubernetes-admin", "system:masters")).unwrap();
        let certificate = STANDARD.encode(self.authority.certificate_pem());
        let server = json!({
            "server": format!("https://{}", self.addresses()[0]), "certificate-authority-data": certificate,
        });
        let user = json!({
            "client-certificate-data": STANDARD.encode(&admin.certificate_pem),
            "client-key-data": STANDARD.encode(&admin.key_pem),
        });
        let document = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": server }], "users": [{ "name": "admin", "user": user }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "admin" } }],
        });
        document.to_string()
    }

    /// Requests of a user in some groups.
    pub fn acting_as(&self, name: &str, groups: &[&str]) -> Handler {
        self.handler.acting_as(User::authenticated(name, groups.iter().map(|group| (*group).to_owned())))
    }

    pub async fn stop(mut self) {
        self.server.take().unwrap().shutdown().await;
    }

    pub async fn raw(&self, request: Request<Full<Bytes>>) -> Response<Body> {
        self.handler.handle(request).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(self.raw(request.body(Full::new(body.into())).unwrap()).await).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Makes the service account that Pods have by default, as a controller does in every namespace.
    pub async fn have_default_account(&self) {
        let account =
            serde_json::json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
        let code = self.post("/api/v1/namespaces/default/serviceaccounts", &account).await.code;
        assert!(code == 201 || code == 409, "{code}");
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, &[("content-type", "application/merge-patch+json")], body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Bytes::new()).await
    }

    pub async fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.send("DELETE", path, &[("content-type", "application/json")], options.to_string()).await
    }

    /// Starts a watch; the path has its query.
    pub async fn watch(&self, path: &str) -> Watch {
        self.watch_as(path, "application/json").await
    }

    pub async fn watch_as(&self, path: &str, accept: &str) -> Watch {
        let request = Request::get(path).header("accept", accept).body(Full::default()).unwrap();
        let response = self.raw(request).await;
        assert_eq!(response.status(), 200);
        Watch { body: response.into_body(), read: Vec::new() }
    }
}

/// Reads an answer to its end.
pub async fn read(response: Response<Body>) -> Answer {
    let code = response.status().as_u16();
    let warnings = response.headers().get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
    let bytes = tokio::time::timeout(DEADLINE, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    Answer { code, body, warnings }
}

/// A watch that is read event by event.
pub struct Watch {
    body: Body,
    read: Vec<u8>,
}

impl Watch {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(DEADLINE, self.body.frame()).await.unwrap()?.unwrap();
            self.read.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// The next event's type and its object's name.
    pub async fn named(&mut self) -> (String, String) {
        let event = self.next().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const SERVICES: &str = "/api/v1/namespaces/default/services";

pub fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": "1" } })
}

pub fn service(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec.get("ports").is_none() {
        spec["ports"] = json!([{ "port": 80 }]);
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
}

pub fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

pub fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

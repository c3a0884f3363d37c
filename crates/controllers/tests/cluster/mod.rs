//! A server and all controllers in the test's own process, without sockets, and nodes that only say that their Pods run.

#![allow(clippy::unwrap_used, dead_code, reason = "a test that cannot go on fails; not every test uses all of it")]

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use apiserver::pki::Authority;
use apiserver::{Config, Server};
use futures::TryStreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use store::Store;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// How long anything that is waited for may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Cluster {
    pub client: Client,
    server: Option<Server>,
    store: Store,
    dir: TempDir,
    stop: CancellationToken,
    running: Option<tokio::task::JoinHandle<()>>,
    next_ip: Arc<AtomicU32>,
}

impl Cluster {
    pub async fn start() -> Self {
        Self::with(controllers::Config::default()).await
    }

    pub async fn with(config: controllers::Config) -> Self {
        let mut cluster = Self::without_controllers().await;
        cluster.run(config);
        // Until it is there the server refuses every Pod of the namespace, as Kubernetes does.
        let accounts: Api<ServiceAccount> = cluster.api("default");
        eventually("the default account", || async { accounts.get_opt("default").await.unwrap() }).await;
        cluster
    }

    pub async fn without_controllers() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::load_or_create(&dir.path().join("pki")).unwrap());
        let store = Store::open(dir.path().join("store")).unwrap();
        let server = Server::start(Config {
            store: store.clone(),
            authority,
            listen: Vec::new(),
            advertise: Ipv4Addr::new(192, 0, 2, 1).into(),
            names: Vec::new(),
            service_cidr: "10.96.0.0/16".parse().unwrap(),
            node_ports: 30_000..=32_767,
            tokens: Vec::new(),
            audit: None,
        })
        .await
        .unwrap();
        let client = Client::new(server.handler(), "default");
        let stop = CancellationToken::new();
        Self { client, server: Some(server), store, dir, stop, running: None, next_ip: Arc::default() }
    }

    /// Starts the controllers.
    pub fn run(&mut self, config: controllers::Config) {
        let (client, stop) = (self.client.clone(), self.stop.clone());
        self.running = Some(tokio::spawn(async move { controllers::run(client, config, stop).await.unwrap() }));
    }

    /// Stops the controllers; the server goes on.
    pub async fn stop_controllers(&mut self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.running.take().unwrap()).await.unwrap().unwrap();
        self.stop = CancellationToken::new();
    }

    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn global<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>,
    {
        Api::all(self.client.clone())
    }

    /// Creates an object from a document.
    pub async fn create<K>(&self, api: &Api<K>, object: Value) -> K
    where
        K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
    {
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
    }

    /// The reasons and messages of all events about an object.
    pub async fn events(&self, namespace: &str, name: &str) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let all = events.list(&ListParams::default()).await.unwrap();
        all.items
            .into_iter()
            .filter(|event| event.involved_object.name.as_deref() == Some(name))
            .map(|event| format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
            .collect()
    }

    /// A node that runs what is bound to it, until it is dropped.
    pub async fn node(&self, name: &str, zone: &str) -> FakeNode {
        let nodes: Api<Node> = self.global();
        let node = json!({
            "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name}},
        });
        if nodes.get_opt(name).await.unwrap().is_none() {
            self.create(&nodes, node).await;
        }
        let status = json!({"status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                "lastHeartbeatTime": null, "lastTransitionTime": null}]}});
        nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(&status)).await.unwrap();
        let kubelet = Kubelet { client: self.client.clone(), node: name.to_owned(), next_ip: self.next_ip.clone() };
        FakeNode { stop: kubelet.start().await.drop_guard() }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Lives as long as it is held.
pub struct FakeNode {
    stop: tokio_util::sync::DropGuard,
}

#[derive(Clone)]
struct Kubelet {
    client: Client,
    node: String,
    next_ip: Arc<AtomicU32>,
}

impl Kubelet {
    async fn start(self) -> CancellationToken {
        let stop = CancellationToken::new();
        self.renew().await;
        let (renewing, stopped) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            while stopped.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await.is_some() {
                renewing.renew().await;
            }
        });
        let stopped = stop.clone();
        tokio::spawn(async move {
            stopped.run_until_cancelled(self.run_pods()).await;
        });
        stop
    }

    async fn renew(&self) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "kube-node-lease");
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let patch = json!({"spec": {"renewTime": now, "holderIdentity": self.node}});
        if leases.patch(&self.node, &PatchParams::default(), &Patch::Merge(&patch)).await.is_err() {
            let lease = json!({"metadata": {"name": self.node}, "spec": patch["spec"]});
            let _ = leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await;
        }
    }

    /// Every Pod that is bound here runs and is ready at once; one that is to end is gone at once.
    async fn run_pods(&self) {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let config = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node));
        let mut stream = pin!(watcher(pods, config).default_backoff().applied_objects());
        let mut started = HashSet::new();
        while let Ok(Some(pod)) = stream.try_next().await {
            let here: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap());
            let name = pod.name_any();
            if pod.metadata.deletion_timestamp.is_some() {
                let preconditions = Some(Preconditions { uid: pod.uid(), ..Preconditions::default() });
                let how = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
                let _ = here.delete(&name, &how).await;
            } else if pod.labels().get("ready").map(String::as_str) != Some("never") && started.insert(pod.uid()) {
                let _ = here.patch_status(&name, &PatchParams::default(), &Patch::Strategic(&self.running())).await;
            }
        }
    }

    fn running(&self) -> Value {
        let number = self.next_ip.fetch_add(1, Ordering::SeqCst) + 1;
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 244, 0, 0)) + number).to_string();
        ready_status(&ip)
    }
}

/// The status of a Pod that runs and is ready.
pub fn ready_status(ip: &str) -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]}})
}

/// Asks until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A Deployment of Pods labelled `app=NAME`.
pub fn deployment(name: &str, replicas: i32) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "v1"}]}}}})
}

/// A Service that selects `app=NAME`.
pub fn service(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 9376}]}})
}

/// An object without a type, for what only its metadata matters.
pub fn untyped(client: &Client, group: &str, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let resource = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

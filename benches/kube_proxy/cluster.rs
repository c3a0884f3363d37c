//! etcd and kube-apiserver, and the objects that are measured: Services and slices without Pods.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::lab::{self, API, CLOSING_PORT, ECHO_PORT, NODE};
use crate::peer::end_with_parent;
use crate::seed::{self, Pattern};

/// Requests under way at the same time while objects are made and removed.
const CONNECTIONS: usize = 48;
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// A Service by what it is for; each kind has addresses of its own.
#[derive(Debug, Clone, Copy)]
pub enum Name {
    /// One of the many, with three endpoints that close each connection.
    Many(u32),
    /// One whose slice is made while the clock runs.
    Probe(u32),
    /// One whose three endpoints echo.
    Held(u32),
    /// The one that has 10,000 endpoints.
    Large,
}

impl Name {
    /// The Service's name.
    pub fn text(self) -> String {
        match self {
            Name::Many(n) => format!("many-{n}"),
            Name::Probe(n) => format!("probe-{n}"),
            Name::Held(n) => format!("held-{n}"),
            Name::Large => "large".to_owned(),
        }
    }

    /// Its cluster IP and port.
    pub fn vip(self) -> SocketAddrV4 {
        let (base, n) = match self {
            Name::Many(n) => (Ipv4Addr::new(10, 97, 0, 0), n),
            Name::Probe(n) => (Ipv4Addr::new(10, 110, 0, 0), n),
            Name::Held(n) => (Ipv4Addr::new(10, 111, 0, 0), n),
            Name::Large => (Ipv4Addr::new(10, 111, 128, 0), 0),
        };
        SocketAddrV4::new(Ipv4Addr::from(u32::from(base) + 256 + n), 80)
    }

    fn service(self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": self.text() },
            "spec": { "clusterIP": self.vip().ip(), "ports": [{ "name": "http", "port": 80, "targetPort": CLOSING_PORT }] },
        })
    }

    /// A slice of its endpoints, which are counted from `first`.
    pub fn slice(self, number: u32, first: u32, count: u32) -> Value {
        let port = if matches!(self, Name::Many(_) | Name::Probe(_)) { CLOSING_PORT } else { ECHO_PORT };
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": format!("{}-{number}", self.text()), "labels": { "kubernetes.io/service-name": self.text() } },
            "endpoints": endpoints(first, count), "ports": [{ "name": "http", "port": port, "protocol": "TCP" }],
        })
    }
}

fn endpoints(first: u32, count: u32) -> Value {
    let endpoint =
        |n| json!({ "addresses": [lab::endpoint(n)], "conditions": { "ready": true }, "nodeName": "node-2" });
    (first..first + count).map(endpoint).collect()
}

/// The API server with its store, and a client of it.
pub struct Cluster {
    children: Vec<Child>,
    runtime: Runtime,
    client: kube::Client,
    /// How many Services there are.
    services: u32,
    /// Where the kubeconfig for the peers is.
    pub kubeconfig: std::path::PathBuf,
}

impl Cluster {
    /// In the process' own namespace.
    pub fn start(peers: &Path, work: &Path) -> Cluster {
        lab::make_hub();
        let kubeconfig = work.join("kubeconfig");
        // What an earlier run has left is not what this one makes.
        if let Err(error) = fs::remove_dir_all(work.join("etcd")) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "etcd's old data stays: {error}");
        }
        write_credentials(work, &kubeconfig);
        let children = vec![etcd(peers, work), api_server(peers, work)];
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async {
            let file = Kubeconfig::read_from(&kubeconfig).expect("a kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            kube::Client::try_from(config.expect("a configuration")).expect("a client")
        });
        let mut cluster = Cluster { children, runtime, client, services: 0, kubeconfig };
        cluster.wait_until_ready();
        cluster.make_node();
        cluster
    }

    fn wait_until_ready(&mut self) {
        let Cluster { children, runtime, client, .. } = self;
        let ready = || {
            let dead = children.iter_mut().any(|child| child.try_wait().is_ok_and(|status| status.is_some()));
            assert!(!dead, "etcd or kube-apiserver ended; their logs tell why");
            runtime.block_on(client.request_text(request("GET", "/readyz", None))).is_ok_and(|text| text == "ok")
        };
        testbed::wait_until(Duration::from_secs(120), "the API server is ready", ready).expect("an API server");
    }

    fn make_node(&self) {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node-1" }, "spec": { "podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"] } });
        let status = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": NODE }, { "type": "Hostname", "address": "node-1" }] } });
        self.runtime.block_on(async {
            self.make("/api/v1/nodes", &node).await;
            self.patch("/api/v1/nodes/node-1/status", &status).await;
        });
    }

    /// Makes Services and slices until there are so many; each has three endpoints. The API server makes the first, the
    /// others are written into its store.
    pub fn grow(&mut self, services: u32) {
        if services <= self.services {
            return;
        }
        let started = Instant::now();
        if self.services == 0 {
            self.make_services([Name::Many(0)].into_iter());
            self.make_slices([(Name::Many(0), 0, 0, 3)].into_iter());
        }
        let get = |path: String| {
            let text = self.runtime.block_on(self.send("GET", &path, None)).expect("an object");
            serde_json::from_str(&text).expect("a document")
        };
        let first = Name::Many(0);
        let pattern = Pattern {
            service: get(format!("{SERVICES}/{}", first.text())),
            slice: get(format!("{SLICES}/{}-0", first.text())),
            address: get(format!("/apis/networking.k8s.io/v1/ipaddresses/{}", first.vip().ip())),
        };
        self.runtime.block_on(seed::write(self.services.max(1)..services, &pattern));
        for path in [SERVICES, SLICES] {
            let known = || self.count(path) >= u64::from(services);
            testbed::wait_until(Duration::from_secs(300), "the API server knows them", known).expect("all Services");
        }
        self.services = services;
        println!("{services} Services and slices after {:.1} s", started.elapsed().as_secs_f64());
        self.settle();
    }

    /// Waits until the API server and its store have come to rest: for two seconds they used less than a fifth of a CPU.
    /// What they have to do about new objects would otherwise count for whoever is measured first.
    fn settle(&self) {
        let window = Duration::from_secs(2);
        let used = || self.children.iter().map(|child| crate::figures::cpu(child.id())).sum::<Duration>();
        for _ in 0..60 {
            let before = used();
            std::thread::sleep(window);
            if used().saturating_sub(before) < window / 5 {
                return;
            }
        }
        println!("  the API server did not come to rest");
    }

    /// How many objects a list has.
    fn count(&self, path: &str) -> u64 {
        let text = self.runtime.block_on(self.send("GET", &format!("{path}?limit=1"), None)).expect("a list");
        let list: Value = serde_json::from_str(&text).expect("a document");
        list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0) + 1
    }

    /// How many Services there are.
    pub fn services(&self) -> u32 {
        self.services
    }

    /// One line on the API server.
    pub fn describe(&self) -> String {
        let [etcd, api] = [0, 1].map(|n| crate::figures::memory(self.children[n].id()).0);
        format!("kube-apiserver {api:.0} MB, etcd {etcd:.0} MB")
    }

    /// Makes Services without slices; those that are there stay.
    pub fn make_services(&self, names: impl Iterator<Item = Name>) {
        self.each(names.map(|name| async move { self.make(SERVICES, &name.service()).await }));
    }

    /// Makes slices: of whom, which number, the first endpoint, how many.
    pub fn make_slices(&self, slices: impl Iterator<Item = (Name, u32, u32, u32)>) {
        self.each(slices.map(|(name, number, first, count)| async move {
            self.make(SLICES, &name.slice(number, first, count)).await;
        }));
    }

    /// Starts to make one slice of three endpoints; to be awaited by [`Cluster::wait`].
    pub fn make_slice(&self, name: Name, first: u32) -> tokio::task::JoinHandle<Result<Instant, kube::Error>> {
        let request = request("POST", SLICES, Some(&name.slice(0, first, 3)));
        let client = self.client.clone();
        self.runtime.spawn(async move { client.request_text(request).await.map(|_| Instant::now()) })
    }

    /// Waits for what [`Cluster::make_slice`] began: when the API server had answered.
    pub fn wait(&self, task: tokio::task::JoinHandle<Result<Instant, kube::Error>>) -> Instant {
        self.runtime.block_on(task).expect("the task lives").expect("a slice is made")
    }

    /// Removes Services with their slices.
    pub fn remove(&self, names: impl Iterator<Item = Name>) {
        self.each(names.map(|name| async move {
            let selector = format!("{SLICES}?labelSelector=kubernetes.io%2Fservice-name%3D{}", name.text());
            self.take_away(&selector).await;
            self.take_away(&format!("{SERVICES}/{}", name.text())).await;
        }));
    }

    /// Changes `rate` slices of the many a second, each time giving one of them another third endpoint, until told to
    /// stop: how many were changed.
    pub fn churn(&self, rate: u32, stop: CancellationToken) -> tokio::task::JoinHandle<u64> {
        let (client, services) = (self.client.clone(), self.services);
        self.runtime.spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
            let mut tasks = tokio::task::JoinSet::new();
            let mut changed: u64 = 0;
            for round in 0_u32.. {
                tokio::select! { () = stop.cancelled() => break, _ = tick.tick() => {} }
                let n = round.wrapping_mul(7919) % services;
                // The third endpoint goes and comes back.
                let count = if (round / services) % 2 == 0 { 2 } else { 3 };
                let patch = json!({ "endpoints": endpoints(3 * n, count) });
                let request = request("PATCH", &format!("{SLICES}/many-{n}-0"), Some(&patch));
                let client = client.clone();
                tasks.spawn(async move { client.request_text(request).await.expect("a slice is changed") });
                while tasks.try_join_next().is_some() {
                    changed += 1;
                }
                while tasks.len() >= CONNECTIONS {
                    tasks.join_next().await;
                    changed += 1;
                }
            }
            changed + tasks.join_all().await.len() as u64
        })
    }

    /// Waits for the end of [`Cluster::churn`].
    pub fn churned(&self, task: tokio::task::JoinHandle<u64>) -> u64 {
        self.runtime.block_on(task).expect("the task lives")
    }

    fn each(&self, work: impl Iterator<Item = impl Future<Output = ()>>) {
        let stream: std::pin::Pin<Box<dyn Stream<Item = _>>> = Box::pin(futures::stream::iter(work));
        self.runtime.block_on(stream.for_each_concurrent(CONNECTIONS, |one| one));
    }

    /// Makes an object, if it is not there.
    async fn make(&self, path: &str, object: &Value) {
        match self.send("POST", path, Some(object)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            // An address that is taken by the object itself is told as an invalid one.
            Err(kube::Error::Api(status)) if status.code == 422 && status.message.contains("already allocated") => {}
            Err(error) => panic!("{path}: {error}"),
        }
    }

    async fn patch(&self, path: &str, patch: &Value) {
        self.send("PATCH", path, Some(patch)).await.expect("a change");
    }

    async fn take_away(&self, path: &str) {
        match self.send("DELETE", path, None).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{path}: {error}"),
        }
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String, kube::Error> {
        self.client.request_text(request(method, path, body)).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The API server first: etcd without it says nothing.
        for child in self.children.iter_mut().rev() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

fn request(method: &str, path: &str, body: Option<&Value>) -> http::Request<Vec<u8>> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
    let request = http::Request::builder().method(method).uri(path).header("Content-Type", kind);
    request.body(body).expect("a request")
}

fn write_credentials(work: &Path, kubeconfig: &Path) {
    let key = rcgen::KeyPair::generate().expect("a key");
    fs::write(work.join("accounts.key"), key.serialize_pem()).expect("the key is written");
    fs::write(work.join("accounts.pub"), key.public_key_pem()).expect("the key is written");
    fs::write(work.join("tokens.csv"), "bench,admin,admin,\"system:masters\"\n").expect("tokens are written");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{ "name": "bench", "cluster": { "server": format!("https://{API}"), "insecure-skip-tls-verify": true } }],
        "users": [{ "name": "bench", "user": { "token": "bench" } }],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
    });
    fs::write(kubeconfig, config.to_string()).expect("the kubeconfig is written");
}

fn etcd(peers: &Path, work: &Path) -> Child {
    let client = seed::ETCD;
    let mut command = Command::new(peers.join("etcd"));
    command.arg("--data-dir").arg(work.join("etcd")).args(["--quota-backend-bytes", "8000000000"]);
    command.args(["--listen-client-urls", client, "--advertise-client-urls", client]);
    command.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
    spawn(command, work, "etcd")
}

fn api_server(peers: &Path, work: &Path) -> Child {
    let mut command = Command::new(peers.join("kube-apiserver"));
    command.arg("--cert-dir").arg(work.join("certificates"));
    command.arg("--token-auth-file").arg(work.join("tokens.csv"));
    command.arg("--service-account-key-file").arg(work.join("accounts.pub"));
    command.arg("--service-account-signing-key-file").arg(work.join("accounts.key"));
    command.args([&format!("--etcd-servers={}", seed::ETCD), "--service-cluster-ip-range=10.96.0.0/12"]);
    command.args(["--authorization-mode=AlwaysAllow", "--service-account-issuer=https://bench"]);
    command.args(["--bind-address=0.0.0.0", "--advertise-address=192.168.77.1", "--secure-port=6443"]);
    spawn(command, work, "kube-apiserver")
}

fn spawn(mut command: Command, work: &Path, name: &str) -> Child {
    let log = fs::File::create(work.join(format!("{name}.log"))).expect("a log");
    end_with_parent(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a process")
}

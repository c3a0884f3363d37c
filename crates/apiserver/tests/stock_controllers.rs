//! Kubernetes' own kube-controller-manager and kube-proxy work with this server, and find nothing wrong with it.
//!
//! Their programs are looked for in the folder that `PORTOLAN_PEERS` names; `PORTOLAN_STOCK_SECONDS` says for how long they
//! are watched after their work is done (default: 10).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cluster::Cluster;
use serde_json::{Value, json};
use testbed::Namespace;

const NAMESPACE: &str = "/api/v1/namespaces/shop";
/// How long what they do may take: they begin to work when they have elected themselves.
const PATIENCE: Duration = Duration::from_secs(90);
/// The controllers that need no kind which is not served.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,endpoints-controller,endpointslice-controller,\
                           endpointslice-mirroring-controller,namespace-controller,serviceaccount-controller,\
                           root-ca-certificate-publisher-controller,garbage-collector-controller,\
                           daemonset-controller,replicationcontroller-controller,\
                           pod-garbage-collector-controller,node-lifecycle-controller";
/// What they call errors on a server of Kubernetes' own too.
const THEIR_OWN: &[&str] = &[
    // It asks nft for a table that it has not made yet.
    "Failed to list existing nftables objects",
    "failed to run nft: Error: No such file or directory",
    // It looked into its cache before what it had written came back there, and tries again.
    "is not as new as written version",
    // A hint at its own flags, and at a file that they do not name.
    "The manifest file is empty, ignoring",
    "Kube-proxy configuration may be incomplete or incorrect",
];

/// A program that is ended when it is not needed any more.
struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    fn start(program: &Path, arguments: &[String], log: PathBuf) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The lines of its log that tell of an error which is not its own.
    fn errors(&self) -> Vec<String> {
        let is_error = |line: &str| line.starts_with('E') && line.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        let is_its_own = |line: &str| THEIR_OWN.iter().any(|own| line.contains(own));
        self.log().lines().filter(|line| is_error(line) && !is_its_own(line)).map(str::to_owned).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(cluster: &Cluster, peers: &Path, dir: &Path) -> [Program; 2] {
    let file = |name: &str, content: &str| {
        let path = dir.join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let kubeconfig = file("kubeconfig", &cluster.kubeconfig());
    let key = file("accounts.pem", cluster.authority.service_account_key_pem());
    let ca = file("ca.pem", cluster.authority.certificate_pem());
    let flags =
        |flags: &[(&str, &str)]| flags.iter().map(|(name, value)| format!("--{name}={value}")).collect::<Vec<_>>();
    let manager = flags(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("service-account-private-key-file", &key),
        ("root-ca-file", &ca),
        ("cert-dir", &dir.join("manager").display().to_string()),
        ("bind-address", "127.0.0.1"),
        ("kube-api-content-type", "application/vnd.kubernetes.protobuf"),
        ("controllers", CONTROLLERS),
    ]);
    let proxy = flags(&[
        ("kubeconfig", &kubeconfig),
        ("proxy-mode", "nftables"),
        ("hostname-override", "n1"),
        ("conntrack-max-per-core", "0"),
        ("conntrack-min", "0"),
        ("conntrack-tcp-timeout-established", "0"),
        ("conntrack-tcp-timeout-close-wait", "0"),
    ]);
    [
        Program::start(&peers.join("kube-controller-manager"), &manager, dir.join("manager.log")),
        Program::start(&peers.join("kube-proxy"), &proxy, dir.join("proxy.log")),
    ]
}

/// Asks until the answer is good.
async fn until(cluster: &Cluster, programs: &[Program], path: &str, good: impl Fn(u16, &Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = cluster.get(path).await;
        if good(answer.code, &answer.body) {
            return answer.body;
        }
        let logs = || programs.iter().map(Program::log).collect::<String>();
        assert!(std::time::Instant::now() < deadline, "{path} stays {}\n{}", answer.body, logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// What a scheduler and a kubelet do.
async fn run_pods(cluster: &Cluster, pods: &Value) {
    for (number, pod) in items(pods).iter().enumerate() {
        let path = format!("{NAMESPACE}/pods/{}", pod["metadata"]["name"].as_str().unwrap());
        let binding =
            json!({ "target": { "kind": "Node", "name": "n1" }, "metadata": { "name": pod["metadata"]["name"] } });
        cluster.post(&format!("{path}/binding"), &binding).await.with(201);
        let (ip, now) = (format!("10.244.0.{}", number + 5), "2026-01-01T00:00:00Z");
        let ready = json!([{ "type": "Ready", "status": "True", "lastTransitionTime": now }]);
        let status = json!({ "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }], "conditions": ready });
        cluster.patch(&format!("{path}/status"), &json!({ "status": status })).await.with(200);
    }
}

async fn have_node(cluster: &Cluster) {
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" } });
    cluster.post("/api/v1/nodes", &node).await.with(201);
    let addresses = json!([{ "type": "InternalIP", "address": "127.0.0.1" }]);
    cluster.patch("/api/v1/nodes/n1/status", &json!({ "status": { "addresses": addresses } })).await.with(200);
}

async fn work(cluster: &Cluster, programs: &[Program]) {
    let shop = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    cluster.post("/api/v1/namespaces", &shop).await.with(201);
    let account = format!("{NAMESPACE}/serviceaccounts/default");
    until(cluster, programs, &account, |code, _| code == 200).await;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 3, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    });
    cluster.post("/apis/apps/v1/namespaces/shop/deployments", &deployment).await.with(201);
    let service = cluster::service("web", &json!({ "selector": { "app": "web" } }));
    let service = cluster.post(&format!("{NAMESPACE}/services"), &service).await.with(201);
    let pods = until(cluster, programs, &format!("{NAMESPACE}/pods"), |_, list| items(list).len() == 3).await;
    run_pods(cluster, &pods).await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
    until(cluster, programs, slices, |_, list| {
        let endpoints = items(list).iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).count() == 3
    })
    .await;
    until(cluster, programs, "/apis/apps/v1/namespaces/shop/deployments/web", |_, web| {
        web["status"]["availableReplicas"] == 3
    })
    .await;
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    testbed::wait_until(PATIENCE, "kube-proxy has rules", || {
        let rules = Command::new("nft").args(["list", "table", "ip", "kube-proxy"]).output().unwrap();
        let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
        [address, "10.244.0.5", "10.244.0.6", "10.244.0.7"].iter().all(|address| rules.contains(address))
    })
    .unwrap();
    cluster.delete(NAMESPACE).await.with(200);
    // Pods that ran are gone when their node says so.
    let ending = |_, list: &Value| items(list).iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    let pods = until(cluster, programs, &format!("{NAMESPACE}/pods"), ending).await;
    for pod in items(&pods) {
        let path = format!("{NAMESPACE}/pods/{}", pod["metadata"]["name"].as_str().unwrap());
        let code = cluster.delete_with(&path, &json!({ "gracePeriodSeconds": 0 })).await.code;
        assert!(matches!(code, 200 | 404), "{code}");
    }
    until(cluster, programs, NAMESPACE, |code, _| code == 404).await;
}

#[test]
fn the_controller_manager_and_the_proxy_of_kubernetes_work() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let Some(peers) = std::env::var_os("PORTOLAN_PEERS").map(PathBuf::from) else {
        return testbed::privilege::skip("PORTOLAN_PEERS does not name the folder of Kubernetes' programs");
    };
    let missing = ["kube-controller-manager", "kube-proxy"].iter().find(|program| !peers.join(program).is_file());
    if let Some(missing) = missing {
        return testbed::privilege::skip(&format!("{} is not there", peers.join(missing).display()));
    }
    let seconds = std::env::var("PORTOLAN_STOCK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let namespace = Namespace::new("stock").unwrap();
    let errors = namespace.run(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listen = vec!["127.0.0.1:0".parse().unwrap()];
            let cluster = Cluster::start_with(tempfile::tempdir().unwrap(), |config| config.listen = listen).await;
            let dir = tempfile::tempdir().unwrap();
            have_node(&cluster).await;
            let programs = start(&cluster, &peers, dir.path());
            work(&cluster, &programs).await;
            // Watches, leases and resyncs go on meanwhile.
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let errors: Vec<String> = programs.iter().flat_map(Program::errors).collect();
            drop(programs);
            cluster.stop().await;
            errors
        })
    });
    let errors = errors.unwrap();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

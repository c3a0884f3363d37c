//! A node for a test, and what is looked at from it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Pod, PodStatus, Secret};
use parking_lot::Mutex;
use pods::PodRuntime;
use pods::config::{Config, Limits, Timing};
use pods::sources::{ServiceAddress, Sources, Token, TokenRequest, Unavailable};
use pods::updates::{PodEvent, StatusChange, Statuses};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// As long is waited for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The node's address, which it has in its namespace.
pub const NODE_IP: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);

/// Objects of the cluster, as a test sets them.
#[derive(Default)]
pub struct Objects {
    pub config_maps: Mutex<BTreeMap<String, ConfigMap>>,
    pub secrets: Mutex<BTreeMap<String, Secret>>,
    pub services: Mutex<Vec<ServiceAddress>>,
}

impl Sources for Objects {
    fn config_map(&self, _: &str, name: &str) -> BoxFuture<'_, Result<Option<ConfigMap>, Unavailable>> {
        let found = self.config_maps.lock().get(name).cloned();
        async move { Ok(found) }.boxed()
    }

    fn secret(&self, _: &str, name: &str) -> BoxFuture<'_, Result<Option<Secret>, Unavailable>> {
        let found = self.secrets.lock().get(name).cloned();
        async move { Ok(found) }.boxed()
    }

    fn token(&self, request: TokenRequest) -> BoxFuture<'_, Result<Token, Unavailable>> {
        let token = format!("{}/{} of {}", request.service_account, request.pod_uid, request.namespace);
        let expires_at = Timestamp::now() + Duration::from_secs(request.expiration_seconds.unsigned_abs());
        async move { Ok(Token { token, expires_at }) }.boxed()
    }

    fn services(&self, _: &str) -> Vec<ServiceAddress> {
        self.services.lock().clone()
    }
}

/// A node.
pub struct Bed {
    /// Dropped first, also when a test fails.
    remains: Remains,
    pub dir: tempfile::TempDir,
    pub runtime: PodRuntime,
    pub objects: Arc<Objects>,
    pub events: mpsc::Receiver<PodEvent>,
    pub latest: BTreeMap<String, StatusChange>,
    statuses: Statuses,
    name: String,
}

/// Whatever a test leaves is ended and removed.
struct Remains(PathBuf);

impl Drop for Remains {
    fn drop(&mut self) {
        if let Err(error) = pods::cleanup(&self.0) {
            eprintln!("something is left: {error}");
        }
    }
}

/// Runs a test on a node of its own, in namespaces of its own; says `skipped` where that cannot be. Everything of the
/// node's is removed at the end, and nothing may be left.
pub fn on_a_node(name: &str, test: impl AsyncFnOnce(&mut Bed)) {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    testbed::isolate(&[]).unwrap();
    let here = testbed::Namespace::current().unwrap();
    let lab = testbed::Lab::new(name);
    let outside = lab.namespace("outside").unwrap();
    lab.veth((&here, "eth0"), (&outside, "eth0")).unwrap();
    here.add_address("eth0", format!("{NODE_IP}/24").parse().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut bed = Bed::new(name);
        test(&mut bed).await;
        bed.end().await;
    });
}

impl Bed {
    fn new(name: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pods-test-").tempdir().unwrap();
        let objects = Arc::new(Objects::default());
        let name = format!("{name}-{}", std::process::id());
        let (runtime, events) = PodRuntime::start(config(dir.path(), &name), objects.clone()).unwrap();
        let statuses = runtime.statuses();
        let remains = Remains(dir.path().join("state"));
        Self { remains, dir, runtime, objects, events, statuses, latest: BTreeMap::new(), name }
    }

    /// The node's process ends without a word, and another one takes its place.
    pub async fn restart(&mut self) {
        let (runtime, events) = PodRuntime::start(self.config(), self.objects.clone()).unwrap();
        // The old one's workers end when its last clone is gone.
        self.runtime = runtime;
        self.statuses = self.runtime.statuses();
        self.events = events;
        self.latest.clear();
        tokio::task::yield_now().await;
    }

    pub fn config(&self) -> Config {
        config(self.dir.path(), &self.name)
    }

    /// Waits until the Pod's status is as it should be.
    pub async fn until(&mut self, uid: &str, what: &str, is: impl Fn(&PodStatus) -> bool) -> PodStatus {
        self.until_change(uid, what, |change| is(&change.status)).await.status
    }

    pub async fn until_change(&mut self, uid: &str, what: &str, is: impl Fn(&StatusChange) -> bool) -> StatusChange {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(change) = self.latest.get(uid).filter(|c| is(c)) {
                return change.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.statuses.next()).await {
                Ok(change) => drop(self.latest.insert(change.uid.clone(), change)),
                Err(_) => {
                    let last = self.latest.get(uid).map(|c| serde_json::to_string_pretty(&c.status).unwrap());
                    panic!("not within {PATIENCE:?}: {what}; the last status: {}", last.unwrap_or_default());
                }
            }
        }
    }

    /// Runs a Pod, and waits until it is ready.
    pub async fn run(&mut self, pod: Value) -> PodStatus {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let uid = pod.metadata.uid.clone().unwrap();
        self.runtime.set_pod(pod).unwrap();
        self.until(&uid, "ready", |s| condition(s, "Ready") == Some("True")).await
    }

    pub fn set(&self, pod: Value) {
        self.runtime.set_pod(serde_json::from_value(pod).unwrap()).unwrap();
    }

    /// Removes a Pod as an API server does: asked to end, reported as gone, deleted.
    pub async fn delete(&mut self, mut pod: Value, grace: i64) {
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        self.set(pod);
        self.until_change(&uid, "gone", |change| change.gone).await;
        self.remove(&uid).await;
    }

    /// Removes a Pod whose object is gone.
    pub async fn remove(&mut self, uid: &str) {
        self.runtime.remove_pod(uid);
        let state = self.pod_dir(uid);
        eventually("the Pod's files are gone", || !state.exists()).await;
        self.latest.remove(uid);
    }

    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.dir.path().join("state/pods").join(uid)
    }

    /// What the first event of this reason says.
    pub async fn event(&mut self, reason: &str) -> PodEvent {
        let found = async {
            loop {
                let event = self.events.recv().await.unwrap();
                if event.reason == reason {
                    return event;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("no event {reason} within {PATIENCE:?}"))
    }

    /// Ends the node, and looks that nothing of it is left.
    async fn end(self) {
        let state = self.dir.path().join("state");
        let records = records(&state);
        let Self { dir, runtime, remains, .. } = self;
        drop(runtime);
        pods::cleanup(&state).unwrap();
        drop(remains);
        assert_nothing_left(dir.path(), &records);
        assert!(!state.join("pods").exists());
    }
}

fn config(dir: &Path, name: &str) -> Config {
    Config {
        node_name: "node-1".into(),
        state_dir: dir.join("state"),
        run_dir: dir.join("run"),
        image_dir: dir.join("images"),
        program: env!("CARGO_BIN_EXE_portolan-pods").into(),
        pod_cidr: "10.244.1.0/24".parse().unwrap(),
        node_ip: NODE_IP,
        mtu: 1450,
        cluster_dns: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10))],
        cluster_domain: "cluster.local".into(),
        resolv_conf: dir.join("resolv.conf"),
        cgroup_parent: Path::new("portolan-test").join(name),
        timing: Timing {
            backoff_first: Duration::from_millis(300),
            backoff_most: Duration::from_millis(1200),
            retry: Duration::from_millis(200),
            ..Timing::default()
        },
        limits: Limits::default(),
    }
}

/// Pids of every container and its parent that the disk tells of.
fn records(state: &Path) -> Vec<i64> {
    let mut pids = Vec::new();
    let mut directories = vec![state.join("pods")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let depth = entry.path().strip_prefix(state).unwrap().components().count();
            if entry.file_name() == "record.json" {
                let record: Value = serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
                pids.extend(["parent", "process"].map(|who| record[who]["pid"].as_i64().unwrap()));
            } else if entry.file_type().unwrap().is_dir() && depth < 6 {
                directories.push(entry.path());
            }
        }
    }
    pids
}

/// No mount, link, control group or process.
fn assert_nothing_left(dir: &Path, pids: &[i64]) {
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let left: Vec<&str> = mounts.lines().filter(|l| l.contains(dir.to_str().unwrap())).collect();
    assert!(left.is_empty(), "mounts are left: {left:#?}");
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "process {pid} is left: {stat}");
    }
    let name = dir.file_name().unwrap();
    let groups = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
    for group in groups {
        let path = group.unwrap().path().join("portolan-test").join(name);
        assert!(!path.exists(), "{} is left", path.display());
    }
    let deadline = Instant::now() + PATIENCE;
    while !links().is_empty() {
        // The kernel takes a namespace and its links away in its own time.
        assert!(Instant::now() < deadline, "links are left: {:?}", links());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Names of Pods' links in this namespace.
pub fn links() -> Vec<String> {
    let all = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let names = all.lines().filter_map(|l| l.split_once(':')).map(|(name, _)| name.trim().to_owned());
    names.filter(|name| name.starts_with("veth")).collect()
}

/// Polls until it is so.
pub async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A Pod of one container of the echo image, which is ready once it answers.
pub fn echo(uid: &str, container: Value) -> Value {
    let port = container["args"].as_array().and_then(|a| a.get(1)?.as_str()?.parse().ok()).unwrap_or(8080);
    let mut whole = json!({
        "name": "echo", "image": "portolan/echo",
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": port}, "periodSeconds": 1}
    });
    for (key, value) in container.as_object().unwrap() {
        whole[key] = value.clone();
    }
    pod(uid, json!({"containers": [whole]}))
}

/// A Pod.
pub fn pod(uid: &str, spec: Value) -> Value {
    json!({"metadata": {"name": format!("pod-{uid}"), "namespace": "default", "uid": uid}, "spec": spec})
}

pub fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<&'a str> {
    status.conditions.as_ref()?.iter().find(|c| c.type_ == kind).map(|c| c.status.as_str())
}

/// The status of the only or first container.
pub fn container(status: &PodStatus) -> &ContainerStatus {
    &status.container_statuses.as_ref().unwrap()[0]
}

/// Asks over HTTP from the node's namespace: status and body.
pub fn get(address: &str, port: u16, path: &str) -> std::io::Result<(u16, String)> {
    request("GET", address, port, path)
}

pub fn request(method: &str, address: &str, port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&format!("{address}:{port}").parse().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Ok((status, body.to_owned()))
}

/// The text of a container's log file, the newest.
pub fn log(bed: &Bed, uid: &str, container: &str, attempt: u32) -> String {
    let path = bed.pod_dir(uid).join("containers").join(container).join(attempt.to_string()).join("log");
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Loads an image with busybox. False, with a word why, where busybox is not installed.
pub fn busybox(bed: &Bed) -> bool {
    let Some(image) = busybox_image() else { return false };
    let archive = bed.dir.path().join("busybox.tar");
    image.write(&archive, "busybox", &["sh"]).unwrap();
    bed.runtime.images().load(&archive).unwrap();
    true
}

/// An image with busybox, to be added to.
pub fn busybox_image() -> Option<testbed::image::Image> {
    let mut image = testbed::image::Image::new();
    let path = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
    // A dynamic one needs its libraries; Debian has both.
    let libraries = path.map_or(Ok(()), |path| image.program(path).map(drop));
    if let Err(error) = libraries.and_then(|()| image.busybox().map(drop)) {
        testbed::privilege::skip(&error.to_string());
        return None;
    }
    Some(image)
}

/// A container of busybox that runs a script.
pub fn sh(name: &str, script: &str, more: Value) -> Value {
    let mut whole = json!({"name": name, "image": "busybox", "command": ["sh", "-c", script]});
    for (key, value) in more.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole
}

/// A Pod of one container that runs a script once.
pub fn once(uid: &str, script: &str, container: Value, spec: Value) -> Value {
    let mut whole = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 1});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole["containers"] = json!([sh("c", script, container)]);
    pod(uid, whole)
}

/// Runs a script to its end in a Pod of its own, and gives what it wrote, without times.
pub async fn output(bed: &mut Bed, uid: &str, script: &str, container: Value, spec: Value) -> String {
    let pod = once(uid, script, container, spec);
    bed.set(pod.clone());
    let status = bed.until(uid, "ended", |s| matches!(s.phase.as_deref(), Some("Succeeded" | "Failed"))).await;
    let text = said(bed, uid, "c", 0);
    assert_eq!(status.phase.as_deref(), Some("Succeeded"), "{text}");
    bed.delete(pod, 0).await;
    text
}

/// What a container wrote, without times.
pub fn said(bed: &Bed, uid: &str, container: &str, attempt: u32) -> String {
    let log = log(bed, uid, container, attempt);
    let content = |line: &str| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned();
    log.lines().map(content).collect::<Vec<_>>().join("\n")
}

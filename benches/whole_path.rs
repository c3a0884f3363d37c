//! The figures of the whole path, on a real cluster of three nodes in namespaces of its own: `cargo bench --bench whole_path`.
//!
//! Printed, never asserted: two shared cores make absolute times wander. Each figure stands beside its target.
#![expect(clippy::expect_used, reason = "a benchmark says by a panic what it could not do")]

use std::fs;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde_json::json;

const STARTS: usize = 7;
const SERVICES: usize = 1000;
const SLICES: usize = 300;
const CONNECTS: usize = 4000;
/// How long one slice may take until it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
const KUBECONFIG: &str = "/var/lib/portolan/portolan/kubeconfig";

fn main() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    testbed::isolate(&[Path::new("/run"), Path::new("/var/lib/portolan")]).expect("namespaces of its own");
    describe_machine();
    starts();
    portolan(&["up", "--detach"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    std::thread::sleep(Duration::from_secs(5)); // what was allocated for the start is given back
    memory("idle");
    runtime.block_on(programming());
    memory(&format!("with {SERVICES} Services"));
    runtime.block_on(connecting());
    portolan(&["down", "--purge"]);
}

fn describe_machine() {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .unwrap_or("")
        .trim_start_matches([' ', '\t', ':'])
        .to_owned();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("machine: {cores} x {model}, Linux {}", line("/proc/sys/kernel/osrelease"));
    println!("portolan {}\n", env!("CARGO_PKG_VERSION"));
    println!("{:<58} {:>10} {:>10} {:>10} {:>10}   target", "", "p50", "p90", "p99", "max");
}

fn starts() {
    let mut times: Vec<f64> = (0..STARTS)
        .map(|_| {
            let started = Instant::now();
            portolan(&["up", "--detach"]);
            let time = started.elapsed().as_secs_f64() * 1e3;
            portolan(&["down", "--purge"]);
            time
        })
        .collect();
    row("up to three ready nodes, from nothing, ms", &mut times, "1,500");
}

/// Resident memory of the server and of each node, and what of it is not shared with the others.
fn memory(when: &str) {
    let mut rows = Vec::new();
    for process in fs::read_dir("/proc").expect("/proc").flatten() {
        let path = process.path();
        let Ok(command) = fs::read_to_string(path.join("cmdline")) else { continue };
        let words: Vec<&str> = command.split('\0').collect();
        let own = fs::read_link(path.join("ns/mnt")).ok() == fs::read_link("/proc/self/ns/mnt").ok();
        let what = match words.get(1) {
            Some(&"up") if own => "server".to_owned(),
            Some(&"node") if own => {
                let name = words.iter().skip_while(|word| **word != "--name").nth(1);
                name.copied().unwrap_or("node").to_owned()
            }
            _ => continue,
        };
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let rss = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .and_then(|v| v.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        let rollup = fs::read_to_string(path.join("smaps_rollup")).unwrap_or_default();
        let anonymous = rollup
            .lines()
            .find_map(|l| l.strip_prefix("Anonymous:"))
            .and_then(|v| v.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        rows.push((what, rss.unwrap_or(0.0) / 1024.0, anonymous.unwrap_or(0.0) / 1024.0));
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    for (what, rss, anonymous) in rows {
        let target = if what == "server" { "40" } else { "25" };
        println!("{:<58} {rss:>10.1}   (anonymous {anonymous:.1})   {target}", format!("memory of {what}, {when}, MB"));
    }
}

async fn client() -> Client {
    let file = Kubeconfig::read_from(KUBECONFIG).expect("a kubeconfig");
    let config =
        kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a configuration");
    Client::try_from(config).expect("a client")
}

fn slices(client: &Client) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "discovery.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "discovery.k8s.io/v1".to_owned(),
        kind: "EndpointSlice".to_owned(),
        plural: "endpointslices".to_owned(),
    };
    Api::default_namespaced_with(client.clone(), &resource)
}

/// From the moment at which a slice is sent to the first connection through the VIP, from the host by way of a node.
async fn programming() {
    let client = client().await;
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let mut addresses = Vec::new();
    for number in 0..SERVICES {
        let service = json!({ "metadata": { "name": format!("bench-{number}") }, "spec": { "ports": [{ "port": 80, "targetPort": 9376 }] } });
        let service: Service = serde_json::from_value(service).expect("a Service");
        let made = services.create(&PostParams::default(), &service).await.expect("a Service is made");
        addresses.push(made.spec.and_then(|s| s.cluster_ip).expect("a cluster IP"));
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 9376)).expect("a listener");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            drop(connection)
        }
    });
    let api = slices(&client);
    let mut times = Vec::with_capacity(SLICES);
    let mut lost = 0;
    for (number, address) in addresses.iter().take(SLICES).enumerate() {
        let address: SocketAddr = format!("{address}:80").parse().expect("an address");
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": format!("bench-{number}"), "labels": { "kubernetes.io/service-name": format!("bench-{number}") } },
            "endpoints": [{ "addresses": ["172.30.0.1"], "conditions": { "ready": true } }],
            "ports": [{ "port": 9376, "protocol": "TCP" }],
        });
        let slice: DynamicObject = serde_json::from_value(slice).expect("a slice");
        let started = Instant::now();
        let connected = std::thread::spawn(move || {
            while started.elapsed() < PATIENCE {
                if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                    return Some(started.elapsed());
                }
            }
            None
        });
        api.create(&PostParams::default(), &slice).await.expect("a slice is made");
        match connected.join().expect("the client lives") {
            Some(time) => times.push(time.as_secs_f64() * 1e3),
            None => lost += 1,
        }
    }
    row(&format!("slice sent to first connection, {SERVICES} Services, ms"), &mut times, "p99 20");
    if lost > 0 {
        println!("  {lost} of {SLICES} never connected");
    }
}

/// A connection through a VIP beside a direct one to the same Pod, from the namespace of the Pod's node, in turns.
async fn connecting() {
    let client = client().await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = json!({
        "metadata": { "name": "bench", "labels": { "app": "bench" } },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "echo", "image": "portolan/echo" }] },
    });
    let pod: Pod = serde_json::from_value(pod).expect("a Pod");
    pods.create(&PostParams::default(), &pod).await.expect("a Pod is made");
    let service = json!({ "metadata": { "name": "bench" }, "spec": { "selector": { "app": "bench" }, "ports": [{ "port": 80, "targetPort": 8080 }] } });
    let service: Service = serde_json::from_value(service).expect("a Service");
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let made = services.create(&PostParams::default(), &service).await.expect("a Service is made");
    let vip: SocketAddr =
        format!("{}:80", made.spec.and_then(|s| s.cluster_ip).expect("a cluster IP")).parse().expect("an address");
    let ip = loop {
        let pod = pods.get("bench").await.expect("the Pod");
        if let Some(ip) = pod.status.and_then(|s| s.pod_ip) {
            break ip;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let direct: SocketAddr = format!("{ip}:8080").parse().expect("an address");
    let measured = std::thread::spawn(move || {
        let pin = fs::File::open("/run/netns/portolan-node-1").expect("the node's namespace");
        nix::sched::setns(&pin, nix::sched::CloneFlags::CLONE_NEWNET).expect("into the node's namespace");
        let (mut by_vip, mut by_pod) = (Vec::new(), Vec::new());
        testbed::wait_until(PATIENCE, "the VIP answers", || TcpStream::connect(vip).is_ok()).expect("the VIP answers");
        for _ in 0..CONNECTS {
            by_pod.push(connect(direct));
            by_vip.push(connect(vip));
        }
        (by_pod, by_vip)
    });
    let (mut by_pod, mut by_vip) = measured.join().expect("the client lives");
    row("connect to the Pod, us", &mut by_pod, "");
    row("connect through the VIP, us", &mut by_vip, "");
    println!("{:<58} {:>10.2}   1.5", "  ratio of the medians", percentile(&by_vip, 50.0) / percentile(&by_pod, 50.0));
}

fn connect(address: SocketAddr) -> f64 {
    let started = Instant::now();
    let stream = TcpStream::connect(address).expect("a connection");
    let time = started.elapsed().as_secs_f64() * 1e6;
    // The server ends it, and so keeps pace: its queue of connections that nobody accepted yet stays short.
    stream.shutdown(Shutdown::Write).expect("a connection that is open");
    std::io::copy(&mut &stream, &mut std::io::sink()).expect("a connection that ends");
    time
}

fn row(what: &str, values: &mut [f64], target: &str) {
    values.sort_by(f64::total_cmp);
    let at = |p| percentile(values, p);
    println!("{what:<58} {:>10.1} {:>10.1} {:>10.1} {:>10.1}   {target}", at(50.0), at(90.0), at(99.0), at(100.0));
}

/// A percentile of sorted values.
fn percentile(sorted: &[f64], p: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let at = (p / 100.0 * (sorted.len() - 1) as f64).round() as usize;
    sorted[at.min(sorted.len() - 1)]
}

fn portolan(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_portolan")).args(arguments).output().expect("portolan runs");
    assert!(output.status.success(), "portolan {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
}

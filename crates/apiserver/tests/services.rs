//! What Services are given, under concurrency and failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{Cluster, SERVICES, service};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

const IP_ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";

async fn addresses(cluster: &Cluster) -> BTreeSet<String> {
    cluster::names(&cluster.get(IP_ADDRESSES).await.with(200)).into_iter().collect()
}

/// The addresses of all Services are the IPAddress objects, each for its own.
async fn check(cluster: &Cluster) {
    let services = cluster.get("/api/v1/services").await.with(200);
    let mut given = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for service in services["items"].as_array().unwrap() {
        let spec = &service["spec"];
        let own = spec["clusterIPs"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for ip in own.filter(|ip| *ip != "None") {
            assert!(given.insert(ip.to_owned()), "{ip} is given twice");
            let object = cluster.get(&format!("{IP_ADDRESSES}/{ip}")).await.with(200);
            assert_eq!(object["spec"]["parentRef"]["name"], service["metadata"]["name"]);
        }
        // An ExternalName may say a node port, as in Kubernetes, and has none.
        if spec["type"] == "ExternalName" {
            continue;
        }
        let health = spec["healthCheckNodePort"].as_u64();
        let own: BTreeSet<u64> =
            spec["ports"].as_array().into_iter().flatten().filter_map(|p| p["nodePort"].as_u64()).collect();
        for port in own.into_iter().chain(health) {
            assert!(ports.insert(port), "{port} is given twice");
        }
    }
    assert_eq!(given, addresses(cluster).await);
    let mut claimed = BTreeSet::new();
    cluster
        .store
        .load(|r| {
            claimed.extend(r.key.strip_prefix("/portolan/nodeports/").map(|p| p.parse::<u64>().unwrap()));
        })
        .unwrap();
    assert_eq!(claimed, ports);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_twice_however_many_ask() {
    let dir = tempfile::tempdir().unwrap();
    // So few that everybody meets: 14 addresses, of which one is taken; 16 ports.
    let cluster = Cluster::start_with(dir, |config| {
        config.service_cidr = "10.96.0.0/28".parse().unwrap();
        config.node_ports = 30_000..=30_015;
    })
    .await;
    let cluster = Arc::new(cluster);
    for round in 0..4 {
        let writers: Vec<_> = (0..24)
            .map(|i| {
                let cluster = cluster.clone();
                let kind = ["ClusterIP", "NodePort", "LoadBalancer"][i % 3];
                let sent = service(&format!("s{round}-{i}"), &json!({ "type": kind }));
                tokio::spawn(async move { cluster.post(SERVICES, &sent).await })
            })
            .collect();
        let mut created = Vec::new();
        for writer in writers {
            let answer = writer.await.unwrap();
            match answer.code {
                201 => created.push(answer.body["metadata"]["name"].as_str().unwrap().to_owned()),
                500 => assert!(answer.message().ends_with("range is full"), "{}", answer.message()),
                other => panic!("{other}: {}", answer.body),
            }
        }
        assert_eq!(created.len(), 13);
        check(&cluster).await;
        for name in created {
            cluster.delete(&format!("{SERVICES}/{name}")).await.with(200);
        }
        check(&cluster).await;
    }
    assert_eq!(addresses(&cluster).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_ask_for_one_address_one_gets_it() {
    let cluster = Arc::new(Cluster::start().await);
    let writers: Vec<_> = (0..16)
        .map(|i| {
            let cluster = cluster.clone();
            let sent = service(&format!("s{i}"), &json!({ "clusterIP": "10.96.0.10" }));
            tokio::spawn(async move { cluster.post(SERVICES, &sent).await })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        let answer = writer.await.unwrap();
        match answer.code {
            201 => won += 1,
            422 => assert!(
                answer.message().ends_with("failed to allocate IP 10.96.0.10: provided IP is already allocated")
            ),
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert_eq!(won, 1);
    check(&cluster).await;
}

#[tokio::test]
async fn what_a_type_needs_comes_and_goes_with_it() {
    let cluster = Cluster::start().await;
    let path = format!("{SERVICES}/s");
    let local = json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" });
    let mut object = cluster.post(SERVICES, &service("s", &local)).await.with(201);
    assert!(object["spec"]["healthCheckNodePort"].is_number());
    check(&cluster).await;
    let change = |object: &Value, spec: Value| {
        let mut object = object.clone();
        object["spec"] = spec;
        object
    };
    let types = [
        json!({ "type": "ExternalName", "externalName": "example.com" }),
        json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30080 }, { "name": "b", "port": 81 }] }),
        json!({ "type": "ClusterIP", "ports": [{ "port": 80 }] }),
        json!({ "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{ "port": 80 }] }),
        local.clone(),
    ];
    for spec in types {
        let mut spec = spec;
        if spec.get("ports").is_none() {
            spec["ports"] = json!([{ "port": 80 }]);
        }
        if spec["type"] == "NodePort" {
            spec["ports"][0]["name"] = json!("a");
        }
        object = cluster.put(&path, &change(&object, spec.clone())).await.with(200);
        assert_eq!(object["spec"]["type"], spec["type"]);
        check(&cluster).await;
    }
    cluster.delete(&path).await.with(200);
    check(&cluster).await;
    assert_eq!(addresses(&cluster).await.len(), 1);
}

#[tokio::test]
async fn a_failed_update_takes_nothing() {
    let cluster = Cluster::start().await;
    cluster
        .post(SERVICES, &service("a", &json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30001 }] })))
        .await
        .with(201);
    let mut b = cluster.post(SERVICES, &service("b", &json!({}))).await.with(201);
    b["spec"]["type"] = json!("NodePort");
    b["spec"]["ports"] =
        json!([{ "name": "x", "port": 80, "nodePort": 30002 }, { "name": "y", "port": 81, "nodePort": 30001 }]);
    let refused = cluster.put(&format!("{SERVICES}/b"), &b).await;
    assert_eq!(
        refused.message(),
        "Service \"b\" is invalid: spec.ports[1].nodePort: Invalid value: 30001: provided port is already allocated"
    );
    check(&cluster).await;
    b["spec"]["ports"] =
        json!([{ "name": "x", "port": 80, "nodePort": 30002 }, { "name": "y", "port": 81, "nodePort": 30002 }]);
    let refused = cluster.put(&format!("{SERVICES}/b"), &b).await;
    assert_eq!((refused.code, refused.message()), (500, "duplicate nodePort: {TCP 30002}"));
    check(&cluster).await;
}

#[tokio::test]
async fn a_dry_run_takes_nothing() {
    let cluster = Cluster::start().await;
    let before = addresses(&cluster).await;
    let answer =
        cluster.post(&format!("{SERVICES}?dryRun=All"), &service("s", &json!({ "type": "NodePort" }))).await.with(201);
    assert_eq!(answer["spec"]["clusterIP"], "10.96.0.0");
    assert_eq!(answer["spec"]["ports"][0]["nodePort"], 32_769);
    assert_eq!(addresses(&cluster).await, before);
}

#[tokio::test]
async fn addresses_come_from_further_ranges_too() {
    let cluster = Cluster::start().await;
    let range = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": { "name": "more" },
        "spec": { "cidrs": ["10.97.0.0/24"] },
    });
    let refused = cluster.post(SERVICES, &service("s", &json!({ "clusterIP": "10.97.0.5" }))).await;
    assert!(
        refused.message().ends_with("the provided network does not match the current range"),
        "{}",
        refused.message()
    );
    cluster.post("/apis/networking.k8s.io/v1/servicecidrs", &range).await.with(201);
    cluster.post(SERVICES, &service("s", &json!({ "clusterIP": "10.97.0.5" }))).await.with(201);
    let edge = cluster.post(SERVICES, &service("t", &json!({ "clusterIP": "10.97.0.255" }))).await;
    let edge = edge.message().to_owned();
    assert!(edge.ends_with("the provided network does not match the current range"), "{edge}");
}

/// Two families, and so few of everything that everybody meets.
fn few(config: &mut apiserver::Config) {
    config.service_cidr = "10.96.0.0/27,fd00:96::/123".parse().unwrap();
    config.node_ports = 30_000..=30_015;
}

/// A Service as somebody may want it.
fn any_spec(random: &mut StdRng) -> Value {
    let kind = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"][random.random_range(0..4)];
    let mut spec = json!({ "type": kind });
    let mut maybe = |one_of: usize, field: &str, value: Value| {
        if random.random_range(0..one_of) == 0 {
            spec[field] = value;
        }
    };
    maybe(2, "ipFamilyPolicy", "PreferDualStack".into());
    maybe(3, "ipFamilyPolicy", "RequireDualStack".into());
    maybe(4, "ipFamilyPolicy", "SingleStack".into());
    maybe(4, "ipFamilies", json!(["IPv6"]));
    maybe(4, "clusterIPs", json!(["10.96.0.5"]));
    maybe(3, "externalTrafficPolicy", "Local".into());
    maybe(3, "externalName", "example.com".into());
    if spec["clusterIPs"].is_array() {
        spec["clusterIP"] = "10.96.0.5".into();
    }
    if random.random_range(0..3) == 0 {
        spec["ports"] = json!([{ "port": 80, "nodePort": 30_003 }]);
    }
    spec
}

#[tokio::test]
async fn whatever_services_become_nothing_is_given_twice_or_lost() {
    let mut done = [0; 4];
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let cluster = Cluster::start_with(tempfile::tempdir().unwrap(), few).await;
        for _ in 0..60 {
            let name = format!("s{}", random.random_range(0..8));
            let path = format!("{SERVICES}/{name}");
            let object = service(&name, &any_spec(&mut random));
            let what = random.random_range(0..4);
            let answer = match what {
                0 => cluster.post(SERVICES, &object).await,
                1 => cluster.put(&path, &object).await,
                2 => cluster.patch(&format!("{path}?dryRun=All"), &json!({ "spec": object["spec"] })).await,
                _ if random.random_range(0..2) == 0 => cluster.delete(&path).await,
                _ => cluster.patch(&path, &json!({ "spec": object["spec"] })).await,
            };
            done[what] += usize::from(answer.code < 300);
            check(&cluster).await;
        }
    }
    assert!(done.iter().all(|done| *done > 0), "not everything was done: {done:?}");
}

/// The folder in which a process writes until it is killed.
const CRASHING: &str = "PORTOLAN_TEST_CRASHING";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "never ends: the crash test starts it as a process and kills it"]
async fn writes_until_it_is_killed() {
    let dir = std::path::PathBuf::from(std::env::var_os(CRASHING).unwrap());
    let cluster = Arc::new(Cluster::start_with(tempfile::tempdir_in(&dir).unwrap(), few).await);
    let written = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("written")).unwrap();
    let written = Arc::new(written);
    let say =
        |written: &std::fs::File, line: String| std::io::Write::write_all(&mut &*written, line.as_bytes()).unwrap();
    let writers = (0..6).map(|writer| {
        let (cluster, written) = (cluster.clone(), written.clone());
        tokio::spawn(async move {
            for i in 0.. {
                let name = format!("w{writer}-{i}");
                let kind = ["ClusterIP", "NodePort", "LoadBalancer"][i % 3];
                let sent = service(&name, &json!({ "type": kind, "ipFamilyPolicy": "PreferDualStack" }));
                if cluster.post(SERVICES, &sent).await.code == 201 {
                    say(&written, format!("+{name}\n"));
                }
                let old = format!("w{writer}-{}", i.saturating_sub(2));
                // Said before: whether it comes to be is not known of the last one.
                say(&written, format!("-{old}\n"));
                cluster.delete(&format!("{SERVICES}/{old}")).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_twice_or_lost_when_the_server_is_killed() {
    for round in 1..=3 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "writes_until_it_is_killed"])
            .env(CRASHING, dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let read = || std::fs::read_to_string(dir.path().join("written")).unwrap_or_default();
        let enough = testbed::wait_until(cluster::DEADLINE, "it has written", || read().lines().count() > 70 * round);
        child.kill().unwrap();
        child.wait().unwrap();
        enough.unwrap();
        // What it left: a folder that nobody removed.
        let left = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
        let again = tempfile::tempdir_in(dir.path()).unwrap();
        for part in ["store", "pki"] {
            std::fs::rename(left.as_ref().unwrap().join(part), again.path().join(part)).unwrap();
        }
        let cluster = Cluster::start_with(again, few).await;
        check(&cluster).await;
        let written = read();
        let of = |sign: char| written.lines().filter_map(move |line| line.strip_prefix(sign)).collect::<BTreeSet<_>>();
        let there: BTreeSet<_> = cluster::names(&cluster.get(SERVICES).await.with(200)).into_iter().collect();
        for kept in of('+').difference(&of('-')) {
            assert!(there.contains(*kept), "{kept} was answered for, and is lost");
        }
        cluster.stop().await;
    }
}

#[tokio::test]
async fn an_address_that_somebody_takes_away_comes_back_and_is_told_of() {
    let cluster = Cluster::start().await;
    cluster.post(SERVICES, &service("s", &json!({ "clusterIP": "10.96.0.9" }))).await.with(201);
    let selected = format!("{IP_ADDRESSES}?watch=1&fieldSelector=metadata.name%3D10.96.0.9");
    let mut watch = cluster.watch(&selected).await;
    cluster.delete(&format!("{IP_ADDRESSES}/10.96.0.9")).await.with(200);
    for event in ["ADDED", "DELETED", "ADDED"] {
        assert_eq!(watch.named().await.0, event);
    }
    check(&cluster).await;
    let events = "/api/v1/namespaces/default/events";
    let mut told = cluster.watch(&format!("{events}?watch=1")).await;
    let event = told.next().await.unwrap()["object"].clone();
    assert_eq!(event["reason"], "ClusterIPNotAllocated");
    assert_eq!(event["message"], "Cluster IP [IPv4]: 10.96.0.9 is not allocated; repairing");
    assert_eq!(event["involvedObject"]["name"], "s");
    // What a Service gives back itself does not come back.
    cluster.delete(&format!("{SERVICES}/s")).await.with(200);
    check(&cluster).await;
}

#[tokio::test]
async fn what_is_given_is_counted_under_kubernetes_names() {
    let cluster = Cluster::start_with(tempfile::tempdir().unwrap(), few).await;
    let both = json!({ "ipFamilyPolicy": "RequireDualStack", "type": "NodePort" });
    cluster.post(SERVICES, &service("s", &both)).await.with(201);
    cluster.post(&format!("{SERVICES}?dryRun=All"), &service("t", &both)).await.with(201);
    cluster.post(SERVICES, &service("t", &json!({ "clusterIP": "10.96.0.1" }))).await.with(422);
    let text = cluster.get("/metrics").await.body.as_str().unwrap().to_owned();
    let addresses = "kube_apiserver_clusterip_allocator";
    for line in [
        format!("{addresses}_allocated_ips{{cidr=\"10.96.0.0/27\"}} 2"),
        format!("{addresses}_available_ips{{cidr=\"10.96.0.0/27\"}} 28"),
        format!("{addresses}_allocated_ips{{cidr=\"fd00:96::/123\"}} 1"),
        format!("{addresses}_allocation_total{{cidr=\"10.96.0.0/27\",scope=\"dynamic\"}} 1"),
        format!("{addresses}_allocation_total{{cidr=\"10.96.0.0/27\",scope=\"static\"}} 1"),
        format!("{addresses}_allocation_errors_total{{cidr=\"10.96.0.0/27\",scope=\"static\"}} 1"),
        format!("{addresses}_allocation_duration_seconds_count{{cidr=\"fd00:96::/123\"}} 1"),
        "kube_apiserver_nodeport_allocator_allocation_total{scope=\"dynamic\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in:\n{text}");
    }
}

#[tokio::test]
async fn the_service_kubernetes_is_there_and_comes_back() {
    let cluster = Cluster::start().await;
    let path = format!("{SERVICES}/kubernetes");
    let made = cluster.get(&path).await.with(200);
    assert_eq!(made["spec"]["clusterIP"], "10.96.0.1");
    let slice = cluster.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").await.with(200);
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.1"]));
    let endpoints = cluster.get("/api/v1/namespaces/default/endpoints/kubernetes").await.with(200);
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "192.0.2.1");
    cluster.delete(&path).await.with(200);
    let deadline = std::time::Instant::now() + cluster::DEADLINE;
    let mut watch = cluster.watch(&format!("{SERVICES}?watch=1")).await;
    while watch.named().await != ("ADDED".to_owned(), "kubernetes".to_owned()) {
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(cluster.get(&path).await.with(200)["spec"]["clusterIP"], "10.96.0.1");
}

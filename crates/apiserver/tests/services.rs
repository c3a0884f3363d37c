//! What Services are given, under concurrency and failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{Cluster, SERVICES, service};
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
        if let Some(ip) = spec["clusterIP"].as_str().filter(|ip| *ip != "None") {
            assert!(given.insert(ip.to_owned()), "{ip} is given twice");
            let object = cluster.get(&format!("{IP_ADDRESSES}/{ip}")).await.with(200);
            assert_eq!(object["spec"]["parentRef"]["name"], service["metadata"]["name"]);
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
    assert!(
        edge.message().ends_with(
            "the provided IP (10.97.0.255) is not in the valid range. The range of valid IPs is 10.97.0.0/24"
        )
    );
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

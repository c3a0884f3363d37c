//! Nodes that come, die and go, on a server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cluster::{Cluster, deployment, eventually, service};
use controllers::Config;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

fn quick() -> Config {
    Config { node_grace: Duration::from_millis(800), eviction_after: Duration::from_millis(500), ..Config::default() }
}

async fn bound_to(pods: &Api<Pod>) -> Vec<String> {
    let all = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
    let living = all.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    living.filter_map(|pod| pod.spec?.node_name).collect()
}

async fn nodes_in_rotation(slices: &Api<EndpointSlice>) -> BTreeSet<String> {
    let all = slices.list(&ListParams::default().labels("kubernetes.io/service-name=web")).await.unwrap();
    let endpoints = all.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
    let ready = endpoints.filter(|e| e.conditions.as_ref().and_then(|c| c.ready) == Some(true));
    ready.filter_map(|endpoint| endpoint.node_name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_dead_node_leave_the_rotation_and_come_back_elsewhere() {
    let cluster = Cluster::with(quick()).await;
    let _living = [cluster.node("n1", "a").await, cluster.node("n2", "b").await];
    let dying = cluster.node("n3", "c").await;
    let (services, pods) = (cluster.api::<Service>("default"), cluster.api::<Pod>("default"));
    let slices: Api<EndpointSlice> = cluster.api("default");
    cluster.create(&services, service("web")).await;
    cluster.create(&cluster.api::<Deployment>("default"), deployment("web", 3)).await;
    let three = BTreeSet::from(["n1", "n2", "n3"].map(str::to_owned));
    eventually("one Pod on each node", || async { (nodes_in_rotation(&slices).await == three).then_some(()) }).await;

    let begin = Instant::now();
    drop(dying);
    eventually("its endpoint is out of rotation", || async {
        (!nodes_in_rotation(&slices).await.contains("n3")).then_some(())
    })
    .await;
    println!("out of rotation after {:?}", begin.elapsed());
    let nodes: Api<Node> = cluster.global();
    let node = eventually("it is tainted", || async {
        let node = nodes.get("n3").await.unwrap();
        node.spec.as_ref()?.taints.as_ref().filter(|taints| taints.len() == 2)?;
        Some(node)
    })
    .await;
    let ready = node.status.unwrap().conditions.unwrap().into_iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("Unknown", Some("NodeStatusUnknown")));
    eventually("its Pods are on the others", || async {
        let on = bound_to(&pods).await;
        (on.len() == 3 && !on.contains(&"n3".to_owned())).then_some(())
    })
    .await;
    println!("replaced after {:?}", begin.elapsed());
    eventually("nothing of it is left", || async {
        let all = pods.list(&ListParams::default()).await.unwrap();
        all.items.iter().all(|pod| pod.spec.as_ref().unwrap().node_name.as_deref() != Some("n3")).then_some(())
    })
    .await;

    // It comes back, and takes Pods again.
    let _back = cluster.node("n3", "c").await;
    eventually("the taints go", || async {
        nodes.get("n3").await.unwrap().spec.and_then(|spec| spec.taints).is_none_or(|t| t.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_evicted_when_nothing_is_heard_of_any_node() {
    let cluster = Cluster::with(quick()).await;
    let only = cluster.node("n1", "a").await;
    let pods: Api<Pod> = cluster.api("default");
    cluster.create(&cluster.api::<Deployment>("default"), deployment("web", 1)).await;
    eventually("it runs", || async { (bound_to(&pods).await == ["n1"]).then_some(()) }).await;
    let uid = pods.list(&ListParams::default()).await.unwrap().items[0].metadata.uid.clone();
    drop(only);
    let nodes: Api<Node> = cluster.global();
    eventually("it is tainted", || async { nodes.get("n1").await.unwrap().spec?.taints.filter(|t| t.len() == 2) })
        .await;
    // Well past the time at which it would have been evicted.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let all = pods.list(&ListParams::default()).await.unwrap().items;
        assert!(all.len() == 1 && all[0].metadata.uid == uid && all[0].metadata.deletion_timestamp.is_none());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_node_that_is_deleted_are_swept_up() {
    let cluster = Cluster::with(quick()).await;
    let _stays = cluster.node("n1", "a").await;
    let goes = cluster.node("n2", "b").await;
    let pods: Api<Pod> = cluster.api("default");
    cluster.create(&cluster.api::<Deployment>("default"), deployment("web", 2)).await;
    eventually("one on each", || async { bound_to(&pods).await.contains(&"n2".to_owned()).then_some(()) }).await;
    drop(goes);
    let nodes: Api<Node> = cluster.global();
    nodes.delete("n2", &DeleteParams::default()).await.unwrap();
    eventually("both on the other", || async { (bound_to(&pods).await == ["n1", "n1"]).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_get_ranges_of_their_own() {
    let config = Config { pod_cidr: Some("10.244.0.0/16".parse().unwrap()), ..Config::default() };
    let cluster = Cluster::with(config).await;
    let nodes: Api<Node> = cluster.global();
    let mut ranges = BTreeSet::new();
    for name in ["n1", "n2", "n3"] {
        cluster.create(&nodes, json!({"metadata": {"name": name}})).await;
        let range = eventually("a range", || async { nodes.get(name).await.unwrap().spec?.pod_cidr }).await;
        assert!(range.starts_with("10.244.") && range.ends_with(".0/24"), "{range}");
        assert!(ranges.insert(range));
    }
    let refused = controllers::run(
        cluster.client.clone(),
        Config { pod_cidr: Some("10.244.0.0/16".parse().unwrap()), node_mask: 8, ..Config::default() },
        tokio_util::sync::CancellationToken::new(),
    );
    assert_eq!(
        refused.await.unwrap_err().to_string(),
        "a node's part of 10.244.0.0/16 cannot have the prefix length 8"
    );
}

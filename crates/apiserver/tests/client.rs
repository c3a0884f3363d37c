//! A `kube` client in the server's process, over its tower service.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, DEADLINE};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client};

fn config_map(name: &str) -> ConfigMap {
    ConfigMap { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() }
}

#[tokio::test]
async fn a_client_reads_and_writes_without_a_connection() {
    let cluster = Cluster::start().await;
    let client = Client::new(cluster.handler.clone(), "default");
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    let kubernetes = services.get("kubernetes").await.unwrap();
    assert_eq!(kubernetes.spec.unwrap().cluster_ip.as_deref(), Some("10.96.0.1"));
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    maps.create(&PostParams::default(), &config_map("c")).await.unwrap();
    let error = maps.create(&PostParams::default(), &config_map("c")).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.reason == "AlreadyExists"));
    assert_eq!(maps.list(&ListParams::default().limit(1)).await.unwrap().items.len(), 1);
    assert!(maps.delete("c", &DeleteParams::default()).await.unwrap().is_right());
}

#[tokio::test]
async fn a_reflector_follows_by_listing_and_by_streaming() {
    for streaming in [false, true] {
        let cluster = Cluster::start().await;
        let client = Client::new(cluster.handler.clone(), "default");
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        maps.create(&PostParams::default(), &config_map("before")).await.unwrap();
        let config = if streaming { watcher::Config::default().streaming_lists() } else { watcher::Config::default() };
        let (reader, writer) = reflector::store();
        let stream = watcher(maps.clone(), config).reflect(writer).applied_objects().boxed();
        let following = tokio::spawn(async move { stream.try_for_each(|_| async { Ok(()) }).await });
        tokio::time::timeout(DEADLINE, reader.wait_until_ready()).await.unwrap().unwrap();
        maps.create(&PostParams::default(), &config_map("after")).await.unwrap();
        maps.delete("before", &DeleteParams::default()).await.unwrap();
        let deadline = std::time::Instant::now() + DEADLINE;
        loop {
            let names: Vec<_> = reader.state().iter().filter_map(|m| m.metadata.name.clone()).collect();
            if names == ["after"] {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{names:?}");
            tokio::task::yield_now().await;
        }
        following.abort();
    }
}

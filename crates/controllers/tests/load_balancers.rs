//! Addresses of load balancers: settings from a ConfigMap, and claims that hold whatever becomes of who makes them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::{Cluster, eventually, service};
use controllers::Config;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::IPAddress;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

fn balanced(name: &str, annotations: Value) -> Value {
    let mut value = service(name);
    value["spec"]["type"] = json!("LoadBalancer");
    value["metadata"]["annotations"] = annotations;
    value
}

fn shown(service: &Service) -> Option<String> {
    service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.ip.clone()
}

fn config(pool: &str) -> Config {
    Config { load_balancer_pool: Some(pool.parse().unwrap()), ..Config::default() }
}

/// Watches all Services and counts the moments at which two show one address.
fn watch_for_twins(client: Client) -> (Arc<AtomicUsize>, JoinHandle<()>) {
    let twins: Arc<AtomicUsize> = Arc::default();
    let count = twins.clone();
    let watching = tokio::spawn(async move {
        let mut events = pin!(watcher::watcher(Api::<Service>::all(client), watcher::Config::default()));
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event.unwrap() {
                Event::Apply(service) | Event::InitApply(service) => {
                    all.remove(&service.name_any());
                    all.extend(shown(&service).map(|address| (service.name_any(), address)));
                }
                Event::Delete(service) => {
                    all.remove(&service.name_any());
                }
                Event::Init | Event::InitDone => {}
            }
            if all.values().collect::<BTreeSet<_>>().len() < all.len() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (twins, watching)
}

/// The claims that there are, each with whom it names.
async fn claims(cluster: &Cluster) -> BTreeMap<String, String> {
    let ours = ListParams::default().labels("ipaddress.kubernetes.io/managed-by=load-balancer.portolan.dev");
    let all = cluster.global::<IPAddress>().list(&ours).await.unwrap();
    let named =
        |claim: IPAddress| (claim.name_any(), claim.annotations()["portolan.dev/load-balancer-services"].clone());
    all.into_iter().map(named).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_is_given_twice_by_two_controllers_that_are_killed_again_and_again() {
    let cluster = Cluster::without_controllers().await;
    let services: Api<Service> = cluster.api("default");
    let (twins, watching) = watch_for_twins(cluster.client.clone());
    let run = || {
        let client = cluster.client.clone();
        tokio::spawn(async move { controllers::run(client, config("10.99.0.0-10.99.0.19"), Default::default()).await })
    };
    let mut running = [run(), run()];
    for round in 0..12 {
        for name in ["a", "b"] {
            cluster.create(&services, balanced(&format!("{name}{round}"), json!({}))).await;
        }
        if round >= 3 {
            services.delete(&format!("a{}", round - 3), &DeleteParams::default()).await.unwrap();
        }
        // Killed when the first of the new ones has its address: the other's is on its way.
        let name = format!("a{round}");
        eventually("an address", || async { shown(&services.get(&name).await.unwrap()) }).await;
        let one = &mut running[round % 2];
        one.abort();
        *one = run();
    }
    running[0].abort();
    let finished = || async {
        let all = services.list(&ListParams::default()).await.unwrap().items;
        let balanced: Vec<&Service> = all.iter().filter(|service| service.name_any() != "kubernetes").collect();
        let held: BTreeMap<String, String> =
            balanced.iter().filter_map(|s| Some((shown(s)?, format!("default/{}", s.name_any())))).collect();
        (balanced.len() == 15 && held.len() == 15 && claims(&cluster).await == held).then_some(())
    };
    eventually("all have one and nothing is left over", finished).await;
    assert_eq!(twins.load(Ordering::Relaxed), 0);
    running[1].abort();
    watching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_come_from_a_config_map_and_a_mistake_changes_nothing() {
    let cluster = Cluster::with(Config::default()).await;
    let (services, maps) = (cluster.api::<Service>("default"), cluster.api::<ConfigMap>("kube-system"));
    cluster.create(&services, balanced("web", json!({}))).await;
    eventually("it is said", || async {
        let events = cluster.events("default", "web").await;
        events.iter().any(|event| event.starts_with("NoController: ")).then_some(())
    })
    .await;
    let map = |config: &str| json!({"metadata": {"name": "portolan-load-balancer"}, "data": {"config": config}});
    let good =
        "pools: [{name: a, addresses: [10.9.0.1-10.9.0.2]}, {name: kept, addresses: [10.8.0.1], autoAssign: false}]";
    cluster.create(&maps, map(good)).await;
    let address = |name: &'static str| {
        let services = services.clone();
        async move { eventually("an address", || async { shown(&services.get(name).await.unwrap()) }).await }
    };
    assert_eq!(address("web").await, "10.9.0.1");

    let change = async |config: &str| {
        let patch = json!({"data": {"config": config}});
        maps.patch("portolan-load-balancer", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    };
    change("pools: [{name: a, addresses: [10.9.0.9-10.9.0.2]}, {name: '', addresses: [10.7.0.0/24]}]").await;
    eventually("each mistake is told", || async {
        let events = cluster.events("kube-system", "portolan-load-balancer").await;
        let told = |event: &String| {
            let words = [
                "InvalidConfiguration: ",
                "ends before it begins",
                "is no name of a pool",
                "what was chosen before stays",
            ];
            words.iter().all(|word| event.contains(word))
        };
        events.iter().any(told).then_some(())
    })
    .await;
    cluster.create(&services, balanced("second", json!({}))).await;
    assert_eq!(address("second").await, "10.9.0.2");
    cluster.create(&services, balanced("third", json!({"metallb.io/address-pool": "kept"}))).await;
    assert_eq!(address("third").await, "10.8.0.1");

    // Who waits for an address has one when the pool grows; who has one keeps it.
    cluster.create(&services, balanced("fourth", json!({}))).await;
    eventually("it is told", || async {
        let events = cluster.events("default", "fourth").await;
        events.iter().any(|event| event.starts_with("PoolExhausted: ")).then_some(())
    })
    .await;
    change("pools: [{name: b, addresses: [10.6.0.0/24], avoidBuggyIPs: true}]").await;
    assert_eq!(address("fourth").await, "10.6.0.1");
    assert_eq!(address("web").await, "10.9.0.1");
    assert_eq!(claims(&cluster).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_a_cluster_ip_is_not_given_to_a_load_balancer() {
    let cluster = Cluster::with(config("10.96.0.1-10.96.0.2")).await;
    let services: Api<Service> = cluster.api("default");
    assert_eq!(services.get("kubernetes").await.unwrap().spec.unwrap().cluster_ip.unwrap(), "10.96.0.1");
    let mut value = balanced("web", json!({}));
    value["spec"]["clusterIP"] = json!("10.96.7.7");
    cluster.create(&services, value).await;
    let given = eventually("an address", || async { shown(&services.get("web").await.unwrap()) }).await;
    assert_eq!(given, "10.96.0.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_share_an_address_share_its_claim() {
    let cluster = Cluster::with(config("10.99.0.0/24")).await;
    let services: Api<Service> = cluster.api("default");
    for (name, port) in [("web", 80), ("tls", 443)] {
        let mut value = balanced(name, json!({"portolan.dev/allow-shared-ip": "k"}));
        value["spec"]["ports"] = json!([{"port": port}]);
        cluster.create(&services, value).await;
        eventually("an address", || async { shown(&services.get(name).await.unwrap()) }).await;
    }
    assert_eq!(claims(&cluster).await, BTreeMap::from([("10.99.0.0".into(), "default/web default/tls".into())]));
    services.delete("web", &DeleteParams::default()).await.unwrap();
    let left = BTreeMap::from([("10.99.0.0".into(), "default/tls".into())]);
    eventually("its name is gone", || async { (claims(&cluster).await == left).then_some(()) }).await;
    services.delete("tls", &DeleteParams::default()).await.unwrap();
    eventually("the claim is gone", || async { claims(&cluster).await.is_empty().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_nobody_serves_is_told_and_left_alone() {
    let cluster = Cluster::with(config("10.99.0.0/24")).await;
    let services: Api<Service> = cluster.api("default");
    let mut value = balanced("web", json!({}));
    value["spec"]["loadBalancerClass"] = json!("example.com/other");
    cluster.create(&services, value).await;
    eventually("it is told", || async {
        let events = cluster.events("default", "web").await;
        events
            .iter()
            .any(|event| event.starts_with("ClassNotOurs: ") && event.contains("example.com/other"))
            .then_some(())
    })
    .await;
    let found = services.get("web").await.unwrap();
    assert!(shown(&found).is_none() && found.finalizers().is_empty());
    let mut ours = balanced("ours", json!({}));
    ours["spec"]["loadBalancerClass"] = json!("portolan.dev/lb");
    cluster.create(&services, ours).await;
    eventually("an address", || async { shown(&services.get("ours").await.unwrap()) }).await;
}

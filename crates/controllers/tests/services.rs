//! Endpoints made by hand, load-balancer addresses, and restarts of the controllers, on a server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::collections::BTreeSet;

use cluster::{Cluster, deployment, eventually, service};
use controllers::Config;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

fn balanced(name: &str, spec: Value) -> Value {
    let mut value = service(name);
    value["spec"]["type"] = json!("LoadBalancer");
    for (field, content) in spec.as_object().unwrap() {
        value["spec"][field] = content.clone();
    }
    value
}

fn shown(service: &Service) -> Option<String> {
    let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?;
    assert_eq!(ingress.ip_mode.as_deref(), Some("VIP"));
    ingress.ip.clone()
}

async fn address(services: &Api<Service>, name: &str) -> String {
    eventually("an address", || async { shown(&services.get(name).await.unwrap()) }).await
}

async fn mirrored(slices: &Api<EndpointSlice>, name: &str) -> Vec<EndpointSlice> {
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    slices.list(&params).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_made_by_hand_are_mirrored() {
    let cluster = Cluster::start().await;
    let (services, endpoints) = (cluster.api::<Service>("default"), cluster.api::<Endpoints>("default"));
    let slices: Api<EndpointSlice> = cluster.api("default");
    let bare = json!({"metadata": {"name": "db"}, "spec": {"ports": [{"port": 80, "targetPort": 9376}]}});
    cluster.create(&services, bare).await;
    let by_hand = json!({"metadata": {"name": "db"}, "subsets": [{"addresses": [{"ip": "192.0.2.42"}], "ports": [{"port": 9376}]}]});
    cluster.create(&endpoints, by_hand).await;
    let slice = eventually("a mirrored slice", || async { mirrored(&slices, "db").await.pop() }).await;
    assert_eq!(slice.labels()["endpointslice.kubernetes.io/managed-by"], "endpointslicemirroring-controller.k8s.io");
    assert_eq!(slice.endpoints.unwrap()[0].addresses, ["192.0.2.42"]);
    let other = json!({"subsets": [{"addresses": [{"ip": "192.0.2.43"}], "ports": [{"port": 9377}]}]});
    endpoints.patch("db", &PatchParams::default(), &Patch::Merge(other)).await.unwrap();
    eventually("the slice follows", || async {
        let slice = mirrored(&slices, "db").await.pop()?;
        (slice.endpoints?.pop()?.addresses == ["192.0.2.43"] && slice.ports?.pop()?.port == Some(9377)).then_some(())
    })
    .await;
    services.delete("db", &DeleteParams::default()).await.unwrap();
    eventually("all is gone", || async {
        (mirrored(&slices, "db").await.is_empty() && endpoints.get_opt("db").await.unwrap().is_none()).then_some(())
    })
    .await;
    // The Service of the API itself is its own business.
    assert!(endpoints.get_opt("kubernetes").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_come_from_the_pool_and_go_back() {
    let pool = Some("78.11.24.18-78.11.24.20".parse().unwrap());
    let cluster = Cluster::with(Config { load_balancer_pool: pool, ..Config::default() }).await;
    let services: Api<Service> = cluster.api("default");
    cluster.create(&services, balanced("asked", json!({"loadBalancerIP": "78.11.24.19"}))).await;
    assert_eq!(address(&services, "asked").await, "78.11.24.19");
    for name in ["one", "two"] {
        cluster.create(&services, balanced(name, json!({}))).await;
    }
    let given = BTreeSet::from([address(&services, "one").await, address(&services, "two").await]);
    assert_eq!(given, ["78.11.24.18", "78.11.24.20"].map(str::to_owned).into());

    cluster.create(&services, balanced("late", json!({}))).await;
    cluster.create(&services, balanced("stranger", json!({"loadBalancerIP": "192.0.2.1"}))).await;
    let told = |name: &'static str, words: &'static str| {
        let cluster = &cluster;
        async move {
            eventually(words, || async {
                let events = cluster.events("default", name).await;
                events.iter().any(|e| e.starts_with(words)).then_some(())
            })
            .await;
        }
    };
    told("late", "PoolExhausted: all 3 IPv4 addresses of the pool default are taken: delete a Service").await;
    told("stranger", "AddressNotInPool: 192.0.2.1 is not in the pool").await;
    let classed = balanced("classed", json!({"loadBalancerClass": "example.com/other"}));
    cluster.create(&services, classed).await;

    // One goes: who waited has its address.
    services.delete("one", &DeleteParams::default()).await.unwrap();
    let freed = address(&services, "late").await;
    assert!(given.contains(&freed));
    eventually("the deleted one is gone", || async { services.get_opt("one").await.unwrap().is_none().then_some(()) })
        .await;

    // Another becomes a ClusterIP: no address, no finalizer.
    let plain = json!({"spec": {"type": "ClusterIP"}});
    services.patch("two", &PatchParams::default(), &Patch::Merge(plain)).await.unwrap();
    eventually("the finalizer goes", || async {
        let two = services.get("two").await.unwrap();
        (two.finalizers().is_empty() && shown(&two).is_none()).then_some(())
    })
    .await;
    let classed = services.get("classed").await.unwrap();
    assert!(shown(&classed).is_none() && classed.finalizers().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing_and_catches_up() {
    let pool = || Some("10.99.0.0/28".parse().unwrap());
    let mut cluster = Cluster::with(Config { load_balancer_pool: pool(), ..Config::default() }).await;
    let _node = cluster.node("n1", "a").await;
    let services: Api<Service> = cluster.api("default");
    let (deployments, pods) = (cluster.api::<Deployment>("default"), cluster.api::<Pod>("default"));
    for name in ["a", "b", "c"] {
        cluster.create(&services, balanced(name, json!({}))).await;
    }
    let mut before = Vec::new();
    for name in ["a", "b", "c"] {
        before.push(address(&services, name).await);
    }
    cluster.create(&deployments, deployment("a", 4)).await;
    let web = ListParams::default().labels("app=a");
    eventually("four Pods", || async { (pods.list(&web).await.unwrap().items.len() == 4).then_some(()) }).await;

    cluster.stop_controllers().await;
    services.delete("b", &DeleteParams::default()).await.unwrap();
    cluster.create(&services, balanced("d", json!({}))).await;
    let victim = pods.list(&web).await.unwrap().items.remove(0).name_any();
    pods.delete(&victim, &DeleteParams::default()).await.unwrap();
    eventually("a Pod is gone", || async { pods.get_opt(&victim).await.unwrap().is_none().then_some(()) }).await;

    cluster.run(Config { load_balancer_pool: pool(), ..Config::default() });
    let new = address(&services, "d").await;
    assert_eq!(address(&services, "a").await, before[0]);
    assert_eq!(address(&services, "c").await, before[2]);
    assert!(new != before[0] && new != before[2]);
    eventually("b is let go", || async { services.get_opt("b").await.unwrap().is_none().then_some(()) }).await;
    eventually("four Pods again", || async { (pods.list(&web).await.unwrap().items.len() == 4).then_some(()) }).await;
}

//! What every namespace has, and how namespaces end, on a server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, deployment, eventually, service};
use controllers::Config;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn every_namespace_has_an_account_and_the_root_certificate() {
    let cluster = Cluster::with(Config { ca_pem: "PEM".to_owned(), ..Config::default() }).await;
    cluster.create(&cluster.global::<Namespace>(), json!({"metadata": {"name": "shop"}})).await;
    for namespace in ["default", "kube-system", "shop"] {
        let accounts: Api<ServiceAccount> = cluster.api(namespace);
        let maps: Api<ConfigMap> = cluster.api(namespace);
        eventually("the account", || async { accounts.get_opt("default").await.unwrap() }).await;
        let map = eventually("the certificate", || async { maps.get_opt("kube-root-ca.crt").await.unwrap() }).await;
        assert_eq!(map.data.unwrap()["ca.crt"], "PEM");
    }
    // Whoever takes or forges them has them put right.
    let (accounts, maps) = (cluster.api::<ServiceAccount>("shop"), cluster.api::<ConfigMap>("shop"));
    accounts.delete("default", &DeleteParams::default()).await.unwrap();
    let forged = json!({"data": {"ca.crt": "forged"}});
    maps.patch("kube-root-ca.crt", &PatchParams::default(), &Patch::Merge(forged)).await.unwrap();
    eventually("the account again", || async { accounts.get_opt("default").await.unwrap() }).await;
    eventually("the certificate again", || async {
        let map = maps.get("kube-root-ca.crt").await.unwrap();
        (map.data?["ca.crt"] == "PEM").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let cluster = Cluster::start().await;
    let _node = cluster.node("n1", "a").await;
    let namespaces: Api<Namespace> = cluster.global();
    cluster.create(&namespaces, json!({"metadata": {"name": "shop"}})).await;
    let (services, pods) = (cluster.api::<Service>("shop"), cluster.api::<Pod>("shop"));
    cluster.create(&services, service("web")).await;
    cluster.create(&cluster.api::<Deployment>("shop"), deployment("web", 3)).await;
    cluster.create(&cluster.api::<Secret>("shop"), json!({"metadata": {"name": "s"}})).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/mine"]}});
    let maps: Api<ConfigMap> = cluster.api("shop");
    cluster.create(&maps, held).await;
    eventually("three Pods", || async {
        (pods.list(&ListParams::default()).await.unwrap().items.len() == 3).then_some(())
    })
    .await;

    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    let told = eventually("what holds it is told", || async {
        let conditions = namespaces.get("shop").await.unwrap().status?.conditions?;
        let held = conditions.iter().find(|c| c.type_ == "NamespaceFinalizersRemaining" && c.status == "True")?;
        held.message.clone()
    })
    .await;
    assert_eq!(
        told,
        "Some content in the namespace has finalizers remaining: example.com/mine in 1 resource instances"
    );
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
    let free = json!({"metadata": {"finalizers": null}});
    maps.patch("held", &PatchParams::default(), &Patch::Merge(free)).await.unwrap();
    eventually("it is gone", || async { namespaces.get_opt("shop").await.unwrap().is_none().then_some(()) }).await;
    assert!(services.list(&ListParams::default()).await.unwrap().items.is_empty());
}

//! kube-rs asks a server that listens, over HTTPS with a kubeconfig: typed and dynamic objects, patches, apply, discovery,
//! metadata, watches, waiting.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, DEADLINE};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as NamespaceObject, Service};
use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::response::reason;
use kube::discovery::{Scope, verbs};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Discovery, ResourceExt};
use serde_json::json;
use testbed::Namespace;

async fn connect(cluster: &Cluster) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&cluster.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn object<T: serde::de::DeserializeOwned>(document: serde_json::Value) -> T {
    serde_json::from_value(document).unwrap()
}

fn refusal(error: &kube::Error) -> (u16, &str) {
    let kube::Error::Api(status) = error else { panic!("{error}") };
    (status.code, &status.reason)
}

async fn writes_and_reads(client: &Client) {
    assert_eq!(client.apiserver_version().await.unwrap().minor, "36");
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let web: Service = object(json!({
        "metadata": { "name": "web", "labels": { "app": "web" } },
        "spec": { "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80 }] },
    }));
    let made = services.create(&PostParams::default(), &web).await.unwrap();
    assert!(made.spec.as_ref().unwrap().cluster_ip.is_some());
    let again = services.create(&PostParams::default(), &web).await.unwrap_err();
    assert_eq!(refusal(&again), (409, reason::ALREADY_EXISTS));
    let port = json!({ "spec": { "ports": [{ "name": "dns", "port": 53, "protocol": "UDP" }] } });
    let patched = services.patch("web", &PatchParams::default(), &Patch::Strategic(&port)).await.unwrap();
    assert_eq!(patched.spec.unwrap().ports.unwrap().len(), 2);
    let patched = services.patch("web", &PatchParams::default(), &Patch::Merge(&port)).await.unwrap();
    assert_eq!(patched.spec.unwrap().ports.unwrap().len(), 1);
    let stale = services.replace("web", &PostParams::default(), &made).await.unwrap_err();
    assert_eq!(refusal(&stale), (409, reason::CONFLICT));
    let wrong = json!({ "spec": { "ports": [{ "port": 0 }] } });
    let invalid = services.patch("web", &PatchParams::default(), &Patch::Merge(&wrong)).await.unwrap_err();
    assert_eq!(refusal(&invalid), (422, reason::INVALID));
    let metadata = services.list_metadata(&ListParams::default().labels("app=web")).await.unwrap();
    assert_eq!(metadata.items[0].labels().get("app").map(String::as_str), Some("web"));
    services.delete("web", &DeleteParams::default()).await.unwrap();
    assert!(services.get_opt("web").await.unwrap().is_none());
}

async fn applies(client: &Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let body =
        |value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" }, "data": { "k": value } });
    let by = PatchParams::apply;
    maps.patch("m", &by("one"), &Patch::Apply(body("1"))).await.unwrap();
    let conflict = maps.patch("m", &by("two"), &Patch::Apply(body("2"))).await.unwrap_err();
    assert_eq!(refusal(&conflict), (409, reason::CONFLICT));
    let forced = maps.patch("m", &by("two").force(), &Patch::Apply(body("2"))).await.unwrap();
    assert_eq!(forced.managed_fields().iter().map(|f| f.manager.as_deref()).collect::<Vec<_>>(), [Some("two")]);
    maps.delete("m", &DeleteParams::default()).await.unwrap();
}

async fn discovers(client: &Client) {
    let one_by_one = Discovery::new(client.clone()).run().await.unwrap();
    let at_once = Discovery::new(client.clone()).run_aggregated().await.unwrap();
    for discovery in [one_by_one, at_once] {
        let mut found = discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources);
        let (deployments, capabilities) = found.find(|(resource, _)| resource.kind == "Deployment").unwrap();
        assert_eq!(deployments.plural, "deployments");
        assert!(capabilities.scope == Scope::Namespaced);
        assert!(capabilities.supports_operation(verbs::WATCH));
        assert!(capabilities.subresources.iter().any(|(resource, _)| resource.plural == "scale"));
    }
}

async fn a_dynamic_object_is_scaled(client: &Client) {
    let found = kube::discovery::group(client, "apps").await.unwrap();
    let (resource, _) = found.recommended_kind("Deployment").unwrap();
    let dynamic: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
    let mut made = DynamicObject::new("d", &resource);
    made.data = json!({ "spec": {
        "replicas": 0, "selector": { "matchLabels": { "a": "b" } },
        "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } },
    } });
    dynamic.create(&PostParams::default(), &made).await.unwrap();
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let two = json!({ "spec": { "replicas": 2 } });
    let scaled = deployments.patch_scale("d", &PatchParams::default(), &Patch::Merge(&two)).await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(2));
    let uid = dynamic.get("d").await.unwrap().uid().unwrap();
    let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    deployments.delete("d", &params).await.unwrap();
    let gone = await_condition(deployments, "d", conditions::is_deleted(&uid));
    tokio::time::timeout(DEADLINE, gone).await.unwrap().unwrap();
}

async fn follows(client: &Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let since = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    maps.create(&PostParams::default(), &object(json!({ "metadata": { "name": "f" } }))).await.unwrap();
    maps.delete("f", &DeleteParams::default()).await.unwrap();
    let params = WatchParams::default().fields("metadata.name=f").timeout(DEADLINE.as_secs() as u32);
    let events = maps
        .watch(&params, &since)
        .await
        .unwrap()
        .try_filter(|e| std::future::ready(!matches!(e, WatchEvent::Bookmark(_))));
    let told: Vec<_> = events.take(2).try_collect().await.unwrap();
    assert!(matches!(told.as_slice(), [WatchEvent::Added(_), WatchEvent::Deleted(_)]), "{told:?}");
    // Over HTTP/2 and over a connection of its own alike, objects that are there come first.
    let namespaces: Api<NamespaceObject> = Api::all(client.clone());
    let stream = watcher(namespaces, watcher::Config::default().streaming_lists()).applied_objects();
    let first = tokio::time::timeout(DEADLINE, std::pin::pin!(stream).next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first.name_any(), "default");
}

#[test]
fn kube_rs_gets_what_it_asks_for() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let namespace = Namespace::new("kube-client").unwrap();
    let done = namespace.run(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listen = vec!["127.0.0.1:0".parse().unwrap()];
            let cluster = Cluster::start_with(tempfile::tempdir().unwrap(), |config| config.listen = listen).await;
            let client = connect(&cluster).await;
            writes_and_reads(&client).await;
            applies(&client).await;
            discovers(&client).await;
            a_dynamic_object_is_scaled(&client).await;
            follows(&client).await;
            drop(client);
            cluster.stop().await;
        });
    });
    done.unwrap();
}

//! Deployments, ReplicaSets, the scheduler and the collection of garbage, on a server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster::{Cluster, deployment, eventually, service};
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Endpoints, Pod, ReplicationController, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::json;

fn is_complete(deployment: &Deployment) -> bool {
    let (spec, Some(status)) = (deployment.spec.as_ref().unwrap(), &deployment.status) else { return false };
    let wanted = spec.replicas.unwrap_or(1);
    status.observed_generation == deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
        && status.available_replicas.unwrap_or(0) == wanted
}

async fn complete(api: &Api<Deployment>, name: &str) -> Deployment {
    eventually("the rollout is complete", || async { api.get_opt(name).await.unwrap().filter(is_complete) }).await
}

async fn addresses(api: &Api<EndpointSlice>, name: &str) -> Vec<String> {
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    let slices = api.list(&params).await.unwrap();
    let ready =
        |e: &k8s_openapi::api::discovery::v1::Endpoint| e.conditions.as_ref().and_then(|c| c.ready) == Some(true);
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
    let mut all: Vec<String> = endpoints.filter(ready).flat_map(|endpoint| endpoint.addresses).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_deployment_to_endpoints_and_through_a_rollout() {
    let cluster = Cluster::start().await;
    let _nodes = [cluster.node("n1", "a").await, cluster.node("n2", "b").await, cluster.node("n3", "c").await];
    let (deployments, services) = (cluster.api::<Deployment>("default"), cluster.api::<Service>("default"));
    let (slices, endpoints) = (cluster.api::<EndpointSlice>("default"), cluster.api::<Endpoints>("default"));
    let pods: Api<Pod> = cluster.api("default");
    cluster.create(&services, service("web")).await;
    cluster.create(&deployments, deployment("web", 3)).await;
    complete(&deployments, "web").await;
    eventually("three addresses in slices", || async { (addresses(&slices, "web").await.len() == 3).then_some(()) })
        .await;
    let said = eventually("three addresses in Endpoints", || async {
        let found = endpoints.get_opt("web").await.unwrap()?.subsets?.pop()?;
        (found.addresses.as_ref()?.len() == 3).then_some(found)
    })
    .await;
    assert_eq!(said.ports.unwrap()[0].port, 9376);
    let mut on: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        *on.entry(pod.spec.unwrap().node_name.unwrap()).or_default() += 1;
    }
    assert_eq!(on.into_values().collect::<Vec<_>>(), [1, 1, 1], "spread over the nodes");

    // A Pod is mortal.
    let before = addresses(&slices, "web").await;
    let victim = pods.list(&ListParams::default()).await.unwrap().items.remove(0).name_any();
    pods.delete(&victim, &DeleteParams::default()).await.unwrap();
    eventually("another address instead", || async {
        let now = addresses(&slices, "web").await;
        (now.len() == 3 && now != before).then_some(())
    })
    .await;

    // A new image, and back.
    let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    for version in ["v2", "v1"] {
        deployments.patch("web", &PatchParams::default(), &Patch::Strategic(image(version))).await.unwrap();
        complete(&deployments, "web").await;
        let params = ListParams::default().labels("app=web");
        let images: Vec<String> = pods
            .list(&params)
            .await
            .unwrap()
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .filter_map(|pod| pod.spec?.containers.pop()?.image)
            .collect();
        assert_eq!(images, [version; 3]);
    }
    let annotations = deployments.get("web").await.unwrap().metadata.annotations.unwrap();
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");

    // Another size.
    let scale = json!({"spec": {"replicas": 7}});
    deployments.patch("web", &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
    eventually("seven addresses", || async { (addresses(&slices, "web").await.len() == 7).then_some(()) }).await;
    let told = cluster.events("default", "web").await;
    assert!(told.iter().any(|event| event.starts_with("ScalingReplicaSet: Scaled up replica set web-")), "{told:?}");

    // And all goes with its owners.
    deployments.delete("web", &DeleteParams::default()).await.unwrap();
    services.delete("web", &DeleteParams::default()).await.unwrap();
    let sets: Api<ReplicaSet> = cluster.api("default");
    eventually("everything is gone", || async {
        let none = ListParams::default().labels("app=web");
        let left = pods.list(&none).await.unwrap().items.len() + sets.list(&none).await.unwrap().items.len();
        let named = ListParams::default().labels("kubernetes.io/service-name=web");
        let left = left + slices.list(&named).await.unwrap().items.len();
        (left == 0 && endpoints.get_opt("web").await.unwrap().is_none()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_takes_a_pod_out_and_back_in_and_a_set_replaces_it() {
    let cluster = Cluster::start().await;
    let _node = cluster.node("n1", "a").await;
    let (services, pods) = (cluster.api::<Service>("default"), cluster.api::<Pod>("default"));
    let slices: Api<EndpointSlice> = cluster.api("default");
    cluster.create(&services, service("web")).await;
    let pod = json!({"metadata": {"name": "p", "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    cluster.create(&pods, pod).await;
    eventually("one address", || async { (addresses(&slices, "web").await.len() == 1).then_some(()) }).await;
    for (label, count) in [("other", 0), ("web", 1)] {
        let patch = json!({"metadata": {"labels": {"app": label}}});
        pods.patch("p", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        eventually(label, || async { (addresses(&slices, "web").await.len() == count).then_some(()) }).await;
    }
    // A ReplicaSet adopts it and makes one more.
    let sets: Api<ReplicaSet> = cluster.api("default");
    let mut set = deployment("web", 2);
    set["metadata"]["name"] = json!("adopter");
    cluster.create(&sets, set).await;
    eventually("it is adopted", || async {
        let owner = pods.get("p").await.unwrap().metadata.owner_references?.pop()?;
        (owner.name == "adopter").then_some(())
    })
    .await;
    eventually("two addresses", || async { (addresses(&slices, "web").await.len() == 2).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_go_before_after_or_without_what_they_own() {
    let cluster = Cluster::start().await;
    let _node = cluster.node("n1", "a").await;
    let (sets, pods) = (cluster.api::<ReplicaSet>("default"), cluster.api::<Pod>("default"));
    let of = |name: &str| ListParams::default().labels(&format!("app={name}"));
    for name in ["background", "foreground", "orphan"] {
        let pods = &pods;
        cluster.create(&sets, deployment(name, 2)).await;
        eventually("two Pods", || async { (pods.list(&of(name)).await.unwrap().items.len() == 2).then_some(()) }).await;
    }
    let how = |policy: PropagationPolicy| DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
    sets.delete("background", &how(PropagationPolicy::Background)).await.unwrap();
    assert!(sets.get_opt("background").await.unwrap().is_none(), "it goes at once");
    sets.delete("foreground", &how(PropagationPolicy::Foreground)).await.unwrap();
    sets.delete("orphan", &how(PropagationPolicy::Orphan)).await.unwrap();
    for name in ["background", "foreground"] {
        let (pods, sets) = (&pods, &sets);
        eventually(name, || async {
            let left = pods.list(&of(name)).await.unwrap().items.len();
            (left == 0 && sets.get_opt(name).await.unwrap().is_none()).then_some(())
        })
        .await;
    }
    eventually("the owner is gone", || async { sets.get_opt("orphan").await.unwrap().is_none().then_some(()) }).await;
    let orphans = pods.list(&of("orphan")).await.unwrap().items;
    assert_eq!(orphans.len(), 2);
    assert!(orphans.iter().all(|pod| pod.owner_references().is_empty() && pod.metadata.deletion_timestamp.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fits_nowhere_is_told_and_goes_where_room_is_made() {
    let cluster = Cluster::start().await;
    let pods: Api<Pod> = cluster.api("default");
    let big = json!({"metadata": {"name": "big"}, "spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "c", "image": "i"}]}});
    cluster.create(&pods, big).await;
    let message = |pods: Api<Pod>| async move {
        let conditions = pods.get("big").await.unwrap().status?.conditions?;
        conditions.into_iter().find(|c| c.type_ == "PodScheduled").and_then(|c| c.message)
    };
    let told = |wanted: &'static str| {
        let pods = pods.clone();
        async move {
            eventually(wanted, || async { message(pods.clone()).await.filter(|m| m == wanted) }).await;
        }
    };
    told("no nodes available to schedule pods").await;
    let _node = cluster.node("n1", "a").await;
    told("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.").await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = cluster.global();
    let label = json!({"metadata": {"labels": {"disk": "ssd"}}});
    nodes.patch("n1", &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    eventually("it is bound", || async { pods.get("big").await.unwrap().spec?.node_name }).await;
    let events = eventually("it is told", || async {
        let events = cluster.events("default", "big").await;
        events.iter().any(|e| e == "Scheduled: Successfully assigned default/big to n1").then_some(events)
    })
    .await;
    assert!(events.iter().any(|e| e.starts_with("FailedScheduling: 0/1 nodes are available")), "{events:?}");
}

/// Prints how long a change of a Pod takes until its slice is written. Not judged here: the benchmark does that.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_ready_pod_takes_into_its_slice() {
    let cluster = Cluster::start().await;
    let _node = cluster.node("n1", "a").await;
    let (services, pods) = (cluster.api::<Service>("default"), cluster.api::<Pod>("default"));
    let slices: Api<EndpointSlice> = cluster.api("default");
    cluster.create(&services, service("web")).await;
    let pod = json!({"metadata": {"name": "p", "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    cluster.create(&pods, pod).await;
    eventually("one address", || async { (addresses(&slices, "web").await.len() == 1).then_some(()) }).await;
    let (mut times, mut writes): (Vec<Duration>, Vec<Duration>) = Default::default();
    for i in 0..100 {
        let ready = i % 2 == 1;
        let status =
            json!({"status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}});
        let begin = Instant::now();
        pods.patch_status("p", &PatchParams::default(), &Patch::Strategic(status)).await.unwrap();
        let answered = Instant::now();
        loop {
            if (addresses(&slices, "web").await.len() == 1) == ready {
                break;
            }
            assert!(begin.elapsed() < cluster::DEADLINE);
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        times.push(answered.elapsed());
        writes.push(answered - begin);
    }
    times.sort();
    writes.sort();
    println!("a Pod's status is answered: p50 {:?}, p99 {:?}", writes[50], writes[98]);
    println!("its slice is written after that: p50 {:?}, p99 {:?}", times[50], times[98]);
}

/// A StatefulSet of Pods labelled `app=NAME`, under the Service of this name.
fn stateful_set(name: &str, replicas: i32) -> serde_json::Value {
    let mut set = deployment(name, replicas);
    set["spec"]["serviceName"] = name.into();
    set
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_stateful_set_have_names_in_its_service_and_are_replaced_in_order() {
    let cluster = Cluster::start().await;
    let _node = cluster.node("n1", "a").await;
    let (sets, services) = (cluster.api::<StatefulSet>("default"), cluster.api::<Service>("default"));
    let (pods, slices) = (cluster.api::<Pod>("default"), cluster.api::<EndpointSlice>("default"));
    let mut headless = service("db");
    headless["spec"]["clusterIP"] = "None".into();
    cluster.create(&services, headless).await;
    cluster.create(&sets, stateful_set("db", 3)).await;
    let is_complete = |set: &StatefulSet, updated: i32| {
        set.status.as_ref().is_some_and(|status| {
            status.observed_generation == set.metadata.generation
                && status.available_replicas == Some(updated)
                && status.updated_replicas == Some(updated)
                && status.current_revision == status.update_revision
        })
    };
    let first =
        eventually("all three run", || async { sets.get_opt("db").await.unwrap().filter(|set| is_complete(set, 3)) })
            .await;
    let names = eventually("the slice names them", || async {
        let all = slices.list(&ListParams::default().labels("kubernetes.io/service-name=db")).await.unwrap();
        let endpoints = all.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
        let mut names: Vec<String> = endpoints.filter_map(|endpoint| endpoint.hostname).collect();
        names.sort();
        (names.len() == 3).then_some(names)
    })
    .await;
    assert_eq!(names, ["db-0", "db-1", "db-2"]);
    let image = json!([{ "name": "c", "image": "v2" }]);
    let patch = Patch::Strategic(json!({ "spec": { "template": { "spec": { "containers": image } } } }));
    sets.patch("db", &PatchParams::default(), &patch).await.unwrap();
    let second = eventually("all three are new", || async {
        let set = sets.get_opt("db").await.unwrap().filter(|set| is_complete(set, 3))?;
        let old = &first.status.as_ref().unwrap().update_revision;
        (set.status.as_ref().unwrap().update_revision != *old).then_some(set)
    })
    .await;
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        assert_eq!(pod.spec.unwrap().containers[0].image.as_deref(), Some("v2"));
    }
    let revisions = cluster.api::<ControllerRevision>("default").list(&ListParams::default()).await.unwrap();
    let mut numbers: Vec<i64> = revisions.items.iter().map(|revision| revision.revision).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    let revision = second.status.unwrap().update_revision.unwrap();
    assert!(revisions.items.iter().any(|one| one.name_any() == revision && one.revision == 2));
    sets.delete("db", &DeleteParams::default()).await.unwrap();
    eventually("all that it made is gone", || async {
        let pods = pods.list(&ListParams::default()).await.unwrap().items;
        let revisions = cluster.api::<ControllerRevision>("default").list(&ListParams::default()).await.unwrap().items;
        (pods.is_empty() && revisions.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_not_served_are_told_of_and_a_replication_controller_has_its_pods() {
    let cluster = Cluster::start().await;
    let _node = cluster.node("n1", "a").await;
    let mut set = stateful_set("db", 1);
    let claim = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    set["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" }, "spec": claim }]);
    cluster.create(&cluster.api::<StatefulSet>("default"), set).await;
    let told = "FailedCreate: create Claim data-db-0 for Pod db-0 in StatefulSet db failed error: the server could not \
                find the requested resource";
    eventually("it is told why", || async {
        cluster.events("default", "db").await.contains(&told.to_owned()).then_some(())
    })
    .await;
    let controllers = cluster.api::<ReplicationController>("default");
    let mut controller = deployment("old", 2);
    controller["spec"]["selector"] = json!({ "app": "old" });
    cluster.create(&controllers, controller).await;
    let has = |wanted: i32| {
        let controllers = &controllers;
        move || async move {
            let status = controllers.get_opt("old").await.unwrap()?.status?;
            (status.replicas == wanted && status.available_replicas.unwrap_or(0) == wanted).then_some(())
        }
    };
    eventually("two run", has(2)).await;
    let patch = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
    controllers.patch("old", &PatchParams::default(), &patch).await.unwrap();
    eventually("one is left", has(1)).await;
}

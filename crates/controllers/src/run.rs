//! All controllers, together.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caches::Caches;
use crate::config::{Config, ConfigError};
use crate::context::Context;
use crate::events::Recorder;
use crate::write::Writer;
use crate::{
    daemonset, deployment, disruption, endpoints, endpointslice, endpointslicemirroring, garbagecollector,
    loadbalancer, namespace, nodeipam, nodelifecycle, podgc, programmed, replicaset, rootca, scheduler, serviceaccount,
    servicecidr, statefulset,
};

/// How long the controllers may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// Runs all controllers against the server behind `client` until `stop`. Everything is watched first and nothing is
/// done before all of it is known once; a server that is not there yet is waited for.
pub async fn run(client: Client, config: Config, stop: CancellationToken) -> Result<(), ConfigError> {
    config.check()?;
    // What one of them ends with must not outlive this call, even if it is dropped.
    let stop = stop.child_token();
    let _guard = stop.clone().drop_guard();
    let tasks = TaskTracker::new();
    let writer = Writer::new(client.clone());
    let recorder = Recorder::start(writer.clone(), stop.clone());
    let context = Arc::new(Context { caches: Caches::default(), writer, recorder, config, stop: stop.clone() });

    let controllers: [BoxFuture<'static, ()>; 21] = [
        endpointslice::start(context.clone()),
        replicaset::start::<ReplicaSet>(context.clone()),
        replicaset::start::<ReplicationController>(context.clone()),
        scheduler::start(context.clone()),
        deployment::start(context.clone()),
        serviceaccount::start(context.clone()),
        rootca::start(context.clone()),
        loadbalancer::start(context.clone()),
        loadbalancer::follow::start(context.clone()),
        nodeipam::start(context.clone()),
        nodelifecycle::start(context.clone()),
        podgc::start(context.clone()),
        endpoints::start(context.clone()),
        endpointslicemirroring::start(context.clone()),
        namespace::start(context.clone()),
        programmed::start(context.clone()),
        disruption::start(context.clone()),
        daemonset::start(context.clone()),
        statefulset::start(context.clone()),
        servicecidr::start(context.clone(), client.clone()),
        garbagecollector::start(context.clone(), client.clone()),
    ];

    context.caches.watch(&client, &tasks, &stop);
    tokio::select! {
        () = stop.cancelled() => {}
        () = context.caches.synced() => {
            tracing::debug!("the controllers know everything and begin");
            for controller in controllers {
                tasks.spawn(controller);
            }
            stop.cancelled().await;
        }
    }
    end(&tasks, &context).await;
    Ok(())
}

/// Runs what a cluster that has Kubernetes' own controllers lacks ([`programmed`] and [`loadbalancer`]), until `stop`. Two
/// of these may run at a time.
pub async fn run_beside(client: Client, config: Config, stop: CancellationToken) {
    let stop = stop.child_token();
    let _guard = stop.clone().drop_guard();
    let tasks = TaskTracker::new();
    let writer = Writer::new(client.clone());
    let recorder = Recorder::start(writer.clone(), stop.clone());
    let caches = Caches::default();
    let context = Arc::new(Context { caches, writer, recorder, config, stop: stop.clone() });
    let balancers = [loadbalancer::start(context.clone()), loadbalancer::follow::start(context.clone())];
    let programmed = programmed::start(context.clone());
    context.caches.watch_beside(&client, &tasks, &stop);
    tokio::select! {
        () = stop.cancelled() => {}
        () = context.caches.synced_programmed() => {
            tasks.spawn(programmed);
            // Who may not read what only load balancers need still has the rest.
            let begun = async {
                context.caches.synced_load_balancers().await;
                balancers.into_iter().for_each(|part| drop(tasks.spawn(part)));
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = begun => stop.cancelled().await,
            }
        }
    }
    end(&tasks, &context).await;
}

/// Waits until all tasks have heard that it is over.
async fn end(tasks: &TaskTracker, context: &Context) {
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("the controllers did not end in time");
    }
    context.caches.close();
}

//! A port that cannot be had, as an event of its Service.

use std::time::Duration;

use dataplane::model::NamespacedName;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::PortTaken;
use crate::follow::reason;

/// kube-proxy's own word.
const REASON: &str = "FailedToStartServiceHealthcheck";
/// How long the server may take for an answer. An event that cannot be written is lost, as Kubernetes loses them.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes an event for each port that cannot be had, until told to stop.
pub async fn told(client: Client, node: String, mut taken: mpsc::Receiver<PortTaken>, stop: CancellationToken) {
    loop {
        let taken = tokio::select! {
            () = stop.cancelled() => return,
            taken = taken.recv() => taken,
        };
        // Nobody tells any more; who does is part of the same agent, and says why it ends.
        let Some(taken) = taken else { return stop.cancelled().await };
        match tokio::time::timeout(PATIENCE, write(&client, &node, &taken)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = reason(&error), "an event is lost"),
            Err(_) => tracing::debug!("an event is lost: the server does not answer"),
        }
    }
}

async fn write(client: &Client, node: &str, taken: &PortTaken) -> Result<(), kube::Error> {
    let services: Api<Service> = Api::namespaced(client.clone(), taken.service.namespace());
    let Some(service) = services.get_metadata_opt(taken.service.name()).await? else { return Ok(()) };
    let event = event(node, &taken.service, service.metadata.uid, &taken.message, Timestamp::now());
    Api::<Event>::namespaced(client.clone(), taken.service.namespace())
        .create(&PostParams::default(), &event)
        .await
        .map(drop)
}

fn event(node: &str, service: &NamespacedName, uid: Option<String>, message: &str, now: Timestamp) -> Event {
    let time = Some(Time(now));
    Event {
        metadata: ObjectMeta {
            // The name is the Service's and a number that no other event has, as Kubernetes names them.
            name: Some(format!("{}.{:x}", service.name(), now.as_nanosecond())),
            namespace: Some(service.namespace().to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Service".to_owned()),
            namespace: Some(service.namespace().to_owned()),
            name: Some(service.name().to_owned()),
            uid,
            ..ObjectReference::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some(REASON.to_owned()),
        action: Some("Listen".to_owned()),
        message: Some(format!("node {node}: {message}")),
        source: Some(EventSource { component: Some("portolan".to_owned()), host: Some(node.to_owned()) }),
        reporting_component: Some("portolan".to_owned()),
        reporting_instance: Some(node.to_owned()),
        first_timestamp: time.clone(),
        last_timestamp: time,
        count: Some(1),
        ..Event::default()
    }
}

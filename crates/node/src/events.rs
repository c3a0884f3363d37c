//! What a node has to say about Services and about itself, as events (core/v1), which `kubectl describe` shows.

use std::time::Duration;

use dataplane::model::NamespacedName;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::follow::reason;

/// Who speaks.
const COMPONENT: &str = "portolan";
/// Where events of objects without a namespace are kept, as kubelet has it.
const NAMESPACE: &str = "default";
/// How long the server may take for an answer. An event that cannot be written is lost, as Kubernetes loses them.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A Service.
    Service(NamespacedName),
    /// The node itself.
    Node,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// About what.
    pub about: About,
    /// In one word, in capitals as Kubernetes' reasons are.
    pub reason: &'static str,
    /// What was to be done.
    pub action: &'static str,
    /// In full.
    pub message: String,
}

/// Writes everything as warnings, until told to stop. Whoever tells takes care to tell each thing once.
pub async fn keep(client: Client, node: String, mut told: mpsc::Receiver<Told>, stop: CancellationToken) {
    loop {
        let told = tokio::select! {
            () = stop.cancelled() => return,
            told = told.recv() => told,
        };
        // Nobody tells any more; who does is part of the same node, and says why it ends.
        let Some(told) = told else { return stop.cancelled().await };
        match tokio::time::timeout(PATIENCE, write(&client, &node, &told)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = reason(&error), "an event is lost"),
            Err(_) => tracing::debug!("an event is lost: the server does not answer"),
        }
    }
}

async fn write(client: &Client, node: &str, told: &Told) -> Result<(), kube::Error> {
    let object = match &told.about {
        About::Service(name) => {
            let Some(uid) = uid_of_service(client, name).await? else { return Ok(()) };
            reference("Service", Some(name.namespace()), name.name(), Some(uid))
        }
        // As kubelet's, which are written before the object is known.
        About::Node => reference("Node", None, node, Some(node.to_owned())),
    };
    let now = Timestamp::now();
    let said = (told.reason, told.action, format!("node {node}: {}", told.message));
    // Named by a number that no other event has, as Kubernetes names them.
    let event = warning(node, object, said, (&format!("{:x}", now.as_nanosecond()), now));
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    Api::<Event>::namespaced(client.clone(), &namespace).create(&PostParams::default(), &event).await.map(drop)
}

/// A Service's uid, by which `kubectl describe` finds its events; `None` when there is none. It is asked for by a list of
/// one, as kube-proxy's role lets Services be listed and not be got.
///
/// # Errors
/// When the server refuses, or does not answer.
pub async fn uid_of_service(client: &Client, name: &NamespacedName) -> Result<Option<String>, kube::Error> {
    let services: Api<Service> = Api::namespaced(client.clone(), name.namespace());
    let only = ListParams::default().fields(&format!("metadata.name={}", name.name()));
    let found = services.list_metadata(&only).await?;
    Ok(found.items.into_iter().find_map(|service| service.metadata.uid))
}

/// What an event is about.
pub(crate) fn reference(kind: &str, namespace: Option<&str>, name: &str, uid: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace: namespace.map(str::to_owned),
        name: Some(name.to_owned()),
        uid,
        ..ObjectReference::default()
    }
}

/// A warning about an object, as this node says it now; its name is the object's and `suffix`.
pub(crate) fn warning(
    node: &str,
    object: ObjectReference,
    (reason, action, message): (&str, &str, String),
    (suffix, now): (&str, Timestamp),
) -> Event {
    let time = Some(Time(now));
    let name = object.name.clone().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{suffix}")),
            namespace: Some(object.namespace.clone().unwrap_or_else(|| NAMESPACE.to_owned())),
            ..ObjectMeta::default()
        },
        involved_object: object,
        type_: Some("Warning".to_owned()),
        reason: Some(reason.to_owned()),
        action: Some(action.to_owned()),
        message: Some(message),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: Some(node.to_owned()) }),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(node.to_owned()),
        first_timestamp: time.clone(),
        last_timestamp: time,
        count: Some(1),
        ..Event::default()
    }
}

//! Events of Pods: what `kubectl describe pod` shows below. The same event again is counted, not written anew, and
//! neither more often than every few seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use pods::updates::PodEvent;
use serde_json::json;
use tokio::sync::mpsc;

use crate::follow::reason;

/// How many events are remembered, to be counted when they come again.
const REMEMBERED: usize = 512;
/// How often the count of one event is written.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How long the server may take for an answer. An event that cannot be written is lost, as Kubernetes loses them.
const PATIENCE: Duration = Duration::from_secs(5);

struct Seen {
    name: String,
    count: i32,
    written: Instant,
}

/// Writes every event, until the runtime is gone.
pub async fn tell(client: Client, node: String, mut events: mpsc::Receiver<PodEvent>) {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    while let Some(event) = events.recv().await {
        let key = format!("{}\0{}\0{}\0{}", event.uid, event.field, event.reason, event.message);
        if seen.len() >= REMEMBERED && !seen.contains_key(&key) {
            let oldest = seen.iter().min_by_key(|(_, s)| s.written).map(|(k, _)| k.clone());
            oldest.map(|k| seen.remove(&k));
        }
        let written = match seen.get_mut(&key) {
            Some(known) => {
                known.count = known.count.saturating_add(1);
                if known.written.elapsed() < COUNT_EVERY {
                    continue;
                }
                known.written = Instant::now();
                tokio::time::timeout(PATIENCE, count(&client, &event, known)).await
            }
            None => {
                // The name is the Pod's and a number that no other event has, as Kubernetes names them.
                let name = format!("{}.{:x}", event.name, Timestamp::now().as_nanosecond());
                seen.insert(key, Seen { name: name.clone(), count: 1, written: Instant::now() });
                tokio::time::timeout(PATIENCE, create(&client, &node, &event, name)).await
            }
        };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = reason(&error), "an event is lost"),
            Err(_) => tracing::debug!("an event is lost: the server does not answer"),
        }
    }
}

async fn create(client: &Client, node: &str, event: &PodEvent, name: String) -> Result<(), kube::Error> {
    let now = Some(Time(Timestamp::now()));
    let object = Event {
        metadata: ObjectMeta { name: Some(name), namespace: Some(event.namespace.clone()), ..ObjectMeta::default() },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(event.namespace.clone()),
            name: Some(event.name.clone()),
            uid: Some(event.uid.clone()),
            field_path: Some(event.field.clone()).filter(|f| !f.is_empty()),
            ..ObjectReference::default()
        },
        type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(event.reason.to_owned()),
        message: Some(event.message.clone()),
        source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(node.to_owned()) }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_owned()),
        first_timestamp: now.clone(),
        last_timestamp: now,
        count: Some(1),
        ..Event::default()
    };
    Api::<Event>::namespaced(client.clone(), &event.namespace).create(&PostParams::default(), &object).await.map(drop)
}

async fn count(client: &Client, event: &PodEvent, seen: &Seen) -> Result<(), kube::Error> {
    let events: Api<Event> = Api::namespaced(client.clone(), &event.namespace);
    let patch = json!({ "count": seen.count, "lastTimestamp": Time(Timestamp::now()) });
    events.patch(&seen.name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
}

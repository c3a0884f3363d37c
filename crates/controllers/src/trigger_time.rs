//! Since when a change waits to be seen in the endpoints of a Service, for measuring how long that takes: the earliest
//! time at which one of the changed Pods became (un)ready, or the Service was made.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::cache::Key;
use crate::objects::{Meta, Pod};

/// The annotation that says it.
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Remembers the times of every Service's Pods.
#[derive(Default)]
pub struct TriggerTimes {
    services: HashMap<Key, Times>,
}

#[derive(Default)]
struct Times {
    service: Option<Timestamp>,
    pods: BTreeMap<Box<str>, Timestamp>,
}

impl TriggerTimes {
    /// The time for the present state of a Service, compared with the state at the last call.
    pub fn update(&mut self, service: &Service, pods: &[Arc<Pod>]) -> Option<Timestamp> {
        let key = Key::of(service);
        let known = self.services.get(&key);
        let created = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let mut earliest = created.filter(|_| known.is_none_or(|known| known.service != created));
        let mut times = Times { service: created, pods: BTreeMap::new() };
        for pod in pods {
            let Some(since) = pod.status.ready.as_ref().and_then(|ready| ready.since.as_ref()) else { continue };
            let changed = known.is_some_and(|known| known.pods.get(pod.name()).is_none_or(|before| *before < since.0));
            if changed && earliest.is_none_or(|earliest| since.0 < earliest) {
                earliest = Some(since.0);
            }
            times.pods.insert(pod.name().into(), since.0);
        }
        self.services.insert(key, times);
        earliest
    }

    /// Forgets a Service.
    pub fn forget(&mut self, key: &Key) {
        self.services.remove(key);
    }
}

/// Writes the annotation, or takes an old one away.
pub fn annotate(metadata: &mut ObjectMeta, time: Option<Timestamp>) {
    let annotations = metadata.annotations.get_or_insert_default();
    match time {
        Some(time) => annotations.insert(TRIGGER_TIME.to_owned(), time.to_string()),
        None => annotations.remove(TRIGGER_TIME),
    };
    if annotations.is_empty() {
        metadata.annotations = None;
    }
}

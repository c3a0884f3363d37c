//! Events: what `kubectl describe` shows of what the controllers did.
//!
//! As client-go's event recorder (`k8s.io/client-go/tools/record`): the same event said again raises the count of the
//! first; more than ten that differ in nothing but their message become one "(combined from similar events)"; and an
//! object that is talked about all the time is talked about once in five minutes after the first 25 times. Notes go
//! through a bounded queue to one task, so that no reconcile waits for them; when it is full they are dropped.

mod correlator;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::change::{Act, Change, EVENTS, Note, Part};
use crate::write::{WriteError, Writer};
use correlator::{Correlator, Said};

/// How many notes may wait.
const WAITING: usize = 1024;

/// Takes notes.
#[derive(Clone)]
pub struct Recorder {
    notes: mpsc::Sender<(&'static str, Note)>,
}

impl Recorder {
    /// A recorder whose notes are written by a task until `stop`.
    pub fn start(writer: Writer, stop: CancellationToken) -> Self {
        let (notes, mut waiting) = mpsc::channel::<(&'static str, Note)>(WAITING);
        tokio::spawn(async move {
            let mut correlator = Correlator::default();
            loop {
                let (component, note) = tokio::select! {
                    () = stop.cancelled() => return,
                    next = waiting.recv() => match next {
                        Some(next) => next,
                        None => return,
                    },
                };
                record(&writer, &mut correlator, component, note, Timestamp::now()).await;
            }
        });
        Self { notes }
    }

    /// Takes a note from a component (`deployment-controller`).
    pub fn note(&self, component: &'static str, note: Note) {
        if note.warning {
            tracing::info!(component, about = %note.about.name, reason = note.reason, "{}", note.message);
        } else {
            tracing::debug!(component, about = %note.about.name, reason = note.reason, "{}", note.message);
        }
        if self.notes.try_send((component, note)).is_err() {
            tracing::debug!(component, "an event was dropped: too many wait");
        }
    }
}

async fn record(writer: &Writer, correlator: &mut Correlator, component: &'static str, note: Note, now: Timestamp) {
    let Some(said) = correlator.correlate(component, note, now) else { return };
    let mut change = if said.count > 1 { again(&said, now) } else { first(component, &said, now) };
    let mut written = writer.apply(&change).await;
    if said.count > 1 && matches!(written, Err(WriteError::NotFound(_))) {
        // The event has expired meanwhile.
        change = first(component, &said, now);
        written = writer.apply(&change).await;
    }
    match written {
        Ok(_) | Err(WriteError::NamespaceTerminating(_)) => {}
        Err(error) => tracing::debug!(component, reason = said.note.reason, %error, "an event was not written"),
    }
}

fn first(component: &str, said: &Said, now: Timestamp) -> Change {
    let note = &said.note;
    Change::create(
        EVENTS,
        &json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": namespace(note), "name": said.name},
            "involvedObject": note.about.object(),
            "reason": note.reason,
            "message": note.message,
            "type": if note.warning { "Warning" } else { "Normal" },
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "",
            "firstTimestamp": seconds(said.first),
            "lastTimestamp": seconds(now),
            "count": said.count,
            "eventTime": Value::Null,
        }),
    )
}

fn again(said: &Said, now: Timestamp) -> Change {
    Change {
        resource: EVENTS,
        namespace: namespace(&said.note).to_owned(),
        name: (*said.name).to_owned(),
        act: Act::Merge(
            Part::Main,
            json!({"count": said.count, "lastTimestamp": seconds(now), "message": said.note.message}),
        ),
    }
}

/// Events about objects of the cluster are kept in `default`.
fn namespace(note: &Note) -> &str {
    if note.about.namespace.is_empty() { "default" } else { &note.about.namespace }
}

/// A time as `metav1.Time` writes it.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The shared name of an event.
type Name = Arc<str>;

#[cfg(test)]
mod tests;

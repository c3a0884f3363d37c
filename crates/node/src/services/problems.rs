//! What keeps Services from being served as they say, as events of the Services: what `kubectl describe service` shows
//! below. Each is told once, until it changes, and only if it stands for a while: slices that contradict each other for
//! a moment, while an endpoint moves from one to another, are nobody's concern.
//!
//! Every node sees the same objects and so the same faults: an event's name is made of what it says, so that all nodes
//! together write one.

use std::collections::BTreeSet;
use std::time::Duration;

use dataplane::Problem;
use dataplane::model::Reason;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::events::{reference, uid_of_service, warning};
use crate::follow::reason;

/// How long a problem stands before it is told.
const SETTLE: Duration = Duration::from_secs(2);
/// Between two events: a cluster full of bad objects must not flood the server.
const PACE: Duration = Duration::from_millis(100);
/// How long the server may take for an answer. An event that cannot be written is lost, as Kubernetes loses them.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest message, in bytes (the API's own limit).
const LONGEST: usize = 1024;

/// Writes an event for each problem that comes to stand, until told to stop or nobody tells any more.
pub(super) async fn tell(
    client: Client,
    node: String,
    mut standing: watch::Receiver<BTreeSet<Problem>>,
    stop: CancellationToken,
) {
    let told = async {
        let mut told = BTreeSet::new();
        while standing.changed().await.is_ok() {
            loop {
                tokio::time::sleep(if told.is_empty() || standing.has_changed().unwrap_or(false) {
                    SETTLE
                } else {
                    PACE
                })
                .await;
                let Some(next) = next(&mut told, &standing.borrow_and_update()) else { break };
                write(&client, &node, &next).await;
                told.insert(next);
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = told => {}
    }
}

/// The first problem that was not told; forgets those that no longer stand, so that they are told when they come back.
fn next(told: &mut BTreeSet<Problem>, standing: &BTreeSet<Problem>) -> Option<Problem> {
    told.retain(|problem| standing.contains(problem));
    standing.difference(told).next().cloned()
}

async fn write(client: &Client, node: &str, problem: &Problem) {
    match tokio::time::timeout(PATIENCE, create(client, node, problem)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%problem, error = reason(&error), "an event is lost"),
        Err(_) => tracing::debug!(%problem, "an event is lost: the server does not answer"),
    }
}

async fn create(client: &Client, node: &str, problem: &Problem) -> Result<(), kube::Error> {
    let namespace = problem.service.namespace();
    // Without its number `kubectl describe` does not find the event.
    let Some(uid) = uid_of_service(client, &problem.service).await? else { return Ok(()) };
    let event = event(node, problem, uid, Timestamp::now());
    let written = Api::<Event>::namespaced(client.clone(), namespace).create(&PostParams::default(), &event).await;
    match written {
        // Another node was first.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        written => written.map(drop),
    }
}

fn event(node: &str, problem: &Problem, uid: String, now: Timestamp) -> Event {
    let Problem { service, reason, message } = problem;
    // What a kernel refuses is a matter of its node, all else of the objects.
    let own = (*reason == Reason::RefusedByKernel).then_some(node);
    let mut message = own.map_or_else(|| message.clone(), |node| format!("node {node}: {message}"));
    let end = (0..=LONGEST.min(message.len())).rev().find(|end| message.is_char_boundary(*end));
    message.truncate(end.unwrap_or(0));
    let number = number(&[&uid, &reason.to_string(), &message]);
    let object = reference("Service", Some(service.namespace()), service.name(), Some(uid));
    warning(node, object, (&reason.to_string(), "Program", message), (&format!("{number:016x}"), now))
}

/// FNV-1a: the same on every node, whatever version it runs.
fn number(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;

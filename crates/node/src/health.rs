//! Whether the kernel is kept in step: what load balancers and whoever restarts the agent ask. Words and rules are
//! kube-proxy's (KEP-3836), so that what asks kube-proxy can ask us.
//!
//! A change that waits for longer than [`PATIENCE`] means that something hangs. While nothing was programmed yet the
//! answer is "healthy": it is starting.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dataplane::model::{self, Model};
use dataplane::{Family, SyncError, SyncReport};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::Arc;

use crate::follow::ObjectKey;
use crate::services::Listener;
use crate::views::{EndpointSlice, Service};

/// How long a change may wait: twice kube-proxy's `syncPeriod`.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What the cluster autoscaler taints a node with that it is about to take away.
pub const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// Go's zero time, which stands for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A moment, by the clock that never jumps and by the one that others know.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For durations.
    pub steady: Instant,
    /// For answers.
    pub wall: Timestamp,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self { steady: Instant::now(), wall: Timestamp::now() }
    }
}

/// Whether the kernel is kept in step, shared by those who know and those who answer.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    updated: BTreeMap<Family, Timestamp>,
    /// Since when a change waits.
    pending: Option<Instant>,
    /// Whether the node may be given traffic; unknown until its object was seen.
    eligible: bool,
}

/// The answer to a question of health.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    last_updated: String,
    current_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<String, FamilyReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyReport {
    last_updated: String,
    healthy: bool,
}

impl Health {
    /// A change came that the kernel is to be told.
    pub fn queued(&self, now: impl FnOnce() -> Instant) {
        let mut state = self.0.lock();
        if state.pending.is_none() {
            state.pending = Some(now());
        }
    }

    /// The kernel was told of all that had come.
    pub fn updated(&self, families: &[Family], now: Moment) {
        let mut state = self.0.lock();
        state.pending = None;
        state.updated.extend(families.iter().map(|family| (*family, now.wall)));
    }

    /// Whether the node may be given traffic: it has an object, which is not being deleted nor tainted with
    /// [`TO_BE_DELETED`].
    pub fn set_eligible(&self, eligible: bool) {
        self.0.lock().eligible = eligible;
    }

    /// Whether the kernel is in step, whatever the node is about to do.
    pub fn is_healthy(&self, now: Moment) -> bool {
        self.0.lock().is_healthy(now)
    }

    /// The answer of `/livez`: whether it is well, and the body.
    pub fn livez(&self, now: Moment) -> (bool, String) {
        let state = self.0.lock();
        let healthy = state.is_healthy(now);
        (healthy, state.report(now, healthy, healthy, None))
    }

    /// The answer of `/readyz`, which kube-proxy does not have: good from when the kernel was first told of everything, so
    /// that whoever waits for it may take away what served before.
    pub fn readyz(&self, now: Moment) -> (bool, String) {
        let state = self.0.lock();
        let (healthy, ready) = (state.is_healthy(now), !state.updated.is_empty());
        (healthy && ready, state.report(now, healthy && ready, healthy, None))
    }

    /// The answer of `/healthz`, which is also bad when the node is about to go, so that load balancers leave it.
    pub fn healthz(&self, now: Moment) -> (bool, String) {
        let state = self.0.lock();
        let (healthy, eligible) = (state.is_healthy(now), state.eligible);
        (healthy && eligible, state.report(now, healthy && eligible, healthy, Some(eligible)))
    }
}

impl State {
    fn is_healthy(&self, now: Moment) -> bool {
        let late = self.pending.is_some_and(|since| now.steady.saturating_duration_since(since) >= PATIENCE);
        self.updated.is_empty() || !late
    }

    /// As kube-proxy has it, `lastUpdated` is the current time whenever the answer is good.
    fn report(&self, now: Moment, good: bool, healthy: bool, node_eligible: Option<bool>) -> String {
        let last = self.updated.values().max().map_or_else(|| NEVER.to_owned(), Timestamp::to_string);
        let status = self
            .updated
            .iter()
            .map(|(family, updated)| (family.to_string(), FamilyReport { last_updated: updated.to_string(), healthy }));
        let report = Report {
            last_updated: if good { now.wall.to_string() } else { last },
            current_time: now.wall.to_string(),
            node_eligible,
            healthy,
            status: status.collect(),
        };
        // Texts and truth values: nothing that JSON could refuse.
        serde_json::to_string(&report).unwrap_or_default()
    }
}

/// Keeps [`Health`] true.
#[derive(Debug)]
pub struct Pulse {
    /// What is kept true.
    pub health: Arc<Health>,
    /// The families that are programmed.
    pub families: Vec<Family>,
}

impl Listener for Pulse {
    fn set_service(&mut self, _: &ObjectKey, _: &Service, _: Option<&model::Service>) {
        self.health.queued(Instant::now);
    }

    fn remove_service(&mut self, _: &ObjectKey) {
        self.health.queued(Instant::now);
    }

    fn set_slice(&mut self, _: &ObjectKey, _: &EndpointSlice, _: Option<&model::EndpointSlice>) {
        self.health.queued(Instant::now);
    }

    fn remove_slice(&mut self, _: &ObjectKey) {
        self.health.queued(Instant::now);
    }

    fn synced(&mut self, done: &Result<SyncReport, SyncError>, _: &Model) {
        match done {
            Ok(_) => self.health.updated(&self.families, Moment::now()),
            Err(_) => self.health.queued(Instant::now),
        }
    }
}

#[cfg(test)]
mod tests;

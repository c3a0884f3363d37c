//! Counts what happens in the loop over Services.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use dataplane::model::{self, Model, NamespacedName, TrafficPolicy};
use dataplane::{Family, SyncError, SyncReport, route};
use jiff::Timestamp;

use super::metrics::{Metrics, PerFamily, PerPart, PerPolicy};
use crate::follow::ObjectKey;
use crate::services::{Listener, Start};
use crate::views::{EndpointSlice, Service};

/// When the Pods or the Service changed that made the controller write this slice (the endpoints controller writes it).
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Which of a Service's policies are Local.
#[derive(Clone, Copy, Debug)]
struct Local {
    internal: bool,
    external: bool,
}

/// Counts into [`Metrics`].
#[derive(Debug)]
pub(super) struct Figures {
    metrics: Metrics,
    families: Vec<Family>,
    /// When counting began: what was triggered earlier was not waited for here.
    begun: Timestamp,
    /// Of each slice, by a hash of its name, the trigger time that was counted last; a list tells of it again.
    triggers: HashMap<u64, Timestamp>,
    hasher: RandomState,
    /// Trigger times of changes that the kernel was not told of yet.
    due: Vec<Timestamp>,
    /// Services with a policy that is Local.
    local: BTreeMap<NamespacedName, Local>,
    /// Of those, the families in which this node has no endpoint though others have.
    lacking: BTreeMap<NamespacedName, Vec<Family>>,
    touched: BTreeSet<NamespacedName>,
}

impl Figures {
    pub(super) fn new(metrics: Metrics, families: Vec<Family>) -> Self {
        metrics.begin(&families);
        Self {
            metrics,
            families,
            begun: Timestamp::now(),
            triggers: HashMap::new(),
            hasher: RandomState::new(),
            due: Vec::new(),
            local: BTreeMap::new(),
            lacking: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    fn queued(&self) {
        let now = seconds(Timestamp::now());
        for family in &self.families {
            self.metrics.last_queued.get_or_create(&PerFamily::of(*family)).set(now);
        }
    }

    fn service_changed(&self) {
        self.metrics.service_changes.inc();
        self.metrics.service_changes_pending.inc();
        self.queued();
    }

    fn endpoints_changed(&self) {
        self.metrics.endpoint_changes.inc();
        self.metrics.endpoint_changes_pending.inc();
        self.queued();
    }

    fn forget_service(&mut self, key: &ObjectKey) {
        let name = NamespacedName::new(&key.0, &key.1);
        self.local.remove(&name);
        self.lacking.remove(&name);
    }

    fn count_lacking(&mut self, model: &Model) {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() && self.lacking.is_empty() {
            return self.set_lacking();
        }
        for name in touched.into_iter().filter(|name| self.local.contains_key(name)) {
            let families = route::families_without_local_endpoints(model, &name);
            if families.is_empty() {
                self.lacking.remove(&name);
            } else {
                self.lacking.insert(name, families);
            }
        }
        self.set_lacking();
    }

    fn set_lacking(&self) {
        for family in &self.families {
            let here = || self.lacking.iter().filter(|(_, families)| families.contains(family));
            let count =
                |policy: fn(&Local) -> bool| here().filter(|(n, _)| self.local.get(n).is_some_and(policy)).count();
            let (internal, external) = (count(|l| l.internal), count(|l| l.external));
            let gauges = &self.metrics.no_local_endpoints;
            gauges.get_or_create(&PerPolicy::internal(*family)).set(internal.try_into().unwrap_or(i64::MAX));
            gauges.get_or_create(&PerPolicy::external(*family)).set(external.try_into().unwrap_or(i64::MAX));
        }
    }

    fn failed(&self) {
        for family in &self.families {
            self.metrics.sync_failures.get_or_create(&PerFamily::of(*family)).inc();
        }
    }

    fn done(&mut self, report: &SyncReport) {
        let (now, took) = (Timestamp::now(), report.duration.as_secs_f64());
        for label in self.families.iter().map(|family| PerFamily::of(*family)) {
            let metrics = &self.metrics;
            metrics.sync_duration.get_or_create(&label).observe(took);
            let kind = if report.full { &metrics.full_sync_duration } else { &metrics.partial_sync_duration };
            kind.get_or_create(&label).observe(took);
            metrics.last_sync.get_or_create(&label).set(seconds(now));
            let programming = metrics.network_programming.get_or_create(&label);
            self.due.iter().for_each(|trigger| programming.observe(seconds(now) - seconds(*trigger)));
        }
        self.due.clear();
        self.metrics.endpoint_changes_pending.set(0);
        self.metrics.service_changes_pending.set(0);
        self.metrics.kernel_changes.inc_by(report.changes as u64);
        let refused = report.refused.iter().filter(|refusal| refusal.new).count();
        self.metrics.refused.inc_by(refused as u64);
        if refused > 0 {
            self.failed();
        }
        if let Some(mended) = &report.mended {
            self.metrics.mended.inc();
            self.metrics.mended_rules.inc_by(mended.changes as u64);
        }
        self.metrics.conflicts.set(report.conflicts.len().try_into().unwrap_or(i64::MAX));
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}

impl Listener for Figures {
    fn set_service(&mut self, key: &ObjectKey, _: &Service, traffic: Option<&model::Service>) {
        self.service_changed();
        let is_local = |policy| policy == TrafficPolicy::Local;
        let local = traffic.filter(|service| service.is_proxied()).map(|service| Local {
            internal: is_local(service.internal_policy),
            external: is_local(service.external_policy),
        });
        match local.filter(|local| local.internal || local.external) {
            Some(local) => {
                let name = NamespacedName::new(&key.0, &key.1);
                self.local.insert(name.clone(), local);
                self.touched.insert(name);
            }
            None => self.forget_service(key),
        }
    }

    fn remove_service(&mut self, key: &ObjectKey) {
        self.service_changed();
        self.forget_service(key);
    }

    fn set_slice(&mut self, key: &ObjectKey, slice: &EndpointSlice, _: Option<&model::EndpointSlice>) {
        self.endpoints_changed();
        let annotations = slice.metadata.annotations.as_ref();
        let Some(trigger) = annotations.and_then(|a| a.get(TRIGGER_TIME)?.parse::<Timestamp>().ok()) else { return };
        if self.triggers.insert(self.hasher.hash_one(key), trigger) != Some(trigger) && trigger >= self.begun {
            self.due.push(trigger);
        }
    }

    fn remove_slice(&mut self, key: &ObjectKey) {
        self.endpoints_changed();
        self.triggers.remove(&self.hasher.hash_one(key));
    }

    fn touched(&mut self, service: &NamespacedName) {
        if self.local.contains_key(service) {
            self.touched.insert(service.clone());
        }
    }

    fn started(&mut self, start: &Start) {
        let Start { services, slices, taken, programmed, sync } = *start;
        let parts = [
            ("services", services),
            ("slices", slices),
            ("taken", taken),
            ("read", sync.read),
            ("plan", sync.plan),
            ("commit", sync.commit),
            ("rest", sync.rest),
            ("programmed", programmed),
        ];
        for (part, took) in parts {
            self.metrics.start.get_or_create(&PerPart { part }).set(took.as_secs_f64());
        }
    }

    fn synced(&mut self, done: &Result<SyncReport, SyncError>, model: &Model) {
        self.count_lacking(model);
        match done {
            Ok(report) => self.done(report),
            Err(_) => self.failed(),
        }
    }
}

#[cfg(test)]
mod tests;

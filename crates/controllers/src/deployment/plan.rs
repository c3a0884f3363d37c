//! From which ReplicaSets to which a Deployment goes next.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::bounds::{Bounds, rolls};
use super::sets::{DESIRED_REPLICAS, REVISION, Set, new_name};
use super::sharing::share_out;
use super::status::{self, Conditions};
use crate::change::{Change, DEPLOYMENTS, Note, Part};
use crate::objects::{Deployment, Meta, ReplicaSet};

/// What a plan is made from.
pub struct Snapshot<'a> {
    /// The Deployment.
    pub deployment: &'a Deployment,
    /// The ReplicaSets that it controls.
    pub sets: &'a [Arc<ReplicaSet>],
    /// Whether a ReplicaSet (by uid) has Pods that have not ended, those on their way out included.
    pub has_pods: &'a dyn Fn(&str) -> bool,
    /// Whether a ReplicaSet of this name exists in the namespace, whoever's it is.
    pub taken: &'a dyn Fn(&str) -> bool,
    /// The time.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Writes of ReplicaSets, and what to say when each is done.
    pub sets: Vec<(Change, Option<Note>)>,
    /// Then, writes of the Deployment.
    pub deployment: Vec<Change>,
    /// When to plan again, though nothing changes.
    pub again: Option<Duration>,
}

/// Makes the plan.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let deployment = snapshot.deployment;
    let mut held: Vec<&ReplicaSet> = snapshot.sets.iter().map(|set| &**set).collect();
    held.sort_by(|a, b| (Set::held(a).created(), a.name()).cmp(&(Set::held(b).created(), b.name())));
    let template = &deployment.spec.template.document;
    let at = held.iter().position(|set| set.spec.template.document == *template);
    let new = at.map(|at| Set::held(held.remove(at)));
    let mut rollout = Rollout {
        snapshot,
        bounds: Bounds::of(deployment),
        new,
        old: held.into_iter().map(Set::held).collect(),
        conditions: Conditions::of(deployment, snapshot.now),
        collisions: deployment.status.collision_count,
    };
    let judge = rollout.go();
    rollout.into_plan(judge)
}

struct Rollout<'a> {
    snapshot: &'a Snapshot<'a>,
    bounds: Bounds,
    /// The ReplicaSet of the present template.
    new: Option<Set<'a>>,
    /// All others, the oldest first.
    old: Vec<Set<'a>>,
    conditions: Conditions,
    collisions: Option<i32>,
}

impl<'a> Rollout<'a> {
    /// Decides on all sizes. Tells whether it is to be judged how the rollout goes.
    fn go(&mut self) -> bool {
        let deployment = self.snapshot.deployment;
        if deployment.deleting() {
            return false;
        }
        self.conditions.pause(deployment);
        self.make_current();
        let paused = deployment.spec.paused.unwrap_or(false);
        // Who recreates gives all sizes at once anyway.
        if paused || (rolls(deployment) && self.is_resized()) {
            self.resize();
            if paused {
                self.discard_history();
            }
            return false;
        }
        if rolls(deployment) {
            self.roll()
        } else {
            self.recreate()
        }
        let counts = status::counts(deployment, self.new.as_ref(), &self.old, self.collisions);
        if status::is_complete(deployment, &counts) {
            self.discard_history();
        }
        true
    }

    /// The newest revision of those that are not the present one.
    fn newest_old(&self) -> i64 {
        self.old.iter().map(Set::revision).max().unwrap_or(0)
    }

    fn make_current(&mut self) {
        let newest_old = self.newest_old();
        if let Some(new) = &mut self.new {
            new.make_current(self.snapshot.deployment, newest_old);
            self.conditions.found(self.snapshot.deployment, &new.name);
        }
    }

    /// Makes the ReplicaSet of the present template. Where another has its name, the next try has another name.
    fn create(&mut self) {
        let deployment = self.snapshot.deployment;
        if (self.snapshot.taken)(&new_name(deployment)) {
            self.collisions = Some(self.collisions.unwrap_or(0).saturating_add(1));
            return;
        }
        let mut new = Set::new(deployment, self.bounds);
        new.make_current(deployment, self.newest_old());
        self.conditions.created(deployment, &new.name);
        self.new = Some(new);
    }

    fn active_old(&mut self) -> impl Iterator<Item = &mut Set<'a>> {
        self.old.iter_mut().filter(|set| set.replicas > 0)
    }

    fn total(&self) -> i32 {
        self.new.iter().chain(&self.old).map(|set| set.replicas).sum()
    }

    /// Whether the Deployment has another size than its ReplicaSets were scaled for.
    fn is_resized(&self) -> bool {
        let active = self.new.iter().chain(&self.old).filter(|set| set.replicas > 0);
        let mut desired = active.filter_map(|set| set.annotations.get(DESIRED_REPLICAS)?.parse::<i32>().ok());
        desired.any(|desired| desired != self.bounds.replicas)
    }

    /// Follows a change of size without going on with the rollout.
    fn resize(&mut self) {
        let bounds = self.bounds;
        let active = self.new.iter().chain(&self.old).filter(|set| set.replicas > 0).count();
        if active <= 1 {
            // The only one that has Pods, or else the newest, has them all.
            let newest = self.old.iter().map(Set::created).max().unwrap_or_default();
            let only = match (&mut self.new, active) {
                (Some(new), 0) => Some(new),
                (new, 1) => new.iter_mut().chain(&mut self.old).find(|set| set.replicas > 0),
                _ => self.old.iter_mut().find(|set| set.created() == newest),
            };
            if let Some(set) = only {
                // Noted even where the size is right already: else it would look resized for ever.
                set.scale(bounds.replicas, bounds);
            }
            return;
        }
        if self.new.as_ref().is_some_and(|new| is_saturated(new, bounds)) {
            self.active_old().for_each(|set| {
                set.scale(0, bounds);
            });
        } else if rolls(self.snapshot.deployment) {
            let all = self.new.iter_mut().chain(&mut self.old);
            let mut active: Vec<&mut Set<'_>> = all.filter(|set| set.replicas > 0).collect();
            share_out(&mut active, self.snapshot.deployment, bounds);
        }
    }

    /// One step of a rolling update: the new one grows as far as there may be more, the old ones shrink as far as
    /// enough stays available.
    fn roll(&mut self) {
        if self.new.is_none() {
            self.create();
        }
        let (bounds, total) = (self.bounds, self.total());
        let Some(new) = &mut self.new else { return };
        let room = (bounds.most() - total).max(0);
        let size = new.replicas.saturating_add(room).min(bounds.replicas);
        if size != new.replicas {
            new.scale(size, bounds);
        }
        let missing = new.replicas - new.available();
        let available: i32 = self.new.iter().chain(&self.old).map(Set::available).sum();
        let may_go = self.total() - bounds.least() - missing;
        // First those that serve nobody anyway, then of the others as many as are more than needed.
        let mut left = may_go.max(0);
        for set in self.active_old() {
            let idle = (set.replicas - set.available()).min(left);
            if idle > 0 {
                let size = set.replicas - idle;
                left -= idle;
                set.scale(size, bounds);
            }
        }
        let mut left = left.min(available - bounds.least()).max(0);
        for set in self.active_old() {
            let part = set.replicas.min(left);
            if part > 0 {
                let size = set.replicas - part;
                left -= part;
                set.scale(size, bounds);
            }
        }
    }

    /// One step of a replacement: first all old Pods go, then the new ones come.
    fn recreate(&mut self) {
        let bounds = self.bounds;
        let mut waits = false;
        for set in self.active_old() {
            waits |= set.scale(0, bounds);
        }
        let has_pods = |set: &Set<'_>| {
            set.status().replicas > 0 || set.held.is_some_and(|held| (self.snapshot.has_pods)(held.uid()))
        };
        if waits || self.old.iter().any(has_pods) {
            return;
        }
        if self.new.is_none() {
            self.create();
        }
        if let Some(new) = self.new.as_mut().filter(|new| new.replicas != bounds.replicas) {
            new.scale(bounds.replicas, bounds);
        }
    }

    /// Old ReplicaSets beyond the limit go, the oldest revisions first; one that still has Pods stays.
    fn discard_history(&mut self) {
        let limit = self.snapshot.deployment.spec.revision_history_limit.filter(|limit| *limit != i32::MAX);
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return };
        let mut old: Vec<&mut Set<'_>> =
            self.old.iter_mut().filter(|set| set.held.is_some_and(|held| !held.deleting())).collect();
        old.sort_by_key(|set| (set.revision(), set.created()));
        let excess = old.len().saturating_sub(limit);
        for set in old.into_iter().take(excess) {
            let observed = set.held.is_some_and(|held| {
                held.status.observed_generation >= held.metadata.generation.unwrap_or(0) && held.replicas() == 0
            });
            set.discarded = observed && set.replicas == 0 && set.status().replicas == 0;
        }
    }

    fn into_plan(self, judge: bool) -> Plan {
        let deployment = self.snapshot.deployment;
        let sets: Vec<(Change, Option<Note>)> =
            self.new.iter().chain(&self.old).filter_map(|set| set.change(deployment)).collect();
        let counts = status::counts(deployment, self.new.as_ref(), &self.old, self.collisions);
        let status = status::status(deployment, counts, (self.new.as_ref(), &self.old), self.conditions, judge);
        let revision = self.new.as_ref().and_then(|new| new.annotations.get(REVISION));
        let mut changes = Vec::new();
        if let Some(revision) = revision.filter(|r| deployment.annotation(REVISION) != Some(r.as_str())) {
            let patch = json!({"metadata": {"uid": deployment.uid(), "annotations": {REVISION: revision}}});
            // As a part of the status, as Kubernetes' own does it: else the generation would change, and nobody asked for more.
            changes.push(Change::merge(DEPLOYMENTS, deployment, Part::Status, patch));
        }
        changes.extend(status::change(deployment, &status));
        let again = if judge { status::next_check(deployment, &status, self.snapshot.now) } else { None };
        Plan { sets, deployment: changes, again }
    }
}

/// Whether the new ReplicaSet has all Pods that are wanted, and all are available.
fn is_saturated(new: &Set<'_>, bounds: Bounds) -> bool {
    let desired = new.annotations.get(DESIRED_REPLICAS).and_then(|text| text.parse().ok());
    new.replicas == bounds.replicas
        && desired == Some(bounds.replicas)
        && new.status().available_replicas == bounds.replicas
}

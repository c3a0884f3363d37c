//! The probes of a Pod's containers while they run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Container;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::state::Running;
use crate::probes::schedule::{Kind, Probing, Rhythm, Said};
use crate::probes::{Check, Target};

/// All of them. When a container's are dropped, they end.
pub struct Asking {
    tell: mpsc::Sender<Said>,
    containers: BTreeMap<String, Probes>,
}

struct Probes {
    attempt: u32,
    started: watch::Sender<bool>,
    tasks: BTreeMap<Kind, JoinSet<()>>,
}

impl Asking {
    pub fn new(tell: mpsc::Sender<Said>) -> Self {
        Self { tell, containers: BTreeMap::new() }
    }

    /// Begins to ask a container, which has come up or not yet.
    pub fn begin(&mut self, container: &Container, running: &Running, target: &Target) {
        let (started, seen) = watch::channel(running.is_started());
        let kinds = [
            (Kind::Startup, &container.startup_probe),
            (Kind::Readiness, &container.readiness_probe),
            (Kind::Liveness, &container.liveness_probe),
        ];
        let mut tasks = BTreeMap::new();
        for (kind, probe) in kinds {
            let Some(probe) = probe else { continue };
            if kind == Kind::Startup && running.probed {
                continue;
            }
            let probing = Probing {
                container: container.name.clone(),
                attempt: running.attempt,
                kind,
                check: Check::of_probe(probe, container, &target.address),
                target: target.clone(),
                rhythm: Rhythm::of(probe),
                started_at: running.started_at,
                ready: running.ready,
                started: seen.clone(),
                tell: self.tell.clone(),
            };
            let mut task = JoinSet::new();
            task.spawn(probing.run());
            tasks.insert(kind, task);
        }
        self.containers.insert(container.name.clone(), Probes { attempt: running.attempt, started, tasks });
    }

    /// The container has come up: the other probes begin.
    pub fn started(&mut self, container: &str) {
        if let Some(probes) = self.containers.get(container) {
            probes.started.send_replace(true);
        }
    }

    /// The container was asked to end: whether it takes traffic is still of interest, nothing else is.
    pub fn stopping(&mut self, container: &str) {
        if let Some(probes) = self.containers.get_mut(container) {
            probes.tasks.retain(|kind, _| *kind == Kind::Readiness);
        }
    }

    /// Whether words of a probe are about the container that runs now.
    pub fn is_current(&self, said: &Said) -> bool {
        self.containers
            .get(&said.container)
            .is_some_and(|p| p.attempt == said.attempt && p.tasks.contains_key(&said.kind))
    }

    /// The container has ended.
    pub fn forget(&mut self, container: &str) {
        self.containers.remove(container);
    }

    /// All have ended.
    pub fn forget_all(&mut self) {
        self.containers.clear();
    }
}

//! What others see of a Pod's containers: enough to find logs and to run programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

use super::plan::{self, Next};
use super::state::{Now, State};
use crate::config::Timing;
use crate::layout::PodDir;
use crate::process::ProcessId;
use crate::spec;

/// Shared with the worker, which keeps it current.
pub type Shared = Arc<Mutex<View>>;

/// A Pod as others see it.
#[derive(Clone, Debug)]
pub struct View {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its directories.
    pub dir: PodDir,
    /// Its containers.
    pub containers: BTreeMap<String, Seen>,
}

/// A container as others see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The last start that has a log.
    pub attempt: Option<u32>,
    /// The last one that ended, apart from one that is the container's end for good.
    pub previous: Option<u32>,
    /// Its first process, while it runs.
    pub process: Option<ProcessId>,
}

impl View {
    /// Takes over what has become of the containers.
    pub fn update(&mut self, pod: &Pod, state: &State, timing: &Timing) {
        for (role, container) in spec::containers(pod) {
            let of = state.container(&container.name);
            let attempt = of.starts.checked_sub(1);
            let waits = match of.now {
                Now::Ended(_) => plan::next(pod, role, &of, timing) != Next::Stay,
                Now::Waiting(_) | Now::Starting => true,
                Now::Running(_) => false,
            };
            let previous = if waits { attempt } else { attempt.and_then(|a| a.checked_sub(1)) };
            let process = match of.now {
                Now::Running(running) => Some(running.process),
                _ => None,
            };
            self.containers.insert(container.name.clone(), Seen { attempt, previous, process });
        }
    }
}

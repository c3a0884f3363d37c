//! What others see of a Pod's containers: enough to find logs and to run programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::state::{Now, State};
use crate::layout::PodDir;
use crate::process::ProcessId;

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
    /// Its first process, while it runs.
    pub process: Option<ProcessId>,
}

impl View {
    /// Takes over what has become of the containers.
    pub fn update(&mut self, state: &State) {
        let seen = |container: &super::state::ContainerState| Seen {
            attempt: container.starts.checked_sub(1),
            process: match &container.now {
                Now::Running(running) => Some(running.process.clone()),
                _ => None,
            },
        };
        for (name, container) in &state.containers {
            self.containers.insert(name.clone(), seen(container));
        }
    }
}

//! The Pods of a node: wanted ones in, statuses out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::config::Config;
use crate::host::{Host, StartError};
use crate::images::Store;
use crate::layout::{BadName, PodDir};
use crate::mounts;
use crate::pod::view::{Shared, View};
use crate::pod::worker::{Desired, Worker};
use crate::process::ProcessId;
use crate::remains;
use crate::sources::Sources;
use crate::updates::{PodEvent, Statuses};

/// A Pod that cannot be run by any node: it lacks what a Pod of an API server has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPod {
    /// No uid, namespace, name or specification.
    #[error("the Pod has no {0}")]
    Lacks(&'static str),
    /// Its uid, or the name of a container or volume.
    #[error(transparent)]
    Name(#[from] BadName),
}

/// A container that was looked for.
#[derive(Clone, Debug)]
pub struct Found {
    /// The Pod's directories.
    pub(crate) dir: PodDir,
    /// The container's name.
    pub(crate) container: String,
    /// The last start that has a log.
    pub(crate) attempt: Option<u32>,
    /// The last one that ended before it, or that waits to be followed by another.
    pub(crate) previous: Option<u32>,
    /// Its first process, while it runs.
    pub(crate) process: Option<ProcessId>,
}

/// Why a container was not found.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotFound {
    /// No Pod of that name is on the node.
    #[error("pods {0:?} not found")]
    Pod(String),
    /// The Pod has no container of that name.
    #[error("container {container} is not valid for pod {pod}")]
    Container {
        /// The container's name.
        container: String,
        /// The Pod's name.
        pod: String,
    },
}

/// Runs the Pods of a node. Cheap to clone; all clones are one runtime. When the last is dropped, its workers end and the
/// containers go on.
#[derive(Clone)]
pub struct PodRuntime(Arc<Inner>);

struct Inner {
    host: Arc<Host>,
    pods: Mutex<BTreeMap<String, Entry>>,
    pub(crate) execs: Arc<Semaphore>,
    pub(crate) log_streams: Arc<Semaphore>,
}

struct Entry {
    desired: watch::Sender<Desired>,
    view: Shared,
}

impl PodRuntime {
    /// Takes up what a node before this one left. Beside the runtime come events, of which those are dropped that nobody
    /// takes. Has to be called within a tokio runtime whose threads are in the node's network namespace.
    ///
    /// Pods that are on disk and are not wanted any more are known by [`PodRuntime::retain`].
    ///
    /// # Errors
    /// A directory cannot be used.
    pub fn start(config: Config, sources: Arc<dyn Sources>) -> Result<(Self, mpsc::Receiver<PodEvent>), StartError> {
        let limits = config.limits.clone();
        let (host, events) = Host::open(config, sources)?;
        let inner = Inner {
            host: Arc::new(host),
            pods: Mutex::default(),
            execs: Arc::new(Semaphore::new(limits.execs)),
            log_streams: Arc::new(Semaphore::new(limits.log_streams)),
        };
        Ok((Self(Arc::new(inner)), events))
    }

    /// Runs a Pod, or takes over what has changed of it. Called again with every change of the object: a deletion
    /// timestamp in it ends the Pod.
    ///
    /// # Errors
    /// It is none that an API server would give.
    pub fn set_pod(&self, pod: Pod) -> Result<(), BadPod> {
        let uid = check(&pod)?;
        let dir = self.0.host.layout.pod(&uid)?;
        let mut pods = self.0.pods.lock();
        if let Some(entry) = pods.get(&uid) {
            entry.desired.send_modify(|desired| desired.pod = Arc::new(pod));
            return Ok(());
        }
        let view = View {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            dir: dir.clone(),
            containers: crate::spec::containers(&pod).map(|(_, c)| (c.name.clone(), Default::default())).collect(),
        };
        let view = Arc::new(Mutex::new(view));
        let (desired, wanted) = watch::channel(Desired { pod: Arc::new(pod), removed: false, refresh: 0 });
        pods.insert(uid.clone(), Entry { desired, view: Arc::clone(&view) });
        drop(pods);
        let (host, inner) = (Arc::clone(&self.0.host), Arc::downgrade(&self.0));
        tokio::spawn(async move {
            work(host, dir, wanted, view).await;
            if let Some(inner) = inner.upgrade() {
                inner.pods.lock().remove(&uid);
                inner.host.statuses.forget(&uid);
            }
        });
        Ok(())
    }

    /// The object of a Pod is gone: what still runs of it ends within its grace period, and nothing of it is kept.
    pub fn remove_pod(&self, uid: &str) {
        if let Some(entry) = self.0.pods.lock().get(uid) {
            entry.desired.send_modify(|desired| desired.removed = true);
        }
    }

    /// Just these Pods are wanted: all others are removed, those too that a node before this one left. To be called once
    /// the node knows all its Pods.
    ///
    /// # Errors
    /// The state directory cannot be read.
    pub fn retain(&self, uids: &BTreeSet<String>) -> std::io::Result<()> {
        let known: BTreeSet<String> = self.0.pods.lock().keys().cloned().collect();
        for uid in known.difference(uids) {
            self.remove_pod(uid);
        }
        for uid in remains::pods(&self.0.host.layout)? {
            if !known.contains(&uid) && !uids.contains(&uid) {
                self.remove_remains(uid);
            }
        }
        Ok(())
    }

    /// A Pod whose object went while no node was there: nobody knows its grace period any more.
    fn remove_remains(&self, uid: String) {
        let host = Arc::clone(&self.0.host);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = end_remains(&host, &uid) {
                tracing::warn!(uid, error, "a Pod that is not wanted any more cannot be removed");
            }
        });
    }

    /// A ConfigMap or Secret of this namespace has changed, or is there now: what shows it is brought up to date at once,
    /// and not just at the next round.
    pub fn refresh(&self, namespace: &str) {
        for entry in self.0.pods.lock().values() {
            let concerned = entry.view.lock().namespace == namespace;
            if concerned {
                entry.desired.send_modify(|desired| desired.refresh += 1);
            }
        }
    }

    /// Changes of statuses, to be taken one by one.
    #[must_use]
    pub fn statuses(&self) -> Statuses {
        self.0.host.statuses.clone()
    }

    /// The node's images.
    #[must_use]
    pub fn images(&self) -> &Store {
        &self.0.host.images
    }

    /// Whether limits of containers have any effect on this machine.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.0.host.cgroups.is_usable()
    }

    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.0.host
    }

    pub(crate) fn execs(&self) -> &Arc<Semaphore> {
        &self.0.execs
    }

    pub(crate) fn log_streams(&self) -> &Arc<Semaphore> {
        &self.0.log_streams
    }

    /// Looks a container up, by the uid of its Pod too where one is given.
    pub(crate) fn find(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
        container: &str,
    ) -> Result<Found, NotFound> {
        let pods = self.0.pods.lock();
        let fits = |(key, entry): &(&String, &Entry)| {
            let view = entry.view.lock();
            view.namespace == namespace && view.name == name && uid.is_none_or(|uid| uid == *key)
        };
        let (_, entry) = pods.iter().rev().find(fits).ok_or_else(|| NotFound::Pod(name.to_owned()))?;
        let view = entry.view.lock();
        let seen = view
            .containers
            .get(container)
            .ok_or_else(|| NotFound::Container { container: container.to_owned(), pod: name.to_owned() })?;
        Ok(Found {
            dir: view.dir.clone(),
            container: container.to_owned(),
            attempt: seen.attempt,
            previous: seen.previous,
            process: seen.process.clone(),
        })
    }
}

/// Works on a Pod until it is removed. A disk that cannot be read is tried again: it may be a moment's.
async fn work(host: Arc<Host>, dir: PodDir, wanted: watch::Receiver<Desired>, view: Shared) {
    loop {
        let worker = tokio::task::spawn_blocking({
            let (host, dir, wanted, view) = (Arc::clone(&host), dir.clone(), wanted.clone(), Arc::clone(&view));
            move || Worker::new(host, dir, wanted, view)
        });
        let error = match worker.await {
            Ok(Ok(worker)) => return worker.run().await,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(dir = %dir.state.display(), error, "what is known of a Pod cannot be read; trying again");
        tokio::time::sleep(host.config.timing.retry).await;
    }
}

fn end_remains(host: &Host, uid: &str) -> Result<(), String> {
    let dir = host.layout.pod(uid).map_err(|e| e.to_string())?;
    remains::kill_pod(&dir.state).map_err(|e| e.to_string())?;
    crate::pod::work::remove_shared(host, &dir, uid)?;
    mounts::remove_tree(&dir.state).map_err(|e| e.to_string())
}

fn check(pod: &Pod) -> Result<String, BadPod> {
    let meta = &pod.metadata;
    let some = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    let uid = some(&meta.uid).ok_or(BadPod::Lacks("uid"))?;
    some(&meta.namespace).ok_or(BadPod::Lacks("namespace"))?;
    some(&meta.name).ok_or(BadPod::Lacks("name"))?;
    pod.spec.as_ref().ok_or(BadPod::Lacks("spec"))?;
    Ok(uid)
}

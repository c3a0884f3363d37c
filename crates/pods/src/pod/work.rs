//! The tasks of a worker: each is a future that ends with what happened.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::sync::watch;
use tokio::time::Instant;

use super::finish;
use super::happened::{Happened, Outcome};
use super::state::{Running, Waiting};
use super::sysctls;
use crate::bundle::Record;
use crate::container::stop;
use crate::durable;
use crate::environment::objects::References;
use crate::environment::tokens::Tokens;
use crate::etc;
use crate::host::Host;
use crate::layout::PodDir;
use crate::mounts;
use crate::probes::{Check, Outcome as Answer, Target};
use crate::sandbox::{Sandbox, Wanted};
use crate::volumes::{self, Ready};

/// For a control group to be empty after its last process has ended.
const EMPTY: Duration = Duration::from_secs(5);
/// Between two attempts to end what does not end.
const AGAIN: Duration = Duration::from_secs(2);
/// The longest that a Pod which is deleted is waited for to be out of rotation before it is asked to end.
const ROTATION: Duration = Duration::from_secs(2);
/// A hook that is not bounded by anything else.
const HOOK: Duration = Duration::from_secs(120);

/// Makes tasks, and remembers what they need to know of one another.
pub struct Work {
    host: Arc<Host>,
    dir: PodDir,
    /// Of containers that were asked to end.
    deadlines: BTreeMap<String, watch::Sender<Instant>>,
    /// What containers waited for before they were tried again.
    waited: BTreeMap<String, Waiting>,
    /// Of the Pod's service account.
    tokens: Arc<Tokens>,
}

impl Work {
    pub fn new(host: Arc<Host>, dir: PodDir) -> Self {
        Self { host, dir, deadlines: BTreeMap::new(), waited: BTreeMap::new(), tokens: Arc::default() }
    }

    /// Keeps what a container waited for while it is tried again.
    pub fn remember(&mut self, container: &str, waiting: Waiting) {
        self.waited.insert(container.to_owned(), waiting);
    }

    /// What the container waited for before, once.
    pub fn recall(&mut self, container: &str) -> Waiting {
        self.waited.remove(container).unwrap_or_default()
    }

    /// Everything that was asked to end has until then at most.
    pub fn draw_in(&mut self, until: Instant) {
        for deadline in self.deadlines.values() {
            deadline.send_if_modified(|at| {
                let sooner = until < *at;
                *at = (*at).min(until);
                sooner
            });
        }
    }

    /// Namespaces, address, link, and the files that name them.
    pub fn create_sandbox(&self, pod: Arc<Pod>) -> impl Future<Output = Happened> + Send + use<> {
        let (host, dir) = (Arc::clone(&self.host), self.dir.clone());
        blocking(move || make_sandbox(&host, &dir, &pod), Outcome::Sandbox)
    }

    /// Removes what the containers shared, their control groups too.
    pub fn remove_sandbox(&self, pod: Arc<Pod>) -> impl Future<Output = Happened> + Send + use<> {
        let (host, dir) = (Arc::clone(&self.host), self.dir.clone());
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        blocking(move || remove_shared(&host, &dir, &uid), Outcome::SandboxRemoved)
    }

    /// Makes the volumes, or brings them up to date.
    pub fn prepare_volumes(
        &self,
        pod: Arc<Pod>,
        address: Option<IpAddr>,
    ) -> impl Future<Output = Result<BTreeMap<String, Ready>, String>> + Send + use<> {
        let (host, dir, tokens) = (Arc::clone(&self.host), self.dir.clone(), Arc::clone(&self.tokens));
        async move {
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            let references = References::of_volumes(&pod);
            let mut objects = references.fetch(&namespace, host.sources.as_ref()).await.map_err(|e| e.to_string())?;
            for key in references.tokens {
                let token = tokens.get(&pod, &key, host.sources.as_ref()).await.map_err(|e| e.to_string())?;
                objects.add_token(key, token);
            }
            let facts = host.facts(address);
            let made = tokio::task::spawn_blocking(move || volumes::prepare(&dir, &pod, &facts, &objects)).await;
            made.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
        }
    }

    /// Whom hooks and probes of a container that runs ask.
    pub fn target(&self, name: &str, running: &Running, address: Option<IpAddr>) -> Option<Target> {
        let dir = self.dir.container(name, running.attempt).ok()?;
        Some(Target {
            address: self.host.facts(address).pod_ip,
            program: self.host.config.program.clone(),
            bundle: dir.bundle,
            process: running.process.clone(),
        })
    }

    /// Waits until the container's parent has ended, and reads what it noted.
    pub fn exited(&self, name: &str, running: &Running) -> impl Future<Output = Happened> + Send + use<> {
        let (name, attempt, parent) = (name.to_owned(), running.attempt, running.parent.clone());
        let process = running.process.clone();
        let dir = self.dir.container(&name, attempt);
        async move {
            let read = async {
                stop::ended(&parent).await?;
                stop::reap(&parent);
                // A parent that was killed took the container along; if not, this does.
                process.signal(libc::SIGKILL)?;
                stop::ended(&process).await?;
                durable::read_json::<Box<Record>>(&dir.map_err(io::Error::other)?.record())
            };
            let outcome = Outcome::Exited(read.await.map_err(|e| e.to_string()));
            Happened::to(&name, attempt, outcome)
        }
    }

    /// Runs the postStart hook.
    pub fn post_start(
        &self,
        container: &Container,
        running: &Running,
        address: Option<IpAddr>,
    ) -> Option<impl Future<Output = Happened> + Send + use<>> {
        let hook = container.lifecycle.as_ref()?.post_start.as_ref()?;
        let target = self.target(&container.name, running, address)?;
        let check = Check::of_hook(hook, container, &target.address);
        let (name, attempt) = (container.name.clone(), running.attempt);
        Some(async move {
            let result = match check.ask(&target, HOOK).await {
                Answer::Well => Ok(()),
                Answer::Ill(why) | Answer::Unknown(why) => Err(why),
            };
            Happened::to(&name, attempt, Outcome::Hooked(result))
        })
    }

    /// Asks a container to end, with its preStop hook before; in a Pod that is `deleted` only when nobody sends new
    /// connections to it any more. All of that counts towards its grace.
    pub fn stop(
        &mut self,
        container: &Container,
        running: Running,
        grace: Duration,
        address: Option<IpAddr>,
        deleted: bool,
    ) -> impl Future<Output = Happened> + Send + use<> {
        let (deadline, changed) = watch::channel(Instant::now() + grace);
        self.deadlines.insert(container.name.clone(), deadline);
        let target = self.target(&container.name, &running, address);
        let hook = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref()).zip(target.as_ref());
        let hook = hook.map(|(hook, target)| Check::of_hook(hook, container, &target.address));
        let name = container.name.clone();
        let rotation = address.filter(|_| deleted).map(|address| (Arc::clone(&self.host), address));
        async move {
            if let Some((host, address)) = rotation {
                let mut sooner = changed.clone();
                tokio::select! {
                    () = leave_rotation(&host, address, grace / 2) => {}
                    // Less time is given than before: none is left to wait. The sender outlives the wait.
                    _ = sooner.changed() => {}
                }
            }
            let result = match target {
                Some(target) => finish::stop(&running, hook, target, changed).await.map_err(|e| e.to_string()),
                None => Err("the container's name cannot name a directory".to_owned()),
            };
            if result.is_err() {
                // It is asked again, but not at once.
                tokio::time::sleep(AGAIN).await;
            }
            Happened::to(&name, running.attempt, Outcome::Stopped(result))
        }
    }

    /// Forgets a container that has ended.
    pub fn forget(&mut self, container: &str) {
        self.deadlines.remove(container);
    }
}

/// Waits until a Pod is out of rotation.
async fn leave_rotation(host: &Host, address: IpAddr, patience: Duration) {
    let leaving = host.sources.out_of_rotation(address);
    // One that stays in rotation all the same (publishNotReadyAddresses) ends as Kubernetes ends it.
    if tokio::time::timeout(ROTATION.min(patience), leaving).await.is_err() {
        tracing::debug!(%address, "a Pod that ends is still in rotation");
    }
}

/// Work that blocks, on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
    outcome: fn(Result<T, String>) -> Outcome,
) -> Happened {
    let done = tokio::task::spawn_blocking(work).await;
    Happened::of(outcome(done.map_err(|e| e.to_string()).and_then(|r| r)))
}

fn make_sandbox(host: &Host, dir: &PodDir, pod: &Pod) -> Result<Sandbox, String> {
    let resolv_conf = match std::fs::read_to_string(&host.config.resolv_conf) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.map_err(|e| format!("reading {}: {e}", host.config.resolv_conf.display()))?,
    };
    let names = host.names(&resolv_conf);
    let spec = pod.spec.as_ref();
    let wanted = Wanted {
        hostname: etc::hostname(pod, &names),
        host_network: spec.and_then(|s| s.host_network) == Some(true),
        host_ipc: spec.and_then(|s| s.host_ipc) == Some(true),
        sysctls: sysctls::of(pod)?,
    };
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let sandbox = host.sandboxes.create(dir, uid, &wanted).map_err(|e| e.to_string())?;
    etc::write(dir, pod, sandbox.address.map(IpAddr::V4), &names).map_err(|e| format!("writing /etc: {e}"))?;
    Ok(sandbox)
}

/// Removes what the containers of a Pod shared: control groups, mounts, namespaces, address. None of them may run.
///
/// # Errors
/// What the machine refused, in words.
pub fn remove_shared(host: &Host, dir: &PodDir, uid: &str) -> Result<(), String> {
    let deadline = std::time::Instant::now() + EMPTY;
    // A group is busy for a moment after its last process has ended.
    while let Err(error) = host.cgroups.remove(uid) {
        if error.source.kind() != io::ErrorKind::ResourceBusy || std::time::Instant::now() > deadline {
            return Err(error.to_string());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    mounts::unmount_beneath(&dir.state).map_err(|e| e.to_string())?;
    host.sandboxes.destroy(dir, uid).map_err(|e| e.to_string())
}

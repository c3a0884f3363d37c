//! The worker of one Pod: does what the plan says, waits for what happens, and says what has changed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::asking::Asking;
use super::happened::{Happened, Outcome};
use super::plan::{self, Action, Plan, Stop};
use super::recover;
use super::state::{Ending, Failure, Now, SandboxState, State, VolumesState};
use super::status;
use super::view::Shared;
use super::work::Work;
use crate::host::Host;
use crate::layout::PodDir;
use crate::mounts;
use crate::probes::schedule::Said;
use crate::spec;
use crate::updates::StatusChange;

/// Words of probes that wait to be heard.
const SAID: usize = 32;

/// What is wanted of a worker: always the latest.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The Pod.
    pub pod: Arc<Pod>,
    /// Whether the object is gone: the Pod ends, and nothing of it is kept.
    pub removed: bool,
    /// Counts up when what volumes show may have changed.
    pub refresh: u64,
}

/// The worker.
pub struct Worker {
    pub(super) host: Arc<Host>,
    pub(super) dir: PodDir,
    pub(super) pod: Arc<Pod>,
    pub(super) state: State,
    pub(super) work: Work,
    pub(super) asking: Asking,
    desired: watch::Receiver<Desired>,
    view: Shared,
    said: mpsc::Receiver<Said>,
    tasks: JoinSet<Happened>,
    told: Option<PodStatus>,
    gone: bool,
    refreshed: u64,
    refresh_at: Instant,
}

impl Worker {
    /// Takes a Pod on. What the disk knows of it is read first, which blocks.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn new(
        host: Arc<Host>,
        dir: PodDir,
        desired: watch::Receiver<Desired>,
        view: Shared,
    ) -> Result<Self, recover::RecoverError> {
        let wanted = desired.borrow().clone();
        let state = recover::recover(&dir, &wanted.pod, Timestamp::now())?;
        let (tell, said) = mpsc::channel(SAID);
        let mut worker = Self {
            work: Work::new(Arc::clone(&host), dir.clone()),
            asking: Asking::new(tell),
            refresh_at: Instant::now() + host.config.timing.volume_refresh,
            pod: wanted.pod,
            refreshed: wanted.refresh,
            told: None,
            gone: false,
            tasks: JoinSet::new(),
            host,
            dir,
            state,
            desired,
            view,
            said,
        };
        worker.resume();
        Ok(worker)
    }

    /// Watches containers that run already, and asks them how they are.
    fn resume(&mut self) {
        if let SandboxState::Ready(_) = self.state.sandbox {
            let names: Vec<String> = self.state.containers.keys().cloned().collect();
            for name in names {
                if let Now::Running(running) = self.state.container(&name).now {
                    self.watch(&name, &running);
                }
            }
        }
    }

    /// Works until the Pod is removed, or the runtime is gone: then the containers go on, and the next node finds them.
    pub async fn run(mut self) {
        loop {
            self.take_desired();
            let wake = self.act();
            self.report();
            if self.is_done() {
                if self.desired.borrow().removed && self.clean_up().await {
                    return;
                }
                self.say_gone();
            }
            if !self.wait(wake).await {
                return;
            }
        }
    }

    /// Waits for anything to happen, and takes it in. False when nothing is wanted any more.
    async fn wait(&mut self, wake: Option<Timestamp>) -> bool {
        let until = wake.map(|at| {
            let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
            Instant::now() + left
        });
        let refresh = matches!(self.state.volumes, VolumesState::Ready(_)) && self.state.ending.is_none();
        tokio::select! {
            changed = self.desired.changed() => return changed.is_ok(),
            Some(done) = self.tasks.join_next() => match done {
                Ok(happened) => self.happened(happened),
                Err(error) => tracing::error!(pod = spec::full_name(&self.pod), %error, "a task of a Pod broke off"),
            },
            Some(said) = self.said.recv() => self.heard(said),
            () = sleep_until(until) => {}
            () = tokio::time::sleep_until(self.refresh_at), if refresh => self.refresh(),
        }
        true
    }

    fn take_desired(&mut self) {
        let wanted = self.desired.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.pod, wanted.pod);
        let deletion = self.pod.metadata.deletion_timestamp.is_some();
        if deletion || wanted.removed {
            let given = self.pod.metadata.deletion_grace_period_seconds.filter(|_| deletion);
            self.end_within(given.map_or_else(|| spec::grace(&self.pod), spec::seconds));
        }
        let metadata = before.metadata.labels != self.pod.metadata.labels
            || before.metadata.annotations != self.pod.metadata.annotations;
        if metadata || wanted.refresh != self.refreshed {
            self.refreshed = wanted.refresh;
            self.refresh();
            self.hurry();
        }
    }

    /// What waits to be tried again is tried now: what it lacked may be there.
    fn hurry(&mut self) {
        let now = Timestamp::now();
        if let VolumesState::Failed(_, retry) = &mut self.state.volumes {
            *retry = now;
        }
        for container in self.state.containers.values_mut() {
            if let Now::Waiting(waiting) = &mut container.now {
                waiting.retry = None;
            }
        }
    }

    /// The Pod has so much time from now on, or less if it was given less before.
    fn end_within(&mut self, grace: Duration) {
        let deadline = super::backoff::later(Timestamp::now(), u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        match &mut self.state.ending {
            Some(ending) if grace < ending.grace => {
                *ending = Ending { deadline: deadline.min(ending.deadline), grace };
                self.work.draw_in(Instant::now() + grace);
            }
            Some(_) => {}
            None => self.state.ending = Some(Ending { deadline, grace }),
        }
    }

    /// Does what there is to do now. Gives when to look again.
    fn act(&mut self) -> Option<Timestamp> {
        loop {
            let now = Timestamp::now();
            let Plan { actions, wake } = plan::plan(&self.pod, &self.state, now, &self.host.config.timing);
            if actions.is_empty() {
                return wake;
            }
            for action in actions {
                self.perform(action);
            }
        }
    }

    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::CreateSandbox => {
                self.state.sandbox = SandboxState::Creating;
                self.spawn(self.work.create_sandbox(Arc::clone(&self.pod)));
            }
            Action::PrepareVolumes => {
                self.state.volumes = VolumesState::Preparing;
                self.prepare_volumes(false);
            }
            Action::Start(container) => self.start(&container),
            Action::Stop(stop) => self.stop(&stop),
            Action::RemoveSandbox => {
                self.state.sandbox = SandboxState::Removing;
                self.asking.forget_all();
                self.spawn(self.work.remove_sandbox(Arc::clone(&self.pod)));
            }
            Action::Expire => {
                let message = "Pod was active on the node longer than the specified deadline".to_owned();
                self.state.failure = Some(Failure { reason: "DeadlineExceeded", message });
            }
        }
    }

    pub(super) fn spawn(&mut self, work: impl Future<Output = Happened> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Brings the volumes up to date.
    fn refresh(&mut self) {
        self.refresh_at = Instant::now() + self.host.config.timing.volume_refresh;
        if matches!(self.state.volumes, VolumesState::Ready(_)) {
            self.prepare_volumes(true);
        }
    }

    fn prepare_volumes(&mut self, again: bool) {
        let work = self.work.prepare_volumes(Arc::clone(&self.pod), self.address());
        self.spawn(async move {
            let result = work.await;
            Happened::of(if again { Outcome::VolumesRefreshed(result) } else { Outcome::Volumes(result) })
        });
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        match &self.state.sandbox {
            SandboxState::Ready(sandbox) => sandbox.address.map(IpAddr::V4),
            _ => None,
        }
    }

    fn start(&mut self, name: &str) {
        let Some((_, container)) = spec::container(&self.pod, name).map(|(r, c)| (r, c.clone())) else { return };
        let (SandboxState::Ready(sandbox), VolumesState::Ready(volumes)) = (&self.state.sandbox, &self.state.volumes)
        else {
            return;
        };
        let attempt = self.state.container(name).starts;
        let begin = super::begin::Start {
            host: Arc::clone(&self.host),
            dir: self.dir.clone(),
            pod: Arc::clone(&self.pod),
            container,
            attempt,
            sandbox: sandbox.clone(),
            volumes: volumes.clone(),
        };
        let timing = self.host.config.timing.clone();
        let state = self.state.container_mut(name);
        let before = std::mem::replace(&mut state.now, Now::Starting);
        match before {
            Now::Ended(ended) => {
                state.backoff = state.backoff.restarted(ended.finished_at, Timestamp::now(), &timing);
                state.before = Some(ended);
            }
            Now::Waiting(waiting) => self.work.remember(name, waiting),
            Now::Starting | Now::Running(_) => {}
        }
        let container = name.to_owned();
        self.spawn(async move {
            let result = super::begin::begin(begin).await;
            Happened::to(&container, attempt, Outcome::Started(Box::new(result)))
        });
    }

    fn stop(&mut self, stop: &Stop) {
        let Some((_, container)) = spec::container(&self.pod, &stop.container) else { return };
        let container = container.clone();
        let Now::Running(running) = &mut self.state.container_mut(&stop.container).now else { return };
        running.stopping = true;
        let running = (**running).clone();
        self.asking.stopping(&stop.container);
        self.host.event(&self.pod, field(&self.pod, &stop.container), false, "Killing", stop.why.clone());
        let deleted = self.pod.metadata.deletion_timestamp.is_some();
        let work = self.work.stop(&container, running, stop.grace, self.address(), deleted);
        self.spawn(work);
    }

    /// Nothing of it is left but files.
    fn is_done(&self) -> bool {
        matches!(self.state.sandbox, SandboxState::Removed) && self.state.is_still()
    }

    /// Says what has changed.
    fn report(&mut self) {
        self.view.lock().update(&self.pod, &self.state, &self.host.config.timing);
        let before = self.before();
        let host_ip = self.host.config.node_ip.to_string();
        let now = Timestamp::now();
        let status = status::status(&self.pod, &self.state, &before, &host_ip, now, &self.host.config.timing);
        if self.told.as_ref() != Some(&status) {
            self.told = Some(status);
            self.tell();
        }
    }

    /// What was said last, with what others have to say about the Pod.
    fn before(&self) -> PodStatus {
        let known = self.pod.status.clone().unwrap_or_default();
        let Some(told) = &self.told else { return known };
        let own = told.conditions.iter().flatten().filter(|c| status::is_own(&c.type_));
        let others =
            known.conditions.iter().flatten().filter(|c| !status::is_own(&c.type_) || c.type_ == "PodScheduled");
        let conditions = own.filter(|c| c.type_ != "PodScheduled").chain(others).cloned().collect();
        PodStatus {
            conditions: Some(conditions),
            qos_class: told.qos_class.clone().or(known.qos_class.clone()),
            ..known
        }
    }

    fn say_gone(&mut self) {
        if self.state.ending.is_some() && !self.gone {
            self.gone = true;
            self.tell();
        }
    }

    fn tell(&self) {
        let Some(status) = self.told.clone() else { return };
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let meta = &self.pod.metadata;
        self.host.statuses.push(StatusChange {
            uid: text(&meta.uid),
            namespace: text(&meta.namespace),
            name: text(&meta.name),
            status,
            gone: self.gone,
        });
    }

    /// Removes the Pod's files. Whether none is left; otherwise it is tried again.
    async fn clean_up(&mut self) -> bool {
        let state = self.dir.state.clone();
        let removed = tokio::task::spawn_blocking(move || mounts::remove_tree(&state)).await;
        match removed.map_err(std::io::Error::other).and_then(|r| r) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(pod = spec::full_name(&self.pod), %error, "a Pod's files cannot be removed; trying again");
                tokio::time::sleep(self.host.config.timing.retry).await;
                false
            }
        }
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The field of the Pod that a container is, for events.
pub(super) fn field(pod: &Pod, container: &str) -> String {
    let init = spec::container(pod, container).is_some_and(|(role, _)| role != spec::Role::App);
    if init { format!("spec.initContainers{{{container}}}") } else { format!("spec.containers{{{container}}}") }
}

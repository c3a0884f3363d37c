//! How a worker takes in what happened.

use jiff::Timestamp;

use super::backoff::later;
use super::begin::NotStarted;
use super::finish;
use super::happened::{Happened, Outcome};
use super::plan::{self, Action, Next, Stop};
use super::state::{Now, Running, SandboxState, VolumesState, Waiting};
use super::worker::{Worker, field};
use crate::bundle::Record;
use crate::probes::schedule::{Kind, News, Said};
use crate::spec;

impl Worker {
    /// Takes in what a task came to.
    pub(super) fn happened(&mut self, happened: Happened) {
        let Happened { container, attempt, outcome } = happened;
        match outcome {
            Outcome::Sandbox(Ok(sandbox)) => {
                self.state.address = sandbox.address;
                self.state.sandbox = SandboxState::Ready(sandbox);
            }
            Outcome::Sandbox(Err(why)) => {
                let message = format!("Failed to create pod sandbox: {why}");
                self.warn(String::new(), "FailedCreatePodSandBox", &message);
                self.state.sandbox = SandboxState::Failed(message, self.retry(1));
            }
            Outcome::SandboxRemoved(Ok(())) => {
                self.state.sandbox = SandboxState::Removed;
                self.state.volumes = VolumesState::Absent;
            }
            Outcome::SandboxRemoved(Err(why)) => {
                self.warn(String::new(), "FailedKillPod", &format!("error killing pod: {why}"));
                self.state.sandbox = SandboxState::Stuck(self.retry(1));
            }
            Outcome::Volumes(Ok(ready)) => self.state.volumes = VolumesState::Ready(ready),
            Outcome::Volumes(Err(why)) => {
                self.warn(String::new(), "FailedMount", &why);
                self.state.volumes = VolumesState::Failed(why, self.retry(1));
            }
            Outcome::VolumesRefreshed(Ok(_)) => {}
            // What is shown stays as it was; a source that is gone is told once a round.
            Outcome::VolumesRefreshed(Err(why)) => self.warn(String::new(), "FailedMount", &why),
            Outcome::Started(result) => self.started(&container, attempt, *result),
            Outcome::Hooked(result) => self.hooked(&container, attempt, result),
            Outcome::Exited(record) => self.exited(&container, attempt, record),
            Outcome::Stopped(result) => self.stopped(&container, result),
        }
    }

    fn started(&mut self, name: &str, attempt: u32, result: Result<Record, NotStarted>) {
        let waited = self.work.recall(name);
        let field = field(&self.pod, name);
        match result {
            Ok(record) => {
                let pulled = format!("Container image {:?} already present on machine", record.image);
                let all = [("Pulled", pulled), ("Created", format!("Created container: {name}"))];
                for (reason, message) in all.into_iter().chain([("Started", format!("Started container {name}"))]) {
                    self.host.event(&self.pod, field.clone(), false, reason, message);
                }
                self.runs(name, attempt, &record);
            }
            Err(NotStarted::Waits { reason, message, image }) => {
                // An image is looked for again soon: loading one is what a person does next.
                let failures = if image { 1 } else { waited.failures.saturating_add(1) };
                if waited.message != message {
                    self.warn(field, if image { reason } else { "Failed" }, &message);
                }
                let retry = Some(self.retry(failures));
                let state = self.state.container_mut(name);
                // The second time around it is waited for, not asked for.
                let again = image && reason == "ErrImagePull" && waited.message == message;
                let reason = if again { "ImagePullBackOff" } else { reason };
                state.now = Now::Waiting(Waiting { reason: reason.to_owned(), message, retry, failures });
            }
            Err(NotStarted::Ended(ended)) => {
                self.warn(field, "Failed", &format!("Error: {}", ended.message));
                let state = self.state.container_mut(name);
                state.starts = attempt + 1;
                state.begun = true;
                state.now = Now::Ended(*ended);
            }
        }
    }

    fn runs(&mut self, name: &str, attempt: u32, record: &Record) {
        let Some((_, container)) = spec::container(&self.pod, name) else { return };
        let container = container.clone();
        let running = Running {
            attempt,
            id: record.container_id.clone(),
            image: record.image.clone(),
            image_id: record.image_id.clone(),
            stop_signal: record.stop_signal,
            process: record.process.clone(),
            parent: record.parent.clone(),
            started_at: record.started_at.unwrap_or_else(Timestamp::now),
            hooking: container.lifecycle.as_ref().is_some_and(|l| l.post_start.is_some()),
            probed: container.startup_probe.is_none(),
            ready: container.readiness_probe.is_none(),
            stopping: false,
        };
        if let Some(hook) = self.work.post_start(&container, &running, self.address()) {
            self.spawn(hook);
        }
        self.watch(name, &running);
        tracing::info!(pod = spec::full_name(&self.pod), container = name, attempt, pid = running.process.pid, "runs");
        let state = self.state.container_mut(name);
        state.starts = attempt + 1;
        state.begun = true;
        state.now = Now::Running(Box::new(running));
    }

    /// Waits for a container's end, and asks how it is until then.
    pub(super) fn watch(&mut self, name: &str, running: &Running) {
        self.spawn(self.work.exited(name, running));
        let Some((_, container)) = spec::container(&self.pod, name) else { return };
        if let Some(target) = self.work.target(name, running, self.address()) {
            self.asking.begin(container, running, &target);
        }
    }

    fn hooked(&mut self, name: &str, attempt: u32, result: Result<(), String>) {
        let Now::Running(running) = &mut self.state.container_mut(name).now else { return };
        if running.attempt != attempt {
            return;
        }
        running.hooking = false;
        let started = running.is_started();
        match result {
            Ok(()) if started => self.asking.started(name),
            Ok(()) => {}
            Err(why) => {
                self.warn(field(&self.pod, name), "FailedPostStartHook", &format!("PostStartHook failed: {why}"));
                self.kill(name, "FailedPostStartHook".to_owned(), None);
            }
        }
    }

    fn exited(&mut self, name: &str, attempt: u32, record: Result<Option<Box<Record>>, String>) {
        self.asking.forget(name);
        self.work.forget(name);
        let record = record.unwrap_or_else(|error| {
            tracing::warn!(container = name, error, "the end of a container cannot be read");
            None
        });
        if let Some(fault) = record.as_ref().and_then(|r| r.log_fault.as_ref()) {
            tracing::warn!(container = name, fault, "lines of a container's log were lost");
        }
        let Some((_, container)) = spec::container(&self.pod, name) else { return };
        let (container, dir) = (container.clone(), self.dir.container(name, attempt));
        let state = self.state.container_mut(name);
        if let (Now::Running(running), Ok(dir)) = (&state.now, dir)
            && running.attempt == attempt
        {
            let ended = finish::ended(&container, &dir, running, record.as_deref());
            let pod = spec::full_name(&self.pod);
            tracing::info!(pod, container = name, attempt, code = ended.code, reason = ended.reason, "ended");
            state.now = Now::Ended(ended);
        }
        self.tell_backoff(name);
    }

    /// A container that is not started again at once.
    fn tell_backoff(&self, name: &str) {
        let Some((role, _)) = spec::container(&self.pod, name) else { return };
        let next = plan::next(&self.pod, role, &self.state.container(name), &self.host.config.timing);
        let over = self.state.ending.is_some() || plan::is_over(&self.pod, &self.state);
        if matches!(next, Next::Restart(at) if at > Timestamp::now()) && !over {
            let pod = spec::full_name(&self.pod);
            let message = format!("Back-off restarting failed container {name} in pod {pod}");
            self.warn(field(&self.pod, name), "BackOff", &message);
        }
    }

    fn stopped(&mut self, name: &str, result: Result<Option<String>, String>) {
        match result {
            Ok(None) => {}
            Ok(Some(why)) => {
                self.warn(field(&self.pod, name), "FailedPreStopHook", &format!("PreStopHook failed: {why}"));
            }
            Err(why) => {
                self.warn(field(&self.pod, name), "FailedKillPod", &format!("error killing container: {why}"));
                // It is asked again.
                if let Now::Running(running) = &mut self.state.container_mut(name).now {
                    running.stopping = false;
                }
            }
        }
    }

    /// Takes in what a probe says.
    pub(super) fn heard(&mut self, said: Said) {
        if !self.asking.is_current(&said) {
            return;
        }
        let (name, probe) = (said.container.as_str(), said.kind.name());
        let well = match said.news {
            News::Bad(why) => {
                self.warn(field(&self.pod, name), "Unhealthy", &format!("{probe} probe failed: {why}"));
                return;
            }
            News::Turned(well) => well,
        };
        let Now::Running(running) = &mut self.state.container_mut(name).now else { return };
        match (said.kind, well) {
            (Kind::Readiness, well) => running.ready = well,
            (Kind::Startup, true) => {
                running.probed = true;
                if running.is_started() {
                    self.asking.started(name);
                }
            }
            (Kind::Liveness, true) => {}
            (Kind::Startup | Kind::Liveness, false) => {
                let why = format!("Container {name} failed {} probe, will be restarted", probe.to_lowercase());
                self.kill(name, why, Some(said.kind));
            }
        }
    }

    /// Ends a container that is not well.
    fn kill(&mut self, name: &str, why: String, for_probe: Option<Kind>) {
        let Some((_, container)) = spec::container(&self.pod, name) else { return };
        let probe = match for_probe {
            Some(Kind::Startup) => container.startup_probe.as_ref(),
            Some(Kind::Liveness) => container.liveness_probe.as_ref(),
            _ => None,
        };
        let own = probe.and_then(|p| p.termination_grace_period_seconds).map(spec::seconds);
        let grace = own.unwrap_or_else(|| spec::grace(&self.pod));
        let running = matches!(&self.state.container(name).now, Now::Running(running) if !running.stopping);
        if running {
            self.perform(Action::Stop(Stop { container: name.to_owned(), why, grace }));
        }
    }

    fn warn(&self, field: String, reason: &'static str, message: &str) {
        self.host.event(&self.pod, field, true, reason, message.to_owned());
    }

    /// When what failed so often is tried again: later each time, up to half a minute.
    fn retry(&self, failures: u32) -> Timestamp {
        let base = u64::try_from(self.host.config.timing.retry.as_millis()).unwrap_or(u64::MAX);
        let factor = 1u64 << failures.saturating_sub(1).min(4);
        later(Timestamp::now(), base.saturating_mul(factor))
    }
}

//! What to do next for a Pod. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};

use super::state::{ContainerState, Ending, Now, SandboxState, State, VolumesState};
use crate::config::Timing;
use crate::spec::{self, RestartPolicy, Role};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make what the containers share.
    CreateSandbox,
    /// Make the volumes.
    PrepareVolumes,
    /// Start this container.
    Start(String),
    /// Ask this container to end, with so much time.
    Stop(Stop),
    /// Remove what the containers shared.
    RemoveSandbox,
    /// All of it has failed: its time is over.
    Expire,
}

/// A container to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Which.
    pub container: String,
    /// Why, for the event.
    pub why: String,
    /// Until it is killed.
    pub grace: Duration,
}

/// What to do now, and when to look again if nothing happens before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// None when only what happens can change anything.
    pub wake: Option<Timestamp>,
}

/// What becomes of a container that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It stays as it is.
    Stay,
    /// It is started again at this time.
    Restart(Timestamp),
}

/// Plans.
#[must_use]
pub fn plan(pod: &Pod, state: &State, now: Timestamp, timing: &Timing) -> Plan {
    let mut plan = Plan::default();
    match (&state.ending, is_over(pod, state)) {
        (Some(ending), _) => end(pod, state, now, Some(*ending), &mut plan),
        (None, true) => end(pod, state, now, None, &mut plan),
        (None, false) => {
            if expires(pod, state).is_some_and(|at| plan.wait(at, now)) {
                plan.actions.push(Action::Expire);
                return plan;
            }
            go_on(pod, state, now, timing, &mut plan);
        }
    }
    plan
}

/// Whether all that the Pod was there for has ended, for good.
#[must_use]
pub fn is_over(pod: &Pod, state: &State) -> bool {
    if state.failure.is_some() {
        return true;
    }
    let policy = spec::restart_policy(pod);
    let ended = |c: &Container| match state.container(&c.name).now {
        Now::Ended(ended) => Some(ended.code),
        _ => None,
    };
    let failed_init = |(role, c): (Role, &Container)| {
        role == Role::Init && policy == RestartPolicy::Never && ended(c).is_some_and(|code| code != 0)
    };
    if spec::containers(pod).any(failed_init) {
        return true;
    }
    let mut apps = spec::containers(pod).filter(|(role, _)| *role == Role::App).peekable();
    apps.peek().is_some()
        && apps.all(|(_, c)| match (ended(c), policy) {
            (None, _) | (Some(_), RestartPolicy::Always) => false,
            (Some(code), RestartPolicy::OnFailure) => code == 0,
            (Some(_), RestartPolicy::Never) => true,
        })
}

/// What becomes of a container that has ended; nothing while it has not.
#[must_use]
pub fn next(pod: &Pod, role: Role, container: &ContainerState, timing: &Timing) -> Next {
    let Now::Ended(ended) = &container.now else { return Next::Stay };
    let again = match (role, spec::restart_policy(pod)) {
        (Role::Sidecar, _) | (Role::App, RestartPolicy::Always) => true,
        (Role::Init, RestartPolicy::Always) | (_, RestartPolicy::OnFailure) => ended.code != 0,
        (_, RestartPolicy::Never) => false,
    };
    if again { Next::Restart(container.backoff.due(ended.finished_at, timing)) } else { Next::Stay }
}

/// Whether the init containers are through.
#[must_use]
pub fn is_initialized(pod: &Pod, state: &State) -> bool {
    let begun = |(role, c): (Role, &Container)| role == Role::App && has_begun(&state.container(&c.name));
    if spec::containers(pod).any(begun) {
        return true;
    }
    spec::containers(pod).all(|(role, c)| match (role, state.container(&c.name).now) {
        (Role::App, _) => true,
        (Role::Init, Now::Ended(ended)) => ended.code == 0,
        (Role::Sidecar, Now::Running(running)) => running.is_started(),
        _ => false,
    })
}

fn has_begun(container: &ContainerState) -> bool {
    container.begun || !matches!(container.now, Now::Waiting(_))
}

/// When the Pod's own deadline is (`activeDeadlineSeconds`).
fn expires(pod: &Pod, state: &State) -> Option<Timestamp> {
    let allowed = pod.spec.as_ref()?.active_deadline_seconds?;
    state.started_at.checked_add(SignedDuration::from_secs(allowed)).ok()
}

impl Plan {
    /// Whether the time has come; if not, it is noted when it will.
    fn wait(&mut self, at: Timestamp, now: Timestamp) -> bool {
        if at <= now {
            return true;
        }
        self.wake = Some(self.wake.map_or(at, |before| before.min(at)));
        false
    }
}

/// Towards a Pod that runs.
fn go_on(pod: &Pod, state: &State, now: Timestamp, timing: &Timing, plan: &mut Plan) {
    match &state.sandbox {
        SandboxState::Absent => return plan.actions.push(Action::CreateSandbox),
        SandboxState::Failed(_, retry) => {
            if plan.wait(*retry, now) {
                plan.actions.push(Action::CreateSandbox);
            }
            return;
        }
        SandboxState::Ready(_) => {}
        _ => return,
    }
    match &state.volumes {
        VolumesState::Absent => return plan.actions.push(Action::PrepareVolumes),
        VolumesState::Failed(_, retry) => {
            if plan.wait(*retry, now) {
                plan.actions.push(Action::PrepareVolumes);
            }
            return;
        }
        VolumesState::Preparing => return,
        VolumesState::Ready(_) => {}
    }
    let mut turn = Turn { pod, state, now, timing, plan };
    if turn.inits() {
        turn.apps();
    }
}

/// One look over the containers, in order.
struct Turn<'a> {
    pod: &'a Pod,
    state: &'a State,
    now: Timestamp,
    timing: &'a Timing,
    plan: &'a mut Plan,
}

impl Turn<'_> {
    /// Looks after the init containers. Whether all others may run.
    fn inits(&mut self) -> bool {
        let apps_begun = is_initialized(self.pod, self.state);
        let inits: Vec<_> = spec::containers(self.pod).filter(|(role, _)| *role != Role::App).collect();
        for (n, (role, container)) in inits.iter().enumerate() {
            let state = self.state.container(&container.name);
            let later_begun = inits.iter().skip(n + 1).any(|(_, c)| has_begun(&self.state.container(&c.name)));
            match (role, &state.now) {
                (Role::Init, _) if apps_begun => {}
                (Role::Init, Now::Ended(ended)) if ended.code == 0 => {}
                (Role::Sidecar, Now::Running(running)) => {
                    self.keep_current(container, &state);
                    if !running.is_started() && !apps_begun && !later_begun {
                        return false;
                    }
                }
                _ => {
                    self.start(*role, container, &state);
                    if *role == Role::Init || !(apps_begun || later_begun) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Starts the others one after the other: each waits for the hook of the one before it.
    fn apps(&mut self) {
        let starting = |c: &Container| match self.state.container(&c.name).now {
            Now::Starting => true,
            Now::Running(running) => running.hooking,
            _ => false,
        };
        let apps: Vec<_> = spec::containers(self.pod).filter(|(role, _)| *role == Role::App).map(|(_, c)| c).collect();
        let mut busy = apps.iter().any(|c| starting(c));
        for container in apps {
            let state = self.state.container(&container.name);
            self.keep_current(container, &state);
            if !busy {
                busy = self.start(Role::App, container, &state);
            }
        }
    }

    /// Starts a container whose time has come.
    fn start(&mut self, role: Role, container: &Container, state: &ContainerState) -> bool {
        let due = match &state.now {
            Now::Waiting(waiting) => waiting.retry.is_none_or(|at| self.plan.wait(at, self.now)),
            Now::Ended(_) => match next(self.pod, role, state, self.timing) {
                Next::Restart(at) => self.plan.wait(at, self.now),
                Next::Stay => false,
            },
            Now::Starting | Now::Running(_) => false,
        };
        if due {
            self.plan.actions.push(Action::Start(container.name.clone()));
        }
        due
    }

    /// Ends a container whose image is another now: the only field that may change.
    fn keep_current(&mut self, container: &Container, state: &ContainerState) {
        let Now::Running(running) = &state.now else { return };
        if running.stopping || container.image.as_deref() == Some(running.image.as_str()) {
            return;
        }
        self.plan.actions.push(Action::Stop(Stop {
            container: container.name.clone(),
            why: format!("Container {} definition changed, will be restarted", container.name),
            grace: spec::grace(self.pod),
        }));
    }
}

/// Towards a Pod that has ended: the others first, then the sidecars, the last one first.
fn end(pod: &Pod, state: &State, now: Timestamp, ending: Option<Ending>, plan: &mut Plan) {
    let grace = ending.map_or_else(|| spec::grace(pod), |ending| remaining(ending, now));
    let stop = |c: &Container| {
        let why = format!("Stopping container {}", c.name);
        Action::Stop(Stop { container: c.name.clone(), why, grace })
    };
    let is_at_work = |c: &Container| matches!(state.container(&c.name).now, Now::Starting | Now::Running(_));
    let mut others = false;
    for (_, container) in spec::containers(pod).filter(|(role, _)| *role != Role::Sidecar) {
        others |= is_at_work(container);
        if let Now::Running(running) = state.container(&container.name).now
            && !running.stopping
        {
            plan.actions.push(stop(container));
        }
    }
    if others {
        return;
    }
    for (_, container) in spec::containers(pod).filter(|(role, _)| *role == Role::Sidecar).rev() {
        match state.container(&container.name).now {
            Now::Running(running) => {
                if !running.stopping {
                    plan.actions.push(stop(container));
                }
                return;
            }
            Now::Starting => return,
            _ => {}
        }
    }
    match &state.sandbox {
        SandboxState::Ready(_) | SandboxState::Failed(..) | SandboxState::Absent => {
            plan.actions.push(Action::RemoveSandbox);
        }
        SandboxState::Stuck(retry) if plan.wait(*retry, now) => plan.actions.push(Action::RemoveSandbox),
        _ => {}
    }
}

/// What is left of the time; a Pod that was given any leaves what is asked to end last two seconds at least.
fn remaining(ending: Ending, now: Timestamp) -> Duration {
    let left = Duration::try_from(ending.deadline.duration_since(now)).unwrap_or(Duration::ZERO);
    left.max(ending.grace.min(Duration::from_secs(2)))
}

#[cfg(test)]
mod tests;

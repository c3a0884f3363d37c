//! What to say of a Pod, as kubelet says it. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::{self, Next};
use super::state::{ContainerState, Ended, Now, SandboxState, State};
use crate::cgroups::limits::qos_class;
use crate::config::Timing;
use crate::spec::{self, RestartPolicy, Role};

/// Conditions that the node decides upon. All others are left as they are.
const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// Whether the node decides upon a condition.
#[must_use]
pub fn is_own(kind: &str) -> bool {
    OWN.contains(&kind)
}

/// The runtime's name in front of a container's id.
const RUNTIME: &str = "portolan";

/// The status. `before` is what was said last, from which times of transitions come; `host_ip` the node's address.
#[must_use]
pub fn status(
    pod: &Pod,
    state: &State,
    before: &PodStatus,
    host_ip: &str,
    now: Timestamp,
    timing: &Timing,
) -> PodStatus {
    let on_host = pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
    let stands = matches!(state.sandbox, SandboxState::Ready(_) | SandboxState::Removing | SandboxState::Removed);
    let own_ip = state.address.map(|a| a.to_string()).or_else(|| (on_host && stands).then(|| host_ip.to_owned()));
    let of = |role_fits: fn(Role) -> bool| -> Option<Vec<ContainerStatus>> {
        let all: Vec<_> = spec::containers(pod)
            .filter(|(role, _)| role_fits(*role))
            .map(|(role, c)| container_status(pod, role, c, state, now, timing))
            .collect();
        (!all.is_empty()).then_some(all)
    };
    let phase = phase(pod, state);
    let (init, apps) = (of(|role| role != Role::App), of(|role| role == Role::App));
    let conditions = conditions(pod, state, before, phase, now);
    let class = before.qos_class.clone().unwrap_or_else(|| qos_class(pod).to_owned());
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions),
        reason: state.failure.as_ref().map(|f| f.reason.to_owned()),
        message: state.failure.as_ref().map(|f| f.message.clone()),
        host_ip: Some(host_ip.to_owned()),
        host_ips: Some(vec![HostIP { ip: host_ip.to_owned() }]),
        pod_ips: own_ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: own_ip,
        start_time: Some(Time(state.started_at)),
        init_container_statuses: init,
        container_statuses: apps,
        qos_class: Some(class),
        observed_generation: pod.metadata.generation.or(before.observed_generation),
        nominated_node_name: before.nominated_node_name.clone(),
        ephemeral_container_statuses: before.ephemeral_container_statuses.clone(),
        ..PodStatus::default()
    }
}

/// `Pending`, `Running`, `Succeeded` or `Failed`.
fn phase(pod: &Pod, state: &State) -> &'static str {
    let still = state.is_still();
    if state.failure.is_some() && still {
        return "Failed";
    }
    let codes: Vec<Option<i32>> = apps(pod).map(|c| code(state, c)).collect();
    let all_ended = !codes.is_empty() && codes.iter().all(Option::is_some);
    let all_well = codes.iter().all(|code| *code == Some(0));
    if still && plan::is_over(pod, state) {
        return if all_ended && all_well { "Succeeded" } else { "Failed" };
    }
    // A Pod that was asked to end has ended when nothing of it runs, whatever its policy.
    if still && state.ending.is_some() && matches!(state.sandbox, SandboxState::Removing | SandboxState::Removed) {
        return if all_ended && all_well { "Succeeded" } else { "Failed" };
    }
    let waits = |c: &Container| {
        let container = state.container(&c.name);
        container.starts == 0 && matches!(container.now, Now::Waiting(_) | Now::Starting)
    };
    if !plan::is_initialized(pod, state) || apps(pod).any(waits) { "Pending" } else { "Running" }
}

fn apps(pod: &Pod) -> impl Iterator<Item = &Container> {
    spec::containers(pod).filter(|(role, _)| *role == Role::App).map(|(_, c)| c)
}

/// The exit code of a container that has ended and is not on its way to another start.
fn code(state: &State, container: &Container) -> Option<i32> {
    match state.container(&container.name).now {
        Now::Ended(ended) => Some(ended.code),
        _ => None,
    }
}

fn container_status(
    pod: &Pod,
    role: Role,
    container: &Container,
    state: &State,
    now: Timestamp,
    timing: &Timing,
) -> ContainerStatus {
    let of = state.container(&container.name);
    let (api, last) = api_states(pod, role, container, &of, state, now, timing);
    let (image, image_id, id) = match (&of.now, &of.before) {
        (Now::Running(r), _) => (r.image.clone(), r.image_id.clone(), Some(r.id.clone())),
        (Now::Ended(e), _) | (_, Some(e)) => (e.image.clone(), e.image_id.clone(), Some(e.id.clone())),
        _ => (container.image.clone().unwrap_or_default(), String::new(), None),
    };
    let running = match &of.now {
        Now::Running(running) => Some(running),
        _ => None,
    };
    let ready = match (role, &of.now) {
        (Role::Init, Now::Ended(ended)) => ended.code == 0,
        (Role::Init, _) => false,
        _ => running.is_some_and(|r| r.is_started() && r.ready),
    };
    ContainerStatus {
        name: container.name.clone(),
        image,
        image_id,
        container_id: id.map(|id| format!("{RUNTIME}://{id}")),
        ready,
        started: Some(running.is_some_and(|r| role != Role::Init && r.is_started())),
        restart_count: i32::try_from(of.starts.saturating_sub(1)).unwrap_or(i32::MAX),
        state: Some(api),
        last_state: Some(last),
        ..ContainerStatus::default()
    }
}

/// `state` and `lastState`.
fn api_states(
    pod: &Pod,
    role: Role,
    container: &Container,
    of: &ContainerState,
    state: &State,
    now: Timestamp,
    timing: &Timing,
) -> (ApiState, ApiState) {
    let last = |ended: Option<&Ended>| ended.map(terminated).unwrap_or_default();
    match &of.now {
        Now::Running(running) => {
            let since = ContainerStateRunning { started_at: Some(Time(running.started_at)) };
            (ApiState { running: Some(since), ..ApiState::default() }, last(of.before.as_ref()))
        }
        Now::Ended(ended) => {
            let over = state.ending.is_some() || plan::is_over(pod, state);
            match plan::next(pod, role, of, timing) {
                Next::Restart(at) if !over && at > now => {
                    let wait = of.backoff.wait(ended.finished_at, timing);
                    let message = format!(
                        "back-off {}s restarting failed container={} pod={}_{}({})",
                        wait.as_secs(),
                        container.name,
                        pod.metadata.name.as_deref().unwrap_or_default(),
                        pod.metadata.namespace.as_deref().unwrap_or_default(),
                        pod.metadata.uid.as_deref().unwrap_or_default(),
                    );
                    (waiting("CrashLoopBackOff", &message), terminated(ended))
                }
                _ => (terminated(ended), last(of.before.as_ref())),
            }
        }
        Now::Waiting(why) if !why.reason.is_empty() => (waiting(&why.reason, &why.message), last(of.before.as_ref())),
        Now::Waiting(_) | Now::Starting => {
            let inits = role == Role::App && !plan::is_initialized(pod, state);
            let reason = if inits { "PodInitializing" } else { "ContainerCreating" };
            (waiting(reason, ""), last(of.before.as_ref()))
        }
    }
}

fn waiting(reason: &str, message: &str) -> ApiState {
    let message = (!message.is_empty()).then(|| message.to_owned());
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ApiState { waiting: Some(waiting), ..ApiState::default() }
}

fn terminated(ended: &Ended) -> ApiState {
    let terminated = ContainerStateTerminated {
        container_id: Some(format!("{RUNTIME}://{}", ended.id)),
        exit_code: ended.code,
        signal: ended.signal,
        reason: Some(ended.reason.to_owned()),
        message: (!ended.message.is_empty()).then(|| ended.message.clone()),
        started_at: Some(Time(ended.started_at.unwrap_or(Timestamp::UNIX_EPOCH))),
        finished_at: Some(Time(ended.finished_at)),
    };
    ApiState { terminated: Some(terminated), ..ApiState::default() }
}

/// A condition's value, with the reason and message that go with it.
struct Verdict {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn yes() -> Self {
        Self { holds: true, reason: None, message: None }
    }

    fn no(reason: &'static str, message: Option<String>) -> Self {
        Self { holds: false, reason: Some(reason), message }
    }
}

fn conditions(pod: &Pod, state: &State, before: &PodStatus, phase: &str, now: Timestamp) -> Vec<PodCondition> {
    let stands = matches!(state.sandbox, SandboxState::Ready(_));
    let sandbox = Verdict { holds: stands, reason: None, message: None };
    let containers = containers_ready(pod, state, phase);
    let ready = ready(pod, before, &containers);
    let mut all: Vec<PodCondition> = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized(pod, state, phase)),
        ("Ready", ready),
        ("ContainersReady", containers),
    ]
    .into_iter()
    .map(|(kind, verdict)| condition(kind, verdict, pod, before, now))
    .collect();
    let known = before.conditions.iter().flatten();
    match known.clone().find(|c| c.type_ == "PodScheduled") {
        Some(scheduled) => all.push(scheduled.clone()),
        None => all.push(condition("PodScheduled", Verdict::yes(), pod, before, now)),
    }
    all.extend(known.filter(|c| !is_own(&c.type_)).cloned());
    all
}

fn condition(kind: &str, verdict: Verdict, pod: &Pod, before: &PodStatus, now: Timestamp) -> PodCondition {
    let status = if verdict.holds { "True" } else { "False" };
    let known = before.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == status);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.map(str::to_owned),
        message: verdict.message,
        last_transition_time: known.and_then(|c| c.last_transition_time.clone()).or(Some(Time(now))),
        observed_generation: pod.metadata.generation,
        last_probe_time: None,
    }
}

fn initialized(pod: &Pod, state: &State, phase: &str) -> Verdict {
    if phase == "Succeeded" {
        return Verdict { reason: Some("PodCompleted"), ..Verdict::yes() };
    }
    if plan::is_initialized(pod, state) {
        return Verdict::yes();
    }
    let incomplete = |(role, c): &(Role, &Container)| match (role, state.container(&c.name).now) {
        (Role::App, _) => false,
        (Role::Sidecar, Now::Running(running)) => !running.is_started(),
        (Role::Init, Now::Ended(ended)) => ended.code != 0,
        _ => true,
    };
    let names: Vec<&str> = spec::containers(pod).filter(incomplete).map(|(_, c)| c.name.as_str()).collect();
    let message = format!("containers with incomplete status: [{}]", names.join(" "));
    Verdict::no("ContainersNotInitialized", Some(message))
}

fn containers_ready(pod: &Pod, state: &State, phase: &str) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::no("PodCompleted", None),
        "Failed" => return Verdict::no("PodFailed", None),
        _ => {}
    }
    let unready = |(role, c): &(Role, &Container)| match (role, state.container(&c.name).now) {
        (Role::Init, _) => false,
        (_, Now::Running(running)) => !(running.is_started() && running.ready),
        // One that did its work under a policy that lets it rest is not missed.
        (Role::App, Now::Ended(ended)) => ended.code != 0 || spec::restart_policy(pod) == RestartPolicy::Always,
        _ => true,
    };
    let names: Vec<&str> = spec::containers(pod).filter(unready).map(|(_, c)| c.name.as_str()).collect();
    if names.is_empty() {
        return Verdict::yes();
    }
    Verdict::no("ContainersNotReady", Some(format!("containers with unready status: [{}]", names.join(" "))))
}

/// Ready when its containers are, and every gate of its own says so.
fn ready(pod: &Pod, before: &PodStatus, containers: &Verdict) -> Verdict {
    if !containers.holds {
        return Verdict { holds: false, reason: containers.reason, message: containers.message.clone() };
    }
    let known = |kind: &str| before.conditions.iter().flatten().find(|c| c.type_ == kind).map(|c| c.status.as_str());
    let mut messages = Vec::new();
    for gate in pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten()) {
        match known(&gate.condition_type) {
            Some("True") => {}
            Some(_) => {
                messages.push(format!(
                    "the status of pod readiness gate {:?} is not \"True\", but False",
                    gate.condition_type
                ));
            }
            None => messages.push(format!(
                "corresponding condition of pod readiness gate {:?} does not exist.",
                gate.condition_type
            )),
        }
    }
    if messages.is_empty() { Verdict::yes() } else { Verdict::no("ReadinessGatesNotReady", Some(messages.join(", "))) }
}

#[cfg(test)]
mod tests;

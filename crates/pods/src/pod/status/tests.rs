use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::pod::state::{Ending, Failure, Running, VolumesState, Waiting};
use crate::process::ProcessId;
use crate::sandbox::Sandbox;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn pod(spec: Value) -> Pod {
    let mut whole = json!({"containers": [{"name": "app", "image": "i"}]});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 7}, "spec": whole
    }))
    .unwrap()
}

fn ready() -> State {
    let mut state = State::new(at(0));
    state.address = Some("10.244.1.7".parse().unwrap());
    state.sandbox = SandboxState::Ready(Sandbox {
        address: state.address,
        link: Some("veth".into()),
        hostname: "p".into(),
        own_ipc: true,
        created_at: at(0),
    });
    state.volumes = VolumesState::Ready(Default::default());
    state
}

fn running(started: bool, ready: bool) -> Now {
    let nobody = ProcessId { pid: 1, start: 1, boot: String::new() };
    Now::Running(Box::new(Running {
        attempt: 0,
        id: "abc".into(),
        image: "i".into(),
        image_id: "sha256:1".into(),
        stop_signal: 15,
        process: nobody.clone(),
        parent: nobody,
        started_at: at(1),
        hooking: false,
        probed: started,
        ready,
        stopping: false,
    }))
}

fn ended(code: i32) -> Now {
    Now::Ended(Ended {
        id: "abc".into(),
        image: "i".into(),
        image_id: "sha256:1".into(),
        code,
        signal: None,
        reason: if code == 0 { "Completed" } else { "Error" },
        message: "bye".into(),
        started_at: Some(at(1)),
        finished_at: at(5),
    })
}

fn with(mut state: State, containers: &[(&str, Now)]) -> State {
    for (name, now) in containers {
        let begun = !matches!(now, Now::Waiting(_) | Now::Starting);
        *state.container_mut(name) =
            ContainerState { starts: u32::from(begun), begun, now: now.clone(), ..ContainerState::default() };
    }
    state
}

fn say(pod: &Pod, state: &State, before: &PodStatus) -> PodStatus {
    status(pod, state, before, "172.30.0.2", at(10), &Timing::default())
}

fn condition(status: &PodStatus, kind: &str) -> PodCondition {
    status.conditions.as_ref().unwrap().iter().find(|c| c.type_ == kind).cloned().unwrap()
}

fn reason(status: &PodStatus) -> String {
    let state = status.container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
    let waiting = state.waiting.and_then(|w| w.reason);
    waiting.or(state.terminated.and_then(|t| t.reason)).unwrap_or_else(|| "running".into())
}

#[test]
fn a_pod_comes_up() {
    let (pod, none) = (pod(json!({})), PodStatus::default());
    let new = say(&pod, &State::new(at(0)), &none);
    assert_eq!((new.phase.as_deref(), new.pod_ip.as_deref()), (Some("Pending"), None));
    assert_eq!((new.host_ip.as_deref(), reason(&new).as_str()), (Some("172.30.0.2"), "ContainerCreating"));
    assert_eq!(condition(&new, "PodReadyToStartContainers").status, "False");
    assert_eq!(condition(&new, "Initialized").status, "True");
    assert_eq!(condition(&new, "PodScheduled").status, "True");
    let unready = condition(&new, "Ready");
    assert_eq!(unready.reason.as_deref(), Some("ContainersNotReady"));
    assert_eq!(unready.message.as_deref(), Some("containers with unready status: [app]"));
    let up = say(&pod, &with(ready(), &[("app", running(true, true))]), &new);
    assert_eq!((up.phase.as_deref(), up.pod_ip.as_deref()), (Some("Running"), Some("10.244.1.7")));
    assert_eq!(up.pod_ips.as_ref().unwrap()[0].ip, "10.244.1.7");
    assert_eq!(
        (condition(&up, "Ready").status.as_str(), condition(&up, "Ready").observed_generation),
        ("True", Some(7))
    );
    assert_eq!(up.qos_class.as_deref(), Some("BestEffort"));
    let container = &up.container_statuses.as_ref().unwrap()[0];
    assert_eq!(container.container_id.as_deref(), Some("portolan://abc"));
    assert_eq!((container.ready, container.started, container.restart_count), (true, Some(true), 0));
    assert_eq!(container.image_id, "sha256:1");
    let order: Vec<&str> = up.conditions.as_ref().unwrap().iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(order, ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]);
}

#[test]
fn phases() {
    let none = PodStatus::default();
    let cases = [
        ("Always", ended(1), "Running"),
        ("OnFailure", ended(1), "Running"),
        ("OnFailure", ended(0), "Succeeded"),
        ("Never", ended(0), "Succeeded"),
        ("Never", ended(1), "Failed"),
        ("Always", Now::Starting, "Pending"),
        ("Always", running(false, false), "Running"),
    ];
    for (policy, now, want) in cases {
        let pod = pod(json!({"restartPolicy": policy}));
        let status = say(&pod, &with(ready(), &[("app", now.clone())]), &none);
        assert_eq!(status.phase.as_deref(), Some(want), "{policy} {now:?}");
    }
    let mut gone = with(ready(), &[("app", ended(143))]);
    gone.ending = Some(Ending { deadline: at(9), grace: Duration::ZERO });
    assert_eq!(say(&pod(json!({})), &gone, &none).phase.as_deref(), Some("Running"));
    gone.sandbox = SandboxState::Removed;
    let status = say(&pod(json!({})), &gone, &none);
    assert_eq!((status.phase.as_deref(), status.pod_ip.as_deref()), (Some("Failed"), Some("10.244.1.7")));
    let mut late = with(ready(), &[("app", ended(137))]);
    late.failure = Some(Failure { reason: "DeadlineExceeded", message: "late".into() });
    let status = say(&pod(json!({})), &late, &none);
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("DeadlineExceeded")));
}

#[test]
fn a_sidecar_keeps_a_pod_running() {
    let side = json!({"name": "side", "image": "i", "restartPolicy": "Always"});
    let pod = pod(json!({"restartPolicy": "Never", "initContainers": [side]}));
    let state = with(ready(), &[("side", running(true, true)), ("app", ended(0))]);
    assert_eq!(say(&pod, &state, &PodStatus::default()).phase.as_deref(), Some("Running"));
    let state = with(state, &[("side", ended(143))]);
    let status = say(&pod, &state, &PodStatus::default());
    assert_eq!(status.phase.as_deref(), Some("Succeeded"));
    assert_eq!(condition(&status, "Ready").reason.as_deref(), Some("PodCompleted"));
}

#[test]
fn crash_loops() {
    let pod = pod(json!({}));
    let mut state = with(ready(), &[("app", ended(3))]);
    assert_eq!(reason(&say(&pod, &state, &PodStatus::default())), "Error");
    let container = state.container_mut("app");
    container.starts = 3;
    container.backoff =
        container.backoff.restarted(at(0), at(0), &Timing::default()).restarted(at(2), at(2), &Timing::default());
    let status = say(&pod, &state, &PodStatus::default());
    let container = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(reason(&status), "CrashLoopBackOff");
    let message = container.state.clone().unwrap().waiting.unwrap().message.unwrap();
    assert_eq!(message, "back-off 20s restarting failed container=app pod=p_n(u)");
    let last = container.last_state.clone().unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.message.as_deref(), container.restart_count), (3, Some("bye"), 2));
    assert_eq!(status.phase.as_deref(), Some("Running"));
}

#[test]
fn init_containers_come_first() {
    let pod = pod(json!({"initContainers": [{"name": "init", "image": "i"}]}));
    let none = PodStatus::default();
    let status = say(&pod, &with(ready(), &[("init", running(true, true))]), &none);
    assert_eq!((status.phase.as_deref(), reason(&status).as_str()), (Some("Pending"), "PodInitializing"));
    let initialized = condition(&status, "Initialized");
    assert_eq!(initialized.message.as_deref(), Some("containers with incomplete status: [init]"));
    let init = &status.init_container_statuses.as_ref().unwrap()[0];
    assert_eq!((init.ready, init.started), (false, Some(false)));
    let status = say(&pod, &with(ready(), &[("init", ended(0))]), &none);
    assert!(status.init_container_statuses.as_ref().unwrap()[0].ready);
    assert_eq!(condition(&status, "Initialized").status, "True");
}

#[test]
fn what_a_container_waits_for() {
    let waiting = Waiting { reason: "ErrImagePull".into(), message: "load it".into(), ..Waiting::default() };
    let status = say(&pod(json!({})), &with(ready(), &[("app", Now::Waiting(waiting))]), &PodStatus::default());
    assert_eq!((reason(&status).as_str(), status.phase.as_deref()), ("ErrImagePull", Some("Pending")));
}

#[test]
fn gates_and_what_others_say() {
    let pod = pod(json!({"readinessGates": [{"conditionType": "x/gate"}]}));
    let state = with(ready(), &[("app", running(true, true))]);
    let status = say(&pod, &state, &PodStatus::default());
    assert_eq!(condition(&status, "ContainersReady").status, "True");
    let unready = condition(&status, "Ready");
    assert_eq!(unready.reason.as_deref(), Some("ReadinessGatesNotReady"));
    let said = |kind: &str, value: &str, time: i64| PodCondition {
        type_: kind.into(),
        status: value.into(),
        last_transition_time: Some(Time(at(time))),
        ..PodCondition::default()
    };
    let before = PodStatus {
        conditions: Some(vec![said("x/gate", "True", 3), said("PodScheduled", "True", 2), said("Ready", "True", 4)]),
        ..PodStatus::default()
    };
    let status = say(&pod, &state, &before);
    assert_eq!(condition(&status, "Ready").last_transition_time, Some(Time(at(4))));
    assert_eq!(condition(&status, "ContainersReady").last_transition_time, Some(Time(at(10))));
    assert_eq!(condition(&status, "PodScheduled").last_transition_time, Some(Time(at(2))));
    assert_eq!(condition(&status, "x/gate").status, "True");
}

#[test]
fn the_same_state_says_the_same() {
    let (pod, state) = (pod(json!({})), with(ready(), &[("app", running(true, false))]));
    let once = say(&pod, &state, &PodStatus::default());
    assert_eq!(status(&pod, &state, &once, "172.30.0.2", at(99), &Timing::default()), once);
}

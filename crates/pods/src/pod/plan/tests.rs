use serde_json::{Value, json};

use super::*;
use crate::pod::state::{Ended, Failure, Running, Waiting};
use crate::process::ProcessId;
use crate::sandbox::Sandbox;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn pod(spec: Value) -> Pod {
    let named = |name: &str| json!({"name": name, "image": "i"});
    let mut whole = json!({"containers": [named("app")]});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": whole})).unwrap()
}

/// Two init containers with a sidecar between them, and two others.
fn five(policy: &str) -> Pod {
    let named = |name: &str| json!({"name": name, "image": "i"});
    let sidecar = json!({"name": "side", "image": "i", "restartPolicy": "Always"});
    pod(json!({
        "restartPolicy": policy, "initContainers": [named("first"), sidecar, named("second")],
        "containers": [named("app"), named("other")]
    }))
}

fn ready() -> State {
    let sandbox = Sandbox { address: None, link: None, hostname: "p".into(), own_ipc: true, created_at: at(0) };
    let mut state = State::new(at(0));
    state.sandbox = SandboxState::Ready(sandbox);
    state.volumes = VolumesState::Ready(Default::default());
    state
}

fn running(started: bool) -> Now {
    let nobody = ProcessId { pid: 1, start: 1, boot: String::new() };
    Now::Running(Box::new(Running {
        attempt: 0,
        id: "id".into(),
        image: "i".into(),
        image_id: "sha".into(),
        stop_signal: 15,
        process: nobody.clone(),
        parent: nobody,
        started_at: at(1),
        hooking: false,
        probed: started,
        ready: true,
        stopping: false,
    }))
}

fn ended(code: i32) -> Now {
    Now::Ended(Ended {
        id: "id".into(),
        image: "i".into(),
        image_id: "sha".into(),
        code,
        signal: None,
        reason: "Error",
        message: String::new(),
        started_at: Some(at(1)),
        finished_at: at(5),
    })
}

fn with(mut state: State, containers: &[(&str, Now)]) -> State {
    for (name, now) in containers {
        let begun = !matches!(now, Now::Waiting(_));
        *state.container_mut(name) =
            ContainerState { starts: u32::from(begun), begun, now: now.clone(), ..ContainerState::default() };
    }
    state
}

fn names(plan: &Plan) -> Vec<String> {
    let name = |action: &Action| match action {
        Action::Start(name) => format!("start {name}"),
        Action::Stop(stop) => format!("stop {} {}", stop.container, stop.grace.as_secs()),
        other => format!("{other:?}"),
    };
    plan.actions.iter().map(name).collect()
}

fn look(pod: &Pod, state: &State) -> Vec<String> {
    names(&plan(pod, state, at(10), &Timing::default()))
}

#[test]
fn one_thing_after_the_other() {
    let pod = pod(json!({}));
    let mut state = State::new(at(0));
    assert_eq!(look(&pod, &state), ["CreateSandbox"]);
    state.sandbox = SandboxState::Creating;
    assert!(look(&pod, &state).is_empty());
    state.sandbox = SandboxState::Failed("x".into(), at(12));
    let later = plan(&pod, &state, at(10), &Timing::default());
    assert_eq!((names(&later).len(), later.wake), (0, Some(at(12))));
    assert_eq!(names(&plan(&pod, &state, at(12), &Timing::default())), ["CreateSandbox"]);
    state = ready();
    state.volumes = VolumesState::Absent;
    assert_eq!(look(&pod, &state), ["PrepareVolumes"]);
    state.volumes = VolumesState::Failed("x".into(), at(9));
    assert_eq!(look(&pod, &state), ["PrepareVolumes"]);
    assert_eq!(look(&pod, &ready()), ["start app"]);
}

#[test]
fn init_containers_in_order() {
    let pod = five("Always");
    let side = ("side", running(true));
    type Case = (Vec<(&'static str, Now)>, Vec<&'static str>);
    let cases: Vec<Case> = vec![
        (vec![], vec!["start first"]),
        (vec![("first", running(true))], vec![]),
        (vec![("first", ended(1))], vec!["start first"]),
        (vec![("first", ended(0))], vec!["start side"]),
        (vec![("first", ended(0)), ("side", running(false))], vec![]),
        (vec![("first", ended(0)), side.clone()], vec!["start second"]),
        (vec![("first", ended(0)), side.clone(), ("second", running(true))], vec![]),
        // A sidecar that ends is started again, whatever the others are at.
        (vec![("first", ended(0)), ("side", ended(1)), ("second", running(true))], vec!["start side"]),
        (vec![("first", ended(0)), side.clone(), ("second", ended(0))], vec!["start app"]),
        (
            vec![("first", ended(0)), ("side", ended(0)), ("second", ended(0)), ("app", running(true))],
            vec!["start side", "start other"],
        ),
        // Init containers are not run again for a container that is.
        (vec![side.clone(), ("app", running(true)), ("other", ended(1))], vec!["start other"]),
    ];
    for (containers, want) in cases {
        assert_eq!(look(&pod, &with(ready(), &containers)), want, "{containers:?}");
    }
}

#[test]
fn the_next_one_waits_for_the_hook_of_the_one_before() {
    let pod = pod(json!({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}));
    let mut hooking = running(true);
    if let Now::Running(running) = &mut hooking {
        running.hooking = true;
    }
    assert!(look(&pod, &with(ready(), &[("a", Now::Starting)])).is_empty());
    assert!(look(&pod, &with(ready(), &[("a", hooking)])).is_empty());
    assert_eq!(look(&pod, &with(ready(), &[("a", running(false))])), ["start b"]);
    let waits = Now::Waiting(Waiting { retry: Some(at(20)), ..Waiting::default() });
    let state = with(ready(), &[("a", waits)]);
    let later = plan(&pod, &state, at(10), &Timing::default());
    assert_eq!((names(&later), later.wake), (vec!["start b".to_owned()], Some(at(20))));
}

#[test]
fn restart_policies() {
    let cases = [
        ("Always", 0, vec!["start app"]),
        ("Always", 1, vec!["start app"]),
        ("OnFailure", 0, vec!["RemoveSandbox"]),
        ("OnFailure", 1, vec!["start app"]),
        ("Never", 0, vec!["RemoveSandbox"]),
        ("Never", 1, vec!["RemoveSandbox"]),
    ];
    for (policy, code, want) in cases {
        let pod = pod(json!({"restartPolicy": policy}));
        assert_eq!(look(&pod, &with(ready(), &[("app", ended(code))])), want, "{policy} {code}");
    }
    let failed = with(ready(), &[("first", ended(1))]);
    assert_eq!(look(&five("Never"), &failed), ["RemoveSandbox"]);
    assert_eq!(look(&five("OnFailure"), &failed), ["start first"]);
}

#[test]
fn restarts_wait() {
    let pod = pod(json!({}));
    let mut state = with(ready(), &[("app", ended(1))]);
    let backoff = state.container("app").backoff.restarted(at(4), at(4), &Timing::default());
    state.container_mut("app").backoff = backoff;
    let later = plan(&pod, &state, at(10), &Timing::default());
    assert_eq!((names(&later).len(), later.wake), (0, Some(at(15))));
    assert_eq!(names(&plan(&pod, &state, at(15), &Timing::default())), ["start app"]);
}

#[test]
fn the_end_is_in_order() {
    let pod = five("Always");
    let mut state = with(ready(), &[("side", running(true)), ("app", running(true)), ("other", running(true))]);
    state.ending = Some(Ending { deadline: at(40), grace: Duration::from_secs(30) });
    assert_eq!(look(&pod, &state), ["stop app 30", "stop other 30"]);
    for name in ["app", "other"] {
        if let Now::Running(running) = &mut state.container_mut(name).now {
            running.stopping = true;
        }
    }
    assert!(look(&pod, &state).is_empty());
    let state = with(state, &[("app", ended(0)), ("other", Now::Starting)]);
    assert!(look(&pod, &state).is_empty());
    let state = with(state, &[("other", ended(0))]);
    assert_eq!(names(&plan(&pod, &state, at(39), &Timing::default())), ["stop side 2"]);
    let mut state = with(state, &[("side", ended(143))]);
    assert_eq!(look(&pod, &state), ["RemoveSandbox"]);
    state.sandbox = SandboxState::Removing;
    assert!(look(&pod, &state).is_empty());
    state.sandbox = SandboxState::Removed;
    assert!(look(&pod, &state).is_empty());
}

#[test]
fn sidecars_end_when_the_others_have() {
    let pod = five("OnFailure");
    let all = [("first", ended(0)), ("second", ended(0)), ("app", ended(0)), ("other", ended(0))];
    let state = with(with(ready(), &all), &[("side", running(true))]);
    assert_eq!(look(&pod, &state), ["stop side 30"]);
}

#[test]
fn another_image_and_a_deadline() {
    let pod = pod(json!({"activeDeadlineSeconds": 30}));
    let mut state = with(ready(), &[("app", running(true))]);
    assert_eq!(plan(&pod, &state, at(10), &Timing::default()).wake, Some(at(30)));
    assert_eq!(names(&plan(&pod, &state, at(30), &Timing::default())), ["Expire"]);
    if let Now::Running(running) = &mut state.container_mut("app").now {
        running.image = "old".into();
    }
    assert_eq!(look(&pod, &state), ["stop app 30"]);
    state.failure = Some(Failure { reason: "DeadlineExceeded", message: String::new() });
    assert_eq!(look(&pod, &state), ["stop app 30"]);
}

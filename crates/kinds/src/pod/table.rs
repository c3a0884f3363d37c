//! Pods as kubectl prints them.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
use serde_json::{Value, json};

use super::is_sidecar;
use crate::document::{at, flag, given, integer, list, text};
use crate::kind::{Column, age, human_duration};

pub(super) static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::name(),
        Column::text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        Column::text("Status", "The aggregate status of the containers in this pod."),
        Column::text(
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        ),
        Column::age(),
        Column::field::<PodStatus>("IP", "podIP").wide(),
        Column::field::<PodSpec>("Node", "nodeName").wide(),
        Column::field::<PodStatus>("Nominated Node", "nominatedNodeName").wide(),
        Column::field::<PodSpec>("Readiness Gates", "readinessGates").wide(),
    ]
});

/// The cells of a Pod.
pub(super) fn row(pod: &Value, now: i64) -> Vec<Value> {
    let (spec, status) = (at(pod, "spec"), at(pod, "status"));
    let summary = Summary::of(pod);
    let restarts = match summary.restarted {
        Some(time) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, human_duration(now - time.as_second()))
        }
        _ => summary.restarts.to_string(),
    };
    let or_none = |value: &str| Value::from(if value.is_empty() { "<none>" } else { value });
    vec![
        Value::from(text(at(pod, "metadata"), "name")),
        Value::from(format!("{}/{}", summary.ready, summary.all)),
        Value::from(summary.reason),
        Value::from(restarts),
        Value::from(age(pod, now)),
        or_none(list(status, "podIPs").first().map_or("", |ip| text(ip, "ip"))),
        or_none(text(spec, "nodeName")),
        or_none(text(status, "nominatedNodeName")),
        or_none(&readiness_gates(spec, status)),
    ]
}

/// What is said of the row itself: that the Pod is over.
pub(super) fn row_conditions(pod: &Value) -> Vec<Value> {
    let message = match text(at(pod, "status"), "phase") {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return Vec::new(),
    };
    vec![json!({
        "type": "Completed",
        "status": "True",
        "reason": text(at(pod, "status"), "phase"),
        "message": message,
    })]
}

fn readiness_gates(spec: &Value, status: &Value) -> String {
    let gates = list(spec, "readinessGates");
    if gates.is_empty() {
        return String::new();
    }
    let open = gates.iter().filter(|gate| condition(status, text(gate, "conditionType")) == Some("True")).count();
    format!("{open}/{}", gates.len())
}

/// The status of the first condition of a type.
fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a str> {
    let found = list(status, "conditions").iter().find(|condition| text(condition, "type") == kind)?;
    Some(text(found, "status"))
}

/// How a Pod is, taken together of all its containers.
struct Summary {
    ready: usize,
    all: usize,
    reason: String,
    restarts: i64,
    restarted: Option<jiff::Timestamp>,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let (spec, status) = (at(pod, "spec"), at(pod, "status"));
        let phase = text(status, "phase");
        let mut summary = Self {
            ready: 0,
            all: list(spec, "containers").len() + list(spec, "initContainers").iter().filter(|c| is_sidecar(c)).count(),
            reason: phase.to_owned(),
            restarts: 0,
            restarted: None,
        };
        if !text(status, "reason").is_empty() {
            text(status, "reason").clone_into(&mut summary.reason);
        }
        for condition in list(status, "conditions") {
            if text(condition, "type") == "PodScheduled" && text(condition, "reason") == "SchedulingGated" {
                "SchedulingGated".clone_into(&mut summary.reason);
            }
        }
        let initializes = summary.start(spec, status);
        if !initializes || condition(status, "Initialized") == Some("True") {
            summary.run(spec, status);
        }
        let is_deleted = given(at(pod, "metadata"), "deletionTimestamp").is_some();
        if is_deleted && text(status, "reason") == "NodeLost" {
            "Unknown".clone_into(&mut summary.reason);
        } else if is_deleted && !matches!(phase, "Failed" | "Succeeded") {
            "Terminating".clone_into(&mut summary.reason);
        }
        summary
    }

    /// Counts the init containers up to the first that is not done; whether there is one.
    fn start(&mut self, spec: &Value, status: &Value) -> bool {
        for (i, container) in list(status, "initContainerStatuses").iter().enumerate() {
            self.count_restarts(container);
            let state = at(container, "state");
            let terminated = given(state, "terminated");
            if terminated.is_some_and(|end| integer(end, "exitCode") == 0) {
                continue;
            }
            if is_sidecar_status(spec, container) && flag(container, "started") {
                self.ready += usize::from(flag(container, "ready"));
                continue;
            }
            let waiting = text(at(state, "waiting"), "reason");
            self.reason = match terminated {
                Some(end) => format!("Init:{}", ending(end)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
                None => format!("Init:{i}/{}", list(spec, "initContainers").len()),
            };
            return true;
        }
        false
    }

    /// Counts the containers that run together.
    fn run(&mut self, spec: &Value, status: &Value) {
        // Of those that ran before, only the ones that keep running count.
        (self.restarts, self.restarted) = (0, None);
        let statuses = list(status, "initContainerStatuses");
        // Kubernetes stops counting at the first that is not done.
        let done = statuses.iter().take_while(|container| {
            given(at(container, "state"), "terminated").is_some_and(|end| integer(end, "exitCode") == 0)
                || is_sidecar_status(spec, container) && flag(container, "started")
        });
        let counted = (done.count() + 1).min(statuses.len());
        for container in statuses[..counted].iter().filter(|container| is_sidecar_status(spec, container)) {
            self.count_restarts(container);
        }
        let (mut has_running, mut failure) = (false, String::new());
        for container in list(status, "containerStatuses").iter().rev() {
            self.count_restarts(container);
            let state = at(container, "state");
            let waiting = text(at(state, "waiting"), "reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if let Some(end) = given(state, "terminated") {
                self.reason = ending(end);
                if integer(end, "exitCode") != 0 {
                    failure.clone_from(&self.reason);
                }
            } else if flag(container, "ready") && given(state, "running").is_some() {
                has_running = true;
                self.ready += 1;
            }
        }
        if self.reason != "Completed" {
            return;
        }
        let is_ready = list(status, "conditions")
            .iter()
            .any(|condition| text(condition, "type") == "Ready" && text(condition, "status") == "True");
        if has_running && is_ready {
            "Running".clone_into(&mut self.reason);
        } else if !failure.is_empty() {
            self.reason = failure;
        } else if has_running {
            "NotReady".clone_into(&mut self.reason);
        }
    }

    fn count_restarts(&mut self, container: &Value) {
        self.restarts += integer(container, "restartCount");
        let finished = text(at(at(container, "lastState"), "terminated"), "finishedAt").parse().ok();
        self.restarted = self.restarted.max(finished);
    }
}

fn is_sidecar_status(spec: &Value, status: &Value) -> bool {
    let name = text(status, "name");
    list(spec, "initContainers").iter().rev().find(|container| text(container, "name") == name).is_some_and(is_sidecar)
}

/// Why a container ended.
fn ending(terminated: &Value) -> String {
    match (text(terminated, "reason"), integer(terminated, "signal")) {
        ("", 0) => format!("ExitCode:{}", integer(terminated, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

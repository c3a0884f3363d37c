//! What a Pod's specification says, with its defaults.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What becomes of a container that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// It is started again.
    Always,
    /// It is started again unless it ended with 0.
    OnFailure,
    /// It stays as it is.
    Never,
}

/// When a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To its end, before the next one begins.
    Init,
    /// From its place among the init containers until the others have ended.
    Sidecar,
    /// After all init containers.
    App,
}

/// The Pod's restart policy.
#[must_use]
pub fn restart_policy(pod: &Pod) -> RestartPolicy {
    match pod.spec.as_ref().and_then(|s| s.restart_policy.as_deref()) {
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        _ => RestartPolicy::Always,
    }
}

/// Every container with its role, init containers first, each group in the order of the specification.
pub fn containers(pod: &Pod) -> impl DoubleEndedIterator<Item = (Role, &Container)> {
    let role = |c: &Container| if c.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init };
    let inits = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten()).map(move |c| (role(c), c));
    inits.chain(pod.spec.iter().flat_map(|s| &s.containers).map(|c| (Role::App, c)))
}

/// The container of this name.
#[must_use]
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<(Role, &'a Container)> {
    containers(pod).find(|(_, c)| c.name == name)
}

/// The time between being asked to end and being ended.
#[must_use]
pub fn grace(pod: &Pod) -> Duration {
    seconds(pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds).unwrap_or(30))
}

/// Of a number that may be anything.
#[must_use]
pub fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

/// A port by number, or by its name in the container.
#[must_use]
pub fn port(port: &IntOrString, container: &Container) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok().filter(|p| *p != 0),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|p| p.name.as_ref() == Some(name));
            match named {
                Some(port) => u16::try_from(port.container_port).ok(),
                None => name.parse().ok(),
            }
        }
    }
}

/// `namespace/name`, for messages.
#[must_use]
pub fn full_name(pod: &Pod) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    format!("{}/{}", text(&pod.metadata.namespace), text(&pod.metadata.name))
}

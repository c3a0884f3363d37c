//! The node's own object: made when it is not there, kept true while the node lives.

use std::collections::BTreeMap;
use std::fs;

use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::config::{Config, KUBELET_PORT};

/// What a node can hold, as kubelet's default says it.
const MAX_PODS: &str = "110";

/// Makes the node's object, or brings the one that is there up to date, and says that the node is ready or not.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn register(nodes: &Api<Node>, config: &Config, ready: &Readiness) -> Result<Node, kube::Error> {
    let labels = labels(config);
    match nodes.get_opt(&config.name).await? {
        None => {
            let node = Node {
                metadata: ObjectMeta { name: Some(config.name.clone()), labels: Some(labels), ..ObjectMeta::default() },
                spec: Some(NodeSpec::default()),
                status: None,
            };
            match nodes.create(&PostParams::default(), &node).await {
                Ok(_) => {}
                // Another process of this name was faster: what it made is brought up to date below.
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(e) => return Err(e),
            }
        }
        Some(old) if !has_all(old.metadata.labels.as_ref(), &labels) => {
            let patch = json!({ "metadata": { "labels": labels } });
            nodes.patch(&config.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        Some(_) => {}
    }
    report(nodes, config, ready).await
}

/// Says in the node's status what it is and whether it is ready.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn report(nodes: &Api<Node>, config: &Config, ready: &Readiness) -> Result<Node, kube::Error> {
    let old = nodes.get(&config.name).await?;
    let held = old.status.and_then(|s| s.conditions).unwrap_or_default();
    let patch = json!({ "status": status(config, &conditions(ready, &held, Timestamp::now())) });
    nodes.patch_status(&config.name, &PatchParams::default(), &Patch::Strategic(&patch)).await
}

/// Whether a node can run Pods, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot: a sentence for people.
    NotReady(String),
}

fn has_all(held: Option<&BTreeMap<String, String>>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(k, v)| held.and_then(|h| h.get(k)) == Some(v))
}

fn labels(config: &Config) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), config.name.clone()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), architecture().to_owned()),
    ]);
    if let Some(zone) = &config.zone {
        labels.insert("topology.kubernetes.io/zone".to_owned(), zone.clone());
    }
    labels
}

/// The architecture as Go and so Kubernetes spells it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn conditions(ready: &Readiness, held: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let (status, reason, message) = match ready {
        Readiness::Ready => ("True", "KubeletReady", "the node is posting ready status".to_owned()),
        Readiness::NotReady(why) => ("False", "KubeletNotReady", why.clone()),
    };
    let rows = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "the node has sufficient memory available".to_owned(),
        ),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "the node has no disk pressure".to_owned()),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "the node has sufficient PIDs available".to_owned()),
        ("Ready", status, reason, message),
    ];
    rows.into_iter()
        .map(|(kind, status, reason, message)| {
            let before = held.iter().find(|c| c.type_ == kind && c.status == status);
            NodeCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_heartbeat_time: Some(Time(now)),
                last_transition_time: before.and_then(|c| c.last_transition_time.clone()).or(Some(Time(now))),
            }
        })
        .collect()
}

fn status(config: &Config, conditions: &[NodeCondition]) -> NodeStatus {
    let resources = resources();
    NodeStatus {
        addresses: Some(vec![
            NodeAddress { type_: "InternalIP".to_owned(), address: config.address.to_string() },
            NodeAddress { type_: "Hostname".to_owned(), address: config.name.clone() },
        ]),
        allocatable: Some(resources.clone()),
        capacity: Some(resources),
        conditions: Some(conditions.to_vec()),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(KUBELET_PORT) }),
        }),
        node_info: Some(system_info()),
        ..NodeStatus::default()
    }
}

fn resources() -> BTreeMap<String, Quantity> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut resources = BTreeMap::from([
        ("cpu".to_owned(), Quantity(cores.to_string())),
        ("pods".to_owned(), Quantity(MAX_PODS.to_owned())),
    ]);
    if let Some(memory) = memory() {
        resources.insert("memory".to_owned(), Quantity(memory));
    }
    resources
}

/// The machine's memory as a quantity; `None` where `/proc` does not tell.
fn memory() -> Option<String> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let total = info.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    Some(format!("{}Ki", total.trim().strip_suffix(" kB")?))
}

fn system_info() -> NodeSystemInfo {
    // Each of these is a name for people; a machine that does not tell one leaves it empty, as kubelet does.
    let line = |path: &str| fs::read_to_string(path).map(|s| s.trim().to_owned()).unwrap_or_default();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let pretty = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: concat!("portolan://", env!("CARGO_PKG_VERSION")).to_owned(),
        kernel_version: line("/proc/sys/kernel/osrelease"),
        kube_proxy_version: String::new(),
        kubelet_version: concat!("v1.36.3+portolan-", env!("CARGO_PKG_VERSION")).to_owned(),
        machine_id: line("/etc/machine-id"),
        operating_system: "linux".to_owned(),
        os_image: pretty.trim_matches('"').to_owned(),
        system_uuid: line("/sys/class/dmi/id/product_uuid"),
        ..NodeSystemInfo::default()
    }
}

#[cfg(test)]
mod tests;

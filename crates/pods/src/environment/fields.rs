//! Fields of the Pod by their path, and its resources: the downward API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity;

/// What the node knows of the Pod and of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The Pod's address: the node's, on the node's network.
    pub pod_ip: String,
    /// The node's address.
    pub host_ip: String,
    /// The node's name.
    pub node_name: String,
    /// The node's processors, which a container without a limit may use.
    pub cpus: u32,
    /// The node's memory in bytes.
    pub memory: u64,
}

/// A field's value, as text; `None` for what cannot be referred to.
#[must_use]
pub fn of_pod(pod: &Pod, facts: &Facts, path: &str) -> Option<String> {
    let meta = &pod.metadata;
    let text = |value: &Option<String>| Some(value.clone().unwrap_or_default());
    match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        "spec.nodeName" => Some(facts.node_name.clone()),
        "spec.serviceAccountName" => text(&pod.spec.as_ref()?.service_account_name),
        "status.podIP" | "status.podIPs" => Some(facts.pod_ip.clone()),
        "status.hostIP" | "status.hostIPs" => Some(facts.host_ip.clone()),
        _ => {
            let (map, key) = path.strip_suffix("']")?.split_once("['")?;
            let of = |map: &Option<BTreeMap<String, String>>| map.as_ref()?.get(key).cloned();
            match map {
                "metadata.labels" => Some(of(&meta.labels).unwrap_or_default()),
                "metadata.annotations" => Some(of(&meta.annotations).unwrap_or_default()),
                _ => None,
            }
        }
    }
}

/// `key="value"`, a line each, in order.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={}", quoted(value));
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `limits.cpu` and the like of a container, divided by `divisor` and rounded up. A limit that is not set is what the
/// node has.
#[must_use]
pub fn of_resources(container: &Container, facts: &Facts, resource: &str, divisor: Option<&Quantity>) -> Option<i64> {
    let (list, name) = resource.split_once('.')?;
    let resources = container.resources.clone().unwrap_or_default();
    let (requests, limits) = (resources.requests.unwrap_or_default(), resources.limits.unwrap_or_default());
    let node = || match name {
        "cpu" => Some(Quantity(facts.cpus.to_string())),
        "memory" => Some(Quantity(facts.memory.to_string())),
        _ => None,
    };
    let value = match list {
        "limits" => limits.get(name).cloned().or_else(node)?,
        "requests" => requests.get(name).or_else(|| limits.get(name)).cloned().unwrap_or(Quantity("0".into())),
        _ => return None,
    };
    let one = Quantity("1".into());
    let divisor = divisor.filter(|d| !d.0.is_empty() && d.0 != "0").unwrap_or(&one);
    quantity::divided(&value, divisor)
}

/// The container of the Pod with this name, among the init containers too.
#[must_use]
pub fn container_of<'a>(pod: &'a Pod, name: Option<&str>) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    let name = name.filter(|n| !n.is_empty())?;
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|c| c.name == name)
}

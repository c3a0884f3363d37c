//! What a Pod's author is warned of.

use serde_json::Value;

use super::{all_containers, environment};
use crate::document::{at, given, integer, list, text, text_at, text_entries, texts};
use crate::field::Path;
use crate::quantity::Quantity;
use crate::schema::quoted;
use crate::{addresses, names};

const DEPRECATED_LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];
const DEPRECATED_ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];
/// Kinds of volumes: the field, its name in the warning, the warning.
const DEPRECATED_VOLUMES: &[(&str, &str, &str)] = &[
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const NO_SELECTOR: &str = "a null labelSelector results in matching no pod";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The warnings of a Pod's metadata and spec, which are at `path`, in Kubernetes' order.
pub(super) fn of_spec(path: &Path, metadata: &Value, spec: &Value) -> Vec<String> {
    let annotations = path.child("metadata").child("annotations");
    let path = path.child("spec");
    let mut warnings = of_nodes(&path, spec);
    for (key, message) in DEPRECATED_ANNOTATIONS {
        if text_at(metadata, "annotations", key).is_some() {
            warnings.push(format!("{}: {message}", annotations.key(key)));
        }
    }
    warnings.extend(of_volumes(&path, list(spec, "volumes")));
    warnings.extend(of_lists(&path, spec));
    let overhead = path.child("overhead");
    warnings.extend(
        ["memory", "ephemeral-storage"]
            .into_iter()
            .filter_map(|name| of_fraction(&overhead.key(name), at(at(spec, "overhead"), name))),
    );
    if given(at(spec, "securityContext"), "seccompProfile").is_none()
        && text_at(metadata, "annotations", SECCOMP).is_some()
    {
        let message = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
        warnings.push(format!("{}: {message}", annotations.key(SECCOMP)));
    }
    let containers = all_containers(spec, &path);
    for (container, path) in &containers {
        warnings.extend(of_container(path, container));
    }
    warnings.extend(of_ports(&containers));
    warnings.extend(of_port_names(&containers));
    if integer(spec, "terminationGracePeriodSeconds") < 0 {
        let path = path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    warnings.extend(of_affinity(&path.child("affinity"), at(spec, "affinity")));
    let servers = path.child("dnsConfig").child("nameservers");
    for (i, server) in texts(at(spec, "dnsConfig"), "nameservers").into_iter().enumerate() {
        warnings.extend(addresses::warnings(&servers.index(i), server));
    }
    for (i, alias) in list(spec, "hostAliases").iter().enumerate() {
        warnings.extend(addresses::warnings(&path.child("hostAliases").index(i).child("ip"), text(alias, "ip")));
    }
    warnings
}

/// What to say of a label of nodes that is on its way out.
pub(crate) fn deprecation(label: &str) -> Option<&'static str> {
    DEPRECATED_LABELS.iter().find(|(key, _)| *key == label).map(|(_, message)| *message)
}

fn of_nodes(path: &Path, spec: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (key, _) in text_entries(spec, "nodeSelector") {
        warnings.extend(deprecation(key).map(|message| format!("{}: {message}", path.child("nodeSelector").key(key))));
    }
    let of_nodes = at(at(spec, "affinity"), "nodeAffinity");
    let affinity = path.child("affinity").child("nodeAffinity");
    let required = affinity.child(REQUIRED).child("nodeSelectorTerms");
    for (i, term) in list(at(of_nodes, REQUIRED), "nodeSelectorTerms").iter().enumerate() {
        warnings.extend(of_node_term(&required.index(i), term, false));
    }
    for (i, term) in list(of_nodes, PREFERRED).iter().enumerate() {
        let path = affinity.child(PREFERRED).index(i).child("preference");
        warnings.extend(of_node_term(&path, at(term, "preference"), true));
    }
    for (i, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(i);
        let key = text(constraint, "topologyKey");
        if let Some(message) = deprecation(key) {
            warnings.push(format!("{}: {key} is {message}", path.child("topologyKey")));
        }
        if given(constraint, "labelSelector").is_none() {
            warnings.push(format!("{}: {NO_SELECTOR}", path.child("labelSelector")));
        }
    }
    warnings
}

fn of_node_term(path: &Path, term: &Value, with_values: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    for (i, expression) in list(term, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        let key = text(expression, "key");
        if let Some(message) = deprecation(key) {
            warnings.push(format!("{}: {key} is {message}", path.child("key")));
        }
        for (j, value) in texts(expression, "values").into_iter().enumerate().filter(|_| with_values) {
            for message in names::label_value(value) {
                warnings.push(format!("{}: {value} is invalid, {message}", path.child("values").index(j)));
            }
        }
    }
    warnings
}

fn of_affinity(path: &Path, affinity: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for field in ["podAffinity", "podAntiAffinity"] {
        let (path, of_pods) = (path.child(field), at(affinity, field));
        for (i, term) in list(of_pods, REQUIRED).iter().enumerate() {
            if given(term, "labelSelector").is_none() {
                let path = path.child(REQUIRED).index(i).child("labelSelector");
                warnings.push(format!("{path}: {NO_SELECTOR}"));
            }
        }
        for (i, term) in list(of_pods, PREFERRED).iter().enumerate() {
            if given(at(term, "podAffinityTerm"), "labelSelector").is_none() {
                let path = path.child(PREFERRED).index(i).child("podAffinityTerm").child("labelSelector");
                warnings.push(format!("{path}: {NO_SELECTOR}"));
            }
        }
    }
    warnings
}

fn of_volumes(path: &Path, volumes: &[Value]) -> Vec<String> {
    let path = path.child("volumes");
    let mut warnings = Vec::new();
    for (i, volume) in volumes.iter().enumerate() {
        for (field, name, message) in DEPRECATED_VOLUMES {
            if given(volume, field).is_some() {
                warnings.push(format!("{}: {message}", path.index(i).child(name)));
            }
        }
        let claim = at(at(at(volume, "ephemeral"), "volumeClaimTemplate"), "spec");
        let at_claim = path.index(i).child("ephemeral").child("volumeClaimTemplate").child("spec").child("resources");
        for field in ["requests", "limits"] {
            let amount = at(at(at(claim, "resources"), field), "storage");
            warnings.extend(of_fraction(&at_claim.child(field).key("storage"), amount));
        }
    }
    warnings.extend(volumes.iter().flat_map(overlaps));
    warnings
}

/// Files of a volume that hide one another: those of one path, and those of a directory that is a file.
fn overlaps(volume: &Value) -> Vec<String> {
    let name = quoted(text(volume, "name"));
    let files_of = |source: &Value, of: &str| -> Vec<(String, String)> {
        let path = |item| text(item, "path").trim_end_matches('/').to_owned();
        list(source, "items").iter().map(|item| (path(item), of.to_owned())).collect()
    };
    let mut warnings = Vec::new();
    let mut warn = |description: &str, files: &[(String, String)]| {
        for (i, file) in files.iter().enumerate() {
            for other in files[..i].iter().filter(|other| overlap(&file.0, &other.0)) {
                let (file, other) = (print_file(file), print_file(other));
                warnings.push(format!("volume {name} ({description}): overlapping paths: {file} with {other}"));
            }
        }
    };
    for (field, kind, named) in [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")] {
        if let Some(source) = given(volume, field) {
            warn(&format!("{kind} {}", quoted(text(source, named))), &files_of(source, ""));
        }
    }
    if let Some(source) = given(volume, "downwardAPI") {
        warn("DownwardAPI", &files_of(source, ""));
    }
    let mut files = Vec::new();
    for source in list(at(volume, "projected"), "sources") {
        let named = |kind: &str, keys: &Value| format!("{kind} {}", quoted(text(keys, "name")));
        if let Some(keys) = given(source, "configMap").filter(|keys| given(keys, "items").is_some()) {
            files.extend(files_of(keys, &named("ConfigMap", keys)));
        } else if let Some(keys) = given(source, "secret").filter(|keys| given(keys, "items").is_some()) {
            files.extend(files_of(keys, &named("Secret", keys)));
        } else if let Some(downward) = given(source, "downwardAPI").filter(|d| given(d, "items").is_some()) {
            files.extend(files_of(downward, "DownwardAPI"));
        } else if let Some(token) = given(source, "serviceAccountToken") {
            let path = text(token, "path").trim_end_matches('/');
            files.push((path.to_owned(), "ServiceAccountToken".to_owned()));
        }
    }
    warn("Projected", &files);
    let is_empty = |source: &&Value| source.as_object().is_none_or(|s| s.values().all(Value::is_null));
    let empty = list(at(volume, "projected"), "sources").iter().filter(is_empty).count();
    let mut all: Vec<_> = (0..empty).map(|_| format!("volume {name} (Projected) has no sources provided")).collect();
    all.extend(warnings);
    all
}

fn overlap(path: &str, other: &str) -> bool {
    let (path, other) = (path.to_owned() + "/", other.to_owned() + "/");
    path != "/" && other != "/" && (path.starts_with(&other) || other.starts_with(&path))
}

fn print_file((path, source): &(String, String)) -> String {
    if source.is_empty() { quoted(path) } else { format!("{} ({source})", quoted(path)) }
}

fn of_lists(path: &Path, spec: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (field, key) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let elements = list(spec, field);
        for (i, element) in elements.iter().enumerate() {
            let value = text(element, key);
            if elements[..i].iter().any(|other| text(other, key) == value) {
                let path = path.child(field).index(i).child(key);
                warnings.push(format!("{path}: duplicate {key} {}", quoted(value)));
            }
        }
    }
    for (i, _) in
        list(spec, "imagePullSecrets").iter().enumerate().filter(|(_, secret)| text(secret, "name").is_empty())
    {
        let path = path.child("imagePullSecrets").index(i).child("name");
        warnings.push(format!("{path}: invalid empty name \"\""));
    }
    warnings
}

fn of_fraction(path: &Path, amount: &Value) -> Option<String> {
    let amount = Quantity::from_value(amount).ok()?;
    let detail =
        || format!("{path}: fractional byte value {} is invalid, must be an integer", quoted(&amount.to_string()));
    (amount.millis() % 1000 != 0).then(detail)
}

fn of_container(path: &Path, container: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in ["memory", "ephemeral-storage"] {
        for field in ["limits", "requests"] {
            let amount = at(at(at(container, "resources"), field), name);
            warnings.extend(of_fraction(&path.child("resources").child(field).key(name), amount));
        }
    }
    for (i, name) in environment::hidden_variables(container) {
        let path = path.child("env").index(i);
        warnings.push(format!(
            "{path}: hides previous definition of {}, which may be dropped when using apply",
            quoted(name)
        ));
    }
    warnings
}

fn ports<'a>(containers: &[(&'a Value, Path)]) -> Vec<(&'a Value, Path)> {
    let of = |(container, path): &(&'a Value, Path)| {
        let path = path.child("ports");
        list(container, "ports").iter().enumerate().map(|(i, port)| (port, path.index(i))).collect::<Vec<_>>()
    };
    containers.iter().flat_map(of).collect()
}

fn of_ports(containers: &[(&Value, Path)]) -> Vec<String> {
    let ports = ports(containers);
    let mut warnings = Vec::new();
    for (i, (port, path)) in ports.iter().enumerate() {
        let (host_ip, host_port) = (text(port, "hostIP"), integer(port, "hostPort"));
        if !host_ip.is_empty() && host_port == 0 {
            warnings.push(format!("{path}: hostIP set without hostPort: {}", print_port(port)));
        }
        let is_same_port = |other: &Value| {
            integer(other, "containerPort") == integer(port, "containerPort")
                && text(other, "protocol") == text(port, "protocol")
        };
        for (other, at_other) in ports[..i].iter().filter(|(other, _)| is_same_port(other)) {
            let (other_ip, other_port) = (text(other, "hostIP"), integer(other, "hostPort"));
            let how = if host_ip == other_ip && host_port == other_port {
                "duplicate"
            } else if host_port == 0 || other_port == 0 {
                "overlapping"
            } else if host_port == other_port && host_ip.is_empty() != other_ip.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            warnings.push(format!("{path}: {how} port definition with {at_other}"));
        }
    }
    warnings
}

/// A port as Go's `%+v` prints it.
fn print_port(port: &Value) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        text(port, "name"),
        integer(port, "hostPort"),
        integer(port, "containerPort"),
        text(port, "protocol"),
        text(port, "hostIP")
    )
}

fn of_port_names(containers: &[(&Value, Path)]) -> Vec<String> {
    let ports = ports(containers);
    let mut warnings = Vec::new();
    for (i, (port, path)) in ports.iter().enumerate().filter(|(_, (port, _))| !text(port, "name").is_empty()) {
        let name = text(port, "name");
        if let Some((_, first)) = ports[..i].iter().find(|(other, _)| text(other, "name") == name) {
            warnings.push(format!(
                "{path}: duplicate port name {} with {first}, services and probes that select ports by name will use {first}",
                quoted(name)
            ));
        }
    }
    warnings
}

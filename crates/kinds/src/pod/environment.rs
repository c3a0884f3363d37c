//! The faults of environment variables, and of references to fields and amounts, which files have too.

use serde_json::Value;

use crate::document::{at, given, list, text};
use crate::field::{Error, Path};
use crate::names;
use crate::quantity::Quantity;

const VARIABLE_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// The fields that a file may show.
pub(super) const FILE_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// The fields that have a name at all.
const KNOWN_FIELDS: &[&str] = &["spec.restartPolicy", "spec.schedulerName", "status.phase"];
const AMOUNTS: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const DIVISORS: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// The faults of `env`.
pub(super) fn validate(path: &Path, variables: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, variable) in variables.iter().enumerate() {
        let path = path.index(i);
        match text(variable, "name") {
            "" => faults.push(Error::required(&path.child("name"), "")),
            name => {
                faults.extend(Error::invalid_each(&path.child("name"), name, names::environment_variable(name)));
            }
        }
        if let Some(from) = given(variable, "valueFrom") {
            faults.extend(validate_source(&path.child("valueFrom"), from, !text(variable, "value").is_empty()));
        }
    }
    faults
}

fn validate_source(path: &Path, from: &Value, has_value: bool) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut sources = 0;
    let mut source = |field: &str, rule: &dyn Fn(&Path, &Value) -> Vec<Error>| {
        if let Some(source) = given(from, field) {
            sources += 1;
            faults.extend(rule(&path.child(field), source));
        }
    };
    source("fieldRef", &|path, field| validate_field(path, field, VARIABLE_FIELDS));
    source("resourceFieldRef", &|path, resource| validate_amount(path, resource, false));
    source("configMapKeyRef", &validate_key);
    source("secretKeyRef", &validate_key);
    source("fileKeyRef", &validate_file_key);
    let fault = match sources {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        _ if has_value => "may not be specified when `value` is not empty",
        1 => return faults,
        _ => "may not have more than one field specified at a time",
    };
    faults.push(Error::invalid(path, "", fault));
    faults
}

/// The faults of `envFrom`.
pub(super) fn validate_from(path: &Path, sources: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        let at = path.index(i);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            faults.extend(Error::invalid_each(&at.child("prefix"), prefix, names::environment_variable(prefix)));
        }
        let mut count = 0;
        for field in ["configMapRef", "secretRef"] {
            let Some(reference) = given(source, field) else { continue };
            count += 1;
            let path = at.child(field).child("name");
            match text(reference, "name") {
                "" => faults.push(Error::required(&path, "")),
                // As a prefix, which it is not: so Kubernetes judges it.
                name => {
                    let messages = names::dns1123_subdomain(&names::without_trailing_dash(name));
                    faults.extend(Error::invalid_each(&path, name, messages));
                }
            }
        }
        match count {
            0 => faults.push(Error::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => faults.push(Error::invalid(path, "", "may not have more than one field specified at a time")),
        }
    }
    faults
}

/// The faults of a reference to a field of the Pod.
pub(super) fn validate_field(path: &Path, reference: &Value, supported: &[&str]) -> Vec<Error> {
    let (version, field) = (text(reference, "apiVersion"), text(reference, "fieldPath"));
    if version.is_empty() {
        return vec![Error::required(&path.child("apiVersion"), "")];
    }
    let at = path.child("fieldPath");
    if field.is_empty() {
        return vec![Error::required(&at, "")];
    }
    let unreadable = |why: String| vec![Error::invalid(&at, field, format!("error converting fieldPath: {why}"))];
    if version != "v1" {
        return unreadable(format!("unsupported pod version: {version}"));
    }
    if let Some((map, key)) = subscript(field) {
        return match map {
            "metadata.annotations" => names::label_key_field(path, &key.to_lowercase()),
            "metadata.labels" => names::label_key_field(path, key),
            _ => unreadable(format!("field label does not support subscript: {field}")),
        };
    }
    // The old name of the field.
    let field = if field == "spec.host" { "spec.nodeName" } else { field };
    let is_known = [VARIABLE_FIELDS, FILE_FIELDS, KNOWN_FIELDS].into_iter().any(|fields| fields.contains(&field));
    if !is_known {
        return unreadable(format!("field label not supported: {field}"));
    }
    if supported.contains(&field) { Vec::new() } else { vec![Error::not_supported(&at, field, supported)] }
}

/// `metadata.labels['a']` is the value of `a` in `metadata.labels`.
fn subscript(field: &str) -> Option<(&str, &str)> {
    field.strip_suffix("']")?.split_once("['").filter(|(map, _)| !map.is_empty())
}

/// The faults of a reference to a limit or a request; `of_file`: it must say of which container.
pub(super) fn validate_amount(path: &Path, reference: &Value, of_file: bool) -> Vec<Error> {
    let resource = text(reference, "resource");
    let is_pages = resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    let mut faults = Vec::new();
    if of_file && text(reference, "containerName").is_empty() {
        faults.push(Error::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        faults.push(Error::required(&path.child("resource"), ""));
    } else if !AMOUNTS.contains(&resource) && !is_pages {
        faults.push(Error::not_supported(&path.child("resource"), resource, AMOUNTS));
    }
    let Ok(divisor) = Quantity::from_value(at(reference, "divisor")) else { return faults };
    if divisor.nanos() == 0 {
        return faults;
    }
    let what = match resource.split_once('.').map(|(_, what)| what) {
        Some("cpu") => {
            if !matches!(divisor.to_string().as_str(), "1m" | "1") {
                let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
                faults.push(Error::invalid(&path.child("divisor"), resource, detail));
            }
            return faults;
        }
        Some("memory") => "memory",
        Some("ephemeral-storage") => "local ephemeral storage",
        _ if is_pages => "hugepages",
        _ => return faults,
    };
    if !DIVISORS.contains(&divisor.to_string().as_str()) {
        let all = DIVISORS.join(", ");
        let detail = format!("only divisor's values {all} are supported with the {what} resource");
        faults.push(Error::invalid(&path.child("divisor"), resource, detail));
    }
    faults
}

/// The faults of a reference to a key of a ConfigMap or a Secret.
fn validate_key(path: &Path, reference: &Value) -> Vec<Error> {
    let mut faults = names::subdomain_field(&path.child("name"), text(reference, "name"));
    match text(reference, "key") {
        "" => faults.push(Error::required(&path.child("key"), "")),
        key => faults.extend(Error::invalid_each(&path.child("key"), key, names::config_key(key))),
    }
    faults
}

/// The faults of a reference to a variable in a file of variables.
fn validate_file_key(path: &Path, reference: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut required = |field: &str, rule: &dyn Fn(&Path, &str) -> Vec<Error>| match text(reference, field) {
        "" => faults.push(Error::required(&path.child(field), "")),
        value => faults.extend(rule(&path.child(field), value)),
    };
    required("key", &|path, key| Error::invalid_each(path, key, names::environment_variable(key)));
    required("volumeName", &names::label_field);
    required("path", &super::paths::no_steps_back);
    faults
}

/// Whether any variable is defined twice so that the first one is lost.
pub(super) fn hidden_variables(container: &Value) -> Vec<(usize, &str)> {
    let variables = list(container, "env");
    let mut hidden = Vec::new();
    for (i, variable) in variables.iter().enumerate() {
        let name = text(variable, "name");
        if !variables[..i].iter().any(|other| text(other, "name") == name) {
            continue;
        }
        let reference = format!("$({name})");
        let value = text(variable, "value");
        if given(variable, "valueFrom").is_some() || value == reference || !value.contains(&reference) {
            hidden.push((i, name));
        }
    }
    hidden
}

//! The faults of probes and of what runs when a container starts and stops.

use serde_json::Value;

use super::not_negative;
use crate::document::{at, given, integer, list, text};
use crate::field::{Error, Path};
use crate::names;
use crate::service::validate_port_reference;

/// The faults of a container's `lifecycle` and probes.
pub(super) fn validate_all(path: &Path, container: &Value, grace_period: Option<i64>) -> Vec<Error> {
    let mut faults = Vec::new();
    if let Some(lifecycle) = given(container, "lifecycle") {
        let path = path.child("lifecycle");
        for field in ["postStart", "preStop"] {
            if let Some(handler) = given(lifecycle, field) {
                let kinds = &["exec", "httpGet", "tcpSocket", "sleep"];
                faults.extend(validate_handler(&path.child(field), handler, kinds, grace_period));
            }
        }
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = given(container, field) else { continue };
        let path = path.child(field);
        faults.extend(validate_probe(&path, probe, grace_period));
        if field == "readinessProbe" {
            if let Some(period) = given(probe, "terminationGracePeriodSeconds") {
                let path = path.child("terminationGracePeriodSeconds");
                faults.push(Error::invalid(&path, period.clone(), "must not be set for readinessProbes"));
            }
        } else if integer(probe, "successThreshold") != 1 {
            let threshold = integer(probe, "successThreshold");
            faults.push(Error::invalid(&path.child("successThreshold"), threshold, "must be 1"));
        }
    }
    faults
}

fn validate_probe(path: &Path, probe: &Value, grace_period: Option<i64>) -> Vec<Error> {
    let kinds = &["exec", "httpGet", "tcpSocket", "grpc"];
    let mut faults = validate_handler(path, probe, kinds, grace_period);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        faults.extend(not_negative(&path.child(field), integer(probe, field)));
    }
    if let Some(period) = given(probe, "terminationGracePeriodSeconds").and_then(Value::as_i64)
        && period <= 0
    {
        faults.push(Error::invalid(&path.child("terminationGracePeriodSeconds"), period, "must be greater than 0"));
    }
    faults
}

/// One of several ways to ask or tell a container, and only one.
fn validate_handler(path: &Path, handler: &Value, kinds: &[&str], grace_period: Option<i64>) -> Vec<Error> {
    let mut stated = kinds.iter().filter_map(|kind| given(handler, kind).map(|action| (*kind, action)));
    let Some((kind, action)) = stated.next() else {
        return vec![Error::required(path, "must specify a handler type")];
    };
    let at_action = path.child(kind);
    let mut faults = match kind {
        "exec" if list(action, "command").is_empty() => vec![Error::required(&at_action.child("command"), "")],
        "exec" => Vec::new(),
        "httpGet" => validate_request(&at_action, action),
        "sleep" => validate_sleep(&at_action, action, grace_period),
        _ => validate_port_reference(&at_action.child("port"), at(action, "port")),
    };
    faults.extend(
        stated.map(|(kind, _)| Error::forbidden(&path.child(kind), "may not specify more than 1 handler type")),
    );
    faults
}

fn validate_request(path: &Path, request: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    if text(request, "path").is_empty() {
        faults.push(Error::required(&path.child("path"), ""));
    }
    faults.extend(validate_port_reference(&path.child("port"), at(request, "port")));
    let scheme = text(request, "scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        faults.push(Error::not_supported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
    for header in list(request, "httpHeaders") {
        let name = text(header, "name");
        faults.extend(Error::invalid_each(&path.child("httpHeaders"), name, names::http_header(name)));
    }
    faults
}

fn validate_sleep(path: &Path, sleep: &Value, grace_period: Option<i64>) -> Vec<Error> {
    let seconds = integer(sleep, "seconds");
    match grace_period {
        Some(period) if seconds < 0 || seconds > period => {
            let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({period})");
            vec![Error::invalid(path, seconds, detail)]
        }
        _ => Vec::new(),
    }
}

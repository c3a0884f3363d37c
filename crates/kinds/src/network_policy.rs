//! NetworkPolicy (`networking.k8s.io/v1`): who may talk to some Pods, and to whom they may; enforced by somebody else.

use std::sync::LazyLock;

use k8s_openapi::api::networking::v1 as api;
use serde_json::{Value, json};

use crate::document::{at, given, integer, list, list_mut, object_mut, same_field, set, set_default, text, texts};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};
use crate::{addresses, labels, names};

#[cfg(test)]
mod tests;

/// NetworkPolicy.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    version: "v1",
    kind: "NetworkPolicy",
    plural: "networkpolicies",
    singular: "networkpolicy",
    short_names: &["netpol"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.networking.v1.NetworkPolicy",
    strategy: &NetworkPolicy,
};

/// The two directions, each with what its peers are called.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

struct NetworkPolicy;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![Column::name(), Column::field::<api::NetworkPolicySpec>("Pod-Selector", "podSelector"), Column::age()]
});

impl Strategy for NetworkPolicy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_mut(object, "spec") else { return };
        for (direction, _) in DIRECTIONS {
            for rule in list_mut(spec, direction) {
                for port in list_mut(rule, "ports") {
                    set_default(port, "protocol", "TCP");
                }
            }
        }
        if list(spec, "policyTypes").is_empty() {
            let types = if list(spec, "egress").is_empty() { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) };
            set(spec, "policyTypes", types);
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_spec(at(object, "spec"), false, &[])
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let spec = at(old, "spec");
        let stored: Vec<&str> = blocks(spec)
            .flat_map(|(_, block)| std::iter::once(text(block, "cidr")).chain(texts(block, "except")))
            .collect();
        let stored_values = labels::selector_has_invalid_values(at(spec, "podSelector"));
        validate_spec(at(new, "spec"), stored_values, &stored)
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (path, block) in blocks(at(new, "spec")) {
            warnings.extend(addresses::range_warnings(&path.child("cidr"), text(block, "cidr")));
            for (i, except) in texts(block, "except").into_iter().enumerate() {
                warnings.extend(addresses::range_warnings(&path.child("except").index(i), except));
            }
        }
        warnings
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        Some(!same_field(new, old, "spec"))
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        vec![
            json!(text(at(object, "metadata"), "name")),
            json!(labels::selector_cell(at(at(object, "spec"), "podSelector"))),
            json!(age(object, now)),
        ]
    }
}

/// All blocks of addresses, with where they stand.
fn blocks(spec: &Value) -> impl Iterator<Item = (Path, &Value)> {
    DIRECTIONS.into_iter().flat_map(move |(direction, peers)| {
        list(spec, direction).iter().enumerate().flat_map(move |(i, rule)| {
            let path = Path::new("spec").child(direction).index(i).child(peers);
            let each = list(rule, peers).iter().enumerate();
            each.filter_map(move |(i, peer)| Some((path.index(i).child("ipBlock"), given(peer, "ipBlock")?)))
        })
    })
}

fn validate_spec(spec: &Value, stored_values: bool, stored: &[&str]) -> Vec<Error> {
    let path = Path::new("spec");
    let mut faults = labels::validate_selector(&path.child("podSelector"), at(spec, "podSelector"), stored_values);
    for (direction, peers) in DIRECTIONS {
        for (i, rule) in list(spec, direction).iter().enumerate() {
            let path = path.child(direction).index(i);
            for (i, port) in list(rule, "ports").iter().enumerate() {
                faults.extend(validate_port(&path.child("ports").index(i), port));
            }
            for (i, peer) in list(rule, peers).iter().enumerate() {
                faults.extend(validate_peer(&path.child(peers).index(i), peer, stored_values, stored));
            }
        }
    }
    let path = path.child("policyTypes");
    let types = texts(spec, "policyTypes");
    if types.len() > 2 {
        let detail = "may not specify more than two policyTypes";
        faults.push(Error::invalid(&path, at(spec, "policyTypes").clone(), detail));
        return faults;
    }
    let unknown = types.into_iter().enumerate().filter(|(_, kind)| !matches!(*kind, "Ingress" | "Egress"));
    faults.extend(unknown.map(|(i, kind)| Error::not_supported(&path.index(i), kind, &["Ingress", "Egress"])));
    faults
}

fn validate_port(path: &Path, port: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    let protocol = text(port, "protocol");
    if given(port, "protocol").is_some() && !matches!(protocol, "TCP" | "UDP" | "SCTP") {
        faults.push(Error::not_supported(&path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]));
    }
    let (of_port, of_end) = (path.child("port"), path.child("endPort"));
    let end = given(port, "endPort").map(|_| integer(port, "endPort"));
    match (given(port, "port"), end) {
        (None, None) => {}
        (None, Some(end)) => {
            faults.push(Error::invalid(&of_end, end, "may not be specified when `port` is not specified"));
        }
        (Some(Value::String(name)), end) => {
            if let Some(end) = end {
                faults.push(Error::invalid(&of_end, end, "may not be specified when `port` is non-numeric"));
            }
            faults.extend(Error::invalid_each(&of_port, name, names::port_name(name)));
        }
        (Some(number), end) => {
            let number = number.as_i64().unwrap_or(0);
            let invalid = |path: &Path, value: i64| {
                let messages = names::port_number(value).into_iter();
                messages.map(|message| Error::invalid(path, value, message)).collect::<Vec<_>>()
            };
            faults.extend(invalid(&of_port, number));
            if let Some(end) = end {
                if end < number {
                    faults.push(Error::invalid(&of_end, number, "must be greater than or equal to `port`"));
                }
                faults.extend(invalid(&of_end, end));
            }
        }
    }
    faults
}

fn validate_peer(path: &Path, peer: &Value, stored_values: bool, stored: &[&str]) -> Vec<Error> {
    let mut faults = Vec::new();
    let selectors = ["podSelector", "namespaceSelector"].map(|field| (field, given(peer, field)));
    for (field, selector) in selectors {
        if let Some(selector) = selector {
            faults.extend(labels::validate_selector(&path.child(field), selector, stored_values));
        }
    }
    let block = given(peer, "ipBlock");
    if let Some(block) = block {
        faults.extend(validate_block(&path.child("ipBlock"), block, stored));
    }
    match (selectors.iter().any(|(_, selector)| selector.is_some()), block) {
        (false, None) => faults.push(Error::required(path, "must specify a peer")),
        (true, Some(_)) => faults.push(Error::forbidden(path, "may not specify both ipBlock and another peer")),
        _ => {}
    }
    faults
}

fn validate_block(path: &Path, block: &Value, stored: &[&str]) -> Vec<Error> {
    let cidr = text(block, "cidr");
    if cidr.is_empty() {
        return vec![Error::required(&path.child("cidr"), "")];
    }
    let mut faults = addresses::validate_legacy_range(&path.child("cidr"), cidr, stored);
    let Some(range) = addresses::parse_range(cidr) else { return faults };
    for (i, except) in texts(block, "except").into_iter().enumerate() {
        let path = path.child("except").index(i);
        faults.extend(addresses::validate_legacy_range(&path, except, stored));
        let Some(inner) = addresses::parse_range(except) else { continue };
        if !range.contains(&inner.network()) || range.prefix_len() >= inner.prefix_len() {
            faults.push(Error::invalid(&path, except, "must be a strict subset of `cidr`"));
        }
    }
    faults
}

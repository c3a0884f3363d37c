//! Two answers, made alike where they may differ, and what is left of difference.
//!
//! Times, uids and versions are anyone's. Addresses and node ports that were not asked for are given at random, from the
//! upper bands of their ranges; the cases ask for others only from the lower ones. So each is called by the order in
//! which it appears: where one server keeps an address, the other must keep its own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::cluster::Answer;

/// Fields whose values are each server's own.
const OWN: &[&str] =
    &["uid", "resourceVersion", "creationTimestamp", "time", "deletionTimestamp", "lastTransitionTime"];

/// What one server has given in one case.
#[derive(Default)]
pub struct Given {
    names: BTreeMap<String, String>,
}

impl Given {
    /// The answer with everything that may differ called by what it is.
    pub fn alike(&mut self, answer: &Answer) -> Value {
        let warnings: Vec<Value> = answer.warnings.iter().map(|warning| self.text(warning).into()).collect();
        let mut body = self.value(&answer.body);
        settle(&mut body);
        serde_json::json!({ "code": answer.code, "warnings": warnings, "body": body })
    }

    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let alike: Map<_, _> = fields
                    .iter()
                    .map(|(name, value)| match OWN.contains(&name.as_str()) && value.is_string() {
                        true => (name.clone(), format!("<{name}>").into()),
                        false => (self.text(name), self.value(value)),
                    })
                    .collect();
                alike.into()
            }
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::String(text) => self.text(text).into(),
            Value::Number(number) => match number.as_u64().filter(|number| is_given_port(*number)) {
                Some(port) => self.name(&port.to_string(), "port").into(),
                None => value.clone(),
            },
            other => other.clone(),
        }
    }

    fn name(&mut self, given: &str, what: &str) -> String {
        let next = format!("<{what} {}>", self.names.len() + 1);
        self.names.entry(given.to_owned()).or_insert(next).clone()
    }

    /// The text with what was given replaced.
    fn text(&mut self, text: &str) -> String {
        let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            let core = word.trim_end_matches([':', '.']);
            let what = match (core.parse::<IpAddr>(), core.parse::<u64>()) {
                (Ok(address), _) if is_given_address(address) => Some("address"),
                (_, Ok(number)) if is_given_port(number) => Some("port"),
                _ => None,
            };
            match what {
                Some(what) => {
                    out.push_str(&self.name(core, what));
                    out.push_str(&word[core.len()..]);
                }
                None => out.push_str(word),
            }
            let mut tail = tail.chars();
            out.extend(tail.next());
            rest = tail.as_str();
        }
        out
    }
}

/// Brings into one order what Kubernetes has in any, and takes out what it prints in an order of its own: the whole object
/// that a patch made and that cannot be decoded.
fn settle(body: &mut Value) {
    const OBJECT: &str = "Invalid value: \"";
    let cut = |text: &str| match (text.find(OBJECT), text.rfind("}\": ")) {
        (Some(from), Some(to)) if text.contains("managedFields") && from < to => {
            format!("{}…{}", &text[..from + OBJECT.len()], &text[to..])
        }
        _ => text.to_owned(),
    };
    if let Some(message) = body["message"].as_str().map(cut) {
        body["message"] = message.into();
    }
    let Some(causes) = body.pointer_mut("/details/causes").and_then(Value::as_array_mut) else { return };
    for cause in causes.iter_mut() {
        if let Some(message) = cause["message"].as_str().map(cut) {
            cause["message"] = message.into();
        }
    }
    if causes.iter().any(|cause| cause["reason"] == "FieldManagerConflict") {
        causes.sort_by_key(ToString::to_string);
    }
}

/// Whether it is in the upper band of a range of the tests.
fn is_given_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => matches!(v4.octets(), [10, 96, third, _] if third > 0),
        IpAddr::V6(v6) => matches!(v6.segments(), [0xfd00, 0x96, 0, 0, 0, 0, 0, last] if last > 0x100),
    }
}

/// Whether it is in the upper band of node ports.
fn is_given_port(number: u64) -> bool {
    (30_086..=32_767).contains(&number)
}

/// Where two documents differ: the path, what is here and what is there.
pub fn differences(ours: &Value, theirs: &Value) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    compare(String::new(), ours, theirs, &mut found);
    found
}

fn compare(path: String, ours: &Value, theirs: &Value, found: &mut Vec<(String, Value, Value)>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let none = Value::Null;
                compare(format!("{path}.{name}"), a.get(name).unwrap_or(&none), b.get(name).unwrap_or(&none), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                compare(format!("{path}[{i}]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push((path, a.clone(), b.clone())),
    }
}

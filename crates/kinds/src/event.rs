//! Event (`v1`): something that happened to an object.
//!
//! [`view`]: `events.k8s.io/v1` shows the same objects with other names for some fields.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1 as api;
use serde_json::Value;

use crate::document::{at, given, integer, text};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, since};
use crate::names;

#[cfg(test)]
mod tests;
pub mod view;

/// Event.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Event",
    plural: "events",
    singular: "event",
    short_names: &["ev"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.core.v1.Event",
    strategy: &Event,
};

/// The longest action, reason and name of a reporter, in bytes.
const SHORT: usize = 128;
/// The longest message of an event that has an `eventTime`, in bytes.
const MESSAGE: usize = 1024;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::field::<api::Event>("Last Seen", "lastTimestamp"),
        Column::field::<api::Event>("Type", "type"),
        Column::field::<api::Event>("Reason", "reason"),
        Column::field::<api::Event>("Object", "involvedObject"),
        Column::field::<api::ObjectReference>("Subobject", "fieldPath").wide(),
        Column::field::<api::Event>("Source", "source").wide(),
        Column::field::<api::Event>("Message", "message"),
        Column::field::<api::Event>("First Seen", "firstTimestamp").wide(),
        Column::field::<api::Event>("Count", "count").wide(),
        Column::name().wide(),
    ]
});

struct Event;

impl Strategy for Event {
    fn validate_name(&self, name: &str, _prefix: bool) -> Vec<String> {
        // Names of events are older than the rules for names.
        names::path_segment(name)
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let namespace = text(at(object, "metadata"), "namespace");
        let mut faults: Vec<_> = validate_involved_namespace(object, namespace).into_iter().collect();
        if given(object, "eventTime").is_some() {
            faults.extend(validate_new_fields(object));
        }
        faults.extend(names::subdomain_field(&Path::new("namespace"), namespace));
        faults
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let involved = at(object, "involvedObject");
        let component = source_component(object);
        vec![
            ("involvedObject.kind", text(involved, "kind").to_owned()),
            ("involvedObject.namespace", text(involved, "namespace").to_owned()),
            ("involvedObject.name", text(involved, "name").to_owned()),
            ("involvedObject.uid", text(involved, "uid").to_owned()),
            ("involvedObject.apiVersion", text(involved, "apiVersion").to_owned()),
            ("involvedObject.resourceVersion", text(involved, "resourceVersion").to_owned()),
            ("involvedObject.fieldPath", text(involved, "fieldPath").to_owned()),
            ("reason", text(object, "reason").to_owned()),
            ("reportingComponent", text(object, "reportingComponent").to_owned()),
            ("source", component.to_owned()),
            ("type", text(object, "type").to_owned()),
        ]
    }

    fn field_names(&self) -> &'static [&'static str] {
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ]
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let involved = at(object, "involvedObject");
        let first = match given(object, "firstTimestamp") {
            Some(time) => since(time, now),
            None => since(at(object, "eventTime"), now),
        };
        let series = given(object, "series");
        let last = match (series, given(object, "lastTimestamp")) {
            (Some(series), _) => since(at(series, "lastObservedTime"), now),
            (None, Some(time)) => since(time, now),
            (None, None) => first.clone(),
        };
        let count = match series {
            Some(series) => integer(series, "count"),
            // Of events that came once, new clients do not say so.
            None if integer(object, "count") == 0 => 1,
            None => integer(object, "count"),
        };
        vec![
            last.into(),
            text(object, "type").into(),
            text(object, "reason").into(),
            print_object(involved).into(),
            text(involved, "fieldPath").into(),
            print_source(object).into(),
            text(object, "message").trim().into(),
            first.into(),
            count.into(),
            text(at(object, "metadata"), "name").into(),
        ]
    }
}

fn source_component(event: &Value) -> &str {
    match text(at(event, "source"), "component") {
        "" => text(event, "reportingComponent"),
        component => component,
    }
}

fn print_source(event: &Value) -> String {
    let host = match text(at(event, "source"), "host") {
        "" => text(event, "reportingInstance"),
        host => host,
    };
    let component = source_component(event);
    if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") }
}

fn print_object(involved: &Value) -> String {
    let kind = text(involved, "kind").to_lowercase();
    match text(involved, "name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn validate_involved_namespace(event: &Value, namespace: &str) -> Option<Error> {
    let involved = text(at(event, "involvedObject"), "namespace");
    let agrees = match (given(event, "eventTime").is_some(), involved) {
        // What has no namespace has its events in the default one.
        (false, "") => matches!(namespace, "" | "default"),
        (false, involved) => involved == namespace,
        (true, "") => matches!(namespace, "default" | "kube-system"),
        (true, _) => true,
    };
    let path = Path::new("involvedObject").child("namespace");
    (!agrees).then(|| Error::invalid(&path, involved, "does not match event.namespace"))
}

/// The faults of what came with `eventTime`.
fn validate_new_fields(event: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    let reporter = text(event, "reportingComponent");
    let path = Path::new("reportingComponent");
    if reporter.is_empty() {
        faults.push(Error::required(&path, ""));
    }
    faults.extend(names::label_key_field(&path, reporter));
    for field in ["reportingInstance", "action", "reason"] {
        let (path, value) = (Path::new(field), text(event, field));
        if value.is_empty() {
            faults.push(Error::required(&path, ""));
        }
        faults.extend(too_long(&path, value, SHORT));
    }
    faults.extend(too_long(&Path::new("message"), text(event, "message"), MESSAGE));
    faults
}

fn too_long(path: &Path, value: &str, limit: usize) -> Option<Error> {
    (value.len() > limit).then(|| Error::invalid(path, "", format!("can have at most {limit} characters")))
}

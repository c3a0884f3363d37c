//! Event as `events.k8s.io/v1` shows it: the same objects as core ones, with other names for some fields. Both are
//! kept as core events.

use serde_json::{Map, Value};

use super::Event;
use crate::document::{at, given, text};
use crate::field::{Error, Path};
use crate::kind::{Kind, Scope};

/// Event, with the names that `events.k8s.io` has.
pub static KIND: Kind = Kind {
    group: "events.k8s.io",
    version: "v1",
    kind: "Event",
    plural: "events",
    singular: "event",
    short_names: &["ev"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.events.v1.Event",
    strategy: &Event,
};

/// What fields are called here, and in the core group.
const NAMES: [(&str, &str); 7] = [
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
];

/// What a field is called in the core group.
pub fn core_name(name: &str) -> &str {
    NAMES.iter().find(|(here, _)| *here == name).map_or(name, |(_, core)| *core)
}

/// The core event that an event is, or a patch of one that a patch is.
pub fn to_core(event: Value) -> Value {
    renamed(event, "v1", core_name)
}

/// An event as it is shown here.
pub fn from_core(event: Value) -> Value {
    renamed(event, "events.k8s.io/v1", |name| {
        NAMES.iter().find(|(_, core)| *core == name).map_or(name, |(here, _)| *here)
    })
}

fn renamed(event: Value, api_version: &str, name: impl Fn(&str) -> &str) -> Value {
    let Value::Object(fields) = event else { return event };
    let mut out: Map<String, Value> =
        fields.into_iter().map(|(field, value)| (name(&field).to_owned(), value)).collect();
    if let Some(version) = out.get_mut("apiVersion") {
        *version = api_version.into();
    }
    out.into()
}

/// What only events that are made here must say (`ValidateEventCreate`).
pub fn validate_new(event: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    if given(event, "eventTime").is_none() {
        faults.push(Error::required(&Path::new("eventTime"), ""));
    }
    let of_type = text(event, "type");
    if !matches!(of_type, "Normal" | "Warning") {
        faults.push(Error::invalid(&Path::new("type"), "", "has invalid value: ".to_owned() + of_type));
    }
    for (here, is_given) in [
        ("deprecatedFirstTimestamp", given(event, "deprecatedFirstTimestamp").is_some()),
        ("deprecatedLastTimestamp", given(event, "deprecatedLastTimestamp").is_some()),
        ("deprecatedCount", at(event, "deprecatedCount").as_i64().unwrap_or_default() != 0),
    ] {
        if is_given {
            faults.push(Error::invalid(&Path::new(here), "", "needs to be unset"));
        }
    }
    faults
}

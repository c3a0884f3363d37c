use serde_json::json;

use super::*;

fn event(extra: Value) -> Value {
    let mut event = json!({"metadata": {"name": "e", "namespace": "ns"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "ns"}});
    event.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    event
}

fn faults(extra: Value) -> Vec<String> {
    Event.validate(&event(extra)).iter().map(ToString::to_string).collect()
}

#[test]
fn namespaces_agree() {
    let mismatch = |namespace: &str| {
        vec![format!("involvedObject.namespace: Invalid value: \"{namespace}\": does not match event.namespace")]
    };
    assert!(faults(json!({})).is_empty());
    assert_eq!(faults(json!({"involvedObject": {"namespace": "other"}})), mismatch("other"));
    assert_eq!(faults(json!({"involvedObject": {}})), mismatch(""));
    assert!(faults(json!({"involvedObject": {}, "metadata": {"namespace": "default"}})).is_empty());
}

#[test]
fn events_of_new_clients() {
    let time = "2026-01-01T00:00:00.000000Z";
    assert!(
        faults(json!({"eventTime": time, "reportingComponent": "a.b/c", "reportingInstance": "x", "action": "a", "reason": "r"}))
            .is_empty()
    );
    let got = faults(json!({"eventTime": time}));
    assert_eq!(got[0], "reportingComponent: Required value");
    assert_eq!(got[1], "reportingComponent: Invalid value: \"\": name part must be non-empty");
    assert_eq!(got[3..], ["reportingInstance: Required value", "action: Required value", "reason: Required value"]);
    let long = "x".repeat(1025);
    let got = faults(
        json!({"eventTime": time, "reportingComponent": "c", "reportingInstance": long, "action": "a", "reason": "r", "message": long}),
    );
    assert_eq!(
        got,
        [
            "reportingInstance: Invalid value: \"\": can have at most 128 characters",
            "message: Invalid value: \"\": can have at most 1024 characters"
        ]
    );
}

#[test]
fn rows() {
    let now = 1_767_225_600 + 600;
    let cells = |extra: Value| {
        let row = Event.row(&event(extra), now);
        [0, 3, 5, 6, 7, 8].map(|i| row[i].to_string().replace('"', "")).join("|")
    };
    assert_eq!(cells(json!({})), "<unknown>|pod/p|||<unknown>|1");
    assert_eq!(
        cells(json!({"firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:05:00Z", "count": 3,
            "source": {"component": "c", "host": "h"}, "message": " m\n"})),
        "5m|pod/p|c, h|m|10m|3"
    );
    assert_eq!(
        cells(json!({"eventTime": "2026-01-01T00:00:00.000000Z", "reportingComponent": "r", "reportingInstance": "i",
            "series": {"count": 7, "lastObservedTime": "2026-01-01T00:09:00.000000Z"}, "involvedObject": {"kind": "Node"}})),
        "60s|node|r, i||10m|7"
    );
}

#[test]
fn names_and_fields() {
    assert!(Event.validate_name("A_b.1", false).is_empty());
    assert_eq!(Event.validate_name("a/b", false), ["may not contain '/'"]);
    let fields = Event.fields(&event(json!({"reason": "R", "reportingComponent": "c"})));
    assert!(fields.iter().map(|(name, _)| name).eq(Event.field_names()));
    assert!(fields.contains(&("involvedObject.kind", "Pod".to_owned())));
    assert!(fields.contains(&("source", "c".to_owned())));
}

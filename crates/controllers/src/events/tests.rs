use jiff::SignedDuration;

use super::*;
use crate::change::Reference;

fn about(name: &str) -> Reference {
    Reference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment",
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        resource_version: "1".to_owned(),
    }
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

#[test]
fn the_same_event_is_counted() {
    let mut correlator = Correlator::default();
    let note = |version: &str| {
        let about = Reference { resource_version: version.to_owned(), ..about("web") };
        Note::normal(about, "ScalingReplicaSet", "Scaled up")
    };
    let first = correlator.correlate("c", note("1"), time(0)).unwrap();
    let second = correlator.correlate("c", note("2"), time(5)).unwrap();
    assert_eq!((first.count, second.count), (1, 2));
    assert_eq!((&first.name, second.first), (&second.name, time(0)));
    assert!(first.name.starts_with("web."));
    let other = correlator.correlate("d", note("2"), time(6)).unwrap();
    assert_eq!(other.count, 1);
}

#[test]
fn many_messages_of_one_reason_become_one_event() {
    let mut correlator = Correlator::default();
    let mut say = |i: i64, at: i64| {
        let note = Note::warning(about("web"), "FailedCreate", format!("pod {i}"));
        correlator.correlate("c", note, time(at)).unwrap()
    };
    for i in 0..10 {
        assert_eq!(say(i, i).note.message, format!("pod {i}"));
    }
    let combined = say(10, 10);
    assert_eq!(combined.note.message, "(combined from similar events): pod 10");
    assert_eq!(say(11, 11).count, combined.count + 1);
    assert_eq!(say(3, 12).note.message, "pod 3", "one that was told alone goes on being counted");
    assert_eq!(say(12, 12 + 601).note.message, "pod 12", "after ten minutes of silence it begins anew");
}

#[test]
fn an_object_is_not_talked_about_all_the_time() {
    let mut correlator = Correlator::default();
    let mut say = |object: &str, at: i64| {
        correlator.correlate("c", Note::normal(about(object), "Pulled", "again"), time(at)).is_some()
    };
    assert_eq!((0..100).filter(|i| say("web", *i)).count(), 25);
    assert!(say("db", 100));
    assert!(!say("web", 299));
    assert!(say("web", 305));
    assert!(!say("web", 306));
}

#[test]
fn memory_is_bounded() {
    let mut correlator = Correlator::default();
    for i in 0..10_000 {
        correlator.correlate("c", Note::normal(about(&format!("o{i}")), "R", "m"), time(i));
    }
    let again = correlator.correlate("c", Note::normal(about("o9999"), "R", "m"), time(10_000)).unwrap();
    assert_eq!(again.count, 2);
    let forgotten = correlator.correlate("c", Note::normal(about("o0"), "R", "m"), time(10_000)).unwrap();
    assert_eq!(forgotten.count, 1);
}

#[test]
fn an_event_is_written_as_core_v1_says() {
    let mut correlator = Correlator::default();
    let note = Note::warning(about("web"), "FailedCreate", "no");
    let said = correlator.correlate("replicaset-controller", note, time(0)).unwrap();
    let Act::Create(event) = first("replicaset-controller", &said, time(0) + SignedDuration::from_secs(1)).act else {
        panic!("a first event is created")
    };
    let read: k8s_openapi::api::core::v1::Event = serde_json::from_value(event.clone()).unwrap();
    assert_eq!(read.involved_object.kind.as_deref(), Some("Deployment"));
    assert_eq!(read.type_.as_deref(), Some("Warning"));
    assert_eq!(event["firstTimestamp"], "2023-11-14T22:13:20Z");
    assert_eq!(event["lastTimestamp"], "2023-11-14T22:13:21Z");
    assert_eq!(event["metadata"]["namespace"], "shop");
    let change = again(&said, time(9));
    assert_eq!((change.namespace.as_str(), change.name.as_str()), ("shop", &*said.name));
}

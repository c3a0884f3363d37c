//! Owners after updates.

use super::*;

fn ports(numbers: &[(i64, &str)]) -> Value {
    numbers.iter().map(|(port, protocol)| json!({"port": port, "protocol": protocol, "targetPort": port})).collect()
}

#[test]
fn who_creates_owns_what_is_said() {
    let document = json!({
        "metadata": {"name": "s", "namespace": "n", "uid": "u", "labels": {"a": "1"}, "finalizers": ["f"],
            "ownerReferences": [{"uid": "o", "name": "x", "kind": "X", "apiVersion": "v1"}]},
        "spec": {"ports": ports(&[(80, "TCP")]), "selector": {"a": "b"}, "externalIPs": []},
        "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
    });
    let created = written(&service("one"), None, document);
    let port = json!({".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}});
    let fields = json!({
        "f:metadata": {
            "f:finalizers": {".": {}, "v:\"f\"": {}},
            "f:labels": {".": {}, "f:a": {}},
            "f:ownerReferences": {".": {}, "k:{\"uid\":\"o\"}": {}},
        },
        "f:spec": {"f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": port}, "f:selector": {}},
    });
    assert_eq!(owners(&created), [("one Update".to_owned(), fields)], "status and what names the object have no owner");
    let entry = &created["metadata"]["managedFields"][0];
    assert_eq!(
        (&entry["time"], &entry["fieldsType"], &entry["apiVersion"]),
        (&json!(NOW), &json!("FieldsV1"), &json!("v1"))
    );
}

#[test]
fn what_changes_changes_hands_and_what_is_gone_has_no_owner() {
    let labels = |labels: Value| json!({"metadata": {"uid": "u", "labels": labels}});
    let first = written(&service("one"), None, labels(json!({"a": "1", "b": "1", "c": "1"})));
    let second = written(&service("two"), Some(&first), labels(json!({"a": "2", "b": "1", "d": "1"})));
    assert_eq!(
        owners(&second),
        [
            ("one Update".to_owned(), json!({"f:metadata": {"f:labels": {".": {}, "f:b": {}}}})),
            ("two Update".to_owned(), json!({"f:metadata": {"f:labels": {"f:a": {}, "f:d": {}}}})),
        ]
    );
    let third = written(&service("two"), Some(&second), labels(json!(null)));
    assert_eq!(owners(&third), [], "who owns nothing is gone");
}

#[test]
fn an_update_that_changes_nothing_leaves_the_time() {
    let first = written(&service("one"), None, json!({"metadata": {"uid": "u", "labels": {"a": "1"}}}));
    let later = Change { now: "2027-01-01T00:00:00Z", ..service("one") };
    let same = written(&later, Some(&first), first.clone());
    assert_eq!(same["metadata"]["managedFields"], first["metadata"]["managedFields"]);
    let changed = written(&later, Some(&first), json!({"metadata": {"uid": "u", "labels": {"a": "2"}}}));
    assert_eq!(changed["metadata"]["managedFields"][0]["time"], later.now);
}

#[test]
fn a_client_may_forget_or_replace_owners() {
    let first = written(&service("one"), None, json!({"metadata": {"uid": "u", "labels": {"a": "1"}}}));
    let sent = |managed_fields: Value| {
        let document = json!({"metadata": {"uid": "u", "labels": {"a": "1"}, "managedFields": managed_fields}});
        owners(&written(&service("two"), Some(&first), document))
    };
    assert_eq!(sent(json!([])), []);
    assert_eq!(sent(json!([{}])), []);
    assert_eq!(sent(json!(null)), owners(&first));
    assert_eq!(sent(json!([{"manager": "x"}])), owners(&first), "what cannot be read is no wish");
    let entry = json!({"manager": "z", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}});
    assert_eq!(sent(json!([entry])), [("z Apply".to_owned(), json!({"f:spec": {}}))]);
    let mut status = Change { subresource: "status", ..service("two") };
    let with_entry = json!({"metadata": {"uid": "u", "labels": {"a": "1"}, "managedFields": []}});
    assert_eq!(
        owners(&written(&status, Some(&first), with_entry.clone())),
        owners(&first),
        "not through a subresource"
    );
    status.subresource = "";
    let forgotten = written(&status, Some(&first), with_entry);
    let again = written(&service("one"), Some(&forgotten), json!({"metadata": {"uid": "u", "labels": {"a": "5"}}}));
    assert_eq!(owners(&again), [], "an object without owners stays without");
}

#[test]
fn the_oldest_of_too_many_managers_are_one() {
    let mut live = None;
    for n in 0..14 {
        let (manager, now) = (format!("m{n:02}"), format!("2026-11-20T10:00:{n:02}Z"));
        let change = Change { now: &now, ..config_map(&manager) };
        let mut data = live.as_ref().map_or_else(|| json!({}), |l: &Value| l["data"].clone());
        data[format!("k{n:02}")] = json!("v");
        live = Some(written(&change, live.as_ref(), json!({"metadata": {"uid": "u"}, "data": data})));
    }
    let owners = owners(&live.expect("written"));
    assert_eq!(owners.len(), 10);
    let fields = json!({"f:data": {".": {}, "f:k00": {}, "f:k01": {}, "f:k02": {}, "f:k03": {}, "f:k04": {}}});
    assert_eq!(owners[0], ("ancient-changes Update".to_owned(), fields));
    assert_eq!(owners[1].0, "m05 Update");
}

#[test]
fn elements_that_cannot_be_told_apart_are_one_piece() {
    let spec = |numbers: &[(i64, &str)]| json!({"metadata": {"uid": "u"}, "spec": {"ports": ports(numbers)}});
    let first = written(&service("one"), None, spec(&[(80, "TCP"), (80, "TCP"), (81, "TCP")]));
    let port = json!({".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}});
    let twice =
        json!({".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {}, "k:{\"port\":81,\"protocol\":\"TCP\"}": port});
    assert_eq!(owners(&first), [("one Update".to_owned(), json!({"f:spec": {"f:ports": twice}}))]);
    let second = written(&service("two"), Some(&first), spec(&[(80, "TCP"), (81, "TCP")]));
    let once =
        json!({"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}});
    assert_eq!(owners(&second)[1], ("two Update".to_owned(), json!({"f:spec": {"f:ports": once}})));
}

#[test]
fn keys_are_written_as_go_writes_them() {
    let pod = Change { kind: kind("io.k8s.api.core.v1.Pod"), ..service("one") };
    let created = written(&pod, None, json!({"spec": {"imagePullSecrets": [{}, {"name": "<a&b>"}]}}));
    let fields = json!({".": {}, "k:{\"name\":\"\"}": {}, "k:{\"name\":\"\\u003ca\\u0026b\\u003e\"}": {}});
    assert_eq!(owners(&created)[0].1["f:spec"]["f:imagePullSecrets"], fields);
    let account = Change { kind: kind("io.k8s.api.core.v1.ServiceAccount"), ..service("one") };
    let none = written(&account, None, json!({"secrets": [{}]}));
    assert_eq!(owners(&none), [], "a list whose element has no key has no owners at all");
}

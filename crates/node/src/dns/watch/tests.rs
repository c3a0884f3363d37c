use serde_json::{Value, json};

use super::*;

#[test]
fn a_pod_has_the_clusters_search_path_as_kubelet_decides() {
    let rows: [(&str, Value, bool); 8] = [
        ("nothing is said", json!({}), true),
        ("ClusterFirst", json!({ "dnsPolicy": "ClusterFirst" }), true),
        (
            "in the node's network, ClusterFirst means Default",
            json!({ "dnsPolicy": "ClusterFirst", "hostNetwork": true }),
            false,
        ),
        ("unless it is said", json!({ "dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true }), true),
        ("Default", json!({ "dnsPolicy": "Default" }), false),
        ("None", json!({ "dnsPolicy": "None", "dnsConfig": { "searches": ["a.test"] } }), false),
        ("a domain of its own", json!({ "dnsConfig": { "searches": ["a.test"] } }), false),
        ("other settings", json!({ "dnsConfig": { "options": [{ "name": "ndots", "value": "2" }] } }), true),
    ];
    for (row, spec, want) in rows {
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap();
        assert_eq!(searches(&pod), want, "{row}");
    }
}

#[test]
fn a_pod_that_ends_has_no_address() {
    let pod = |metadata: Value, phase: &str| -> Pod {
        let status = json!({ "phase": phase, "podIPs": [{ "ip": "10.9.0.1" }, { "ip": "fd00::1" }] });
        serde_json::from_value(json!({ "metadata": metadata, "status": status })).unwrap()
    };
    assert_eq!(addresses(&pod(json!({ "name": "p" }), "Running")).len(), 2);
    assert!(addresses(&pod(json!({ "name": "p" }), "Succeeded")).is_empty());
    let ends = json!({ "name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z" });
    assert!(addresses(&pod(ends, "Running")).is_empty());
}

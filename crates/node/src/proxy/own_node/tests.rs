use serde_json::json;

use super::*;

fn own(object: serde_json::Value) -> OwnNode {
    OwnNode::of(&serde_json::from_value(object).unwrap())
}

#[test]
fn one_address_a_family_is_taken_and_an_internal_one_first() {
    let node = own(json!({
        "metadata": { "name": "n1", "labels": { "topology.kubernetes.io/zone": "a" } },
        "spec": { "podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:244:1::/64"] },
        "status": { "addresses": [
            { "type": "ExternalIP", "address": "203.0.113.7" },
            { "type": "Hostname", "address": "n1" },
            { "type": "InternalIP", "address": "192.0.2.7" },
            { "type": "InternalIP", "address": "192.0.2.8" },
            { "type": "InternalIP", "address": "2001:db8::7" },
        ] },
    }));
    assert_eq!(node.addresses, ["192.0.2.7".parse::<IpAddr>().unwrap(), "2001:db8::7".parse().unwrap()]);
    assert_eq!(node.zone.as_deref(), Some("a"));
    assert_eq!(node.pod_cidrs.len(), 2);
}

#[test]
fn a_node_that_names_one_pod_range_has_one() {
    let node = own(json!({
        "metadata": { "name": "n1" },
        "spec": { "podCIDR": "10.244.1.0/24" },
        "status": { "addresses": [{ "type": "ExternalIP", "address": "203.0.113.7" }] },
    }));
    assert_eq!(node.pod_cidrs, ["10.244.1.0/24".parse::<IpNet>().unwrap()]);
    assert_eq!(node.addresses, ["203.0.113.7".parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_node_that_is_about_to_go_is_given_no_traffic() {
    let node = |metadata: serde_json::Value, taints: serde_json::Value| {
        own(json!({ "metadata": metadata, "spec": { "taints": taints } })).eligible
    };
    assert!(node(json!({}), json!([{ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" }])));
    assert!(!node(json!({}), json!([{ "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule" }])));
    assert!(!node(json!({ "deletionTimestamp": "2026-07-01T12:00:00Z" }), json!([])));
}

use serde_json::json;

use super::*;

fn created(spec: Value, status: Value) -> Value {
    let mut node = json!({"metadata": {"name": "n"}, "spec": spec, "status": status});
    Node.default(&mut node);
    Node.prepare_for_create(&mut node);
    node
}

fn texts_of(faults: Vec<Error>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults() {
    let ranges = |spec: Value| created(spec, json!({}))["spec"].clone();
    let both = json!({"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]});
    assert_eq!(ranges(json!({"podCIDR": "10.1.0.0/24"})), both);
    assert_eq!(ranges(json!({"podCIDRs": ["10.1.0.0/24"]})), both);
    assert_eq!(ranges(json!({"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.2.0.0/24"]})), both);
    let node = created(json!({"configSource": {}}), json!({"capacity": {"cpu": "2000m", "memory": "1024Mi"}}));
    assert_eq!(node["status"]["allocatable"], json!({"cpu": "2", "memory": "1Gi"}));
    assert_eq!(node["spec"], json!({}));
}

#[test]
fn a_new_node_is_not_ready() {
    let mut node = created(json!({}), json!({}));
    Node.admit(&mut node).unwrap();
    Node.admit(&mut node).unwrap();
    assert_eq!(node["spec"]["taints"], json!([{"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready"}]));
}

#[test]
fn refused_when_created() {
    let rows: Vec<(Value, Value, &[&str])> = vec![
        (json!({"podCIDRs": ["10.1.0.0/24", "fd00::/64"]}), json!({}), &[]),
        (
            json!({"podCIDRs": ["10.1.0.0/24", "10.2.0.0/24"]}),
            json!({}),
            &[
                r#"spec.podCIDRs: Invalid value: ["10.1.0.0/24","10.2.0.0/24"]: may specify no more than one CIDR for each IP family"#,
            ],
        ),
        (
            json!({"podCIDRs": ["10.1.0.0/24", "x"]}),
            json!({}),
            &[
                r#"spec.podCIDRs[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#,
                "spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[1]: <nil> (invalid CIDR address: x)",
                r#"spec.podCIDRs: Invalid value: ["10.1.0.0/24","x"]: may specify no more than one CIDR for each IP family"#,
            ],
        ),
        (
            json!({"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "b", "effect": "Q"}, {"key": "c"}]}),
            json!({}),
            &[
                r#"metadata.taints[1]: Duplicate value: {"Key":"a","Value":"b","Effect":"NoSchedule","TimeAdded":null}: taints must be unique by key and effect pair"#,
                r#"metadata.taints[2].effect: Unsupported value: "Q": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute""#,
                "metadata.taints[3].effect: Required value",
            ],
        ),
        (
            json!({}),
            json!({"capacity": {"cpu": "-1"}, "allocatable": {"pods": "1500m"}}),
            &[
                r#"status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0"#,
                r#"status.allocatable.pods: Invalid value: "1500m": must be an integer"#,
            ],
        ),
        (
            json!({}),
            json!({"nodeInfo": {"swap": {"capacity": 0}}, "declaredFeatures": ["B", "A", "A"]}),
            &[
                "metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero",
                r#"status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically"#,
                r#"status.declaredFeatures[2]: Duplicate value: "A""#,
            ],
        ),
    ];
    for (spec, status, want) in rows {
        assert_eq!(texts_of(Node.validate(&created(spec.clone(), status))), want, "{spec}");
    }
    assert_eq!(validate_features(&json!({"status": {"declaredFeatures": ["A/b", "a"]}})).len(), 1);
}

#[test]
fn refused_when_changed() {
    let change =
        |old: Value, new: Value| texts_of(Node.validate_update(&created(new, json!({})), &created(old, json!({}))));
    let fixed = "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid";
    assert!(change(json!({}), json!({"podCIDR": "10.1.0.0/24", "unschedulable": true})).is_empty());
    assert_eq!(change(json!({"podCIDR": "10.1.0.0/24"}), json!({"podCIDR": "10.2.0.0/24"})), [fixed]);
    assert_eq!(change(json!({"podCIDR": "10.1.0.0/24"}), json!({})), [fixed]);
    assert_eq!(
        change(json!({"providerID": "a"}), json!({"providerID": "b"})),
        ["spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid"]
    );
    assert_eq!(change(json!({}), json!({"externalID": "b"})), ["spec.externalID: Forbidden: may not be updated"]);
    let address = json!({"type": "InternalIP", "address": "1.2.3.4"});
    let status = json!({"addresses": [address, address]});
    assert_eq!(
        texts_of(Node.validate_status_update(&created(json!({}), status), &created(json!({}), json!({})))),
        [r#"status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"1.2.3.4"}"#]
    );
}

#[test]
fn rows_and_fields() {
    let node = json!({
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge", "x": "y"}},
        "spec": {"unschedulable": true},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}],
            "nodeInfo": {"kubeletVersion": "v1", "architecture": "amd64", "kernelVersion": "6.18"},
        },
    });
    assert_eq!(
        Node.row(&node, 0),
        [
            "n",
            "Ready,SchedulingDisabled",
            "control-plane,edge",
            "<unknown>",
            "v1",
            "1.2.3.4",
            "<none>",
            "<unknown>",
            "6.18 (amd64)",
            "<unknown>"
        ]
        .map(Value::from)
    );
    assert_eq!(Node.fields(&node), [("spec.unschedulable", "true".to_owned())]);
    assert_eq!(Node.row(&json!({}), 0)[1..3], [json!("Unknown"), json!("<none>")]);
    let down = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    assert_eq!(Node.row(&down, 0)[1], "NotReady");
}

#[test]
fn warnings() {
    let node = json!({"spec": {"configSource": {}, "externalID": "x", "podCIDRs": ["10.1.0.1/24"]}});
    assert_eq!(Node.warnings(&node, None).len(), 3);
}

use serde_json::{Value, json};

use super::KIND;

fn policy(spec: Value) -> Value {
    let mut object = json!({ "spec": spec });
    KIND.strategy.default(&mut object);
    object
}

fn faults(spec: Value) -> Vec<String> {
    KIND.strategy.validate(&policy(spec)).iter().map(ToString::to_string).collect()
}

#[test]
fn directions_follow_from_the_rules() {
    assert_eq!(policy(json!({}))["spec"]["policyTypes"], json!(["Ingress"]));
    let both = policy(json!({ "egress": [{ "ports": [{ "port": 53 }] }] }));
    assert_eq!(both["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(both["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
}

#[test]
fn peers_and_ports() {
    let of = |rule: Value| faults(json!({ "podSelector": {}, "ingress": [rule] }));
    assert!(of(json!({ "from": [{ "podSelector": {} }], "ports": [{ "port": "http" }] })).is_empty());
    let at = "spec.ingress[0]";
    let table = [
        (json!({ "from": [{}] }), format!("{at}.from[0]: Required value: must specify a peer")),
        (
            json!({ "from": [{ "podSelector": {}, "ipBlock": { "cidr": "10.0.0.0/8" } }] }),
            format!("{at}.from[0]: Forbidden: may not specify both ipBlock and another peer"),
        ),
        (
            json!({ "from": [{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"] } }] }),
            format!("{at}.from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`"),
        ),
        (json!({ "from": [{ "ipBlock": { "cidr": "" } }] }), format!("{at}.from[0].ipBlock.cidr: Required value")),
        (
            json!({ "ports": [{ "port": 80, "endPort": 70 }] }),
            format!("{at}.ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"),
        ),
        (
            json!({ "ports": [{ "port": "http", "endPort": 70 }] }),
            format!("{at}.ports[0].endPort: Invalid value: 70: may not be specified when `port` is non-numeric"),
        ),
        (
            json!({ "ports": [{ "protocol": "ICMP" }] }),
            format!(
                "{at}.ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \"SCTP\""
            ),
        ),
    ];
    for (rule, expected) in table {
        assert_eq!(of(rule), [expected]);
    }
}

#[test]
fn ranges_are_warned_of() {
    let policy = policy(json!({ "egress": [{ "to": [{ "ipBlock": { "cidr": "10.0.0.1/8" } }] }] }));
    let warnings = KIND.strategy.warnings(&policy, None);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("spec.egress[0].to[0].ipBlock.cidr: "), "{warnings:?}");
}

use serde_json::json;

use super::*;

fn address(parent: Value) -> Value {
    json!({"metadata": {"name": "10.99.0.1"}, "spec": {"parentRef": parent}})
}

fn texts_of(faults: Vec<Error>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn names_are_addresses() {
    let rows: [(&str, &[&str]); 4] = [
        ("10.99.0.1", &[]),
        ("not-an-ip", &["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]),
        ("fd00:0:0::1", &["must be in canonical form (\"fd00::1\")"]),
        ("010.0.0.1", &["must not have leading 0s"]),
    ];
    for (name, want) in rows {
        assert_eq!(IpAddress.validate_name(name, false), want, "{name}");
    }
}

#[test]
fn parents() {
    assert!(IpAddress.validate(&address(json!({"resource": "services", "name": "x"}))).is_empty());
    assert_eq!(texts_of(IpAddress.validate(&address(Value::Null))), ["spec.parentRef: Required value"]);
    assert_eq!(
        texts_of(IpAddress.validate(&address(json!({"resource": "a/b", "namespace": ".."})))),
        [
            "spec.parentRef.resource: Invalid value: \"a/b\": may not contain '/'",
            "spec.parentRef.name: Required value",
            "spec.parentRef.namespace: Invalid value: \"..\": may not be '..'",
        ]
    );
    let old = address(json!({"resource": "services", "name": "x"}));
    let new = address(json!({"resource": "services", "namespace": "<n>", "name": "y"}));
    assert!(IpAddress.validate_update(&old, &old).is_empty());
    assert_eq!(
        texts_of(IpAddress.validate_update(&new, &old)),
        [
            r#"spec.parentRef: Invalid value: {"Group":"","Resource":"services","Namespace":"\u003cn\u003e","Name":"y"}: field is immutable"#
        ]
    );
}

#[test]
fn rows() {
    for (parent, want) in [
        (json!({"resource": "services", "namespace": "ns", "name": "x"}), "services/ns/x"),
        (json!({"group": "G.io", "resource": "Things", "name": "x"}), "things.g.io/x"),
        (Value::Null, "<none>"),
    ] {
        assert_eq!(IpAddress.row(&address(parent), 0)[1], want);
    }
}

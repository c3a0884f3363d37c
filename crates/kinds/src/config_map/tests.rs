use serde_json::json;

use super::*;

fn faults(object: &Value) -> Vec<String> {
    ConfigMap.validate(object).iter().map(ToString::to_string).collect()
}

#[test]
fn keys_and_size() {
    assert!(faults(&json!({"data": {"a.B_c-1": ""}, "binaryData": {"b": "YQ=="}})).is_empty());
    assert_eq!(
        faults(&json!({"data": {"a b": "c"}})),
        [
            "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        ]
    );
    assert_eq!(
        faults(&json!({"data": {"a": "b"}, "binaryData": {"a": "YQ==", "..": ""}})),
        [
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
            "binaryData[..]: Invalid value: \"..\": must not be '..'"
        ]
    );
    assert_eq!(
        faults(&json!({"data": {"a": "x".repeat(LARGEST)}, "binaryData": {"b": "YQ=="}})),
        ["[]: Too long: may not be more than 1048576 bytes"]
    );
}

#[test]
fn immutable_ones() {
    let old = json!({"data": {"a": "b"}, "immutable": true});
    let changed =
        |new: Value| ConfigMap.validate_update(&new, &old).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(changed(old.clone()).is_empty());
    assert_eq!(
        changed(json!({"data": {"a": "c"}, "immutable": true})),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
    assert_eq!(
        changed(json!({"data": {"a": "b"}, "immutable": false})),
        ["immutable: Forbidden: field is immutable when `immutable` is set"]
    );
    assert_eq!(changed(json!({"binaryData": {"c": "YQ=="}})).len(), 3);
}

#[test]
fn rows() {
    let object = json!({"metadata": {"name": "c"}, "data": {"a": "b"}, "binaryData": {"c": ""}});
    assert_eq!(ConfigMap.row(&object, 0), [json!("c"), json!(2), json!("<unknown>")]);
}

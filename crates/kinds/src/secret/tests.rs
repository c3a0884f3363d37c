use serde_json::json;

use super::*;

fn secret(object: Value) -> Value {
    let mut object = object;
    Secret.default(&mut object);
    object
}

fn faults(object: Value) -> Vec<String> {
    Secret.validate(&secret(object)).iter().map(ToString::to_string).collect()
}

#[test]
fn texts_become_data() {
    assert_eq!(
        secret(json!({"data": {"a": "YQ==", "b": "YQ=="}, "stringData": {"a": "b"}})),
        json!({"data": {"a": "Yg==", "b": "YQ=="}, "type": "Opaque"})
    );
    assert_eq!(secret(json!({"stringData": {}})), json!({"type": "Opaque"}));
}

#[test]
fn what_types_promise() {
    let json = |text: &str| json!({".dockerconfigjson": BASE64.encode(text)});
    let docker = |text: &str| json!({"type": "kubernetes.io/dockerconfigjson", "data": json(text)});
    let redacted =
        |detail: &str| format!("data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": {detail}");
    let rows: Vec<(Value, Vec<String>)> = vec![
        (json!({"type": "own"}), vec![]),
        (
            json!({"type": "kubernetes.io/tls"}),
            vec!["data[tls.crt]: Required value".into(), "data[tls.key]: Required value".into()],
        ),
        (
            json!({"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}}),
            vec!["data[ssh-privatekey]: Required value".into()],
        ),
        (
            json!({"type": "kubernetes.io/basic-auth"}),
            vec!["data[username]: Required value".into(), "data[password]: Required value".into()],
        ),
        (json!({"type": "kubernetes.io/basic-auth", "data": {"password": ""}}), vec![]),
        (
            json!({"type": "kubernetes.io/service-account-token"}),
            vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value".into()],
        ),
        (json!({"type": "kubernetes.io/dockercfg"}), vec!["data[.dockercfg]: Required value".into()]),
        (docker("{\"a\":1}"), vec![]),
        (docker(""), vec![redacted("unexpected end of JSON input")]),
        (docker("x"), vec![redacted("invalid character 'x' looking for beginning of value")]),
        (docker("{\"a\" 1}"), vec![redacted("invalid character '1' after object key")]),
        (docker("[]"), vec![redacted("json: cannot unmarshal array into Go value of type map[string]interface {}")]),
    ];
    for (object, want) in rows {
        assert_eq!(faults(object.clone()), want, "{object}");
    }
    assert_eq!(faults(json!({"data": {"a b": "YQ=="}})).len(), 1);
    assert_eq!(
        faults(json!({"data": {"a": BASE64.encode("x".repeat(LARGEST + 1))}})),
        ["data: Too long: may not be more than 1048576 bytes"]
    );
}

#[test]
fn changes() {
    let change = |old: Value, new: Value| {
        let (old, mut new) = (secret(old), new);
        Secret.prepare_for_update(&mut new, &old);
        Secret.validate_update(&secret(new), &old).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        change(json!({"type": "own"}), json!({"type": "other"})),
        ["type: Invalid value: \"other\": field is immutable"]
    );
    assert!(change(json!({"type": "own"}), json!({})).is_empty());
    let old = json!({"data": {"a": "YQ=="}, "immutable": true});
    assert!(change(old.clone(), json!({"stringData": {"a": "a"}, "immutable": true})).is_empty());
    assert_eq!(
        change(old, json!({"data": {"a": "Yg=="}})),
        [
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set"
        ]
    );
}

#[test]
fn certificates() {
    let pem = |kind: &str| BASE64.encode(format!("-----BEGIN {kind}-----\nYQ==\n-----END {kind}-----\n"));
    let warned = |certificate: String, key: String| {
        let object = json!({"type": "kubernetes.io/tls", "data": {"tls.crt": certificate, "tls.key": key}});
        Secret.warnings(&object, None)
    };
    assert!(warned(pem("CERTIFICATE"), pem("EC PRIVATE KEY")).is_empty());
    assert_eq!(warned("YQ==".into(), String::new()), ["tls: failed to find any PEM data in certificate input"]);
    assert_eq!(warned(pem("CERTIFICATE"), "YQ==".into()), ["tls: failed to find any PEM data in key input"]);
    assert!(warned(pem("PRIVATE KEY"), pem("CERTIFICATE"))[0].ends_with("PEM inputs may have been switched"));
    assert!(
        warned(pem("CERTIFICATE"), pem("CERTIFICATE"))[0].starts_with("tls: found a certificate rather than a key")
    );
    assert!(warned(pem("X"), String::new())[0].ends_with("of the following types: [X]"));
}

#[test]
fn rows_and_fields() {
    let object = secret(json!({"metadata": {"name": "s"}, "stringData": {"a": "b"}}));
    assert_eq!(Secret.row(&object, 0), [json!("s"), json!("Opaque"), json!(1), json!("<unknown>")]);
    assert_eq!(Secret.fields(&object), [("type", "Opaque".to_owned())]);
}

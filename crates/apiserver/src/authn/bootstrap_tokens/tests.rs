use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::user;

fn secret(change: &[(&str, &str)]) -> Value {
    let mut data = json!({});
    let fine = [
        ("token-id", "abcdef"),
        ("token-secret", "0123456789abcdef"),
        ("usage-bootstrap-authentication", "true"),
        ("expiration", "2026-06-01T00:00:00Z"),
        ("auth-extra-groups", "system:bootstrappers:workers"),
    ];
    for (key, value) in fine.iter().chain(change) {
        data[*key] = STANDARD.encode(value).into();
    }
    json!({ "type": "bootstrap.kubernetes.io/token", "metadata": {}, "data": data })
}

/// 2026-05-31T23:59:59Z
const BEFORE: i64 = 1_780_271_999;

#[test]
fn a_good_token_is_a_bootstrapper() {
    let user = user(&secret(&[]), "abcdef", "0123456789abcdef", BEFORE).unwrap();
    assert_eq!(user.name, "system:bootstrap:abcdef");
    assert_eq!(user.groups, ["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"]);
}

#[test]
fn others_are_nobody() {
    let table: [(&str, &[(&str, &str)]); 6] = [
        ("another secret", &[("token-secret", "fedcba9876543210")]),
        ("another id", &[("token-id", "fedcba")]),
        ("not for this", &[("usage-bootstrap-authentication", "false")]),
        ("over", &[("expiration", "2026-05-31T00:00:00Z")]),
        ("a time that is none", &[("expiration", "tomorrow")]),
        ("a group that it may not name", &[("auth-extra-groups", "system:masters")]),
    ];
    for (what, change) in table {
        assert_eq!(user(&secret(change), "abcdef", "0123456789abcdef", BEFORE), None, "{what}");
    }
    let mut opaque = secret(&[]);
    opaque["type"] = "Opaque".into();
    assert_eq!(user(&opaque, "abcdef", "0123456789abcdef", BEFORE), None);
    let mut leaving = secret(&[]);
    leaving["metadata"]["deletionTimestamp"] = "2026-05-01T00:00:00Z".into();
    assert_eq!(user(&leaving, "abcdef", "0123456789abcdef", BEFORE), None);
}

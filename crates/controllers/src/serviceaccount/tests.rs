use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use serde_json::{Value, json};

use super::plan::plan;

fn namespace(difference: Value) -> Namespace {
    let mut value = json!({"metadata": {"name": "shop"}, "status": {"phase": "Active"}});
    for (part, fields) in difference.as_object().unwrap() {
        for (field, content) in fields.as_object().unwrap() {
            value[part][field] = content.clone();
        }
    }
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_namespace_has_its_account_while_it_lives() {
    let change = plan(&namespace(json!({})), None).unwrap();
    assert_eq!((change.namespace.as_str(), change.name.as_str()), ("shop", "default"));
    assert_eq!(plan(&namespace(json!({})), Some(&ServiceAccount::default())), None);
    assert_eq!(plan(&namespace(json!({"status": {"phase": "Terminating"}})), None), None);
    assert_eq!(plan(&namespace(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})), None), None);
}

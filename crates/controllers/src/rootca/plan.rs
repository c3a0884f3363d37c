//! Whether a namespace lacks the cluster's root certificate, or has another.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde_json::{Map, Value, json};

use crate::caches::ROOT_CA;
use crate::change::{CONFIG_MAPS, Change, Part};
use crate::objects::Meta;
use crate::serviceaccount::plan::is_active;

/// The key of the certificate.
pub const KEY: &str = "ca.crt";

/// The change that gives a namespace the certificate.
pub fn plan(namespace: &Namespace, existing: Option<&ConfigMap>, ca_pem: &str) -> Option<Change> {
    if !is_active(namespace) {
        return None;
    }
    let Some(existing) = existing else {
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "namespace": namespace.name(),
                "name": ROOT_CA,
                "annotations": {"kubernetes.io/description": "The authority that signs the API server's certificate."},
            },
            "data": {KEY: ca_pem},
        });
        return Some(Change::create(CONFIG_MAPS, &map));
    };
    let empty = BTreeMap::new();
    let data = existing.data.as_ref().unwrap_or(&empty);
    if data.len() == 1 && data.get(KEY).map(String::as_str) == Some(ca_pem) {
        return None;
    }
    // Whatever else is in it goes.
    let mut wanted: Map<String, Value> = data.keys().map(|key| (key.clone(), Value::Null)).collect();
    wanted.insert(KEY.to_owned(), json!(ca_pem));
    Some(Change::merge(CONFIG_MAPS, existing, Part::Main, json!({"data": wanted})))
}

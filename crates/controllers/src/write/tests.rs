use serde_json::json;

use super::*;
use crate::change::{Deletion, PODS, Propagation, SERVICES};
use crate::objects::Pod;

fn pod() -> Pod {
    serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": "web", "uid": "u"}})).unwrap()
}

#[test]
fn every_act_has_its_request() {
    let on = |act| Change::on(PODS, &pod(), act);
    let deletion = Deletion {
        uid: Some("u".to_owned()),
        resource_version: Some("7".to_owned()),
        grace: Some(0),
        propagation: Some(Propagation::Orphan),
    };
    let rows = [
        (Change::create(SERVICES, &json!({"metadata": {"namespace": "a"}})), "POST /api/v1/namespaces/a/services?", ""),
        (on(Act::Replace(json!({}))), "PUT /api/v1/namespaces/shop/pods/web?", ""),
        (
            on(Act::Merge(Part::Main, json!({}))),
            "PATCH /api/v1/namespaces/shop/pods/web?",
            "application/merge-patch+json",
        ),
        (
            on(Act::Strategic(Part::Status, json!({}))),
            "PATCH /api/v1/namespaces/shop/pods/web/status?",
            "application/strategic-merge-patch+json",
        ),
        (on(Act::Post("binding", json!({}))), "POST /api/v1/namespaces/shop/pods/web/binding?", ""),
        (on(Act::Put("finalize", json!({}))), "PUT /api/v1/namespaces/shop/pods/web/finalize?", ""),
        (on(Act::Delete(deletion)), "DELETE /api/v1/namespaces/shop/pods/web?", ""),
    ];
    for (change, line, content) in rows {
        let request = request(&change).unwrap();
        assert_eq!(format!("{} {}", request.method(), request.uri()), line);
        let found = request.headers()["content-type"].to_str().unwrap();
        assert_eq!(found, if content.is_empty() { "application/json" } else { content });
        if matches!(change.act, Act::Delete(_)) {
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            assert_eq!(
                body,
                json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                    "propagationPolicy": "Orphan", "preconditions": {"uid": "u", "resourceVersion": "7"}})
            );
        }
    }
}

#[test]
fn refusals_are_told_apart() {
    let status = |code: u16, reason: &str, cause: &str| {
        let text = json!({"code": code, "reason": reason, "message": "m",
            "details": {"causes": [{"reason": cause, "message": "c"}]}});
        classify(kube::Error::Api(Box::new(serde_json::from_value(text).unwrap())))
    };
    assert!(matches!(status(404, "NotFound", ""), WriteError::NotFound(_)));
    assert!(matches!(status(409, "AlreadyExists", ""), WriteError::AlreadyExists(_)));
    assert!(matches!(status(409, "Conflict", ""), WriteError::Conflict(_)));
    assert!(matches!(status(403, "Forbidden", "NamespaceTerminating"), WriteError::NamespaceTerminating(_)));
    assert!(matches!(status(403, "Forbidden", ""), WriteError::Refused { code: 403, .. }));
    assert!(matches!(status(500, "", ""), WriteError::Refused { code: 500, .. }));
}

//! Conversations with a real Kubernetes: the same requests must leave the same owners. `recorded.json` holds each
//! request, who owned what after it, and the object that it left where another request follows. Times are all alike, as
//! they were within one second.

use kinds::Kind;
use kinds::registry;

use super::*;
use crate::body::{self, Expected};
use crate::patch::{Patch, PatchType};

#[test]
fn requests_leave_the_owners_that_kubernetes_recorded() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../recorded.json")).expect("the recording is JSON");
    assert!(cases.len() > 40);
    for case in cases {
        let mut live: Option<Value> = None;
        for step in case["steps"].as_array().expect("steps") {
            let after = Step::of(step).run(live.as_ref());
            assert_eq!(told(&after), step["owners"], "{}: {}", case["name"], step["do"]);
            live = step.get("object").cloned();
        }
    }
}

/// Owners as the recording tells of them.
fn told(object: &Value) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let told = entries.iter().map(|entry| {
        json!({
            "manager": entry["manager"],
            "operation": entry["operation"],
            "subresource": entry.get("subresource").cloned().unwrap_or_else(|| "".into()),
            "timed": entry.get("time").is_some(),
            "fields": entry["fieldsV1"],
        })
    });
    told.collect()
}

struct Step<'a> {
    kind: &'static Kind,
    manager: &'a str,
    subresource: &'a str,
    content_type: &'a str,
    body: &'a Value,
    creates: bool,
}

impl<'a> Step<'a> {
    fn of(step: &'a Value) -> Self {
        let (method, url) = step["do"].as_str().and_then(|d| d.split_once(' ')).expect("method and path");
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let manager = query.strip_prefix("fieldManager=").unwrap_or("unknown");
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => panic!("{path} is no resource"),
        };
        let rest = rest.strip_prefix(&["namespaces", "shop"]).unwrap_or(rest);
        let kind = registry::by_plural(group, version, rest[0]).unwrap_or_else(|| panic!("{path} is not served"));
        let subresource = rest.get(2).copied().unwrap_or_default();
        let content_type = step["type"].as_str().unwrap_or("application/json");
        Self { kind, manager, subresource, content_type, body: &step["body"], creates: method != "PATCH" }
    }

    fn run(&self, live: Option<&Value>) -> Value {
        let expected = Expected::kind(self.kind).expect("the table has the kind");
        let api_version = self.kind.api_version();
        let change = Change {
            kind: expected.of_type,
            manager: self.manager,
            subresource: self.subresource,
            api_version: &api_version,
            now: "2026-01-01T00:00:00Z",
        };
        let bytes = self.body.to_string();
        if self.content_type == "application/apply-patch+yaml" {
            return apply(&change, live, self.body, false).expect("applies").document;
        }
        let decoded = if self.creates {
            body::object(bytes.as_bytes(), self.content_type, &expected).expect("decodes")
        } else {
            let live = live.expect("something to patch");
            let patch_type = PatchType::of(self.content_type).expect("a patch");
            let patch = Patch::read(bytes.as_bytes(), patch_type).expect("reads").expect("a patch");
            body::patched(patch.apply(live, expected.of_type).expect("applies"), &expected).expect("decodes")
        };
        let mut new = decoded.document;
        self.kind.strategy.default(&mut new);
        record_update(&change, live.filter(|_| !self.creates), &mut new);
        new
    }
}

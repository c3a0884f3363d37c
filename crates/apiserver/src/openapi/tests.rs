//! What kubectl needs of the documents.

use kinds::registry;
use serde_json::Value;

use super::descriptions::Descriptions;
use super::*;

fn document(group: &str, version: &str) -> Value {
    serde_json::from_slice(&v3::document(group, version).expect("is served")).expect("is JSON")
}

fn types(document: &Value) -> &Value {
    &document["components"]["schemas"]
}

#[test]
fn every_kind_is_described() {
    for kind in registry::all() {
        assert!(Descriptions::know(kind.schema), "{} is not described", kind.schema);
        let document = document(kind.group, kind.version);
        let of_kind = &types(&document)[kind.schema];
        assert!(of_kind["description"].as_str().is_some_and(|d| !d.is_empty()), "{}", kind.schema);
        let gvk = serde_json::json!([{"group": kind.group, "version": kind.version, "kind": kind.kind}]);
        assert_eq!(of_kind["x-kubernetes-group-version-kind"], gvk);
    }
}

#[test]
fn every_reference_leads_to_a_type() {
    fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|v| references(v, found));
            }
            Value::Array(elements) => elements.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }
    let v2: Value = serde_json::from_slice(&v2::document()).expect("is JSON");
    let mut documents = vec![(v2, "definitions")];
    documents.extend(groups(registry::all()).into_iter().map(|(g, v)| (document(g, v), "components/schemas")));
    for (document, place) in &documents {
        let mut found = Vec::new();
        references(document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let name = reference.strip_prefix(&format!("#/{place}/")).unwrap_or_else(|| panic!("{reference}"));
            let known = document.pointer(&format!("/{place}/{name}"));
            assert!(known.is_some(), "{reference} leads nowhere");
        }
    }
}

#[test]
fn the_index_names_every_document_with_its_hash() {
    let index: Value = serde_json::from_slice(&v3::index()).expect("is JSON");
    assert_eq!(
        index["paths"].as_object().map(serde_json::Map::len),
        Some(groups(&registry::shown().collect::<Vec<_>>()).len())
    );
    let apps = v3::document("apps", "v1").expect("is served");
    let url = format!("/openapi/v3/apis/apps/v1?hash={}", v3::hash(&apps));
    assert_eq!(index["paths"]["apis/apps/v1"]["serverRelativeURL"], url.as_str());
    assert_eq!(v3::document("apps", "v1"), Some(apps), "the same each time");
    assert_eq!(v3::document("nope", "v1"), None);
}

#[test]
fn a_service_is_described_with_what_kubectl_merges_by() {
    let core = document("", "v1");
    let spec = &types(&core)["io.k8s.api.core.v1.ServiceSpec"]["properties"];
    let ports = &spec["ports"];
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "port");
    assert_eq!(ports["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(ports["x-kubernetes-list-type"], "map");
    assert_eq!(ports["x-kubernetes-list-map-keys"], serde_json::json!(["port", "protocol"]));
    assert_eq!(ports["items"]["$ref"], "#/components/schemas/io.k8s.api.core.v1.ServicePort");
    assert_eq!(spec["selector"]["x-kubernetes-map-type"], "atomic");
    let affinity = &spec["sessionAffinityConfig"];
    assert_eq!(affinity["allOf"][0]["$ref"], "#/components/schemas/io.k8s.api.core.v1.SessionAffinityConfig");
    assert!(affinity["description"].as_str().is_some_and(|d| d.contains("affinity")));
    let port = &types(&core)["io.k8s.api.core.v1.ServicePort"];
    assert_eq!(port["required"], serde_json::json!(["port"]));
    assert_eq!(port["properties"]["protocol"]["default"], "TCP");
    assert_eq!(port["properties"]["nodePort"]["format"], "int32");
}

#[test]
fn a_patch_takes_field_validation_and_strategic_merges() {
    let core = document("", "v1");
    let patch = &core["paths"]["/api/v1/namespaces/{namespace}/services/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Service");
    assert_eq!(patch["operationId"], "patchCoreV1NamespacedService");
    let names: Vec<&str> =
        patch["parameters"].as_array().expect("parameters").iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some());
    let everywhere = &core["paths"]["/api/v1/services"]["get"];
    assert_eq!(everywhere["operationId"], "listCoreV1ServiceForAllNamespaces");
    let scale =
        &document("apps", "v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["group"], "autoscaling");
}

#[test]
fn the_protobuf_form_holds_every_path_and_type() {
    let json: Value = serde_json::from_slice(&v2::document()).expect("is JSON");
    let encoded = v2::encoded();
    let document = messages(&encoded);
    assert_eq!(document.iter().find(|(n, _)| *n == 1).map(|(_, b)| *b), Some(b"2.0".as_slice()));
    let count = |number: u64| {
        let (_, inner) = document.iter().find(|(n, _)| *n == number).expect("the field is there");
        messages(inner).len()
    };
    assert_eq!(Some(count(8)), json["paths"].as_object().map(serde_json::Map::len));
    assert_eq!(Some(count(9)), json["definitions"].as_object().map(serde_json::Map::len));
}

/// The length-delimited fields of a message.
fn messages(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    let varint = |bytes: &mut &[u8]| {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let (first, rest) = bytes.split_first().expect("a byte");
            *bytes = rest;
            number |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return number;
            }
        }
    };
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        assert_eq!(tag & 7, 2, "this level has messages only");
        let length = usize::try_from(varint(&mut bytes)).expect("a length");
        let (field, rest) = bytes.split_at(length);
        found.push((tag >> 3, field));
        bytes = rest;
    }
    found
}

use kinds::schema;
use serde_json::json;

use super::wire::{Fields, Wire};
use super::{ProtobufError, read};

/// A field that holds bytes. Numbers from 16 on take two bytes.
fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
    let tag = if number < 16 { vec![number << 3 | 2] } else { vec![(number << 3 | 2) | 0x80, number >> 4] };
    [tag, vec![u8::try_from(value.len()).unwrap()], value.to_vec()].concat()
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), bytes(1, &type_meta), bytes(2, raw)].concat()
}

#[test]
fn a_service_is_what_it_would_be_in_json() {
    let label = [bytes(1, b"app"), bytes(2, b"web")].concat();
    let metadata = [bytes(1, b"web"), bytes(8, &[]), bytes(11, &label)].concat();
    let target = [number(1, 1), number(2, 0), bytes(3, b"http")].concat();
    let port = [bytes(1, b"a"), bytes(2, b"TCP"), number(3, 80), bytes(4, &target), number(5, 0)].concat();
    let spec = [bytes(1, &port), bytes(2, &label), bytes(4, b"ClusterIP"), number(13, 1)].concat();
    let service = [bytes(1, &metadata), bytes(2, &spec), bytes(3, &bytes(1, &[]))].concat();
    let expected = schema::get("io.k8s.api.core.v1.Service").unwrap();
    let want = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "creationTimestamp": null, "labels": { "app": "web" } },
        "spec": {
            "ports": [{ "name": "a", "protocol": "TCP", "port": 80, "targetPort": "http", "nodePort": 0 }],
            "selector": { "app": "web" }, "type": "ClusterIP", "publishNotReadyAddresses": true,
        },
        "status": { "loadBalancer": {} },
    });
    assert_eq!(read(&body("v1", "Service", &service), expected), Ok(want));
}

#[test]
fn an_embedded_struct_is_part_of_its_object() {
    let http = bytes(2, &[bytes(1, b"/"), bytes(2, &[number(1, 0), number(2, 80)].concat())].concat());
    let probe = [bytes(1, &http), number(2, 3)].concat();
    let container = [bytes(1, b"c"), bytes(10, &probe)].concat();
    let pod = bytes(2, &bytes(2, &container));
    let read = read(&body("v1", "Pod", &pod), schema::get("io.k8s.api.core.v1.Pod").unwrap()).unwrap();
    let want = json!({ "httpGet": { "path": "/", "port": 80 }, "initialDelaySeconds": 3 });
    assert_eq!(read["spec"]["containers"][0]["livenessProbe"], want);
}

#[test]
fn secrets_quantities_times_and_unknown_json_are_read() {
    let entry = [bytes(1, b"k"), bytes(2, b"\x00\xff")].concat();
    let fields = bytes(1, br#"{"f:data":{}}"#);
    let managed = [bytes(1, b"m"), bytes(4, &[number(1, 60), number(2, 5)].concat()), bytes(7, &fields)].concat();
    let secret = [bytes(1, &bytes(17, &managed)), bytes(2, &entry)].concat();
    let secret = read(&body("v1", "Secret", &secret), schema::get("io.k8s.api.core.v1.Secret").unwrap()).unwrap();
    assert_eq!(secret["data"], json!({ "k": "AP8=" }));
    let managed = &secret["metadata"]["managedFields"][0];
    assert_eq!(managed["time"], "1970-01-01T00:01:00Z");
    assert_eq!(managed["fieldsV1"], json!({ "f:data": {} }));

    let cpu = [bytes(1, b"cpu"), bytes(2, &bytes(1, b"100m"))].concat();
    let node = bytes(3, &bytes(1, &cpu));
    let node = read(&body("v1", "Node", &node), schema::get("io.k8s.api.core.v1.Node").unwrap()).unwrap();
    assert_eq!(node["status"]["capacity"], json!({ "cpu": "100m" }));
}

#[test]
fn what_is_no_message_is_refused() {
    let expected = schema::get("io.k8s.api.core.v1.Service").unwrap();
    assert_eq!(read(b"{}", expected), Err(ProtobufError::Magic));
    assert_eq!(read(b"k8s\0\x12\x05x", expected), Err(ProtobufError::Truncated));
    let nowhere = read(&body("v9", "Nothing", &[]), expected);
    assert!(matches!(nowhere, Err(ProtobufError::Kind { .. })), "{nowhere:?}");
    let number_for_text = body("v1", "Service", &bytes(1, &number(1, 7)));
    assert_eq!(read(&number_for_text, expected), Err(ProtobufError::WireType("name".to_owned())));
}

#[test]
fn every_served_kind_has_numbers() {
    for kind in kinds::registry::all() {
        let numbers = super::numbers::of(kind.schema);
        assert!(!numbers.is_empty(), "{} has no field numbers", kind.schema);
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut body = b"k8s\0".to_vec();
        body.extend(&bytes);
        let _ = read(&body, schema::get("io.k8s.api.core.v1.Pod").unwrap());
        let total: usize = Fields::of(&bytes)
            .map_while(Result::ok)
            .map(|(_, wire)| if let Wire::Bytes(b) = wire { b.len() } else { 0 })
            .sum();
        proptest::prop_assert!(total <= bytes.len());
    }
}

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinds::schema::{self, Shape, Type};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

use super::wire::{Fields, Wire};
use super::{ProtobufError, read, write};

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

/// Random documents of a type, of every shape that there is.
struct Documents(StdRng);

impl Documents {
    fn of(&mut self, of_type: &'static Type, depth: usize) -> Value {
        let mut fields = Map::new();
        for field in of_type.fields().iter().filter(|f| super::plan::of(of_type).field(f.name).is_some()) {
            // No list and no map is written that is empty, so that none comes back; depth ends what is nested.
            if self.0.random_range(0..depth + 2) == 0 {
                fields.insert(field.name.to_owned(), self.value(&field.shape, depth + 1));
            }
        }
        fields.into()
    }

    fn value(&mut self, shape: &'static Shape, depth: usize) -> Value {
        let rng = &mut self.0;
        match shape {
            Shape::String => self.text().into(),
            Shape::Bool => rng.random::<bool>().into(),
            Shape::Int32 => rng.random::<i32>().into(),
            Shape::Int64 => rng.random::<i64>().into(),
            Shape::Double => (f64::from(rng.random::<i32>()) / 4.0).into(),
            Shape::IntOrString if rng.random() => rng.random::<i32>().into(),
            Shape::IntOrString => self.text().into(),
            Shape::Quantity => format!("{}m", rng.random::<u16>()).into(),
            Shape::Time => {
                format!("20{:02}-02-28T23:59:{:02}Z", rng.random_range(0..99), rng.random_range(0..60)).into()
            }
            Shape::MicroTime => format!("1969-12-31T23:59:58.{:06}Z", rng.random_range(0..1_000_000)).into(),
            Shape::Bytes => STANDARD.encode(rng.random::<[u8; 7]>()).into(),
            Shape::Any => json!({ "f:any": { "n": rng.random::<i32>(), "s": self.text() } }),
            Shape::Object(of) => self.of(of.get(), depth),
            Shape::List(of) => (0..=rng.random_range(0..2)).map(|_| self.value(of, depth)).collect(),
            Shape::Map(of) => {
                let keys: Vec<String> = (0..=rng.random_range(0..2)).map(|_| self.text()).collect();
                keys.into_iter().map(|key| (key, self.value(of, depth))).collect::<Map<_, _>>().into()
            }
        }
    }

    fn text(&mut self) -> String {
        const LETTERS: [char; 8] = ['a', 'Z', '"', '\\', '\n', 'é', '語', '🧭'];
        let length = if self.0.random_range(0..20) == 0 { 200 } else { self.0.random_range(0..6) };
        (0..length).map(|_| LETTERS[self.0.random_range(0..LETTERS.len())]).collect()
    }
}

/// What is written, read again, with the kind that is not part of the message.
#[track_caller]
fn there_and_back(document: &Value, of_type: &'static Type) -> Value {
    let body = write(document.to_string().as_bytes(), "v1", "", of_type).unwrap();
    read(&body, of_type).unwrap()
}

proptest::proptest! {
    // Each case is some hundred documents.
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read_again(seed in proptest::prelude::any::<u64>()) {
        let mut documents = Documents(StdRng::seed_from_u64(seed));
        // Every type: those of the kinds that are served, their lists, options and reviews.
        for of_type in schema::types() {
            let document = documents.of(of_type, 0);
            proptest::prop_assert_eq!(there_and_back(&document, of_type), document, "{}", of_type.name());
        }
    }

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

#[test]
fn a_body_is_what_kubernetes_writes() {
    let service = json!({ "kind": "Service", "apiVersion": "v1", "metadata": { "name": "web" }, "spec": {} });
    let raw = [bytes(1, &bytes(1, b"web")), bytes(2, &[])].concat();
    let want = [body("v1", "Service", &raw), bytes(3, &[]), bytes(4, &[])].concat();
    assert_eq!(super::write_named(service.to_string().as_bytes()).unwrap(), want);
}

#[test]
fn long_messages_have_long_lengths() {
    for length in [0, 1, 120, 127, 128, 129, 16_383, 16_384, 70_000] {
        let document =
            json!({ "metadata": { "name": "x".repeat(length), "annotations": { "a": "y".repeat(length) } } });
        assert_eq!(there_and_back(&document, schema::get("io.k8s.api.core.v1.Pod").unwrap()), document);
    }
}

#[test]
fn what_is_not_as_its_type_says_is_refused() {
    let of_type = schema::get("io.k8s.api.core.v1.Service").unwrap();
    let bad = [r#"{"metadata":{"name":1}}"#, r#"{"spec":{"ports":{}}}"#, r#"{"spec":[]}"#, r#"{"spec""#, "3", r#""x""#];
    for json in bad {
        assert!(write(json.as_bytes(), "v1", "Service", of_type).is_err(), "{json}");
    }
    assert!(super::write_named(br#"{"kind":"Nothing","apiVersion":"v9"}"#).is_err());
}

#[test]
fn metadata_is_the_first_field_of_every_kind() {
    for kind in kinds::registry::all() {
        let metadata = super::plan::of(schema::get(kind.schema).unwrap()).field("metadata").unwrap();
        assert_eq!((metadata.number, &*metadata.around), (1, &[][..]), "{}", kind.schema);
    }
}

/// The module that has every object filled with values, as JSON and as protobuf; `None` where Go's modules are not.
fn recorded() -> Option<std::path::PathBuf> {
    let cache = std::process::Command::new("go").args(["env", "GOMODCACHE"]).output().ok()?;
    let cache = String::from_utf8(cache.stdout).ok()?;
    let dir = std::path::Path::new(cache.trim()).join("k8s.io/api@v0.36.3/testdata/HEAD");
    dir.is_dir().then_some(dir)
}

#[test]
fn what_kubernetes_wrote_is_read_and_written_alike() {
    let Some(dir) = recorded() else {
        return testbed::privilege::skip("the objects that Kubernetes wrote are not in Go's module cache");
    };
    let mut seen = 0;
    for of_type in schema::types() {
        let Some(gvk) = of_type.gvk() else { continue };
        let group = if gvk.group.is_empty() { "core" } else { gvk.group };
        let file = |ending: &str| dir.join(format!("{group}.{}.{}.{ending}", gvk.version, gvk.kind));
        let (Ok(theirs), Ok(json)) = (std::fs::read(file("pb")), std::fs::read(file("json"))) else { continue };
        let ours = super::write_named(&json).unwrap();
        assert_eq!(read(&ours, of_type), read(&theirs, of_type), "{}", of_type.name());
        seen += 1;
    }
    assert!(seen > 30, "only {seen} types have records");
}

//! Expected values are the answers of Kubernetes' own decoder (`k8s.io/apimachinery` 0.36.3) to the same documents.

use serde_json::{Value, json};

use super::*;

fn service() -> &'static Type {
    get("io.k8s.api.core.v1.Service").expect("the table has Service")
}

fn decode(kind: &str, document: Value) -> Checked {
    check(&document, get(kind).expect("the table has the type"))
}

fn decoded(kind: &str, document: Value) -> Value {
    let checked = decode(kind, document);
    assert_eq!(checked.error, None);
    assert_eq!(checked.unknown, Vec::<String>::new());
    checked.document
}

fn error(kind: &str, document: Value) -> String {
    decode(kind, document).error.expect("an error")
}

#[test]
fn the_table_is_understood_and_in_order() {
    assert!(types().len() > 200);
    assert!(types().is_sorted_by(|a, b| a.name() < b.name()));
    for kind in types() {
        assert!(kind.fields().is_sorted_by(|a, b| a.name < b.name), "{}", kind.name());
        assert!(get(kind.name()).is_some_and(|found| std::ptr::eq(found, kind)));
    }
}

#[test]
fn a_line_that_is_not_understood_is_named() {
    let error = table::parse("@c a.\n=c.T\nname s *\nport ?!\n").expect_err("no such shape");
    assert_eq!(error.to_string(), "line 4 of the schema table is not understood: port ?!");
    assert!(table::parse("=c.T\n").is_err(), "an abbreviation that is not declared");
    assert!(table::parse("name s\n").is_err(), "a field before any type");
}

#[test]
fn the_facts_of_a_service() {
    assert_eq!(service().go_name(), "v1.Service");
    assert_eq!(service().short_name(), "Service");
    assert_eq!(service().gvk(), Some(GroupVersionKind { group: "", version: "v1", kind: "Service" }));
    assert!(std::ptr::eq(by_kind("", "v1", "Service").expect("found by kind"), service()));
    let spec = service().field("spec").and_then(|f| f.shape.object()).expect("spec is an object");
    let ports = spec.field("ports").expect("ports");
    assert_eq!(ports.relationship(), Relationship::Keyed(&["port", "protocol"]));
    assert_eq!((ports.merge_key(), ports.patch_strategy()), (Some("port"), "merge"));
    assert_eq!(ports.shape.go_name(), "[]v1.ServicePort");
    let port = ports.shape.object().expect("ports are objects");
    assert_eq!(port.field("protocol").and_then(Field::default), Some(&json!("TCP")));
    assert_eq!(port.field("protocol").and_then(Field::go_name), Some("v1.Protocol"));
    assert_eq!(port.field("nope").map(|f| f.name), None);
    assert_eq!(spec.field("selector").map(Field::relationship), Some(Relationship::Atomic));
    let types: Vec<String> = spec.field("type").into_iter().flat_map(Field::values).collect();
    assert_eq!(types, ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    assert_eq!(spec.field("clusterIP").into_iter().flat_map(Field::values).count(), 0);
    assert_eq!(spec.field("externalIPs").map(Field::relationship), Some(Relationship::Atomic));
}

#[test]
fn relationships_of_other_kinds() {
    let of = |name: &str, field: &str| get(name).and_then(|t| t.field(field)).map(Field::relationship);
    assert_eq!(of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers"), Some(Relationship::Set));
    assert_eq!(of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "labels"), Some(Relationship::Granular));
    assert_eq!(of("io.k8s.api.apps.v1.DeploymentSpec", "selector"), Some(Relationship::Atomic));
    assert_eq!(of("io.k8s.api.apps.v1.DeploymentSpec", "template"), Some(Relationship::Granular));
    assert_eq!(of("io.k8s.api.apps.v1.ControllerRevision", "data"), Some(Relationship::Atomic));
    assert_eq!(of("io.k8s.api.apps.v1.DeploymentSpec", "replicas"), Some(Relationship::Scalar));
    let strategy =
        get("io.k8s.api.apps.v1.DeploymentSpec").and_then(|t| t.field("strategy")).map(Field::patch_strategy);
    assert_eq!(strategy, Some("retainKeys"));
    let volumes = get("io.k8s.api.core.v1.PodSpec").and_then(|t| t.field("volumes")).map(Field::patch_strategy);
    assert_eq!(volumes, Some("merge,retainKeys"));
}

#[test]
fn what_is_always_written_is_there() {
    let empty = decoded("io.k8s.api.core.v1.Service", json!({"metadata": {"name": "s"}}));
    assert_eq!(empty, json!({"metadata": {"name": "s"}, "spec": {}, "status": {"loadBalancer": {}}}));
    let slice = decoded("io.k8s.api.discovery.v1.EndpointSlice", json!({"endpoints": [{"addresses": ["10.0.0.1"]}]}));
    let endpoints = json!([{"addresses": ["10.0.0.1"], "conditions": {}}]);
    assert_eq!(slice, json!({"addressType": "", "endpoints": endpoints, "metadata": {}, "ports": null}));
    let port = decoded("io.k8s.api.core.v1.Service", json!({"spec": {"ports": [null]}}));
    assert_eq!(port["spec"]["ports"], json!([{"port": 0, "targetPort": 0}]));
    let node = decoded("io.k8s.api.core.v1.Node", json!({}));
    assert_eq!(node["status"]["daemonEndpoints"], json!({"kubeletEndpoint": {"Port": 0}}));
    let event = decoded("io.k8s.api.core.v1.Event", json!({}));
    assert_eq!(event["eventTime"], Value::Null);
    assert_eq!(event.get("eventTime"), Some(&Value::Null));
}

#[test]
fn nulls_and_zero_values_that_are_left_out_are_gone() {
    let spec = json!({"clusterIP": "", "externalIPs": [], "selector": {}, "type": null, "healthCheckNodePort": 0,
        "loadBalancerClass": "", "allocateLoadBalancerNodePorts": false,
        "ports": [{"port": 80, "nodePort": 0, "appProtocol": "", "targetPort": "http"}]});
    let service = decoded("io.k8s.api.core.v1.Service", json!({"spec": spec}));
    let ports = json!([{"appProtocol": "", "port": 80, "targetPort": "http"}]);
    assert_eq!(
        service["spec"],
        json!({"allocateLoadBalancerNodePorts": false, "loadBalancerClass": "", "ports": ports}),
        "what is a pointer in Go keeps its empty value"
    );
    let forget = decoded("io.k8s.api.core.v1.Service", json!({"metadata": {"managedFields": [], "finalizers": []}}));
    assert_eq!(forget["metadata"], json!({"managedFields": []}), "an empty list of owners is a wish");
}

#[test]
fn unknown_fields_are_dropped_and_named() {
    let document = json!({"Spec": {}, "spec": {"nope": {"deep": 1}, "ports": [{"port": 1, "a\"b": 1}], "selector": {"free": "yes"}}});
    let checked = decode("io.k8s.api.core.v1.Service", document);
    let unknown = [r#"unknown field "Spec""#, r#"unknown field "spec.nope""#, r#"unknown field "spec.ports[0].a\"b""#];
    assert_eq!(checked.unknown, unknown);
    assert_eq!(checked.error, None);
    assert_eq!(checked.document["spec"], json!({"ports": [{"port": 1, "targetPort": 0}], "selector": {"free": "yes"}}));
}

#[test]
fn no_more_than_a_hundred_unknown_fields_are_named() {
    let fields: serde_json::Map<String, Value> = (0..150).map(|n| (format!("f{n}"), json!(1))).collect();
    assert_eq!(decode("io.k8s.api.core.v1.Service", Value::Object(fields)).unknown.len(), 100);
}

#[test]
fn wrong_types_have_go_s_words() {
    let cases = [
        (json!({"ports": [{"port": "80"}]}), "string into Go struct field ServicePort.spec.ports.port of type int32"),
        (json!({"clusterIP": 5}), "number into Go struct field ServiceSpec.spec.clusterIP of type string"),
        (json!({"selector": ["a"]}), "array into Go struct field ServiceSpec.spec.selector of type map[string]string"),
        (json!({"type": 5}), "number into Go struct field ServiceSpec.spec.type of type v1.ServiceType"),
        (json!({"ipFamilies": "x"}), "string into Go struct field ServiceSpec.spec.ipFamilies of type []v1.IPFamily"),
        (json!({"ipFamilies": [1]}), "number into Go struct field ServiceSpec.spec.ipFamilies of type v1.IPFamily"),
        (json!({"ports": {}}), "object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort"),
        (json!({"ports": [1]}), "number into Go struct field ServiceSpec.spec.ports of type v1.ServicePort"),
        (
            json!({"ports": [{"port": 1.5}]}),
            "number 1.5 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            json!({"ports": [{"port": 3_000_000_000_u32}]}),
            "number 3000000000 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            json!({"ports": [{"targetPort": true}]}),
            "bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
        (json!("x"), "string into Go struct field Service.spec of type v1.ServiceSpec"),
    ];
    for (spec, words) in cases {
        let error = error("io.k8s.api.core.v1.Service", json!({"spec": spec}));
        assert_eq!(error, format!("json: cannot unmarshal {words}"));
    }
    let pod = json!({"spec": {"containers": [{"livenessProbe": {"httpGet": {"port": 1.5}}}]}});
    assert_eq!(
        error("io.k8s.api.core.v1.Pod", pod),
        "json: cannot unmarshal number 1.5 into Go struct field HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32"
    );
    assert_eq!(
        error("io.k8s.api.core.v1.Service", json!([])),
        "json: cannot unmarshal array into Go value of type v1.Service"
    );
}

#[test]
fn the_first_fault_counts_but_one_of_an_own_decoder_comes_before() {
    let two = json!({"spec": {"clusterIP": 5, "type": 6}});
    assert!(error("io.k8s.api.core.v1.Service", two).contains("clusterIP"));
    let later = json!({"metadata": {"name": 5}, "spec": {"ports": [{"targetPort": []}]}});
    assert!(error("io.k8s.api.core.v1.Service", later).contains("targetPort"));
}

#[test]
fn times_are_utc_and_their_faults_told_as_go_tells_them() {
    let time = |text: &str| decode("io.k8s.api.core.v1.Service", json!({"metadata": {"creationTimestamp": text}}));
    let good = [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T02:00:00.5+02:30", "2023-12-31T23:30:00Z"),
        ("2024-01-01T1:00:00Z", "2024-01-01T01:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ];
    for (text, canonical) in good {
        assert_eq!(time(text).document["metadata"]["creationTimestamp"], canonical);
    }
    assert_eq!(time("0001-01-01T00:00:00Z").document["metadata"], json!({}), "the zero time is no time");
    let layout = "2006-01-02T15:04:05Z07:00";
    let bad = [
        ("x", format!("parsing time \"x\" as \"{layout}\": cannot parse \"x\" as \"2006\"")),
        ("2024-13-01T00:00:00Z", "parsing time \"2024-13-01T00:00:00Z\": month out of range".to_owned()),
        ("2024-02-30T00:00:00Z", "parsing time \"2024-02-30T00:00:00Z\": day out of range".to_owned()),
        ("2024-01-01T00:00:00Zx", "parsing time \"2024-01-01T00:00:00Zx\": extra text: \"x\"".to_owned()),
        (
            "2024-01-01T00:00:00é",
            format!(
                "parsing time \"2024-01-01T00:00:00\\xc3\\xa9\" as \"{layout}\": cannot parse \"\\xc3\\xa9\" as \"Z07:00\""
            ),
        ),
    ];
    for (text, words) in bad {
        assert_eq!(time(text).error, Some(words));
    }
    let micro = |text: &str| decode("io.k8s.api.core.v1.Event", json!({"eventTime": text}));
    assert_eq!(micro("2024-01-01T00:00:00.123456+01:00").document["eventTime"], "2023-12-31T23:00:00.123456Z");
    assert!(micro("2024-01-01T00:00:00Z").error.is_some_and(|e| e.ends_with("cannot parse \"Z\" as \".000000\"")));
}

#[test]
fn base64_is_decoded_and_written_again() {
    let secret = |text: &str| decode("io.k8s.api.core.v1.Secret", json!({"data": {"k": text}}));
    for (text, canonical) in [("YQ==", "YQ=="), ("YW\nJj", "YWJj"), ("YR==", "YQ=="), ("", ""), ("YWI=", "YWI=")] {
        assert_eq!(secret(text).document["data"]["k"], canonical);
    }
    for (text, at) in [("@", 0), ("YQ", 0), ("YQ=", 3), ("YQ==x", 4), ("Y===", 1), ("YWJjZ", 4), ("YW@j", 2)] {
        assert_eq!(secret(text).error, Some(format!("illegal base64 data at input byte {at}")));
    }
    let listed = decode("io.k8s.api.core.v1.Secret", json!({"data": {"k": [97, 98]}}));
    assert_eq!(listed.document["data"]["k"], "YWI=");
}

#[test]
fn quantities_become_canonical() {
    let limits = json!({"cpu": 0.5, "memory": "1024Mi", "pods": " 3 "});
    let pod = json!({"spec": {"containers": [{"name": "a", "resources": {"limits": limits}}]}});
    let pod = decoded("io.k8s.api.core.v1.Pod", pod);
    assert_eq!(
        pod["spec"]["containers"][0]["resources"]["limits"],
        json!({"cpu": "500m", "memory": "1Gi", "pods": "3"})
    );
    let bad = json!({"spec": {"containers": [{"resources": {"limits": {"cpu": true}}}]}});
    assert!(error("io.k8s.api.core.v1.Pod", bad).starts_with("quantities must match the regular expression"));
}

#[test]
fn text_is_quoted_as_go_quotes_it() {
    assert_eq!(quoted("a\"b\\c\n\t\u{1}\u{7f}é€😀\u{200b}\u{a0}"), r#""a\"b\\c\n\t\x01\x7fé€😀\u200b\u00a0""#);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let names = prop_oneof![Just("spec"), Just("ports"), Just("port"), Just("metadata"), Just("labels"), Just("x")];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 60, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn anything_is_decoded_and_decoding_twice_changes_nothing(document in any_json()) {
            let once = check(&document, service());
            if once.error.is_none() {
                let twice = check(&once.document, service());
                prop_assert_eq!(&twice.document, &once.document);
                prop_assert!(twice.unknown.is_empty() && twice.error.is_none());
            }
        }

        #[test]
        fn any_text_is_a_time_or_a_fault(text in ".{0,40}|[0-9T:Z.+-]{0,40}") {
            let _ = (time::seconds(&text), time::micros(&text), base64::canonical(&text));
        }
    }
}

//! Expected texts are the answers of Kubernetes 1.36.3 to the same bodies.

use std::io::Write;

use bytes::Bytes;
use serde_json::json;

use super::*;

fn service() -> Expected {
    let of_type = schema::by_kind("", "v1", "Service").expect("the table has Service");
    Expected { group: "", version: "v1", kind: "Service", of_type }
}

fn decoded(body: &str) -> Decoded {
    object(body.as_bytes(), "application/json", &service()).expect("decodes")
}

fn refused(body: &str) -> String {
    object(body.as_bytes(), "application/json", &service()).expect_err("is refused").to_string()
}

fn syntax(text: &str) -> String {
    json::parse(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn a_body_may_leave_out_what_it_is() {
    for body in [r#"{"metadata":{"name":"s"}}"#, r#"{"kind":"","apiVersion":null,"metadata":{"name":"s"}}"#] {
        let wanted = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {}, "status": {"loadBalancer": {}}});
        assert_eq!(decoded(body).document, wanted);
    }
}

#[test]
fn what_is_no_object_is_unrecognized() {
    let head = "the object provided is unrecognized (must be of type Service): ";
    let meta = "couldn't get version/kind; json parse error: ";
    let cases = [
        ("{", format!("{head}{meta}unexpected end of JSON input ({{)")),
        ("", format!("{head}{meta}unexpected end of JSON input (<empty>)")),
        ("x", format!("{head}{meta}invalid character 'x' looking for beginning of value (78)")),
        ("[]", format!("{head}{meta}json: cannot unmarshal array into Go value of type {META} (5b5d)")),
        (
            r#"{"kind":5}"#,
            format!(
                "{head}{meta}json: cannot unmarshal number into Go struct field .kind of type string ({{\"kind\":5}})"
            ),
        ),
        (
            r#"{"apiVersion":"a/b/c"}"#,
            format!("{head}unexpected GroupVersion string: a/b/c ({{\"apiVersion\":\"a/b/c\"}})"),
        ),
        (
            r#"{"metadata":{"name":"a rather long name"}"#,
            format!("{head}{meta}unexpected end of JSON input ({{\"metadata\":{{\"name\":\"a rather  ...)"),
        ),
    ];
    for (body, message) in cases {
        assert_eq!(refused(body), message);
    }
}

#[test]
fn another_kind_or_version_is_refused() {
    assert_eq!(
        refused(r#"{"apiVersion":"v1","kind":"Pod"}"#),
        r#"Pod in version "v1" cannot be handled as a Service: converting (v1.Pod) to (core.Service): unknown conversion"#
    );
    let scheme = r#"is registered for version "v2" in scheme "pkg/runtime/scheme.go:111""#;
    assert_eq!(
        refused(r#"{"apiVersion":"v2","kind":"Service"}"#),
        format!(r#"Service in version "v2" cannot be handled as a Service: no kind "Service" {scheme}"#)
    );
    let of_type = schema::by_kind("", "v1", "Event").expect("the table has Event");
    let event = Expected { group: "", version: "v1", kind: "Event", of_type };
    let other = object(br#"{"apiVersion":"events.k8s.io/v1","kind":"Event"}"#, "", &event).expect_err("another group");
    assert_eq!(
        other.to_string(),
        "the API version in the data (events.k8s.io/v1) does not match the expected API version (v1)"
    );
}

#[test]
fn wrong_types_name_the_kind() {
    assert_eq!(
        refused(r#"{"spec":{"ports":[{"port":"80"}]}}"#),
        r#"Service in version "v1" cannot be handled as a Service: json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32"#
    );
}

#[test]
fn strict_validation_refuses_and_others_warn() {
    let found = decoded(r#"{"spec":{"type":"A","nope":{"a":1,"a":2},"type":"B","ports":[{"port":1,"port":2}]}}"#);
    let warnings =
        [r#"duplicate field "spec.type""#, r#"duplicate field "spec.ports[0].port""#, r#"unknown field "spec.nope""#];
    assert_eq!(found.faults, warnings);
    assert_eq!(found.document["spec"]["type"], "B", "the last value counts");
    let message = found.strictly().expect_err("strict").to_string();
    let faults = warnings.join(", ");
    assert_eq!(
        message,
        format!(r#"Service in version "v1" cannot be handled as a Service: strict decoding error: {faults}"#)
    );
    assert!(decoded("{}").strictly().is_ok());
}

#[test]
fn yaml_is_read_and_its_duplicates_told() {
    let read = |body: &str| object(body.as_bytes(), "application/yaml; charset=utf-8", &service());
    let found = read("metadata: {name: s}\nspec:\n  type: A\n  type: B\n").expect("decodes");
    assert_eq!(found.document["spec"]["type"], "B");
    assert_eq!(found.faults, [r#"line 4: key "type" already set in map"#]);
    let message = found.strictly().expect_err("strict").to_string();
    assert!(
        message.ends_with("strict decoding error: yaml: unmarshal errors:\n  line 4: key \"type\" already set in map")
    );
    let message = read("a: {").expect_err("no YAML").to_string();
    assert!(
        message.starts_with("the object provided is unrecognized (must be of type Service): yaml: line 1: "),
        "{message}"
    );
    assert!(message.ends_with("(613a207b)"), "{message}");
}

#[test]
fn yaml_scalars_are_those_of_yaml_1_1() {
    let text = "a: yes\nb: \"yes\"\nc: 010\nd: 0x10\ne: 1e3\nf: ~\ng: 2024-01-01\n1: one\ntrue: t\n---\nsecond: 1\n";
    let wanted = json!({"a": true, "b": "yes", "c": 8, "d": 16, "e": 1000.0, "f": null, "g": "2024-01-01", "1": "one", "true": "t"});
    assert_eq!(yaml::parse(text.as_bytes()).expect("reads").value, wanted);
    let anchors = "a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\n";
    assert_eq!(
        yaml::parse(anchors.as_bytes()).expect("reads").value,
        json!({"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}})
    );
    assert_eq!(yaml::parse(b"").expect("reads").value, Value::Null);
}

#[test]
fn a_small_yaml_does_not_become_a_large_document() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for n in 1..12 {
        let before = format!("*a{}", n - 1);
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", [before.as_str(); 10].join(",")));
    }
    assert!(yaml::parse(bomb.as_bytes()).is_err());
    assert!(yaml::parse("[".repeat(100_000).as_bytes()).is_err());
    assert!(yaml::parse("- ".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn media_types() {
    for known in ["", "application/json", "application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(MediaType::of(known), Ok(MediaType::Json));
    }
    assert_eq!(MediaType::of("application/yaml"), Ok(MediaType::Yaml));
    let error = object(b"x", "text/plain", &service()).expect_err("not read").to_string();
    assert_eq!(
        error,
        "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
}

#[test]
fn syntax_errors_are_go_s() {
    let cases = [
        ("{]", "invalid character ']' looking for beginning of object key string"),
        ("[}", "invalid character '}' looking for beginning of value"),
        ("{\"a\"", "unexpected end of JSON input"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("\"abc", "unexpected end of JSON input"),
        ("\"a\\x\"", "invalid character 'x' in string escape code"),
        ("\"a\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
        ("\"\u{1}\"", "invalid character '\\x01' in string literal"),
        ("tru", "invalid character ' ' in literal true (expecting 'e')"),
        ("nulL", "invalid character 'L' in literal null (expecting 'l')"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("01", "invalid character '1' after top-level value"),
        ("1.", "invalid character ' ' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("'a'", "invalid character '\\'' looking for beginning of value"),
        ("é", "invalid character 'Ã' looking for beginning of value"),
        ("", "unexpected end of JSON input"),
    ];
    for (text, message) in cases {
        assert_eq!(syntax(text), message, "{text}");
    }
    let nested = format!("{}{}", "[".repeat(MANY), "]".repeat(MANY));
    assert_eq!(syntax(&nested), "exceeded max depth");
    assert!(json::parse(format!("{}{}", "[".repeat(json::MAX_DEPTH), "]".repeat(json::MAX_DEPTH)).as_bytes()).is_ok());
}

const MANY: usize = 100_000;

#[test]
fn strings_and_numbers_have_their_values() {
    let text = br#"["\ud83d\ude00 \ud83d x \u00e9 \/ \b\f\n\r\t\"\\", 1, -1, 18446744073709551615, 1.5, 1e2, -0, 1e400, true, false, null]"#;
    let read = json::parse(text).expect("reads").value;
    let wanted =
        json!(["😀 \u{fffd} x é / \u{8}\u{c}\n\r\t\"\\", 1, -1, u64::MAX, 1.5, 100.0, 0, f64::MAX, true, false, null]);
    assert_eq!(read, wanted);
    assert_eq!(json::parse(b"\"a\xffb\"").expect("reads").value, "a\u{fffd}b");
}

#[test]
fn compressed_bodies_are_bounded() {
    let compressed = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("compresses");
        Bytes::from(encoder.finish().expect("compresses"))
    };
    assert_eq!(inflate(compressed(b"{}"), "gzip"), Ok(Bytes::from_static(b"{}")));
    assert_eq!(inflate(Bytes::from_static(b"{}"), ""), Ok(Bytes::from_static(b"{}")));
    assert_eq!(inflate(compressed(&vec![b' '; LIMIT]), "gzip").map(|b| b.len()), Ok(LIMIT));
    let too_large = inflate(compressed(&vec![b' '; LIMIT + 1]), "gzip");
    assert_eq!(too_large, Err(BodyError::TooLarge(LIMIT)));
    assert_eq!(BodyError::TooLarge(LIMIT).to_string(), "Request entity too large: limit is 3145728");
    assert!(matches!(inflate(Bytes::from_static(b"x"), "gzip"), Err(BodyError::Malformed(_))));
    assert!(matches!(inflate(Bytes::from_static(b"x"), "br"), Err(BodyError::Encoding(e)) if e == "br"));
    assert_eq!(inflate(vec![b' '; LIMIT + 1].into(), ""), Err(BodyError::TooLarge(LIMIT)));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Equality, but for the last digits of numbers that serde_json reads less exactly.
    fn alike(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => {
                let (a, b) = (a.as_f64().expect("a number"), b.as_f64().expect("a number"));
                (a - b).abs() <= a.abs() * 1e-12
            }
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
            }
            _ => a == b,
        }
    }

    proptest! {
        #[test]
        fn json_agrees_with_serde_json(text in r#"[\[\]{}:,"a1 .e+\\u0-]{0,30}|\{"a":[0-9.e-]{0,6},"b":"[^"\\\x00-\x1f]{0,8}"\}"#) {
            let theirs = serde_json::from_str::<Value>(&text);
            let ours = json::parse(text.as_bytes());
            match (&ours, &theirs) {
                (Ok(ours), Ok(theirs)) => prop_assert!(alike(&ours.value, theirs), "{} {}", ours.value, theirs),
                // serde_json refuses lone surrogates and numbers that no f64 holds.
                (Ok(_), Err(_)) => prop_assert!(text.contains("\\u") || text.contains('e')),
                (Err(error), Ok(_)) => prop_assert!(false, "{}", error),
                (Err(_), Err(_)) => {}
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = object(&bytes, "application/json", &service());
            let _ = object(&bytes, "application/yaml", &service());
        }

        #[test]
        fn any_yaml_like_text_is_answered(text in r"[a-c:\-\n \[\]{}&*<|>'#!?%@,0-9.]{0,80}") {
            let _ = object(text.as_bytes(), "application/yaml", &service());
        }
    }
}

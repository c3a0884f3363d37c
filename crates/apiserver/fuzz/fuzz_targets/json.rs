//! Whatever bytes come: they are read or refused, and what serde_json reads is read alike. Read as a Service, as JSON and
//! as YAML, and written in protobuf if they are one.
//!
//! `cargo +nightly fuzz run json` in `crates/apiserver`. The same, bounded, runs in `src/body/tests.rs`.
#![no_main]

use std::sync::LazyLock;

use apiserver::body::{self, Expected};
use apiserver::protobuf;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static SERVICE: LazyLock<Expected> = LazyLock::new(|| {
    let kind = kinds::registry::by_plural("", "v1", "services").expect("Services are served");
    Expected::kind(kind).expect("they have a schema")
});

/// Equality, but for the last digits of numbers that serde_json reads less exactly.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            (a - b).abs() <= a.abs() * 1e-12
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(theirs) = serde_json::from_slice::<Value>(bytes) {
        let ours = body::json::parse(bytes).expect("serde_json reads it");
        assert!(alike(&ours.value, &theirs), "{} is not {theirs}", ours.value);
    }
    for media_type in ["application/json", "application/yaml"] {
        let Ok(decoded) = body::object(bytes, media_type, &SERVICE) else { continue };
        // Times and quantities may be what no message holds; nothing else is.
        _ = protobuf::write_named(decoded.document.to_string().as_bytes());
    }
});

//! Whatever patch comes: it is applied or refused. A merge patch that is applied twice does what it does once (RFC 7386).
//!
//! `cargo +nightly fuzz run patch` in `crates/apiserver`; the first byte says which type of patch it is. The same,
//! bounded, runs in `src/patch/tests.rs`.
#![no_main]

use std::sync::LazyLock;

use apiserver::patch::{Patch, PatchType};
use kinds::schema::{self, Type};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static SERVICE: LazyLock<&'static Type> =
    LazyLock::new(|| schema::get("io.k8s.api.core.v1.Service").expect("Services are served"));

static CURRENT: LazyLock<Value> = LazyLock::new(|| {
    let ports = json!([{ "name": "a", "port": 80, "protocol": "TCP" }, { "name": "b", "port": 81, "protocol": "UDP" }]);
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "s", "finalizers": ["f", "g"], "labels": { "a": "b" } },
        "spec": { "ports": ports, "selector": { "a": "b" }, "type": "ClusterIP" },
    })
});

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let patch_type = match which % 3 {
        0 => PatchType::Json,
        1 => PatchType::Merge,
        _ => PatchType::Strategic,
    };
    let Ok(Some(patch)) = Patch::read(bytes, patch_type) else { return };
    let Ok(once) = patch.apply(&CURRENT, *SERVICE) else { return };
    if patch_type == PatchType::Merge {
        assert_eq!(patch.apply(&once, *SERVICE).as_ref(), Ok(&once));
    }
    _ = patch.undecodable(&once, *SERVICE, "it cannot be decoded");
});

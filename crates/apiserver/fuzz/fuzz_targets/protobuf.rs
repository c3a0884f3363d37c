//! Whatever bytes come: they are a body or none. What is written of one is read again, and written the same.
//!
//! `cargo +nightly fuzz run protobuf` in `crates/apiserver`. The same, bounded, runs in `src/protobuf/tests.rs`.
#![no_main]

use std::sync::LazyLock;

use apiserver::protobuf;
use kinds::schema::{self, Type};
use libfuzzer_sys::fuzz_target;

static POD: LazyLock<&'static Type> =
    LazyLock::new(|| schema::get("io.k8s.api.core.v1.Pod").expect("Pods are served"));

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = protobuf::read(bytes, *POD) else { return };
    // Without a name it is no object that could be written.
    let Ok(written) = protobuf::write_named(document.to_string().as_bytes()) else { return };
    let again = protobuf::read(&written, *POD).expect("what was written is read");
    let twice = protobuf::write_named(again.to_string().as_bytes()).expect("what was read is written");
    assert_eq!(twice, written);
});

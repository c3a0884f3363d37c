//! Whatever text comes: it is a selector or none, and what is printed of one is read as the same.
//!
//! `cargo +nightly fuzz run selector` in `crates/apiserver`. The same, bounded, runs in `src/selector/tests.rs`.
#![no_main]

use apiserver::selector::{FieldSelector, LabelSelector};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(selector) = LabelSelector::parse(text) {
        assert_eq!(LabelSelector::parse(&selector.to_string()).as_ref(), Ok(&selector));
        if let Some((name, value)) = selector.exact() {
            assert!(!selector.matches(|_| None), "{name}={value} is asked for");
        }
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
    }
});

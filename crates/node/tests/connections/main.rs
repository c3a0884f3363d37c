//! Connections with real packets: node ports on loopback, and endpoints that leave without a word. Everything happens in
//! network namespaces that each test makes for itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod bed;
mod departed;
mod loopback;

//! The tour: what the system must do, step by step, with stock `kubectl` and `curl` and real packets.
//!
//! One module a heading, one test a step, each on a cluster of its own of three nodes, in namespaces that the test
//! makes. "The host" is the namespace in which `portolan up` was run.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what it could not do")]

mod cluster;
mod echo;
mod load;

mod hands_on;
mod names;
mod ports;
mod refused;
mod service_and_pods;
mod types;
mod without_selector;

//! Pods on a node, whole: every test makes its own network and mount namespace, and runs containers in it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod bed;
mod exec;
mod isolation;
mod lifecycle;
mod logs;
mod network;
mod probes;
mod restart;
mod running;
mod volumes;

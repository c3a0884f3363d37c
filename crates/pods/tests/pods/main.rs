//! Pods on a node, whole: every test makes its own network and mount namespace, and runs containers in it.

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

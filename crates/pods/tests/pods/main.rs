//! Pods on a node, whole: every test makes its own network and mount namespace, and runs containers in it.

mod bed;
mod running;

//! Running Pods on a node: sandbox, images, containers, probes, exec and logs.

pub mod config;

// Files, mounts and processes of the machine.
mod durable;
mod layout;
mod mounts;
mod process;
mod quantity;

// The container's parent, `portolan init`, and what it is told and tells.
pub mod bundle;
pub mod init;

// What a Pod stands on.
mod etc;
pub mod images;
mod network;
mod sandbox;

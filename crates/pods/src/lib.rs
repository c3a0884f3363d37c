//! Running Pods on a node: sandbox, images, containers, probes, exec and logs.

pub mod config;

// Files, mounts and processes of the machine.
mod durable;
mod layout;
mod mounts;
mod process;
mod quantity;
mod spec;

// The line between a process and one that it starts.
mod channel;
mod descriptor;

// The container's parent, `portolan init`, and what it is told and tells.
pub mod bundle;
pub mod init;

// What a Pod stands on.
mod etc;
pub mod images;
mod network;
mod sandbox;

// What a container is given.
mod cgroups;
mod container;
mod environment;
pub mod sources;
mod volumes;

// One Pod, and whether its containers are well.
mod logs;
mod pod;
mod probes;

// The node's Pods together.
mod host;
mod remains;
pub mod runtime;
pub mod server;
pub mod updates;

pub use config::Config;
pub use host::StartError;
pub use remains::{CleanupError, cleanup};
pub use runtime::PodRuntime;

// The program of the built-in image.
pub mod echo;

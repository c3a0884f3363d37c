//! Whether a container is well: it is asked over HTTP, TCP or gRPC from the node's namespace, or by a program inside it.

pub mod check;
mod connect;
mod grpc;
mod http;
mod outcome;
pub mod schedule;

pub use check::{Check, Target};
pub use outcome::Outcome;

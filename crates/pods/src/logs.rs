//! A container's output as `kubectl logs` asks for it, from files in CRI's format.

mod line;
mod read;

pub use read::{Options, Read, Streaming, tail};

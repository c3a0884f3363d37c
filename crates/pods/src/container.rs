//! One start of one container: from specification and image to a [`crate::bundle::Bundle`], and to a process.

pub mod attempts;
pub mod build;
pub mod capabilities;
pub mod exec;
pub mod identity;
pub mod image;
pub mod specification;
pub mod start;
pub mod stop;
pub mod terminal;

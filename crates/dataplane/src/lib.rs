//! From Services to the rules of a node's kernel.
//!
//! In reading order, which is the order in which a change travels:
//! 1. [`model`]: what the node must know, changed in place.
//! 2. [`route`]: which endpoints serve which traffic; every policy is decided here, and nowhere else.

pub mod model;

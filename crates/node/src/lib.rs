//! The node agent: watch caches in; data plane, DNS, load balancer and Pods out.
//!
//! It speaks nothing but the Kubernetes API, so that it is the same in `portolan up`, on a machine of its own, and in a
//! cluster that exists. Losing the server changes nothing in the kernel; when the server is back, a list tells what
//! went meanwhile ([`follow`]).
//!
//! In reading order: [`config`], [`views`] (what is decoded of each object), [`follow`] (changes of a kind),
//! [`register`] and [`lease`] (the node's own object and its sign of life), [`routes`] (to other nodes' Pods).

pub mod config;
pub mod follow;
pub mod lease;
pub mod register;
pub mod routes;
pub mod views;

pub use config::Config;

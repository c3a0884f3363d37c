//! The controllers: each a pure plan and a thin runner.
//!
//! A controller makes the world what an object asks for: Pods for a ReplicaSet, slices for a Service. Each has a folder
//! with `plan.rs`, which turns a snapshot into [`change::Change`]s without any IO, and `mod.rs`, which decides when to
//! plan and applies the plan. What they share, in reading order:
//!
//! - [`objects`]: what is kept of each object; [`selector`]: which labels are selected.
//! - [`cache`]: all objects of a kind, fed by [`reflect`], one watch a kind for all controllers.
//! - [`queue`]: keys that wait for work.
//! - [`change`]: what a plan wants done; [`mod@write`] does it, [`events`] tells of it.
//! - [`claim`]: which objects an owner controls; [`revisions`]: which templates it has had; [`services`]: what a Service says of its endpoints, and
//!   [`trigger_time`] since when a change of them waits.
//! - [`run()`] runs them all.
//! - [`config`], [`caches`] and [`context`]: what all controllers are given.

pub mod cache;
pub mod caches;
pub mod change;
pub mod claim;
pub mod config;
pub mod context;
pub mod events;
pub mod objects;
pub mod queue;
pub mod reflect;
pub mod revisions;
pub mod selector;
pub mod services;
pub mod trigger_time;
pub mod write;

pub mod daemonset;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod endpointslice;
pub mod endpointslicemirroring;
pub mod garbagecollector;
pub mod loadbalancer;
pub mod namespace;
pub mod nodeipam;
pub mod nodelifecycle;
pub mod podgc;
pub mod programmed;
pub mod replicaset;
pub mod rootca;
pub mod scheduler;
pub mod serviceaccount;
pub mod servicecidr;
pub mod statefulset;

mod run;

pub use config::Config;
pub use run::{run, run_beside};

#[cfg(test)]
mod world;

//! One Pod: what it has come to, what to do next, what to say of it, and the worker that does it.
//!
//! ```text
//!  wanted Pod, what happened ──> state ──> plan(pod, state, now) ──> actions ──> what happened …
//!                                  └────> status(pod, state, now) ──> PodStatus, when it changed
//! ```
//! [`plan`] and [`status`] are pure; [`worker`] is the only one that acts.

pub mod backoff;
pub mod plan;
pub mod state;
pub mod status;

// The worker, what it starts, and what comes back.
mod asking;
mod begin;
mod finish;
mod happened;
mod news;
pub mod recover;
mod sysctls;
pub mod view;
pub mod work;
pub mod worker;

//! What each plugin's words mean.

pub(super) mod cache;
pub(super) mod forward;
pub(super) mod hosts;
pub(super) mod kubernetes;
pub(super) mod log;
pub(super) mod observing;
pub(super) mod rewrite;
pub(super) mod serving;

//! What lies below an object and is not written as the object is: the number of replicas, binding and evicting Pods, tokens
//! of service accounts, and what a Pod's node answers.

pub(crate) mod binding;
pub(crate) mod eviction;
pub(crate) mod node;
pub(crate) mod scale;
pub(crate) mod token;

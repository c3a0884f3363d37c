//! Label selectors and field selectors: parsed with Kubernetes' rules and texts (`k8s.io/apimachinery/pkg/labels`,
//! `.../fields`), matched, and printed in canonical form.
//!
//! Both fail with a text that is the whole message of a 400.

mod fields;
mod labels;
#[cfg(test)]
mod tests;

pub use fields::{FieldSelector, FieldSelectorError};
pub use labels::{LabelSelector, LabelSelectorError};

//! What is missing.

/// Why a container has no environment.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum EnvironmentError {
    /// A ConfigMap or Secret that has to be there.
    #[error("{kind} {name:?} not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A key that has to be there.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    MissingKey {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The Pod's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// A field that cannot be referred to.
    #[error("unsupported field {0:?}")]
    UnknownField(String),
    /// A source that is not known here.
    #[error("the value of {0} comes from a source that is not supported")]
    UnknownSource(String),
    /// Bytes that are not a text.
    #[error("the value of {0} is not UTF-8")]
    NotText(String),
}

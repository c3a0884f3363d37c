//! What is wrong with a body.

/// Why a body is no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// It does not begin as it must.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    /// A message ends too early, or nests too deep.
    #[error("unexpected EOF")]
    Truncated,
    /// A field has another wire type than its own.
    #[error("proto: wrong wireType for field {0}")]
    WireType(String),
    /// A text is not UTF-8.
    #[error("proto: field {0} contains invalid UTF-8")]
    Text(String),
    /// The kind is not known.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    Kind {
        /// As the body says it.
        kind: String,
        /// As the body says it.
        api_version: String,
    },
}

/// Why an object cannot be written; all are faults of ours, since what is kept was checked.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It is not as its type says.
    #[error("an object is not as its type says")]
    Json(#[from] serde_json::Error),
    /// Nothing is known of its kind.
    #[error("there is no protobuf of {kind:?} in version {api_version:?}")]
    Kind {
        /// As it says it.
        kind: String,
        /// As it says it.
        api_version: String,
    },
}

//! What a specification may not ask for.

use super::capabilities::UnknownCapability;

/// A specification that asks for what cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecificationError {
    /// What is not known here.
    #[error("{0} is not supported by this node")]
    Unsupported(&'static str),
    /// A mount of a volume that the Pod does not have.
    #[error("volumeMount {0:?} names no volume of the Pod")]
    NoSuchVolume(String),
    /// A subPath that leads out of its volume.
    #[error("subPath {0:?} is not a path within the volume")]
    BadSubPath(String),
    /// A user or group that is none.
    #[error("{field} {id} is no id")]
    BadId {
        /// Where it is.
        field: &'static str,
        /// What it is.
        id: i64,
    },
    /// `runAsNonRoot` and `runAsUser: 0`.
    #[error("container's runAsUser breaks non-root policy")]
    AskedForRoot,
    /// `runAsNonRoot` and an image of root's.
    #[error("container has runAsNonRoot and image will run as root")]
    ImageIsRoot,
    /// `runAsNonRoot` and an image whose user has a name.
    #[error("container has runAsNonRoot and image has non-numeric user ({0}), cannot verify user is non-root")]
    ImageUserHasName(String),
    /// A signal that is none.
    #[error("there is no signal {0:?}")]
    UnknownSignal(String),
    /// A capability that is none.
    #[error(transparent)]
    Capability(#[from] UnknownCapability),
}

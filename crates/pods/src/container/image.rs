//! The image of a container: found, or why it is waited for.

use k8s_openapi::api::core::v1::Container;

use crate::images::{Image, Store};

/// Why a container waits for its image, as its status says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `ErrImageNeverPull`, `ErrImagePull` or `InvalidImageName`.
    pub reason: &'static str,
    /// What to do about it.
    pub message: String,
}

/// Looks a container's image up.
///
/// # Errors
/// It is not on the node, has no proper name, or the store cannot be read.
pub fn find(store: &Store, container: &Container) -> Result<Image, Missing> {
    let name = container.image.as_deref().unwrap_or_default();
    match store.resolve(name) {
        Ok(Some(image)) => Ok(image),
        Ok(None) if container.image_pull_policy.as_deref() == Some("Never") => Err(Missing {
            reason: "ErrImageNeverPull",
            message: format!(
                "Container image {name:?} is not present with pull policy of Never; \
                 load it with `portolan image load FILE.tar`"
            ),
        }),
        Ok(None) => Err(Missing {
            reason: "ErrImagePull",
            message: format!(
                "image {name:?} is not on this node, which pulls none; load it with `portolan image load FILE.tar`"
            ),
        }),
        Err(crate::images::store::StoreError::Name(error)) => {
            Err(Missing { reason: "InvalidImageName", message: error.to_string() })
        }
        Err(error) => Err(Missing { reason: "ErrImagePull", message: error.to_string() }),
    }
}

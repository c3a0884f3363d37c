//! Who runs a container: its own security context before the Pod's, and both before the image's user. Pure.

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SecurityContext};

use super::capabilities;
use super::specification::SpecificationError;
use crate::bundle::User;

/// What a container may do, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Who it is.
    pub user: User,
    /// A bit for each capability.
    pub capabilities: u64,
    /// Whether exec gives no more.
    pub no_new_privileges: bool,
    /// Whether it may do all that the node may.
    pub privileged: bool,
    /// Whether it writes to volumes alone.
    pub read_only_root: bool,
}

/// The rights of a container of this Pod with an image of this user.
///
/// # Errors
/// Rights that contradict each other, or are not known here.
pub fn rights(pod: &Pod, container: &Container, image_user: &str) -> Result<Rights, SpecificationError> {
    let (no_pod, none) = (PodSecurityContext::default(), SecurityContext::default());
    let of_pod = pod.spec.as_ref().and_then(|s| s.security_context.as_ref()).unwrap_or(&no_pod);
    let own = container.security_context.as_ref().unwrap_or(&none);
    let privileged = own.privileged.unwrap_or(false);
    let capabilities = if privileged { capabilities::ALL } else { capabilities::resolve(own.capabilities.as_ref())? };
    let uid = id(own.run_as_user.or(of_pod.run_as_user), "runAsUser")?;
    let gid = id(own.run_as_group.or(of_pod.run_as_group), "runAsGroup")?;
    let mut groups = Vec::new();
    for group in of_pod.supplemental_groups.iter().flatten().chain(&of_pod.fs_group) {
        groups.extend(id(Some(*group), "supplementalGroups")?);
    }
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) {
        not_root(uid, image_user)?;
    }
    let image_groups = of_pod.supplemental_groups_policy.as_deref() != Some("Strict");
    let full = privileged || capabilities & capabilities::SYS_ADMIN != 0;
    Ok(Rights {
        user: User { image: image_user.to_owned(), uid, gid, groups, image_groups },
        capabilities,
        no_new_privileges: !own.allow_privilege_escalation.unwrap_or(full),
        privileged,
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
    })
}

fn id(id: Option<i64>, field: &'static str) -> Result<Option<u32>, SpecificationError> {
    let Some(id) = id else { return Ok(None) };
    // One more is no id: (uid_t) -1 means "as it is" (setresuid(2)).
    let fits = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    fits.map(Some).ok_or(SpecificationError::BadId { field, id })
}

fn not_root(uid: Option<u32>, image_user: &str) -> Result<(), SpecificationError> {
    let of_image = image_user.split(':').next().unwrap_or_default();
    let number = if of_image.is_empty() { Ok(0) } else { of_image.parse::<u32>() };
    match (uid, number) {
        (Some(0), _) => Err(SpecificationError::AskedForRoot),
        (Some(_), _) => Ok(()),
        (None, Ok(0)) => Err(SpecificationError::ImageIsRoot),
        (None, Ok(_)) => Ok(()),
        (None, Err(_)) => Err(SpecificationError::ImageUserHasName(of_image.to_owned())),
    }
}

#[cfg(test)]
mod tests;

//! Descriptors that are waited for without blocking.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Has the current runtime watch a descriptor.
///
/// # Errors
/// It is of a kind that cannot be waited for.
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by what watches it, and nothing replaces or closes it meanwhile.
    unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)
}

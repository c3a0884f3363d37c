//! The image that needs no load: `portolan/echo`, whose root is this program and the libraries that it is linked to.

use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::config::ImageConfig;
use super::reference::Reference;

/// The built-in image's name.
pub const ECHO: &str = "docker.io/portolan/echo";

/// The name that the program has in the image.
pub const PROGRAM: &str = "/portolan";

/// Whether this names the built-in image, of whatever tag.
#[must_use]
pub fn is_echo(reference: &Reference) -> bool {
    reference.repository == ECHO && reference.digest.is_none()
}

/// How the image is run: `/portolan echo`.
#[must_use]
pub fn config() -> ImageConfig {
    ImageConfig { entrypoint: Some(vec![PROGRAM.into(), "echo".into()]), ..ImageConfig::default() }
}

/// The files of the image besides the program, each to be shown at its own path: the dynamic loader and the libraries
/// of this process, which runs the same program. None when it is linked statically.
#[must_use]
pub fn libraries() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    // SAFETY: `collect` has the signature that dl_iterate_phdr(3) asks for, and `found` lives through the call.
    unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut found).cast::<c_void>()) };
    found.retain(|path| path.is_absolute() && path.is_file());
    found.sort();
    found.dedup();
    found
}

/// Takes the name of one loaded object, and of the loader when the object names one.
unsafe extern "C" fn collect(info: *mut libc::dl_phdr_info, _size: libc::size_t, into: *mut c_void) -> libc::c_int {
    // SAFETY: the C library gives a valid object for the length of this call, and `into` is the vector of `libraries`.
    let (info, into) = unsafe { (&*info, &mut *into.cast::<Vec<PathBuf>>()) };
    if !info.dlpi_name.is_null() {
        // SAFETY: the name is a string of the C library's.
        into.push(path(unsafe { CStr::from_ptr(info.dlpi_name) }));
    }
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the object has `dlpi_phnum` headers there.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    for header in headers.iter().filter(|h| h.p_type == libc::PT_INTERP) {
        let at = info.dlpi_addr.wrapping_add(header.p_vaddr);
        // SAFETY: the segment is mapped with the object, and its content is a path with its final NUL (elf(5)).
        into.push(path(unsafe { CStr::from_ptr(at as *const libc::c_char) }));
    }
    0
}

fn path(name: &CStr) -> PathBuf {
    Path::new(OsStr::from_bytes(name.to_bytes())).to_owned()
}

#[cfg(test)]
mod tests;

//! The faults of paths in volumes and directories.

use crate::field::{Error, Path};

/// The fault of a path that leaves its directory.
pub(super) fn no_steps_back(path: &Path, target: &str) -> Vec<Error> {
    if target.split('/').any(|part| part == "..") {
        return vec![Error::invalid(path, target, "must not contain '..'")];
    }
    Vec::new()
}

/// The faults of a path that must stay inside of a directory.
pub(super) fn descending(path: &Path, target: &str) -> Vec<Error> {
    let mut faults = Vec::new();
    if target.starts_with('/') {
        faults.push(Error::invalid(path, target, "must be a relative path"));
    }
    faults.extend(no_steps_back(path, target));
    faults
}

/// As [`descending`]; in a volume, names with two dots in front are those of its writer.
pub(super) fn inside(path: &Path, target: &str) -> Vec<Error> {
    let mut faults = descending(path, target);
    if target.starts_with("..") && !target.starts_with("../") {
        faults.push(Error::invalid(path, target, "must not start with '..'"));
    }
    faults
}

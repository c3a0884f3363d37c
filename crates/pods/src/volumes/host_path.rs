//! hostPath: a file or directory of the node, checked and made as its type says.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::cause::Cause;

/// The path, once it is what it has to be.
pub fn check(source: &HostPathVolumeSource) -> Result<PathBuf, Cause> {
    let path = PathBuf::from(&source.path);
    let plain = path.is_absolute() && path.components().all(|c| !matches!(c, Component::ParentDir));
    if !plain {
        return Err(Cause::BadPath(source.path.clone()));
    }
    let at = |source| Cause::Io { path: path.clone(), source };
    let wrong = |what: &str| Cause::HostPath(format!("{} is not a {what}", path.display()));
    let kind = match fs::metadata(&path) {
        Ok(meta) => Some(meta.file_type()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(at(e)),
    };
    let is = |what: fn(&fs::FileType) -> bool| kind.as_ref().is_some_and(what);
    match source.type_.as_deref().unwrap_or_default() {
        "" if kind.is_some() => Ok(()),
        // What is not there becomes a directory, as container runtimes have it.
        "" | "DirectoryOrCreate" if kind.is_none() => make_directory(&path).map_err(at),
        "DirectoryOrCreate" | "Directory" => is(fs::FileType::is_dir).then_some(()).ok_or_else(|| wrong("directory")),
        "FileOrCreate" if kind.is_none() => make_file(&path).map_err(at),
        "FileOrCreate" | "File" => is(fs::FileType::is_file).then_some(()).ok_or_else(|| wrong("file")),
        "Socket" => is(FileTypeExt::is_socket).then_some(()).ok_or_else(|| wrong("socket file")),
        "CharDevice" => is(FileTypeExt::is_char_device).then_some(()).ok_or_else(|| wrong("character device")),
        "BlockDevice" => is(FileTypeExt::is_block_device).then_some(()).ok_or_else(|| wrong("block device")),
        other => Err(Cause::HostPath(format!("the type {other:?} is not known"))),
    }?;
    Ok(path)
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn make_file(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path).map(drop)
}

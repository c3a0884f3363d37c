//! Small files that are whole or not there: written aside, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Whether a write has to survive the loss of power, or only the death of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Other processes see the whole file; after a crash of the machine it may be the old one.
    Process,
    /// On disk when the call returns.
    Disk,
}

/// Puts `bytes` at `path` with permission bits `mode`, in one step for every reader.
///
/// # Errors
/// Whatever creating, writing, syncing or renaming reports; the old file is then as it was.
pub fn write(path: &Path, bytes: &[u8], mode: u32, lasting: Lasting) -> io::Result<()> {
    let directory = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(format!(".{}", std::process::id()));
    let aside = directory.join(aside);
    let written = write_aside(&aside, bytes, mode, lasting).and_then(|()| fs::rename(&aside, path));
    if let Err(error) = written {
        return match fs::remove_file(&aside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Err(error),
        };
    }
    if lasting == Lasting::Disk { File::open(directory)?.sync_all() } else { Ok(()) }
}

fn write_aside(aside: &Path, bytes: &[u8], mode: u32, lasting: Lasting) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(aside)?;
    file.write_all(bytes)?;
    if lasting == Lasting::Disk { file.sync_all() } else { Ok(()) }
}

/// [`write`](write()) of a value as JSON.
///
/// # Errors
/// As [`write`](write()); a value that JSON cannot hold is [`io::ErrorKind::InvalidData`].
pub fn write_json<T: Serialize>(path: &Path, value: &T, mode: u32, lasting: Lasting) -> io::Result<()> {
    write(path, &serde_json::to_vec(value)?, mode, lasting)
}

/// The value that [`write_json`] put there, or `None` where no file is.
///
/// # Errors
/// Reading; a file that is not such a value is [`io::ErrorKind::InvalidData`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;

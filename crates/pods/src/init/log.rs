//! The container's log file, in the format of Kubernetes' container runtime interface, with a bound on its growth:
//!
//! ```text
//! 2026-01-02T03:04:05.000000006Z stdout F a whole line
//! 2026-01-02T03:04:05.000000007Z stderr P the beginning of a line that is not at its end
//! ```
//! A file that is full becomes `PATH.1`, that one `PATH.2`, and the oldest goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use jiff::Timestamp;

use crate::bundle::LogFile;

/// The writer.
pub struct Log {
    bounds: LogFile,
    file: File,
    size: u64,
    line: Vec<u8>,
}

impl Log {
    /// Opens the file to append.
    pub fn open(bounds: LogFile) -> io::Result<Self> {
        let file = append(&bounds)?;
        let size = file.metadata()?.len();
        Ok(Self { bounds, file, size, line: Vec::new() })
    }

    /// Writes one line or a part of one, without its newline.
    pub fn write(&mut self, now: Timestamp, stream: &str, whole: bool, content: &[u8]) -> io::Result<()> {
        if self.size >= self.bounds.max_bytes {
            self.rotate()?;
        }
        self.line.clear();
        let tag = if whole { 'F' } else { 'P' };
        write!(self.line, "{now:.9} {stream} {tag} ")?;
        self.line.extend_from_slice(content);
        self.line.push(b'\n');
        self.file.write_all(&self.line)?;
        self.size += self.line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let older = |n: u32| -> PathBuf {
            if n == 0 {
                return self.bounds.path.clone();
            }
            let mut name = self.bounds.path.clone().into_os_string();
            name.push(format!(".{n}"));
            name.into()
        };
        for n in (1..self.bounds.max_files.max(1)).rev() {
            absent_is_fine(fs::rename(older(n - 1), older(n)))?;
        }
        if self.bounds.max_files <= 1 {
            absent_is_fine(fs::remove_file(older(0)))?;
        }
        self.file = append(&self.bounds)?;
        self.size = self.file.metadata()?.len();
        Ok(())
    }
}

fn append(bounds: &LogFile) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().append(true).create(true).mode(0o640).open(&bounds.path)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;

//! The file: a line an event, written by a thread of its own.
//!
//! Who has something to write waits when the disk is too slow: nothing happens that is not written. A file that grows
//! beyond [`LARGEST`] is put aside as `FILE.1`, older ones become `FILE.2` and so on, of which [`KEPT`] are kept.

use std::fs::{File, OpenOptions, rename};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

/// How many lines wait to be written.
const WAITING: usize = 1024;
/// How large a file may become, in bytes.
const LARGEST: u64 = 100 << 20;
/// How many files are kept beside the newest.
const KEPT: usize = 5;

/// The log.
pub(crate) struct Log(mpsc::Sender<String>);

impl Log {
    /// Opens the file and starts its thread, which ends with the log.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut out = Out::open(path.to_owned())?;
        let (send, mut receive) = mpsc::channel::<String>(WAITING);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
            while let Some(line) = receive.blocking_recv() {
                let mut written = out.write(&line);
                while let Ok(line) = receive.try_recv() {
                    written = written.and_then(|()| out.write(&line));
                }
                // In the file before it is waited for more.
                if let Err(error) = written.and_then(|()| out.file.flush()) {
                    tracing::error!(%error, path = %out.path.display(), "the audit log cannot be written");
                }
            }
        })?;
        Ok(Self(send))
    }

    /// Writes a line, as soon as there is room.
    pub async fn write(&self, line: String) {
        if self.0.send(line).await.is_err() {
            tracing::error!("the audit log's thread is gone");
        }
    }

    /// Writes a line where nobody can wait.
    pub fn write_now(&self, line: String) {
        if self.0.try_send(line).is_err() {
            tracing::error!("the audit log is behind: the end of a request is not in it");
        }
    }
}

struct Out {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl Out {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, file: BufWriter::new(file), length })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.length > LARGEST {
            self.put_aside()?;
        }
        self.length += line.len() as u64 + 1;
        self.file.write_all(line.as_bytes())?;
        self.file.write_all(b"\n")
    }

    fn put_aside(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let old = |number: usize| self.path.with_added_extension(number.to_string());
        for number in (1..KEPT).rev().filter(|number| old(*number).exists()) {
            rename(old(number), old(number + 1))?;
        }
        rename(&self.path, old(1))?;
        *self = Self::open(self.path.clone())?;
        Ok(())
    }
}

#[cfg(test)]
pub(super) fn put_aside(path: &Path, line: &str) -> io::Result<()> {
    let mut out = Out::open(path.to_owned())?;
    out.put_aside()?;
    out.write(line)?;
    out.file.flush()
}

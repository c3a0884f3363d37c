//! The agent's configuration file, kube-proxy's own: read, and followed. A mounted ConfigMap is changed by another link
//! being put in its place, so that the path is looked at, not the file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use node::proxy::file;
use node::proxy::options::Options;

use crate::refusal::Refusal;

/// The largest configuration file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// How often it is looked at: a question to the kernel, and nothing else while it stays as it is.
const EVERY: Duration = Duration::from_secs(2);

/// A file as it was read last.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
    seen: Option<Mark>,
    options: Options,
}

/// What differs when a file may say something else: when it was written, and its size in bytes.
type Mark = (SystemTime, u64);

impl ConfigFile {
    /// Reads it, and says what of it means nothing here.
    ///
    /// # Errors
    /// When it cannot be read, or has something that it cannot have.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        let refused = |why: &dyn std::fmt::Display| Refusal::new(format!("--config {}: {why}", path.display()));
        let seen = mark(path);
        let text = text(path).map_err(|e| refused(&format!("{e}; give a file that can be read")))?;
        let options = understood(&text).map_err(|e| refused(&e))?;
        Ok(Self { path: path.to_owned(), text, seen, options })
    }

    /// What it says.
    pub fn options(&self) -> Options {
        self.options.clone()
    }

    /// Waits until it says something else, which is taken over. A file that is gone or that cannot be used changes
    /// nothing; that is said once. May be dropped at any time.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            let seen = mark(&self.path);
            if seen == self.seen {
                continue;
            }
            self.seen = seen;
            if self.is_other() {
                return;
            }
        }
    }

    /// Reads it again; whether it says something else that can be used.
    fn is_other(&mut self) -> bool {
        let path = self.path.display();
        let text = match text(&self.path) {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!(%error, %path, "the configuration file cannot be read; what it said before stays");
                return false;
            }
        };
        if text == self.text {
            return false;
        }
        let understood = understood(&text);
        self.text = text;
        match understood {
            Ok(options) if options == self.options => false,
            Ok(options) => {
                self.options = options;
                true
            }
            Err(error) => {
                tracing::error!(%error, %path, "the configuration file cannot be used; what it said before stays");
                false
            }
        }
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn understood(text: &str) -> Result<Options, file::FileError> {
    let read = file::read(text)?;
    for field in &read.unknown {
        tracing::warn!(field, "--config: a field that nobody knows is left out");
    }
    for field in &read.ignored {
        tracing::debug!(field, "--config: a field means nothing here");
    }
    if let Some(mode) = &read.mode {
        tracing::info!(mode, "--config: rules are nftables' here, whatever the mode");
    }
    Ok(read.options)
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} MB", LARGEST >> 20)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;

//! What a Corefile may refer to: files and variables of the environment.

use std::io::{self, Read};
use std::path::PathBuf;

/// The largest text.
pub(super) const TEXT_MAX: usize = 1 << 20;

/// What a Corefile may refer to.
pub trait Surroundings {
    /// A file's text.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, path: &str) -> io::Result<String>;

    /// The files that a pattern stands for, in order: a path whose last part may have one `*`.
    fn matching(&self, pattern: &str) -> Vec<String>;

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
}

/// This machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Surroundings for Machine {
    fn read(&self, path: &str) -> io::Result<String> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(TEXT_MAX as u64 + 1).read_to_string(&mut text)?;
        Ok(text)
    }

    fn matching(&self, pattern: &str) -> Vec<String> {
        let pattern = PathBuf::from(pattern);
        let part = pattern.file_name().and_then(|part| part.to_str()).unwrap_or_default();
        let Some((start, end)) = part.split_once('*') else {
            return Vec::new();
        };
        let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty());
        let entries = std::fs::read_dir(folder.unwrap_or_else(|| ".".as_ref()));
        let fits = |name: &str| name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end);
        let mut found: Vec<String> = entries
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_str().is_some_and(fits))
            .filter_map(|entry| entry.path().to_str().map(str::to_owned))
            .collect();
        found.sort();
        found
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

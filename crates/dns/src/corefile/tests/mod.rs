mod anything;
mod mistakes;
mod reading;

use std::collections::BTreeMap;
use std::io;

use super::*;

/// Files and variables of a test.
#[derive(Default)]
pub(super) struct Made {
    files: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
}

impl Made {
    pub(super) fn new() -> Self {
        Self::default()
            .file("/etc/resolv.conf", "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch corp.example example.\n")
    }

    pub(super) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Surroundings for Made {
    fn read(&self, path: &str) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn matching(&self, pattern: &str) -> Vec<String> {
        let (start, end) = pattern.split_once('*').unwrap();
        self.files.keys().filter(|path| path.starts_with(start) && path.ends_with(end)).cloned().collect()
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

pub(super) fn read(text: &str) -> Corefile {
    parse_with(text, &Made::new()).unwrap_or_else(|mistake| panic!("{mistake}\n{text}"))
}

//! Reading a log: from some line on, up to some size, and on while it grows.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::line::Line;

/// Between two looks at a file that may grow.
const LOOK: Duration = Duration::from_millis(100);
/// As much is handed over at once, in bytes.
const CHUNK: usize = 32 * 1024;
/// A line of the file longer than this, in bytes, is cut: `portolan init` writes none.
const LINE: u64 = 64 * 1024;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Just so many of the last lines.
    pub tail: Option<u64>,
    /// Nothing older.
    pub since: Option<Timestamp>,
    /// The time in front of each line.
    pub timestamps: bool,
    /// No more bytes.
    pub limit: Option<u64>,
    /// What will be written too.
    pub follow: bool,
}

/// A log that is read.
pub struct Read {
    path: PathBuf,
    options: Options,
    left: u64,
    /// Whether the container's line, of which the file has a part, goes on.
    within: bool,
}

/// Where what was read goes, and whether more may come.
pub struct Streaming<F> {
    /// Takes the bytes.
    pub to: mpsc::Sender<Vec<u8>>,
    /// Whether the container has ended, so that nothing more is written.
    pub ended: F,
}

impl Read {
    /// Of the log at `path`, with what was put aside of it.
    #[must_use]
    pub fn new(path: &Path, options: Options) -> Self {
        let left = options.limit.unwrap_or(u64::MAX);
        Self { path: path.to_owned(), options, left, within: false }
    }

    /// Sends what there is and, if asked, what comes, until the container has ended, the limit is reached or nobody
    /// listens any more. Blocks: for a thread that may wait.
    ///
    /// # Errors
    /// Reading. A log that is not there is empty.
    pub fn stream(mut self, streaming: Streaming<impl Fn() -> bool>) -> io::Result<()> {
        let Streaming { to, ended } = streaming;
        let mut out = Vec::with_capacity(CHUNK);
        let (older, mut skip) = self.older()?;
        for path in older {
            let Some(file) = open(&path)? else { continue };
            let mut reader = BufReader::new(file);
            self.drain(&mut reader, &mut skip, &mut out, &to)?;
        }
        let mut current: Option<BufReader<File>> = None;
        while self.left > 0 && !to.is_closed() {
            // Asked before the file is read: what is written until then is read too.
            let over = !self.options.follow || ended();
            if current.is_none() {
                current = open(&self.path)?.map(BufReader::new);
            }
            if let Some(reader) = &mut current {
                self.drain(reader, &mut skip, &mut out, &to)?;
                send(&to, &mut out);
                if was_put_aside(reader.get_ref(), &self.path)? {
                    // Whatever was written to it before it was put aside has been read, or is read now.
                    self.drain(reader, &mut skip, &mut out, &to)?;
                    current = None;
                    continue;
                }
            }
            if over {
                break;
            }
            std::thread::sleep(LOOK);
        }
        send(&to, &mut out);
        Ok(())
    }

    /// Files that were put aside, the oldest first, and how many lines of all to pass over.
    fn older(&self) -> io::Result<(Vec<PathBuf>, u64)> {
        let mut older = Vec::new();
        for n in 1.. {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{n}"));
            let path = PathBuf::from(name);
            if !path.exists() {
                break;
            }
            older.push(path);
        }
        older.reverse();
        let Some(tail) = self.options.tail else { return Ok((older, 0)) };
        let mut lines = 0;
        for path in older.iter().chain([&self.path]) {
            let Some(file) = open(path)? else { continue };
            let mut reader = BufReader::new(file);
            each_line(&mut reader, |line| {
                lines += u64::from(line.whole);
                true
            })?;
        }
        Ok((older, lines.saturating_sub(tail)))
    }

    /// Reads to the end of a file.
    fn drain(
        &mut self,
        reader: &mut BufReader<File>,
        skip: &mut u64,
        out: &mut Vec<u8>,
        to: &mpsc::Sender<Vec<u8>>,
    ) -> io::Result<()> {
        each_line(reader, |line| {
            if *skip > 0 {
                *skip -= u64::from(line.whole);
                return true;
            }
            let old = |since: Timestamp| line.timestamp().is_some_and(|time| time < since);
            if !self.options.since.is_some_and(old) {
                self.take(&line, out);
            }
            if out.len() >= CHUNK {
                send(to, out);
            }
            self.left > 0 && !to.is_closed()
        })
    }

    fn take(&mut self, line: &Line<'_>, out: &mut Vec<u8>) {
        let before = out.len();
        if self.options.timestamps && !self.within {
            out.extend_from_slice(line.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.content);
        if line.whole {
            out.push(b'\n');
        }
        self.within = !line.whole;
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        out.truncate(before.saturating_add(room));
        self.left = self.left.saturating_sub((out.len() - before) as u64);
    }
}

/// Hands over what was read. Blocks while the taker is slow.
fn send(to: &mpsc::Sender<Vec<u8>>, out: &mut Vec<u8>) {
    if !out.is_empty() {
        let full = std::mem::replace(out, Vec::with_capacity(CHUNK));
        // Nobody listens any more: the loop sees that by itself.
        let _closed = to.blocking_send(full);
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn was_put_aside(file: &File, path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(now) => Ok(now.ino() != file.metadata()?.ino()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Calls for each line that is at its end, while it answers true. One whose end is not written yet is read again later.
fn each_line(reader: &mut BufReader<File>, mut each: impl FnMut(Line<'_>) -> bool) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = reader.by_ref().take(LINE).read_until(b'\n', &mut bytes)?;
        if bytes.last() != Some(&b'\n') && (read as u64) < LINE {
            let back = i64::try_from(read).map_err(io::Error::other)?;
            reader.seek_relative(-back)?;
            return Ok(());
        }
        let content = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        if Line::parse(content).is_some_and(|line| !each(line)) {
            return Ok(());
        }
    }
}

/// The last lines of a log, so many bytes and lines at most, for a message.
///
/// # Errors
/// Reading.
pub fn tail(path: &Path, lines: usize, bytes: usize) -> io::Result<String> {
    let Some(mut file) = open(path)? else { return Ok(String::new()) };
    let length = file.metadata()?.len();
    // Times and tags take room too.
    let begin = length.saturating_sub((bytes as u64).saturating_mul(4).saturating_add(LINE));
    file.seek(SeekFrom::Start(begin))?;
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    each_line(&mut BufReader::new(file), |line| {
        last.push_back(line.content.to_vec());
        if last.len() > lines {
            last.pop_front();
        }
        true
    })?;
    let text = last.into_iter().collect::<Vec<_>>().join(&b'\n');
    let cut = text.get(text.len().saturating_sub(bytes)..).unwrap_or_default();
    Ok(String::from_utf8_lossy(cut).into_owned())
}

#[cfg(test)]
mod tests;

//! A bounded queue and the thread that writes.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;

use crate::name::Name;

use super::entry::{Classes, Entry};

/// How long what waits may take to be written when the log ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where lines go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    #[default]
    Stdout,
    /// The end of a file, which is made where there is none.
    File(PathBuf),
}

/// What is written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where lines go.
    pub sink: Sink,
    /// One of so many questions is written; 1 for all.
    pub one_in: u32,
    /// The most lines that wait to be written; above, they are counted and left out.
    pub queue: usize,
    /// The zones whose names are written; empty for all.
    pub zones: Vec<Name>,
    /// Which answers are written.
    pub classes: Classes,
    /// Who writes, such as the node's name.
    pub identity: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sink: Sink::Stdout,
            one_in: 1,
            queue: 4096,
            zones: Vec::new(),
            classes: Classes::ALL,
            identity: String::new(),
        }
    }
}

/// A log cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum QueryLogError {
    /// The file cannot be written to.
    #[error("cannot write the query log to {path}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes the query log")]
    Thread(#[source] io::Error),
}

/// What became of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryLogCounts {
    /// Lines that were written.
    pub written: u64,
    /// Lines that were left out because too many waited.
    pub dropped: u64,
    /// Lines that could not be written.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Tally {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// A log of questions. Shared as `Arc<QueryLog>`; when the last one is dropped, what waits is written.
#[derive(Debug)]
pub struct QueryLog {
    settings: Settings,
    turn: AtomicU32,
    tally: Arc<Tally>,
    queue: Option<SyncSender<Entry>>,
    /// Is closed when the thread that writes has ended.
    ended: Mutex<Receiver<()>>,
}

impl QueryLog {
    /// Opens the log and starts the thread that writes it.
    ///
    /// # Errors
    /// A file that cannot be written to.
    pub fn start(settings: Settings) -> Result<Self, QueryLogError> {
        let sink: Box<dyn Write + Send> = match &settings.sink {
            Sink::Stdout => Box::new(io::stdout()),
            Sink::File(path) => {
                let opened = OpenOptions::new().create(true).append(true).open(path);
                Box::new(opened.map_err(|source| QueryLogError::Open { path: path.clone(), source })?)
            }
        };
        Self::to(settings, sink)
    }

    /// A log that goes somewhere else than its settings say.
    pub(super) fn to(settings: Settings, sink: Box<dyn Write + Send>) -> Result<Self, QueryLogError> {
        let (queue, waiting) = sync_channel(settings.queue.max(1));
        let tally = Arc::new(Tally::default());
        let (identity, one_in, counted) = (settings.identity.clone(), settings.one_in.max(1), Arc::clone(&tally));
        let (ending, ended) = sync_channel(1);
        let write = move || {
            write(&waiting, BufWriter::new(sink), &identity, one_in, &counted);
            drop(ending);
        };
        let thread = std::thread::Builder::new().name("dns-query-log".to_owned()).spawn(write);
        thread.map_err(QueryLogError::Thread)?;
        Ok(Self { settings, turn: AtomicU32::new(0), tally, queue: Some(queue), ended: Mutex::new(ended) })
    }

    /// Whether the next question is to be written, as sampling goes: to be asked before anything is made for it.
    pub fn wants_next(&self) -> bool {
        let one_in = self.settings.one_in.max(1);
        one_in == 1 || self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in)
    }

    /// Queues an entry, if it is of the zones and classes that are written. Never waits.
    pub fn put(&self, entry: Entry) {
        if !entry.is_within(&self.settings.zones) || !entry.is_of(self.settings.classes) {
            return;
        }
        let Some(queue) = &self.queue else {
            return;
        };
        match queue.try_send(entry) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.tally.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(_)) => {
                self.tally.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What became of lines so far.
    #[must_use]
    pub fn counts(&self) -> QueryLogCounts {
        QueryLogCounts {
            written: self.tally.written.load(Ordering::Relaxed),
            dropped: self.tally.dropped.load(Ordering::Relaxed),
            failed: self.tally.failed.load(Ordering::Relaxed),
        }
    }
}

impl Drop for QueryLog {
    fn drop(&mut self) {
        // The thread ends when nothing waits any more and nothing can come.
        self.queue = None;
        if self.ended.get_mut().recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // Whoever reads it has stopped to: the service does not stop with him.
            tracing::error!("the rest of the query log was not written in time");
        }
    }
}

/// Writes until the queue is closed. What was written is flushed whenever nothing waits.
fn write(
    waiting: &Receiver<Entry>,
    mut sink: BufWriter<Box<dyn Write + Send>>,
    identity: &str,
    one_in: u32,
    tally: &Tally,
) {
    let mut is_failing = false;
    while let Ok(first) = waiting.recv() {
        let (mut lines, mut next) = (0, Some(first));
        let mut outcome = Ok(());
        while let Some(entry) = next {
            lines += 1;
            outcome = outcome.and_then(|()| writeln!(sink, "{}", entry.line(identity, one_in)));
            next = waiting.try_recv().ok();
        }
        outcome = outcome.and_then(|()| sink.flush());
        match outcome {
            Ok(()) => {
                tally.written.fetch_add(lines, Ordering::Relaxed);
                is_failing = false;
            }
            Err(error) => {
                tally.failed.fetch_add(lines, Ordering::Relaxed);
                // Said once, not for each line.
                if !is_failing {
                    tracing::error!(%error, "the query log cannot be written");
                }
                is_failing = true;
            }
        }
    }
}

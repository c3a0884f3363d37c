//! Batches of events after a revision, in order, without gaps.

use std::collections::VecDeque;
use std::sync::Arc;

use redb::{Database, ReadableDatabase};
use tokio::sync::watch;

use crate::disk::{self, Numbers};
use crate::event::EventBatch;
use crate::recent::{Lookup, Recent};
use crate::transaction::ReadError;

/// How many batches are read from the disk at a time.
const READ_AHEAD: usize = 64;

/// Why a watch ends.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The log no longer has what the watcher asks for.
    #[error("revision {asked} has been compacted, the oldest that can be asked for is {oldest}")]
    Compacted {
        /// The revision of the batch that was wanted.
        asked: u64,
        /// The revision of the oldest batch that there is.
        oldest: u64,
    },
    /// The store is closed, and all its batches have been told.
    #[error("the store is closed")]
    Closed,
    /// The disk failed.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A reader of the log. It holds nothing up: who falls behind reads from the disk, and past the retained
/// revisions gets [`WatchError::Compacted`].
pub struct Watcher {
    pub(crate) database: Arc<Database>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) revision: watch::Receiver<u64>,
    pub(crate) next: u64,
    pub(crate) read: VecDeque<Arc<EventBatch>>,
}

impl Watcher {
    /// The next batch, waiting for it. Cancel safe.
    pub async fn next(&mut self) -> Result<Arc<EventBatch>, WatchError> {
        loop {
            if let Some(batch) = self.read.pop_front() {
                self.next = batch.revision + 1;
                return Ok(batch);
            }
            match self.recent.get(self.next) {
                Lookup::Here(batch) => {
                    self.next = batch.revision + 1;
                    return Ok(batch);
                }
                Lookup::OnDisk => self.read = self.read_ahead().await?,
                Lookup::NotYet => {
                    let next = self.next;
                    if self.revision.wait_for(|r| *r >= next).await.is_err() {
                        return Err(WatchError::Closed);
                    }
                }
            }
        }
    }

    async fn read_ahead(&self) -> Result<VecDeque<Arc<EventBatch>>, WatchError> {
        let (database, from) = (self.database.clone(), self.next);
        match tokio::task::spawn_blocking(move || read(&database, from)).await {
            Ok(read) => read,
            Err(_) => Err(WatchError::Closed),
        }
    }
}

fn read(database: &Database, from: u64) -> Result<VecDeque<Arc<EventBatch>>, WatchError> {
    let transaction = database.begin_read().map_err(ReadError::from)?;
    let numbers = transaction.open_table(disk::NUMBERS).map_err(ReadError::from)?;
    let numbers = Numbers::read(&numbers).map_err(ReadError::from)?.unwrap_or_else(Numbers::new);
    if from <= numbers.compacted {
        return Err(WatchError::Compacted { asked: from, oldest: numbers.compacted + 1 });
    }
    let log = transaction.open_table(disk::LOG).map_err(ReadError::from)?;
    let mut batches = VecDeque::new();
    for entry in log.range(from..).map_err(ReadError::from)?.take(READ_AHEAD) {
        let (revision, batch) = entry.map_err(ReadError::from)?;
        batches.push_back(Arc::new(disk::decode_batch(revision.value(), batch.value())?));
    }
    Ok(batches)
}

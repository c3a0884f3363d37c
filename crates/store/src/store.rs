//! The store itself.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use redb::{Builder, Database, ReadableDatabase, ReadableTable};
use tokio::sync::{mpsc, oneshot, watch};

use crate::committer::{Committer, Request, Retention};
use crate::disk::{self, FORMAT, Numbers};
use crate::event::Record;
use crate::recent::Recent;
use crate::transaction::{Commit, CommitError, OpenError, ReadError, Transaction};
use crate::watcher::Watcher;

/// How a store behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many revisions can be watched from at most.
    pub retain_revisions: u64,
    /// For how long a revision can be watched from. Looked at when something is written.
    pub retain_for: Duration,
    /// How many transactions may wait; who comes after them waits to be queued.
    pub queue: usize,
    /// How many bytes of recent events are held in memory, about.
    pub recent_bytes: usize,
    /// The size of redb's page cache in bytes.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retain_revisions: 10_000,
            retain_for: Duration::from_secs(300),
            queue: 1024,
            recent_bytes: 512 << 10,
            cache_bytes: 4 << 20,
        }
    }
}

/// An open store. Clones share it; the file is free again when the last clone and the last watcher are gone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    database: Arc<Database>,
    recent: Arc<Recent>,
    revision: watch::Receiver<u64>,
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in the file `path`, and makes it when it is not there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, Options::default())
    }

    /// [`Store::open`] with options.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let (database, numbers) = open_database(path, options.cache_bytes)
            .map_err(|source| OpenError::Storage { path: path.to_owned(), source: Box::new(source) })?;
        if numbers.format != FORMAT {
            return Err(OpenError::Format { path: path.to_owned(), found: numbers.format, expected: FORMAT });
        }
        let database = Arc::new(database);
        let recent = Arc::new(Recent::new(numbers.revision, options.recent_bytes));
        let (tell, revision) = watch::channel(numbers.revision);
        let (queue, asked) = mpsc::channel(options.queue.max(1));
        let committer = Committer {
            database: database.clone(),
            numbers,
            retention: Retention { revisions: options.retain_revisions, age: options.retain_for },
            recent: recent.clone(),
            revision: tell,
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || committer.run(asked))
            .map_err(OpenError::Thread)?;
        let (queue, thread) = (Mutex::new(Some(queue)), Mutex::new(Some(thread)));
        Ok(Self { shared: Arc::new(Shared { database, recent, revision, queue, thread }) })
    }

    /// Makes the changes of `transaction`, all or none. The answer `Ok` means that they are on disk. When the
    /// future is dropped before it answers, they may or may not happen.
    pub async fn commit(&self, transaction: Transaction) -> Result<Commit, CommitError> {
        let queue = self.shared.queue.lock().clone().ok_or(CommitError::Closed)?;
        let (answer, answered) = oneshot::channel();
        queue.send(Request { transaction, answer }).await.map_err(|_| CommitError::Closed)?;
        drop(queue);
        answered.await.map_err(|_| CommitError::Closed)?
    }

    /// The revision of the newest transaction that is on disk.
    pub fn revision(&self) -> u64 {
        *self.shared.revision.borrow()
    }

    /// Gives every live record to `each`, in the order of keys, and answers with the revision at which they are so.
    /// Blocks on the disk.
    pub fn load(&self, mut each: impl FnMut(Record)) -> Result<u64, ReadError> {
        let transaction = self.shared.database.begin_read()?;
        let numbers = Numbers::read(&transaction.open_table(disk::NUMBERS)?)?.unwrap_or_else(Numbers::new);
        for entry in transaction.open_table(disk::LIVE)?.iter()? {
            let (key, value) = entry?;
            each(disk::decode_live(key.value(), value.value())?);
        }
        Ok(numbers.revision)
    }

    /// Reads one record. Blocks on the disk.
    pub fn get(&self, key: &str) -> Result<Option<Record>, ReadError> {
        let live = self.shared.database.begin_read()?.open_table(disk::LIVE)?;
        live.get(key)?.map(|value| disk::decode_live(key, value.value())).transpose()
    }

    /// The oldest revision after which [`Store::watch`] can tell everything. Blocks on the disk.
    pub fn compacted(&self) -> Result<u64, ReadError> {
        let transaction = self.shared.database.begin_read()?;
        let numbers = Numbers::read(&transaction.open_table(disk::NUMBERS)?)?.unwrap_or_else(Numbers::new);
        Ok(numbers.compacted)
    }

    /// Every batch of events after `revision`.
    pub fn watch(&self, revision: u64) -> Watcher {
        Watcher {
            database: self.shared.database.clone(),
            recent: self.shared.recent.clone(),
            revision: self.shared.revision.clone(),
            next: revision.saturating_add(1),
            read: VecDeque::new(),
        }
    }

    /// Takes no more transactions, writes those that are queued, and ends the watches after their last batch.
    pub async fn close(&self) {
        let shared = self.shared.clone();
        // A failed join is a panic of the closure, which has none.
        let _ = tokio::task::spawn_blocking(move || shared.stop()).await;
    }
}

impl Shared {
    fn stop(&self) {
        self.queue.lock().take();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's thread panicked");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open_database(path: &Path, cache_bytes: usize) -> Result<(Database, Numbers), redb::Error> {
    let database = Builder::new().set_cache_size(cache_bytes).create(path)?;
    let transaction = database.begin_write()?;
    let found = Numbers::read(&transaction.open_table(disk::NUMBERS)?)?;
    let numbers = found.unwrap_or_else(Numbers::new);
    if found.is_none() {
        transaction.open_table(disk::LIVE)?;
        transaction.open_table(disk::LOG)?;
        numbers.write(&transaction)?;
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok((database, numbers))
}

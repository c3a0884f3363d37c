//! The one thread that writes: it takes what is queued, checks, appends, syncs once, answers all.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redb::{Database, ReadableTable as _};
use tokio::sync::{mpsc, oneshot, watch};

use crate::disk::{self, Live, Numbers, Refusal};
use crate::event::EventBatch;
use crate::recent::Recent;
use crate::transaction::{Commit, CommitError, Transaction};

/// How many transactions share one sync at most: more would let the first wait too long.
const GROUP: usize = 256;
/// How many batches one sync takes off the log's old end at least, so that compaction always gains on growth.
const COMPACT_AT_LEAST: u64 = 16;

/// A transaction and where its answer goes.
pub(crate) struct Request {
    pub transaction: Transaction,
    pub answer: oneshot::Sender<Result<Commit, CommitError>>,
}

/// How much of the log is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub revisions: u64,
    pub age: Duration,
}

pub(crate) struct Committer {
    pub database: Arc<Database>,
    pub numbers: Numbers,
    pub retention: Retention,
    pub recent: Arc<Recent>,
    pub revision: watch::Sender<u64>,
}

/// What one group came to: an answer for each request, and the batches that are now on disk.
struct Written {
    answers: Vec<Result<Commit, CommitError>>,
    batches: Vec<EventBatch>,
    numbers: Numbers,
}

impl Committer {
    /// Works until every sender is gone and the queue is empty.
    pub fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut transactions = vec![first.transaction];
            let mut waiting = vec![first.answer];
            while transactions.len() < GROUP {
                let Ok(next) = queue.try_recv() else { break };
                transactions.push(next.transaction);
                waiting.push(next.answer);
            }
            let answers = match self.write(transactions) {
                Ok(written) => {
                    self.publish(written.batches, written.numbers);
                    written.answers
                }
                Err(error) => {
                    tracing::error!(%error, "the store cannot be written");
                    let error = Arc::new(error);
                    waiting.iter().map(|_| Err(CommitError::Storage(error.clone()))).collect()
                }
            };
            for (waiting, answer) in waiting.into_iter().zip(answers) {
                // Who asked may have gone; what was written stays written.
                let _ = waiting.send(answer);
            }
        }
    }

    fn publish(&mut self, batches: Vec<EventBatch>, numbers: Numbers) {
        self.numbers = numbers;
        for batch in batches {
            self.recent.push(Arc::new(batch));
        }
        self.revision.send_if_modified(|r| std::mem::replace(r, numbers.revision) != numbers.revision);
    }

    fn write(&self, transactions: Vec<Transaction>) -> Result<Written, redb::Error> {
        let on_disk = self.database.begin_write()?;
        let mut written = Written { answers: Vec::new(), batches: Vec::new(), numbers: self.numbers };
        {
            let mut live = Live::open(&on_disk)?;
            for transaction in transactions {
                let revision = written.numbers.revision + 1;
                written.answers.push(match live.apply(transaction, revision) {
                    Ok(events) if events.is_empty() => Ok(Commit { revision: written.numbers.revision }),
                    Ok(events) => {
                        written.numbers.revision = revision;
                        written.batches.push(EventBatch { revision, events });
                        Ok(Commit { revision })
                    }
                    Err(Refusal::Refused(error)) => Err(error),
                    Err(Refusal::Failed(error)) => return Err(error),
                });
            }
        }
        if written.batches.is_empty() {
            on_disk.abort()?;
            return Ok(written);
        }
        self.append(&on_disk, &mut written)?;
        written.numbers.write(&on_disk)?;
        on_disk.commit()?;
        Ok(written)
    }

    /// Appends the batches to the log and takes old ones off its other end.
    fn append(&self, on_disk: &redb::WriteTransaction, written: &mut Written) -> Result<(), redb::Error> {
        let now = milliseconds_since_epoch();
        let mut log = on_disk.open_table(disk::LOG)?;
        for batch in &written.batches {
            log.insert(batch.revision, disk::encode_batch(batch, now).as_ref())?;
        }
        let oldest_time = now.saturating_sub(u64::try_from(self.retention.age.as_millis()).unwrap_or(u64::MAX));
        let numbers = &mut written.numbers;
        let mut left = COMPACT_AT_LEAST.max(2 * written.batches.len() as u64);
        while left > 0 && numbers.compacted < numbers.revision {
            let oldest = numbers.compacted + 1;
            let too_many = numbers.revision - numbers.compacted > self.retention.revisions;
            let too_old = match log.get(oldest)? {
                Some(batch) => disk::batch_time(batch.value()).is_none_or(|t| t < oldest_time),
                None => true,
            };
            if !(too_many || too_old) {
                break;
            }
            log.remove(oldest)?;
            numbers.compacted = oldest;
            left -= 1;
        }
        Ok(())
    }
}

fn milliseconds_since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

//! Keys that wait for work: each once, none worked on twice at a time, and those that failed after a while.
//!
//! As client-go's work queue: a key that is added while it is being worked on is handed out again afterwards, so that
//! under load many changes become one piece of work, and without load none waits.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long to wait after so many failures in a row: from 5 ms, doubling, at most 10 s.
pub fn backoff(failures: u32) -> Duration {
    const BASE: Duration = Duration::from_millis(5);
    const CAP: Duration = Duration::from_secs(10);
    BASE.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(CAP)
}

/// A queue of keys.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    /// In the order in which they are handed out.
    ready: VecDeque<T>,
    /// Those of `ready`, and those that were added while worked on.
    dirty: HashSet<T>,
    working: HashSet<T>,
    /// Those that wait for a time, and the time of each.
    later: BTreeMap<(Instant, u64), T>,
    due: HashMap<T, (Instant, u64)>,
    failures: HashMap<T, u32>,
    sequence: u64,
}

/// What becomes of a key after its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more until something changes.
    Done,
    /// The work is wanted again after this long, whatever changes.
    After(Duration),
    /// It did not work; it is tried again after a while that grows.
    Failed,
}

impl<T: Clone + Eq + Hash + Ord> Default for Queue<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                dirty: HashSet::new(),
                working: HashSet::new(),
                later: BTreeMap::new(),
                due: HashMap::new(),
                failures: HashMap::new(),
                sequence: 0,
            }),
            changed: Notify::new(),
        }
    }
}

impl<T: Clone + Eq + Hash + Ord> Queue<T> {
    /// Adds a key for now.
    pub fn add(&self, key: T) {
        self.state.lock().add(key);
        self.changed.notify_one();
    }

    /// Adds a key for later; the earliest time that was asked for holds.
    pub fn add_after(&self, key: T, after: Duration) {
        self.state.lock().add_at(key, Instant::now() + after);
        self.changed.notify_one();
    }

    /// The next key, when there is one. It must be given back with [`Queue::done`].
    pub async fn next(&self) -> T {
        loop {
            let wait_until = {
                let mut state = self.state.lock();
                state.ripen(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.dirty.remove(&key);
                    state.working.insert(key.clone());
                    if !state.ready.is_empty() {
                        self.changed.notify_one();
                    }
                    return key;
                }
                state.later.first_key_value().map(|((at, _), _)| *at)
            };
            match wait_until {
                Some(at) => {
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Gives a key back.
    pub fn done(&self, key: T, outcome: Outcome) {
        let mut state = self.state.lock();
        state.working.remove(&key);
        if state.dirty.contains(&key) {
            state.ready.push_back(key.clone());
        }
        match outcome {
            Outcome::Done => {
                state.failures.remove(&key);
            }
            Outcome::After(after) => {
                state.failures.remove(&key);
                state.add_at(key, Instant::now() + after);
            }
            Outcome::Failed => {
                let failures = state.failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                let after = backoff(*failures);
                state.add_at(key, Instant::now() + after);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// How often in a row the work on a key has failed.
    pub fn failures(&self, key: &T) -> u32 {
        self.state.lock().failures.get(key).copied().unwrap_or(0)
    }
}

impl<T: Clone + Eq + Hash + Ord> State<T> {
    fn add(&mut self, key: T) {
        if self.dirty.insert(key.clone()) && !self.working.contains(&key) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: T, at: Instant) {
        if self.due.get(&key).is_some_and(|(due, _)| *due <= at) {
            return;
        }
        if let Some(due) = self.due.remove(&key) {
            self.later.remove(&due);
        }
        self.sequence += 1;
        self.due.insert(key.clone(), (at, self.sequence));
        self.later.insert((at, self.sequence), key);
    }

    fn ripen(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            self.due.remove(&key);
            self.add(key);
        }
    }
}

/// Works a queue off: at most `workers` keys at a time, until stopped. What panics counts as failed.
pub async fn work<T, E, F, W>(
    controller: &'static str,
    queue: Arc<Queue<T>>,
    workers: usize,
    stop: tokio_util::sync::CancellationToken,
    sync: W,
) where
    T: Clone + Debug + Display + Eq + Hash + Ord + Send + 'static,
    E: Display + Send + 'static,
    F: Future<Output = Result<Outcome, E>> + Send + 'static,
    W: Fn(T) -> F,
{
    let mut tasks = tokio::task::JoinSet::new();
    let mut keys: HashMap<tokio::task::Id, T> = HashMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(ended) = tasks.join_next_with_id() => {
                let (id, outcome) = match ended {
                    Ok((id, outcome)) => (id, outcome),
                    Err(error) => {
                        tracing::error!(controller, %error, "a reconcile panicked");
                        (error.id(), Outcome::Failed)
                    }
                };
                if let Some(key) = keys.remove(&id) {
                    queue.done(key, outcome);
                }
            }
            key = queue.next(), if tasks.len() < workers => {
                let work = sync(key.clone());
                let (failures, name) = (queue.failures(&key), key.to_string());
                let handle = tasks.spawn(async move {
                    match work.await {
                        Ok(outcome) => outcome,
                        Err(error) => {
                            // The first few are conflicts with what others wrote meanwhile.
                            if failures < 3 {
                                tracing::debug!(controller, key = name, %error, "a reconcile failed and is tried again");
                            } else {
                                tracing::warn!(controller, key = name, %error, failures, "a reconcile failed and is tried again");
                            }
                            Outcome::Failed
                        }
                    }
                });
                keys.insert(handle.id(), key);
            }
        }
    }
}

#[cfg(test)]
mod tests;

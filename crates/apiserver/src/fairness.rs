//! Who is worked for next when more is asked than can be worked on at a time.
//!
//! So many requests are worked on at once, whoever asks. Who comes when all places are taken waits in a queue of their
//! user's; a place that becomes free goes to the user for whom least is being worked on, so that nobody who asks a great
//! deal keeps others from being heard. Queues are short and nobody waits long: beyond that the answer is `429`, with
//! when to come again. Kubernetes' API priority and fairness is the model, with one level for all; as there,
//! administrators are let in at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

#[cfg(test)]
mod tests;

/// How many requests of one user wait at most.
const USER_QUEUE: usize = 128;
/// How many requests wait at most.
const QUEUE: usize = 2048;
/// How long a request waits at most: a quarter of the time that it has.
const PATIENCE: Duration = Duration::from_secs(15);

/// Gives out places.
#[derive(Clone)]
pub(crate) struct Fairness {
    state: Arc<Mutex<State>>,
    patience: Duration,
}

struct State {
    free: usize,
    waiting: usize,
    users: HashMap<String, User>,
}

#[derive(Default)]
struct User {
    busy: usize,
    queue: VecDeque<oneshot::Sender<Place>>,
}

/// A place, which is free again when it is dropped.
pub(crate) struct Place {
    state: Arc<Mutex<State>>,
    user: String,
}

/// There is no place, and too many wait for one, or it took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests, please try again later.")]
pub(crate) struct Crowded;

impl Fairness {
    /// With so many places.
    pub fn new(places: usize) -> Self {
        let state = State { free: places, waiting: 0, users: HashMap::new() };
        Self { state: Arc::new(Mutex::new(state)), patience: PATIENCE }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// When there are too many who wait, or it takes too long.
    pub async fn enter(&self, user: &str) -> Result<Place, Crowded> {
        let coming = {
            let mut state = self.state.lock();
            if state.free > 0 {
                state.free -= 1;
                state.users.entry(user.to_owned()).or_default().busy += 1;
                return Ok(Place { state: self.state.clone(), user: user.to_owned() });
            }
            if state.waiting >= QUEUE {
                return Err(Crowded);
            }
            let queue = &mut state.users.entry(user.to_owned()).or_default().queue;
            if queue.len() >= USER_QUEUE {
                return Err(Crowded);
            }
            let (sender, coming) = oneshot::channel();
            queue.push_back(sender);
            state.waiting += 1;
            coming
        };
        // Who gives up is found in the queue by whoever has a place for them, and passed over.
        match tokio::time::timeout(self.patience, coming).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Crowded),
        }
    }

    #[cfg(test)]
    fn known(&self) -> usize {
        self.state.lock().users.len()
    }
}

impl State {
    /// The longest waiting request of the user for whom least is worked on.
    fn next(&mut self) -> Option<(String, oneshot::Sender<Place>)> {
        let waiting = self.users.iter_mut().filter(|(_, user)| !user.queue.is_empty());
        let (name, user) = waiting.min_by(|(a, x), (b, y)| (x.busy, *a).cmp(&(y.busy, *b)))?;
        let sender = user.queue.pop_front()?;
        self.waiting -= 1;
        Some((name.clone(), sender))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let user = std::mem::take(&mut self.user);
        // Handed on outside the lock: a place that nobody takes is dropped, and comes here again.
        let handed = {
            let mut state = self.state.lock();
            if let Some(left) = state.users.get_mut(&user) {
                left.busy = left.busy.saturating_sub(1);
                if left.busy == 0 && left.queue.is_empty() {
                    state.users.remove(&user);
                }
            }
            loop {
                match state.next() {
                    // They gave up.
                    Some((name, sender)) if sender.is_closed() => {
                        if state.users.get(&name).is_some_and(|user| user.busy == 0 && user.queue.is_empty()) {
                            state.users.remove(&name);
                        }
                    }
                    Some((name, sender)) => {
                        if let Some(user) = state.users.get_mut(&name) {
                            user.busy += 1;
                        }
                        break Some((Place { state: self.state.clone(), user: name }, sender));
                    }
                    None => {
                        state.free += 1;
                        break None;
                    }
                }
            }
        };
        if let Some((place, sender)) = handed {
            // An error gives the place back, and that frees it.
            drop(sender.send(place));
        }
    }
}

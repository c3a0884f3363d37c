//! What is done when the kernel refuses a transaction: the smallest part of it that is refused stays out, the rest goes
//! in. A part is a Service; one that stays out keeps what it had, or has nothing if it is new.
//!
//! 1. Perhaps the kernel does not hold what it is thought to hold: everything is compared, and tried once more.
//! 2. Without any of the Services that changed it must be accepted; if not, it is not theirs.
//! 3. They are let in by halves; a half that is refused is halved again.
//!
//! Each step is a dump and a transaction of what differs: at 10,000 Services some tens of milliseconds, and two steps
//! for each doubling of the number of Services that changed. So there is an end to it: what was not found out by then
//! stays out together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nft::Batch;

use crate::backend::{Backend, CommitError};
use crate::dataplane::{Dataplane, SyncError};
use crate::model::{NamespacedName, ServiceId};
use crate::plan::Leftovers;
use crate::route::ServiceRoutes;

/// The most transactions that are tried.
const MOST_STEPS: usize = 96;
/// How often everything is compared again because others changed the rules meanwhile.
const MOST_RACES: usize = 3;

/// A part that the kernel refuses. It is left as it was, and tried again when something of it changes, or after a while.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The Service; `None`: rules that nobody wants any more, from before a restart.
    pub service: Option<NamespacedName>,
    pub(super) id: Option<ServiceId>,
    /// What the kernel said.
    pub error: Arc<CommitError>,
    /// After how long it is tried again though nothing changes; for what nobody wants, at the next comparison.
    pub retry_after: Option<Duration>,
    /// Whether it was not refused just before, when it was tried for the last time.
    pub new: bool,
}

/// Something that was tried.
enum Tried {
    Done,
    Refused(CommitError),
}

/// The Services among which the culprit is, and what they had.
struct Suspects {
    had: HashMap<ServiceId, Vec<ServiceRoutes>>,
    leftovers: Leftovers,
    steps: usize,
    refusals: Vec<Refusal>,
    changes: usize,
}

impl<B: Backend> Dataplane<B> {
    /// After a refusal. `full`: everything had been compared already; `known`: the planners knew before what was held.
    /// Answers with how much was changed.
    pub(super) fn sort_out(
        &mut self,
        suspects: &[ServiceId],
        (full, known): (bool, bool),
        mut refused: CommitError,
        now: Instant,
    ) -> Result<(usize, Vec<Refusal>), SyncError> {
        if !is_refusal(&refused) {
            return Err(refused.into());
        }
        tracing::warn!(error = &refused as &dyn std::error::Error, "a transaction is refused: its parts are tried");
        let planners = &self.planners;
        let had = suspects.iter().map(|id| (*id, planners.iter().map(|planner| planner.accepted(*id)).collect()));
        let had: HashMap<_, _> = had.collect();
        let mut again = !full;
        for _ in 0..MOST_RACES {
            // What others do between a dump and a transaction is no fault of any Service.
            again |= self.listen_at(now);
            if !std::mem::take(&mut again) {
                break;
            }
            match self.try_all(Leftovers::Remove)? {
                (changes, Tried::Done) => return Ok((changes, Vec::new())),
                (_, Tried::Refused(error)) => refused = error,
            }
        }
        let leftovers = if known { Leftovers::Remove } else { Leftovers::Keep };
        let state = Suspects { had, leftovers, steps: 0, refusals: Vec::new(), changes: 0 };
        let found = self.find(suspects, state, refused, now);
        if found.is_err() {
            // Nobody stays out by mistake: the next sync compares everything.
            suspects.iter().filter(|id| !self.quarantine.holds(**id)).for_each(|id| {
                self.planners.iter_mut().for_each(|planner| planner.thaw(*id));
            });
        }
        found
    }

    fn find(
        &mut self,
        suspects: &[ServiceId],
        mut state: Suspects,
        refused: CommitError,
        now: Instant,
    ) -> Result<(usize, Vec<Refusal>), SyncError> {
        suspects.iter().for_each(|id| self.freeze(*id, &state));
        match self.try_all(state.leftovers)? {
            (changes, Tried::Done) => state.changes += changes,
            // Not the Services' fault.
            (_, Tried::Refused(error)) => return Err(error.into()),
        }
        let whole = (suspects, Arc::new(refused));
        let mut parts = if suspects.len() > 1 { Vec::from(halves(&whole)) } else { Vec::new() };
        if let [one] = suspects {
            self.stay_out(*one, Arc::clone(&whole.1), now, &mut state);
        }
        while let Some((part, error)) = parts.pop() {
            if state.steps >= MOST_STEPS {
                part.iter().for_each(|id| self.stay_out(*id, Arc::clone(&error), now, &mut state));
                continue;
            }
            state.steps += 1;
            part.iter().for_each(|id| self.thaw(*id));
            let refused = match self.try_all(state.leftovers)? {
                (changes, Tried::Done) => {
                    state.changes += changes;
                    continue;
                }
                (_, Tried::Refused(error)) => error,
            };
            part.iter().for_each(|id| self.freeze(*id, &state));
            match part {
                [one] => self.stay_out(*one, Arc::new(refused), now, &mut state),
                part => parts.extend(halves(&(part, Arc::new(refused)))),
            }
        }
        self.finish(state)
    }

    /// The last that was tried may have been refused, and what others left behind is still there.
    fn finish(&mut self, mut state: Suspects) -> Result<(usize, Vec<Refusal>), SyncError> {
        match self.try_all(Leftovers::Remove)? {
            (changes, Tried::Done) => state.changes += changes,
            (_, Tried::Refused(error)) if state.leftovers == Leftovers::Keep => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "rules from before the restart cannot be taken away"
                );
                let error = Arc::new(error);
                state.refusals.push(Refusal { service: None, id: None, error, retry_after: None, new: true });
                let (changes, tried) = self.try_all(Leftovers::Keep)?;
                if let Tried::Refused(error) = tried {
                    return Err(error.into());
                }
                state.changes += changes;
            }
            (_, Tried::Refused(error)) => return Err(error.into()),
        }
        Ok((state.changes, state.refusals))
    }

    /// Everything is compared, and what differs committed.
    fn try_all(&mut self, leftovers: Leftovers) -> Result<(usize, Tried), SyncError> {
        let mut batch = Batch::new();
        let mut changes = 0;
        for (family, planner) in self.planners.iter_mut().enumerate() {
            let held = self.backend.read(planner.compiler().table())?;
            let plan = planner.rebuild(&self.model, held, leftovers);
            batch.operations.extend(plan.batch.operations);
            changes += plan.changes;
            self.flows.extend(plan.flows.into_iter().map(|destination| (family, destination)));
        }
        match self.backend.commit(&batch) {
            Ok(()) => {
                self.planners.iter_mut().for_each(|planner| planner.accept());
                Ok((changes, Tried::Done))
            }
            Err(error) if is_refusal(&error) => Ok((changes, Tried::Refused(error))),
            Err(error) => Err(error.into()),
        }
    }

    fn freeze(&mut self, id: ServiceId, state: &Suspects) {
        let had = state.had.get(&id).into_iter().flatten();
        for (planner, had) in self.planners.iter_mut().zip(had) {
            planner.freeze(id, had.clone());
        }
    }

    pub(super) fn thaw(&mut self, id: ServiceId) {
        self.planners.iter_mut().for_each(|planner| planner.thaw(id));
    }

    fn stay_out(&mut self, id: ServiceId, error: Arc<CommitError>, now: Instant, state: &mut Suspects) {
        let service = self.model.entry(id).map(|entry| entry.name.clone());
        let (wait, new) = self.quarantine.put(id, now);
        if let Some(service) = service.as_ref().filter(|_| new) {
            let error: &dyn std::error::Error = &*error;
            tracing::error!(%service, error, ?wait, "the kernel refuses a Service: it keeps what it had, and is tried again");
        }
        state.refusals.push(Refusal { service, id: Some(id), error, retry_after: Some(wait), new });
    }
}

fn halves<'a>((part, error): &(&'a [ServiceId], Arc<CommitError>)) -> [(&'a [ServiceId], Arc<CommitError>); 2] {
    let (left, right) = part.split_at(part.len() / 2);
    [(right, Arc::clone(error)), (left, Arc::clone(error))]
}

/// Whether an error is about what the transaction says, rather than that the kernel was not reached.
fn is_refusal(error: &CommitError) -> bool {
    match error {
        CommitError::Memory(_) => true,
        CommitError::Kernel(error) => matches!(
            error,
            nft::CommitError::Refused(_) | nft::CommitError::Transaction(_) | nft::CommitError::Encode(_)
        ),
    }
}

#[cfg(test)]
mod tests;

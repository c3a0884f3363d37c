//! What a sync answers.

use std::time::Duration;

use crate::backend::{CommitError, Culprit, FlowsError, Other, ReadError};
use crate::dataplane::Refusal;
use crate::model::{NamespacedName, Problem};
use crate::route::Destination;

/// What a sync did.
#[derive(Debug, Default)]
pub struct SyncReport {
    /// Elements, chains and rules that were added or taken away.
    pub changes: usize,
    /// Services that were looked at.
    pub services: usize,
    /// Whether everything was compared with what the backend held, rather than only what changed.
    pub full: bool,
    /// UDP connections that were ended.
    pub flows_ended: usize,
    /// Why stale UDP connections were not ended; the next sync tries again.
    pub flows_error: Option<FlowsError>,
    /// Destinations that several Services claim, with those that do not get them.
    pub conflicts: Vec<(Destination, NamespacedName)>,
    /// What keeps Services from being served as they say, as far as it was not told by an earlier sync or is other than
    /// it was. All that holds now: [`Dataplane::problems`](crate::Dataplane::problems).
    pub problems: Vec<Problem>,
    /// Services that the kernel refused in this sync. All others are in step.
    pub refused: Vec<Refusal>,
    /// All Services of which the kernel does not have the newest version, because it refused it now or earlier.
    pub quarantined: Vec<NamespacedName>,
    /// What was done about changes that others made to the rules, if that was done.
    pub mended: Option<Mended>,
    /// Rules of other Service proxies, if it is not as it was at the last sync. The first sync tells those that it finds.
    pub others: Option<Vec<Other>>,
    /// How long it took.
    pub duration: Duration,
    /// What of it took how long.
    pub phases: Phases,
}

/// Where the time of a sync went. After a refusal, all that was tried to find its cause counts as `commit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Reading what the backend held; nothing where that was known.
    pub read: Duration,
    /// Routes, the elements that they become, and the difference.
    pub plan: Duration,
    /// The transaction: writing it down, and the kernel.
    pub commit: Duration,
    /// What is wrong with Services, stale connections, who stands beside.
    pub rest: Duration,
}

/// Why a sync changed nothing. The next one compares everything.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// It is not known what the backend holds.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The backend was not reached, or refuses what is no Service's part.
    #[error("the rules were refused")]
    Commit(#[from] CommitError),
}

/// That others had changed the rules, or may have, and everything was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Who; empty if that is not known.
    pub by: Vec<Culprit>,
    /// Whether notifications were lost: perhaps nobody had changed anything.
    pub lost: bool,
    /// Elements, chains and rules that were not as they are wanted. Those that changed at the same time count too.
    pub changes: usize,
    /// Whether others do it again and again: then it is mended after growing waits, of at most 30 seconds.
    pub conflict: bool,
}

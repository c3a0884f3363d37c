//! What every controller works with.

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::caches::Caches;
use crate::change::{Act, Change, Note};
use crate::config::Config;
use crate::events::Recorder;
use crate::write::{WriteError, Writer, Written};

/// What every controller works with.
pub struct Context {
    /// What is known.
    pub caches: Caches,
    /// How it is changed.
    pub writer: Writer,
    /// How users are told.
    pub recorder: Recorder,
    /// What was asked for.
    pub config: Config,
    /// When it is over.
    pub stop: CancellationToken,
}

/// How many changes of one plan are under way at a time.
const AT_ONCE: usize = 16;

impl Context {
    /// Makes one change and waits until the cache shows it. To delete what is not there is no error.
    pub async fn apply(&self, change: &Change) -> Result<Written, WriteError> {
        let written = match self.writer.apply(change).await {
            Err(WriteError::NotFound(_)) if matches!(change.act, Act::Delete(_)) => Written::default(),
            other => other?,
        };
        self.caches.seen(change, &written).await;
        Ok(written)
    }

    /// Makes all changes, deletions last, and waits until the caches show them. All are tried; the first error is told.
    pub async fn apply_all(&self, changes: &[Change]) -> Result<(), WriteError> {
        let (last, first): (Vec<&Change>, Vec<&Change>) =
            changes.iter().partition(|change| matches!(change.act, Act::Delete(_)));
        for phase in [first, last] {
            let writes: Vec<_> = phase.into_iter().map(|change| self.apply(change)).collect();
            let results: Vec<Result<Written, WriteError>> =
                futures::stream::iter(writes).buffered(AT_ONCE).collect().await;
            results.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        Ok(())
    }

    /// Tells what a component has to say.
    pub fn tell(&self, component: &'static str, notes: impl IntoIterator<Item = Note>) {
        for note in notes {
            self.recorder.note(component, note);
        }
    }
}

//! What is done about others who change the rules: it is noticed, everything is compared, and the difference is mended.
//! What is right stays, and with it connections, and what packets have filled in.

use std::time::Instant;

use crate::backend::{Backend, Interference, Other};
use crate::dataplane::{Dataplane, Mended};

impl<B: Backend> Dataplane<B> {
    /// Takes note of what others did; never waits. To be called when the file of [`Backend::changes`] is readable. True:
    /// a sync has something to do, at once or at the time that [`Dataplane::due`] says. Each sync listens too.
    pub fn listen(&mut self) -> bool {
        self.listen_at(Instant::now())
    }

    pub(super) fn listen_at(&mut self, now: Instant) -> bool {
        let news = self.backend.interference().unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "others may change the rules unnoticed");
            Interference { lost: true, ..Interference::default() }
        });
        let (concerns_us, beside) = (news.concerns_us(), news.beside);
        self.interference.extend(news);
        if concerns_us && self.patience.disturbed(now) {
            let by = self.culprits();
            tracing::error!(by, "another process changes our rules again and again: does a second agent run here?");
        }
        concerns_us || beside
    }

    /// When a sync has something to do although nothing that is wanted changed: rules that others changed are to be
    /// mended, or a Service that was refused is to be tried again. `None`: nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.patience.due().into_iter().chain(self.quarantine.due()).min()
    }

    /// Rules of other Service proxies that stood beside ours at the last sync.
    pub fn others(&self) -> &[Other] {
        self.others.as_deref().unwrap_or_default()
    }

    /// Everything was compared and is as it should be.
    pub(super) fn mended(&mut self, now: Instant, changes: usize) -> Option<Mended> {
        self.patience.mended(now);
        if !self.interference.concerns_us() {
            return None;
        }
        let by = self.culprits();
        let Interference { by: culprits, lost, beside } = std::mem::take(&mut self.interference);
        self.interference.beside = beside;
        let conflict = self.patience.is_conflict();
        match changes {
            _ if conflict => tracing::debug!(by, changes, "rules that others changed are mended once more"),
            0 => tracing::debug!(by, lost, "others may have changed the rules; they are as they should be"),
            _ => tracing::warn!(by, changes, "rules that another process changed are mended"),
        }
        Some(Mended { by: culprits, lost, changes, conflict })
    }

    fn culprits(&self) -> String {
        let names: Vec<String> = self.interference.by.iter().map(ToString::to_string).collect();
        names.join(", ")
    }

    /// Who stands beside, if that is news.
    pub(super) fn look_beside(&mut self) -> Option<Vec<Other>> {
        if self.others.is_some() && !std::mem::take(&mut self.interference.beside) {
            return None;
        }
        match self.backend.others() {
            Ok(found) if self.others().is_empty() && found.is_empty() => {
                self.others = Some(found);
                None
            }
            Ok(found) if self.others.as_ref() == Some(&found) => None,
            Ok(found) => {
                for other in &found {
                    tracing::warn!(%other, "another Service proxy works beside us: both serve the same Services");
                }
                self.others = Some(found.clone());
                Some(found)
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "it is not known who else serves Services here"
                );
                self.interference.beside = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;

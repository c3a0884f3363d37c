//! What keeps Services from being served as they say: each told once, until it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::backend::Backend;
use crate::dataplane::{Dataplane, Refusal};
use crate::model::{Fault, NamespacedName, Problem, Reason, ServiceId};
use crate::route::{Destination, faults};

/// All that is known to be wrong, by where it comes from.
#[derive(Debug, Default)]
pub(super) struct Problems {
    of_objects: HashMap<ServiceId, Vec<Fault>>,
    conflicts: Vec<(Destination, NamespacedName)>,
    refused: HashMap<ServiceId, (NamespacedName, Fault)>,
    all: BTreeSet<Problem>,
}

impl<B: Backend> Dataplane<B> {
    /// What keeps Services from being served as they say, as of the last sync; ordered by Service.
    pub fn problems(&self) -> &BTreeSet<Problem> {
        &self.problems.all
    }

    /// After a sync that looked at these Services: problems that are new, or other than they were.
    pub(super) fn news(
        &mut self,
        looked_at: &[ServiceId],
        conflicts: &[(Destination, NamespacedName)],
        refused: &[Refusal],
    ) -> Vec<Problem> {
        let mut changed = false;
        for id in looked_at {
            let found = self.model.entry(*id).map(faults).unwrap_or_default();
            changed |= match found.is_empty() {
                true => self.problems.of_objects.remove(id).is_some(),
                false => self.problems.of_objects.insert(*id, found.clone()).as_ref() != Some(&found),
            };
        }
        if self.problems.conflicts != conflicts {
            self.problems.conflicts = conflicts.to_vec();
            changed = true;
        }
        changed |= self.note_refused(refused);
        if !changed {
            return Vec::new();
        }
        let before = std::mem::take(&mut self.problems.all);
        self.problems.all = self.gather();
        let news: Vec<Problem> = self.problems.all.difference(&before).cloned().collect();
        for Problem { service, reason, message } in &news {
            tracing::warn!(%service, %reason, message, "a Service is not served as it says");
        }
        news
    }

    fn note_refused(&mut self, refused: &[Refusal]) -> bool {
        let (held, quarantine) = (&mut self.problems.refused, &self.quarantine);
        let before = held.len();
        held.retain(|id, _| quarantine.holds(*id));
        let mut changed = held.len() != before;
        for refusal in refused {
            let (Some(id), Some(service)) = (refusal.id, &refusal.service) else { continue };
            let fault = Fault::new(Reason::RefusedByKernel, refusal.error.to_string());
            changed |= held.insert(id, (service.clone(), fault.clone())).is_none_or(|(_, before)| before != fault);
        }
        changed
    }

    fn gather(&self) -> BTreeSet<Problem> {
        let mut all: BTreeMap<(NamespacedName, Reason), Vec<String>> = BTreeMap::new();
        let mut add = |service: &NamespacedName, reason, message: String| {
            all.entry((service.clone(), reason)).or_default().push(message);
        };
        for (id, faults) in &self.problems.of_objects {
            let Some(entry) = self.model.entry(*id) else { continue };
            faults.iter().for_each(|fault| add(&entry.name, fault.reason, fault.message.to_string()));
        }
        for (destination, service) in &self.problems.conflicts {
            let reason = match destination {
                Destination::Address { .. } => Reason::AddressConflict,
                Destination::NodePort { .. } => Reason::NodePortConflict,
            };
            add(service, reason, format!("{destination} belongs to another Service, which has the better claim"));
        }
        for (service, fault) in self.problems.refused.values() {
            add(service, fault.reason, fault.message.to_string());
        }
        all.into_iter().map(|((service, reason), messages)| problem(service, reason, &messages)).collect()
    }
}

/// An event's message is short, and an object may have thousands of faults.
fn problem(service: NamespacedName, reason: Reason, messages: &[String]) -> Problem {
    let first = messages.first().cloned().unwrap_or_default();
    let message = match messages.len() {
        0 | 1 => first,
        more => format!("{first} (and {} more)", more - 1),
    };
    Problem { service, reason, message }
}

#[cfg(test)]
mod tests;

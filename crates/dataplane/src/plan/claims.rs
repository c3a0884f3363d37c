//! Who gets a destination that several Services claim: an external IP that is another Service's cluster IP, two
//! Services with one node port. Without an order the last to come would win, and a refused element stop all.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Model, ServiceId};
use crate::route::{Claim, Destination, ServiceRoutes};

/// Every destination's owner; and, where there is more than one claim, those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Claims {
    owners: HashMap<Destination, Claimant>,
    waiting: HashMap<Destination, Vec<Claimant>>,
    /// Who got what because another gave it up, since the last [`Claims::settle`]: not yet among its routes.
    inherited: Vec<(ServiceId, Destination)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claimant {
    claim: Claim,
    id: ServiceId,
}

impl Claimant {
    /// The better claim, then the name that comes first.
    fn is_before(&self, other: &Claimant, model: &Model) -> bool {
        let name = |id| model.entry(id).map(|entry| &entry.name);
        (self.claim, name(self.id)) < (other.claim, name(other.id))
    }
}

impl Claims {
    /// A Service claims what its routes say, and nothing else any more. Answers with the Services that lose or win a
    /// destination by that, itself left out unless another's place is concerned.
    pub(super) fn update(
        &mut self,
        model: &Model,
        id: ServiceId,
        held: Option<&ServiceRoutes>,
        wanted: &ServiceRoutes,
    ) -> Vec<ServiceId> {
        let mut affected = Vec::new();
        let claimed: HashMap<Destination, Claim> = claims(wanted).collect();
        let waits = self.waiting.iter().filter(|(_, all)| all.iter().any(|other| other.id == id));
        let mut given_up: BTreeSet<Destination> = waits.map(|(destination, _)| *destination).collect();
        given_up.extend(held.into_iter().flat_map(claims).map(|(destination, _)| destination));
        given_up.extend(self.inherited.iter().filter(|(heir, _)| *heir == id).map(|(_, destination)| *destination));
        for destination in given_up {
            let kept = claimed.get(&destination).copied();
            if self.claim_of(&destination, id) != kept {
                affected.extend(self.remove(model, &destination, id));
            }
        }
        for (destination, claim) in claims(wanted) {
            if self.claim_of(&destination, id).is_none() {
                affected.extend(self.add(model, destination, Claimant { claim, id }));
            }
        }
        affected
    }

    /// All Services that won or lost something have their routes.
    pub(super) fn settle(&mut self) {
        self.inherited.clear();
    }

    /// Leaves of a Service's routes only those to destinations that it owns.
    pub(super) fn keep_own(&self, id: ServiceId, routes: &mut ServiceRoutes) {
        if self.waiting.is_empty() {
            return;
        }
        for port in &mut routes.ports {
            port.routes.retain(|route| self.owner(&route.destination) == Some(id));
        }
    }

    pub(super) fn owner(&self, destination: &Destination) -> Option<ServiceId> {
        self.owners.get(destination).map(|owner| owner.id)
    }

    /// How many destinations there are.
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    pub(super) fn waiting(&self) -> Vec<(Destination, ServiceId)> {
        let all = self.waiting.iter();
        let mut all: Vec<_> = all.flat_map(|(at, waiting)| waiting.iter().map(|one| (*at, one.id))).collect();
        all.sort_unstable();
        all
    }

    fn claim_of(&self, destination: &Destination, id: ServiceId) -> Option<Claim> {
        let waiting = self.waiting.get(destination).into_iter().flatten();
        let mut all = self.owners.get(destination).into_iter().chain(waiting);
        all.find(|claimant| claimant.id == id).map(|claimant| claimant.claim)
    }

    fn add(&mut self, model: &Model, destination: Destination, new: Claimant) -> Option<ServiceId> {
        let Some(owner) = self.owners.get_mut(&destination) else {
            self.owners.insert(destination, new);
            return None;
        };
        let waiting = self.waiting.entry(destination).or_default();
        if new.is_before(owner, model) {
            let loser = std::mem::replace(owner, new);
            waiting.push(loser);
            return Some(loser.id);
        }
        waiting.push(new);
        None
    }

    fn remove(&mut self, model: &Model, destination: &Destination, id: ServiceId) -> Option<ServiceId> {
        let mut waiting = self.waiting.remove(destination).unwrap_or_default();
        waiting.retain(|claimant| claimant.id != id);
        let mut promoted = None;
        if self.owner(destination) == Some(id) {
            self.owners.remove(destination);
            let first =
                (0..waiting.len()).reduce(|best, n| if waiting[n].is_before(&waiting[best], model) { n } else { best });
            if let Some(first) = first {
                let heir = waiting.swap_remove(first);
                self.owners.insert(*destination, heir);
                self.inherited.push((heir.id, *destination));
                promoted = Some(heir.id);
            }
        }
        if !waiting.is_empty() {
            self.waiting.insert(*destination, waiting);
        }
        promoted
    }
}

fn claims(routes: &ServiceRoutes) -> impl Iterator<Item = (Destination, Claim)> {
    routes.ports.iter().flat_map(|port| port.routes.iter().map(|route| (route.destination, route.claim)))
}

//! Roles and bindings, kept as the cache has them.
//!
//! Whoever asks reads what is known; when the cache has told of newer roles or bindings, they are taken in first. So a
//! request that comes after a role was answered is judged by that role.

use std::sync::Arc;

use kinds::Kind;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::bindings::{Bindings, Of};
use crate::cache::selection::Selection;
use crate::cache::{Cache, Next};

/// How many events are taken in at a time.
const EVENTS: usize = 256;

/// The four kinds.
const KINDS: [(Of, &Kind); 4] = [
    (Of::ClusterRole, &kinds::cluster_role::KIND),
    (Of::Role, &kinds::role::KIND),
    (Of::ClusterRoleBinding, &kinds::cluster_role_binding::KIND),
    (Of::RoleBinding, &kinds::role_binding::KIND),
];

/// Roles and bindings as the cache has them.
pub(super) struct Rbac {
    cache: Arc<Cache>,
    known: RwLock<Known>,
}

pub(super) struct Known {
    pub bindings: Bindings,
    /// For each of the kinds, the place of the first event that has not been taken in; `None` before anything has.
    places: [Option<u64>; 4],
}

impl Rbac {
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache, known: RwLock::new(Known { bindings: Bindings::default(), places: [None; 4] }) }
    }

    /// What is known now.
    pub fn now(&self) -> RwLockReadGuard<'_, Known> {
        let known = self.known.read();
        if self.is_current(&known) {
            return known;
        }
        drop(known);
        let mut known = self.known.write();
        for (i, (of, kind)) in KINDS.into_iter().enumerate() {
            self.take_in(&mut known, i, of, kind);
        }
        RwLockWriteGuard::downgrade(known)
    }

    fn is_current(&self, known: &Known) -> bool {
        KINDS.iter().zip(&known.places).all(|((_, kind), place)| *place == Some(self.cache.events_told(kind)))
    }

    fn take_in(&self, known: &mut Known, i: usize, of: Of, kind: &'static Kind) {
        while let Some(place) = known.places[i] {
            let Next::Events { events, place, .. } = self.cache.next(kind, place, EVENTS) else { break };
            known.places[i] = Some(place);
            if events.is_empty() {
                return;
            }
            for event in events {
                let Some(object) = event.current.as_ref().or(event.gone.as_ref()) else { continue };
                let document = event.current.as_ref().map(|object| object.document());
                known.bindings.set(of, &object.namespace, &object.name, document.as_ref());
            }
        }
        // The first time, or after so many events that the oldest are gone.
        known.bindings.clear(of);
        let (listed, place) = self.cache.select_and_place(kind, &Selection::default());
        for object in listed.objects {
            known.bindings.set(of, &object.namespace, &object.name, Some(&object.document()));
        }
        known.places[i] = Some(place);
    }
}

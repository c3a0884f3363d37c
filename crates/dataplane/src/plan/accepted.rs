//! What the kernel has accepted, while it is not known yet whether it accepts what is planned. A plan changes what a
//! planner thinks to be held; where the kernel refuses it, Services go back to the routes that they had.

use std::collections::HashMap;

use crate::model::ServiceId;
use crate::plan::Planner;
use crate::route::ServiceRoutes;

/// The routes that Services had before plans that are not accepted yet.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    before: HashMap<ServiceId, Box<ServiceRoutes>>,
    /// Whether those that are not in `before` had none.
    all: bool,
}

impl Accepted {
    /// A plan changes a Service: this is what it had. Only the first counts.
    pub(super) fn remember(&mut self, id: ServiceId, routes: Box<ServiceRoutes>) {
        if !self.all {
            self.before.entry(id).or_insert(routes);
        }
    }

    /// What a Service had before the plans that are not accepted yet, if one of them changed it.
    pub(super) fn before(&self, id: ServiceId) -> Option<&ServiceRoutes> {
        self.before.get(&id).map(Box::as_ref)
    }

    /// A plan begins anew: these are all.
    pub(super) fn remember_all(&mut self, services: HashMap<ServiceId, Box<ServiceRoutes>>) {
        for (id, routes) in services {
            self.remember(id, routes);
        }
        self.all = true;
    }
}

impl Planner {
    /// All that was planned is held.
    pub(crate) fn accept(&mut self) {
        self.accepted = Accepted::default();
    }

    /// The routes that a Service had when all that was planned was held.
    pub(crate) fn accepted(&self, id: ServiceId) -> ServiceRoutes {
        let planned = self.services.get(&id).filter(|_| !self.accepted.all);
        self.accepted.before.get(&id).or(planned).map(|routes| (**routes).clone()).unwrap_or_default()
    }

    /// A Service keeps these routes from now on, whatever the model wants.
    pub(crate) fn freeze(&mut self, id: ServiceId, routes: ServiceRoutes) {
        self.frozen.insert(id, routes);
    }

    /// A Service follows the model again.
    pub(crate) fn thaw(&mut self, id: ServiceId) {
        self.frozen.remove(&id);
    }
}

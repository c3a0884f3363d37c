//! The whole of it: a model in, a kernel out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nft::Batch;

use crate::backend::{Backend, FlowsError, Interference, Other, ReadError};
use crate::counters::{ServiceCounters, add_up};
use crate::flows::StaleFlows;
use crate::model::{Model, NamespacedName, Node, ServiceId};
use crate::plan::{Leftovers, Planner};
use crate::route::{Destination, local_endpoints};

mod bisect;
mod heal;
mod patience;
mod problems;
mod quarantine;
mod report;

pub use bisect::Refusal;
pub use report::{Mended, Phases, SyncError, SyncReport};

use patience::Patience;
use problems::Problems;
use quarantine::Quarantine;

/// Keeps a backend in step with a model. Blocking: to be used on a thread of its own.
///
/// ```no_run
/// use dataplane::backend::nftables;
/// use dataplane::{Config, Dataplane, Node};
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let backend = nftables::Backend::new(Config::default())?;
/// let mut dataplane = Dataplane::new(backend, Node::default());
/// // dataplane.model_mut().set_service(…), set_slice(…)
/// let report = dataplane.sync()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Dataplane<B> {
    model: Model,
    backend: B,
    planners: Vec<Planner>,
    /// Whether the planners know what the backend holds.
    certain: bool,
    /// Destinations whose flows are still to be looked through.
    flows: BTreeSet<(usize, Destination)>,
    /// What others did since everything was compared.
    interference: Interference,
    patience: Patience,
    quarantine: Quarantine,
    problems: Problems,
    /// Who stands beside; `None`: nobody looked yet.
    others: Option<Vec<Other>>,
}

impl<B: Backend> Dataplane<B> {
    /// On this node, with nothing known yet. The first sync compares with what the backend holds from earlier: it is to
    /// be called when the model knows everything, else connections to what is not known yet are cut.
    pub fn new(backend: B, node: Node) -> Dataplane<B> {
        let config = backend.config().clone();
        let planners = config.families.iter().map(|family| Planner::new(&config, *family)).collect();
        Dataplane {
            model: Model::new(node),
            backend,
            planners,
            certain: false,
            flows: BTreeSet::new(),
            interference: Interference::default(),
            patience: Patience::default(),
            quarantine: Quarantine::default(),
            problems: Problems::default(),
            others: None,
        }
    }

    /// What is wanted.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What is wanted, to be changed; takes effect with the next sync.
    pub fn model_mut(&mut self) -> &mut Model {
        &mut self.model
    }

    /// How many ready endpoints this node has for a Service, of all ports and families, each address once: what its
    /// `healthCheckNodePort` answers. `None`: there is no such Service, or it is not ours to serve. Says what the model
    /// says, also before the next sync.
    pub fn local_endpoints(&self, service: &NamespacedName) -> Option<usize> {
        local_endpoints(&self.model, service)
    }

    /// What came to each port of each Service that this node serves, sorted. One dump of the sets that count, which
    /// hold what had a connection; empty when [`Config::counters`](crate::Config::counters) is off.
    pub fn counters(&mut self) -> Result<Vec<ServiceCounters>, ReadError> {
        let mut all = Vec::new();
        for planner in self.planners.iter().filter(|planner| planner.compiler().counted().is_some()) {
            let counts = self.backend.counts(planner.compiler().table())?;
            all.extend(planner.count(&self.model, &counts));
        }
        Ok(add_up(all))
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The backend, for what is not the rules: its connections, its removal. After its rules were changed, call
    /// [`Dataplane::forget`].
    pub fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    /// The next sync compares everything: somebody may have changed the rules.
    pub fn forget(&mut self) {
        self.certain = false;
    }

    /// Whether a sync has anything to do because something is wanted that is not there yet; [`Dataplane::due`] tells when
    /// there is another reason. Stays true after one whose report has a `flows_error`: try again later.
    pub fn is_dirty(&self) -> bool {
        !self.certain || self.model.is_dirty() || !self.flows.is_empty()
    }

    /// Brings the backend in step, in one transaction; then ends UDP connections that the change has made stale.
    /// Costs what changed.
    pub fn sync(&mut self) -> Result<SyncReport, SyncError> {
        self.sync_at(Instant::now())
    }

    /// The same at a time that is said: waits ([`Dataplane::due`]) are measured by it.
    pub fn sync_at(&mut self, now: Instant) -> Result<SyncReport, SyncError> {
        let start = Instant::now();
        self.listen_at(now);
        let (known, healing) = (self.certain, self.patience.due().is_some_and(|due| due <= now));
        let mut full = !known || healing;
        let (changed, node) = self.take_changed(now);
        let dirty = if full || node { self.model.all() } else { changed.clone() };
        // Until the transaction is done: whatever fails from here on, the planners are ahead of the backend.
        self.certain = false;
        let (batch, mut changes, read) = self.plan(full, &dirty, node)?;
        let planned = start.elapsed();
        let mut refused = Vec::new();
        match self.backend.commit(&batch) {
            Ok(()) => self.planners.iter_mut().for_each(|planner| planner.accept()),
            Err(error) => {
                // What did not change was accepted before, if it is known what that is.
                let suspects = if known && !node { &changed } else { &dirty };
                let suspects: Vec<_> = suspects.iter().copied().filter(|id| !self.quarantine.holds(*id)).collect();
                (changes, refused) = self.sort_out(&suspects, (full, known), error, now)?;
                full = true;
            }
        }
        self.certain = true;
        drop(batch);
        let committed = start.elapsed();
        let conflicts = self.conflicts();
        let problems = self.news(&dirty, &conflicts, &refused);
        let settled: Vec<_> = dirty.iter().copied().filter(|id| !self.quarantine.holds(*id)).collect();
        self.model.release(&settled);
        let mended = if full { self.mended(now, changes) } else { None };

        let (flows_ended, flows_error) = match self.end_flows() {
            Ok(ended) => (ended, None),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "stale UDP flows stay until the next sync");
                (0, Some(error))
            }
        };
        let others = self.look_beside();
        let duration = start.elapsed();
        let (commit, rest) = (committed - planned, duration - committed);
        let report = SyncReport {
            changes,
            services: dirty.len(),
            full,
            flows_ended,
            flows_error,
            conflicts,
            problems,
            refused,
            quarantined: self.quarantine.all().filter_map(|id| Some(self.model.entry(id)?.name.clone())).collect(),
            mended,
            others,
            duration,
            phases: Phases { read, plan: planned.saturating_sub(read), commit, rest },
        };
        tracing::debug!(
            changes = report.changes,
            services = report.services,
            full = report.full,
            flows_ended = report.flows_ended,
            duration = ?report.duration,
            phases = ?report.phases,
            "synced"
        );
        Ok(report)
    }

    /// What changed, with those that were refused and are to be tried again; and whether the node did.
    fn take_changed(&mut self, now: Instant) -> (Vec<ServiceId>, bool) {
        let (mut changed, node) = self.model.take_dirty();
        let all = if node { self.model.all() } else { Vec::new() };
        for id in changed.iter().chain(&all) {
            if self.quarantine.release(*id) {
                self.planners.iter_mut().for_each(|planner| planner.thaw(*id));
            }
        }
        let due = self.quarantine.take_due(now);
        due.iter().for_each(|id| self.thaw(*id));
        changed.extend(due);
        (changed, node)
    }

    /// One transaction for all families, how much it changes, and how long it took to read what is held.
    fn plan(&mut self, full: bool, dirty: &[ServiceId], node: bool) -> Result<(Batch, usize, Duration), ReadError> {
        let mut batch = Batch::new();
        let mut changes = 0;
        let mut reading = Duration::ZERO;
        for (family, planner) in self.planners.iter_mut().enumerate() {
            let plan = if full {
                let begun = Instant::now();
                let held = self.backend.read(planner.compiler().table())?;
                reading += begun.elapsed();
                planner.rebuild(&self.model, held, Leftovers::Remove)
            } else {
                planner.update(&self.model, dirty, node)
            };
            batch.operations.extend(plan.batch.operations);
            changes += plan.changes;
            self.flows.extend(plan.flows.into_iter().map(|destination| (family, destination)));
        }
        Ok((batch, changes, reading))
    }

    fn end_flows(&mut self) -> Result<usize, FlowsError> {
        if self.flows.is_empty() {
            return Ok(0);
        }
        let mut stale = StaleFlows::new(self.model.node());
        for (family, destination) in &self.flows {
            stale.add(*destination, self.planners[*family].serving(destination));
        }
        let ended = self.backend.end_flows(&stale)?;
        self.flows.clear();
        Ok(ended)
    }

    fn conflicts(&self) -> Vec<(Destination, NamespacedName)> {
        let all = self.planners.iter().flat_map(Planner::conflicts);
        all.filter_map(|(destination, id)| Some((destination, self.model.entry(id)?.name.clone()))).collect()
    }
}

mod connections;

pub use connections::FlowsReport;

#[cfg(test)]
mod tests;

//! The handle that the watch writes through and the servers read through.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::query::Query;
use crate::reply::Reply;

use super::change::{self, Writer};
use super::lookup::{self, Verdict};
use super::records::{IndexError, PodRecord, ServiceRecord, SliceRecord};
use super::tables::Tables;
use super::transfer::{self, Transfer};
use super::zones::{IndexOptions, Zones};

/// How much the index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexStats {
    /// Services, and slices' Services that are not known yet.
    pub services: usize,
    /// Namespaces.
    pub namespaces: usize,
    /// Addresses that lead back to a name.
    pub addresses: usize,
    /// The zone's serial number.
    pub serial: u32,
}

/// What the cluster knows. Shared as `Arc<Index>`; every method takes `&self`.
///
/// Changes are taken one at a time and seen by the next question. A change that fails changes nothing, except that a
/// slice whose new Service cannot be named leaves its old one.
pub struct Index {
    tables: Tables,
    writer: Mutex<Writer>,
    synced: AtomicBool,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("stats", &self.stats()).field("synced", &self.is_synced()).finish_non_exhaustive()
    }
}

impl Index {
    /// An index that knows nothing yet and answers SERVFAIL in its zones until it is told that it is in step.
    ///
    /// # Errors
    /// A zone that is none.
    pub fn new(options: &IndexOptions) -> Result<Self, IndexError> {
        Ok(Self {
            tables: Tables::new(Zones::new(options)?, options.serial),
            writer: Mutex::default(),
            synced: AtomicBool::new(false),
        })
    }

    /// Adds a Service or replaces what is known of it. Its slices may be told before or after it.
    ///
    /// # Errors
    /// A name that cannot stand in DNS; what was known before stays.
    pub fn set_service(&self, record: &ServiceRecord) -> Result<(), IndexError> {
        self.writer.lock().set_service(&self.tables, record)
    }

    /// Forgets a Service; its slices are kept until they are removed themselves.
    pub fn remove_service(&self, namespace: &str, name: &str) {
        self.writer.lock().remove_service(&self.tables, namespace, name);
    }

    /// Adds a slice or replaces what is known of it, also when it belongs to another Service now.
    ///
    /// # Errors
    /// The Service's name cannot stand in DNS; the slice is forgotten then.
    pub fn set_slice(&self, record: &SliceRecord) -> Result<(), IndexError> {
        self.writer.lock().set_slice(&self.tables, record)
    }

    /// Forgets a slice.
    pub fn remove_slice(&self, namespace: &str, name: &str) {
        self.writer.lock().remove_slice(&self.tables, namespace, name);
    }

    /// Says that a namespace exists.
    ///
    /// # Errors
    /// A name that cannot stand in DNS.
    pub fn set_namespace(&self, name: &str) -> Result<(), IndexError> {
        let _writer = self.writer.lock();
        change::set_namespace(&self.tables, name)
    }

    /// Says that a namespace is gone. It goes on to exist while Services in it are known.
    pub fn remove_namespace(&self, name: &str) {
        let _writer = self.writer.lock();
        change::remove_namespace(&self.tables, name);
    }

    /// Adds a Pod or replaces what is known of it; one without addresses is forgotten.
    ///
    /// # Errors
    /// A namespace that cannot stand in DNS.
    pub fn set_pod(&self, record: &PodRecord) -> Result<(), IndexError> {
        self.writer.lock().set_pod(&self.tables, record)
    }

    /// Forgets a Pod.
    pub fn remove_pod(&self, namespace: &str, name: &str) {
        let gone = PodRecord { namespace: namespace.to_owned(), name: name.to_owned(), ..PodRecord::default() };
        // One that cannot be named was never there.
        let _ = self.writer.lock().set_pod(&self.tables, &gone);
    }

    /// The Pods that are known, as namespace and name, in order.
    #[must_use]
    pub fn pods(&self) -> Vec<(String, String)> {
        self.writer.lock().pods()
    }

    /// How many questions were wasted: names of several labels from elsewhere, such as `www.example.com`, to which a
    /// search path (`options ndots:5`) had added a domain of the cluster's. By the namespace that the search path names,
    /// in order; those that name none come first, under an empty name.
    #[must_use]
    pub fn search_misses(&self) -> Vec<(String, u64)> {
        let text = |label: &[u8]| crate::name::labels(label).map(String::from_utf8_lossy).collect();
        self.tables.search_misses().into_iter().map(|(label, count)| (text(&label), count)).collect()
    }

    /// Says whether the index knows all there was when the watch began. Before it does, names in its zones get
    /// SERVFAIL: a denial would be a lie.
    pub fn set_synced(&self, synced: bool) {
        self.synced.store(synced, Ordering::Release);
    }

    /// Whether names in the zones are answered.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// The Services that are known, as namespace and name, in order: for a watch that starts anew and must forget what
    /// is gone.
    #[must_use]
    pub fn services(&self) -> Vec<(String, String)> {
        let text = |label: &[u8]| String::from_utf8_lossy(label).into_owned();
        let mut services = self.tables.services.collect(|service| {
            service.spec()?;
            let mut labels = crate::name::labels(service.key());
            let name = text(labels.next()?);
            Some((text(labels.next()?), name))
        });
        services.sort_unstable();
        services
    }

    /// The slices that are known, as namespace and name, in order.
    #[must_use]
    pub fn slices(&self) -> Vec<(String, String)> {
        self.writer.lock().slices()
    }

    /// The namespaces that were told, in order.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let mut names = self.tables.namespaces.collect(|namespace| {
            let label = crate::name::labels(&namespace.name).next().filter(|_| namespace.told)?;
            Some(String::from_utf8_lossy(label).into_owned())
        });
        names.sort_unstable();
        names
    }

    /// Whether there is such a Service, and it is headless.
    #[must_use]
    pub fn is_headless(&self, namespace: &str, name: &str) -> bool {
        change::is_headless(&self.tables, namespace, name)
    }

    /// How much there is.
    #[must_use]
    pub fn stats(&self) -> IndexStats {
        IndexStats {
            services: self.tables.services.len(),
            namespaces: self.tables.namespaces.len(),
            addresses: self.tables.v4.len() + self.tables.v6.len(),
            serial: self.tables.serial(),
        }
    }

    /// All of the zone that is asked for; `None` before everything is known, and for what is no zone of the cluster's.
    #[must_use]
    pub fn transfer(&self, query: &Query<'_>) -> Option<Transfer> {
        if self.is_synced() { transfer::begin(&self.tables, query) } else { None }
    }

    /// Answers a question of class IN as far as the index can. `turn` decides which of several addresses comes first;
    /// callers count it up.
    pub fn answer(&self, query: &Query<'_>, reply: &mut Reply<'_>, turn: u32) -> Verdict {
        lookup::answer(&self.tables, self.is_synced(), query, reply, turn)
    }

    /// Whether search paths are gone through for who asks.
    #[must_use]
    pub fn searches(&self) -> bool {
        self.tables.zones.search.is_some()
    }

    /// Goes on with a question that [`Index::answer`] denied, where the search path of a Pod at `client` has made it:
    /// with the names that the path would lead to next. `outside` says whether names outside the zones can be asked for.
    /// `None` where it is no such question, or nobody's to complete; the reply is as it was then.
    pub fn search(
        &self,
        query: &Query<'_>,
        client: IpAddr,
        outside: bool,
        reply: &mut Reply<'_>,
        turn: u32,
    ) -> Option<Verdict> {
        if !self.is_synced() { None } else { lookup::search(&self.tables, query, client, outside, reply, turn) }
    }
}

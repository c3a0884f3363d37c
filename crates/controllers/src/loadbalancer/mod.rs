//! Addresses for Services of type LoadBalancer (`service-controller`).
//!
//! In reading order: [`request`] reads what a Service asks for, [`plan`] decides with the book of addresses, [`claim`]
//! makes sure of it, [`condition`] is how it is said, [`chosen`] where the pools come from. [`ready`] says whether the
//! addresses are answered for, and [`follow`] keeps that true. [`outside`]: load balancers that somebody else drives.

pub mod chosen;
pub mod claim;
pub mod condition;
pub mod follow;
pub mod outside;
pub mod plan;
pub mod ready;
pub mod request;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::loadbalancer::book::Book;
use ::loadbalancer::selector::Labels;
use ::loadbalancer::settings::{CLASS, NamedPool, Settings};
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use parking_lot::Mutex;

use crate::cache::{Delta, Key};
use crate::caches::claimed_for;
use crate::change::{CONFIG_MAPS, Note, Reference, SERVICES};
use crate::context::Context;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;
use claim::Claimed;
use outside::run::Providers;
use plan::Known;
use request::shown;

const COMPONENT: &str = "service-controller";
const WORKERS: usize = 16;
/// How long others have to give an address to a Service that is not ours, until it is said that it is not ours.
const OTHERS: Duration = Duration::from_secs(10);

struct State {
    context: Arc<Context>,
    books: Mutex<Books>,
    /// Services that wait for an address to become free.
    waiting: Mutex<BTreeSet<Key>>,
    /// Services of which it was told that they are not ours.
    left_alone: Mutex<BTreeSet<Key>>,
    queue: Arc<Queue<Key>>,
    outside: Arc<Providers>,
}

struct Books {
    settings: Option<Settings>,
    book: Book<Key>,
}

/// Registers what the controller has to be told of; the future is its work. It begins by noting what all Services have,
/// so that nothing is given twice.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let books = Mutex::new(Books { settings: None, book: Book::new(Vec::new()) });
    let (waiting, left_alone, queue) = (Mutex::default(), Mutex::default(), Arc::default());
    let outside = Arc::new(Providers::new(context.writer.client()));
    let state = Arc::new(State { context: context.clone(), books, waiting, left_alone, queue, outside });
    let told = state.clone();
    context.caches.services.on_change(move |delta| told.service(delta));
    let told = state.clone();
    context.caches.load_balancer_settings.on_change(move |delta| told.settings(delta.new));
    let told = state.clone();
    context.caches.ip_addresses.on_change(move |delta| {
        // A claim whose Service is gone is given back when that is looked at.
        let claims = delta.both().flat_map(|claim| claimed_for(claim));
        claims
            .filter(|key| told.context.caches.services.get(&key.namespace, &key.name).is_none())
            .for_each(|key| told.queue.add(key));
    });
    let told = state.clone();
    context.caches.namespaces.on_change(move |delta| {
        let labels = |object: Option<&Arc<k8s_openapi::api::core::v1::Namespace>>| {
            object.and_then(|namespace| namespace.metadata.labels.clone())
        };
        if labels(delta.old) != labels(delta.new) {
            told.try_again();
        }
    });
    let told = state.clone();
    context.caches.nodes.on_change(move |delta| {
        if outside::run::concerns(delta.old, delta.new) {
            told.outside.nodes_changed(&told.context.caches.services.all());
        }
    });
    Box::pin(async move {
        state.begin();
        let (queue, stop) = (state.queue.clone(), state.context.stop.clone());
        let outside = state.outside.clone().run(state.context.clone());
        let own = work("loadbalancer", queue, WORKERS, stop, move |key| sync(state.clone(), key));
        tokio::join!(outside, own);
    })
}

/// A book that knows what the Services have, those too that do not want it any more and still show it. Of two that
/// show one address and do not share it the older one has it.
pub fn known(pools: Vec<NamedPool>, services: &[Arc<Service>], ours: impl Fn(&Service) -> bool) -> Book<Key> {
    let mut book = Book::new(pools);
    let mut owners: Vec<&Arc<Service>> = services.iter().filter(|service| ours(service)).collect();
    owners
        .sort_by_key(|service| (service.metadata.creation_timestamp.as_ref().map(|time| time.0), Key::of(&***service)));
    for service in owners {
        for address in shown(service) {
            if !book.note(address, &Key::of(&**service), request::sharing(service).as_ref()) {
                tracing::info!(service = %Key::of(&**service), %address, "the address is another's; the Service will get another");
            }
        }
    }
    book
}

impl State {
    /// Everything is known: the settings that hold, and what the Services have.
    fn begin(&self) {
        let caches = &self.context.caches;
        let config = &self.context.config;
        let mut books = self.books.lock();
        if books.settings.is_none() {
            books.settings = chosen::without_config_map(config);
        }
        let settings = books.settings.clone();
        self.outside.choose(settings.clone());
        let pools = settings.as_ref().map(|settings| settings.pools.clone()).unwrap_or_default();
        books.book = known(pools, &caches.services.all(), |service| plan::is_ours(service, settings.as_ref()));
        for claim in caches.ip_addresses.all() {
            for owner in claimed_for(&claim) {
                let service = caches.services.get(&owner.namespace, &owner.name);
                if let (Some(service), Ok(address)) = (service, claim.name().parse()) {
                    books.book.note(address, &owner, request::sharing(&service).as_ref());
                }
                // What it does not want any more it gives back.
                self.queue.add(owner);
            }
        }
    }

    fn service(&self, delta: &Delta<'_, Service>) {
        let concerned = |service: &Service| {
            plan::is_balanced(service) || service.has_finalizer(plan::FINALIZER) || !shown(service).is_empty()
        };
        if delta.both().any(|service| concerned(service)) {
            self.queue.add(Key::of(&**delta.latest));
        }
    }

    /// The ConfigMap came, changed or went. What is wrong with it changes nothing.
    fn settings(&self, new: Option<&Arc<ConfigMap>>) {
        let settings = match new {
            None => chosen::without_config_map(&self.context.config),
            Some(map) => match chosen::of_config_map(map) {
                Ok(settings) => Some(settings),
                Err(message) => {
                    let about = Reference::to(CONFIG_MAPS, &**map);
                    let message = format!("{message}; what was chosen before stays");
                    return self.context.tell(COMPONENT, [Note::warning(about, "InvalidConfiguration", message)]);
                }
            },
        };
        let mut books = self.books.lock();
        if books.settings != settings {
            tracing::info!(?settings, "load balancers: other settings");
            books.book.set_pools(settings.as_ref().map(|settings| settings.pools.clone()).unwrap_or_default());
            self.outside.choose(settings.clone());
            books.settings = settings;
            drop(books);
            self.left_alone.lock().clear();
            self.all();
        }
    }

    fn all(&self) {
        for service in self.context.caches.services.all() {
            if plan::is_balanced(&service) || service.has_finalizer(plan::FINALIZER) {
                self.queue.add(Key::of(&*service));
            }
        }
    }

    fn try_again(&self) {
        for waiting in std::mem::take(&mut *self.waiting.lock()) {
            self.queue.add(waiting);
        }
    }

    fn namespace_labels(&self, namespace: &str) -> Labels {
        let found = self.context.caches.namespaces.get("", namespace);
        found.and_then(|namespace| namespace.metadata.labels.clone()).unwrap_or_default()
    }

    /// Takes back what a Service has beyond what it keeps, and tries again those that wait.
    fn release(&self, key: &Key, keep: &[IpAddr]) {
        if !self.books.lock().book.release(key, keep).is_empty() {
            self.try_again();
        }
    }

    /// Where nothing was chosen, others have a while to give an address before it is said that nobody does.
    fn perhaps_others(&self, service: &Service) -> Option<Duration> {
        let chosen = self.books.lock().settings.is_some();
        for_others(service).filter(|_| !chosen && plan::is_balanced(service) && !service.deleting())
    }

    /// A Service that nobody serves after a while is told that it is not ours.
    fn leave_alone(&self, service: &Service) -> Outcome {
        if !plan::is_balanced(service) || !shown(service).is_empty() || service.deleting() {
            return Outcome::Done;
        }
        if let Some(wait) = for_others(service) {
            return Outcome::After(wait);
        }
        if self.left_alone.lock().insert(Key::of(service)) {
            let why = match plan::class(service) {
                Some(class) => format!("its loadBalancerClass {class} is not ours, and nobody has given it an address"),
                None => "it names no loadBalancerClass, and Portolan is not the default here".to_owned(),
            };
            let cure = format!("make it again with spec.loadBalancerClass: {CLASS}, or run who serves its class");
            let about = Reference::to(SERVICES, service);
            self.context.tell(COMPONENT, [Note::normal(about, "ClassNotOurs", format!("{why}: {cure}"))]);
        }
        Outcome::Done
    }

    /// Claims the addresses that a plan gives. False: one was another's after all, which is in the book now.
    async fn claim(&self, key: &Key, addresses: &[IpAddr]) -> Result<bool, WriteError> {
        for address in addresses {
            let owners = |books: &Books| books.book.owners(*address).into_iter().cloned().collect::<Vec<Key>>();
            let beside: Vec<Key> = owners(&self.books.lock()).into_iter().filter(|owner| owner != key).collect();
            let other = match claim::claim(&self.context, *address, key, &beside).await? {
                Claimed::Mine => continue,
                Claimed::Others(other) => other,
                Claimed::Foreign => Key::new("", "a cluster IP"),
            };
            tracing::info!(service = %key, %address, %other, "the address is claimed already; another is chosen");
            let mut books = self.books.lock();
            let others: Vec<IpAddr> = books.book.addresses(key).into_iter().filter(|other| other != address).collect();
            books.book.release(key, &others);
            books.book.note(*address, &other, None);
            return Ok(false);
        }
        Ok(true)
    }
}

/// How long others still have to give a Service an address.
fn for_others(service: &Service) -> Option<Duration> {
    let created = service.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let age = Timestamp::now().duration_since(created).unsigned_abs();
    OTHERS.checked_sub(age).filter(|wait| !wait.is_zero())
}

async fn sync(state: Arc<State>, key: Key) -> Result<Outcome, WriteError> {
    let context = &state.context;
    state.waiting.lock().remove(&key);
    let Some(service) = context.caches.services.get(&key.namespace, &key.name) else {
        state.left_alone.lock().remove(&key);
        return forget(&state, &key).await;
    };
    if state.outside.takes(&service) {
        return Ok(Outcome::Done);
    }
    if let Some(wait) = state.perhaps_others(&service) {
        return Ok(Outcome::After(wait));
    }
    let namespace = state.namespace_labels(&key.namespace);
    let (plan, ours) = {
        let mut books = state.books.lock();
        let Books { settings, book } = &mut *books;
        let known = Known { settings: settings.as_ref(), namespace: &namespace, now: Timestamp::now() };
        (plan::plan(&service, book, known), plan::is_ours(&service, settings.as_ref()))
    };
    if !ours {
        return Ok(state.leave_alone(&service));
    }
    if plan.waits {
        state.waiting.lock().insert(key.clone());
    }
    if !state.claim(&key, plan.keep.as_deref().unwrap_or_default()).await? {
        state.queue.add(key);
        return Ok(Outcome::Done);
    }
    context.tell(COMPONENT, plan.before);
    for change in &plan.changes {
        match context.apply(change).await {
            Ok(_) => {}
            Err(WriteError::NotFound(_)) => return forget(&state, &key).await,
            Err(error) => return Err(error),
        }
    }
    context.tell(COMPONENT, plan.after);
    if let Some(keep) = plan.keep {
        claim::give_back(context, &key, &keep).await?;
        state.release(&key, &keep);
    } else if !plan::is_balanced(&service) {
        return forget(&state, &key).await;
    }
    Ok(Outcome::Done)
}

/// A Service is gone: nothing is its own any more.
async fn forget(state: &State, key: &Key) -> Result<Outcome, WriteError> {
    claim::give_back(&state.context, key, &[]).await?;
    state.release(key, &[]);
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests;

//! Services and slices on their way into the kernel and into DNS: one loop follows them all, so that both change together.
//!
//! Nothing is programmed before everything was listed once: after a restart, rules of Services that have not been told
//! yet must stay. After that each change is programmed at once; changes that wait already are taken together.

mod known;
mod to_dataplane;
mod to_dns;

pub use known::Known;

use std::sync::Arc;
use std::time::Duration;

use dataplane::model::{Model, NamespacedName};
use dataplane::{Backend, Dataplane};
use dns::Index;
use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::addresses::BalancedAddresses;
use crate::follow::{Change, ObjectKey, follow};
use crate::views::{EndpointSlice, Service};

/// The most changes that are taken together before the kernel is told.
const LARGEST_BATCH: usize = 1000;
/// How long to wait after the kernel refused a change.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One change of one of the kinds that are followed.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on its way through a loop: a box would cost more than it saves"
)]
enum Told {
    Service(Change<Service>),
    Slice(Change<EndpointSlice>),
    Namespace(Change<PartialObjectMeta<Namespace>>),
}

/// Which kinds have been listed once.
#[derive(Default)]
struct Listed {
    services: bool,
    slices: bool,
    namespaces: bool,
}

impl Listed {
    fn all(&self) -> bool {
        self.services && self.slices && self.namespaces
    }
}

/// Keeps the kernel and the DNS index true to the API until told to stop. Tells when all was programmed once, and which
/// addresses are balanced each time that they change.
pub async fn keep<B: Backend + Send>(
    client: Client,
    mut dataplane: Dataplane<B>,
    index: Arc<Index>,
    mut node: watch::Receiver<dataplane::model::Node>,
    tell: Tell,
    stop: CancellationToken,
) {
    let mut changes = std::pin::pin!(changes(&client));
    let own = node.borrow().name.to_string();
    let mut addresses = BalancedAddresses::default();
    let mut listed = Listed::default();
    let mut retry = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => {
                let Some(change) = change else { return };
                let model = dataplane.model_mut();
                let mut told = Listeners { own: &own, model, index: &index, addresses: &mut addresses, known: &tell.known };
                told.take(change, &mut listed);
                for _ in 1..LARGEST_BATCH {
                    let Some(change) = changes.next().now_or_never().flatten() else { break };
                    told.take(change, &mut listed);
                }
            }
            Ok(()) = node.changed() => {
                let node = node.borrow_and_update().clone();
                dataplane.model_mut().set_node(node);
            }
            () = tokio::time::sleep(RETRY_AFTER), if retry => {}
        }
        if !listed.all() {
            continue;
        }
        index.set_synced(true);
        retry = !program(&mut dataplane);
        if !retry {
            tell.programmed.send_replace(true);
        }
        let now = addresses.snapshot();
        tell.addresses.send_if_modified(|held| {
            let changed = *held != now;
            if changed {
                *held = now;
            }
            changed
        });
    }
}

/// What the others in the node are told.
pub struct Tell {
    /// That the kernel holds all that was listed.
    pub programmed: watch::Sender<bool>,
    /// The load balancer's addresses.
    pub addresses: watch::Sender<crate::addresses::Addresses>,
    /// What Pods may know of Services.
    pub known: Arc<Known>,
}

fn changes(client: &Client) -> impl Stream<Item = Told> + Send + use<> {
    let everything = watcher::Config::default;
    futures::stream::select_all([
        follow(Api::<Service>::all(client.clone()), everything()).map(Told::Service).boxed(),
        follow(Api::<EndpointSlice>::all(client.clone()), everything()).map(Told::Slice).boxed(),
        follow(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), everything()).map(Told::Namespace).boxed(),
    ])
}

fn program<B: Backend>(dataplane: &mut Dataplane<B>) -> bool {
    // The kernel's answer is waited for: it is had within milliseconds, and nothing else is to be done meanwhile.
    match tokio::task::block_in_place(|| dataplane.sync()) {
        Ok(report) => {
            if report.changes > 0 {
                tracing::debug!(changes = report.changes, duration = ?report.duration, "programmed");
            }
            if let Some(error) = &report.flows_error {
                tracing::warn!(error = in_full(error), "stale UDP flows could not be ended; it is tried again");
            }
            report.flows_error.is_none()
        }
        Err(error) => {
            tracing::error!(error = in_full(&error), "the kernel refused a change; it is tried again");
            false
        }
    }
}

/// An error with its sources: which object the kernel refused is told by the last of them.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn name(key: &ObjectKey) -> NamespacedName {
    NamespacedName::new(&key.0, &key.1)
}

/// Everybody who is told of Services and slices.
struct Listeners<'a> {
    own: &'a str,
    model: &'a mut Model,
    index: &'a Index,
    addresses: &'a mut BalancedAddresses,
    known: &'a Known,
}

impl Listeners<'_> {
    fn take(&mut self, told: Told, listed: &mut Listed) {
        match told {
            Told::Service(Change::Set(service)) => self.set_service(&service),
            Told::Service(Change::Gone(key)) => {
                self.model.remove_service(&name(&key));
                self.index.remove_service(&key.0, &key.1);
                self.addresses.remove_service(&key);
                self.known.remove_service(&key);
            }
            Told::Service(Change::Synced) => listed.services = true,
            Told::Slice(Change::Set(slice)) => self.set_slice(&slice),
            Told::Slice(Change::Gone(key)) => {
                self.forget_traffic(&key);
                self.index.remove_slice(&key.0, &key.1);
            }
            Told::Slice(Change::Synced) => listed.slices = true,
            Told::Namespace(Change::Set(namespace)) => {
                let name = namespace.metadata.name.unwrap_or_default();
                if let Err(error) = self.index.set_namespace(&name) {
                    tracing::warn!(namespace = name, %error, "a namespace cannot be named in DNS");
                }
            }
            Told::Namespace(Change::Gone((_, name))) => self.index.remove_namespace(&name),
            Told::Namespace(Change::Synced) => listed.namespaces = true,
        }
    }

    fn set_service(&mut self, service: &Service) {
        let key = crate::follow::key(service);
        self.known.set_service(&key, service);
        match to_dataplane::service(service) {
            Some(told) => {
                self.addresses.set_service(&key, &told);
                self.model.set_service(name(&key), told);
            }
            // An ExternalName has no traffic of its own.
            None => {
                self.addresses.remove_service(&key);
                self.model.remove_service(&name(&key));
            }
        }
        if let Err(error) = self.index.set_service(&to_dns::service(service)) {
            tracing::warn!(namespace = key.0, service = key.1, %error, "a Service cannot be named in DNS");
            self.index.remove_service(&key.0, &key.1);
        }
    }

    fn set_slice(&mut self, slice: &EndpointSlice) {
        let key = crate::follow::key(slice);
        match to_dataplane::slice(slice) {
            Some(told) => {
                self.known.set_slice(&key, &told, self.own);
                self.addresses.set_slice(&key, &told);
                self.model.set_slice(name(&key), told);
            }
            None => self.forget_traffic(&key),
        }
        match to_dns::slice(slice) {
            Some(record) => {
                if let Err(error) = self.index.set_slice(&record) {
                    tracing::warn!(namespace = key.0, slice = key.1, %error, "a slice's Service cannot be named in DNS");
                }
            }
            None => self.index.remove_slice(&key.0, &key.1),
        }
    }

    fn forget_traffic(&mut self, key: &ObjectKey) {
        self.known.remove_slice(key);
        self.addresses.remove_slice(key);
        self.model.remove_slice(&name(key));
    }
}

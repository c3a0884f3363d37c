//! What happens to the kinds that the loop over Services follows, each read in a task of its own: lists are read side by
//! side, and while the loop does something else.

use std::time::{Duration, Instant};

use dataplane::{Phases, model};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::listener::Start;
use super::objects::{self, Followed, follow_kind};
use super::to_dataplane;
use crate::follow;
use crate::views::{EndpointSlice, Service};

/// How many batches of changes may wait to be taken.
const WAITING: usize = 64;

/// One change of one of the kinds that are followed, with what the kernel is told of it: nothing where it has no traffic.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "few at a time: a box for each would cost more than it saves")]
pub(super) enum Told {
    Service(objects::Change<(Service, Option<model::Service>)>),
    Slice(objects::Change<(EndpointSlice, Option<model::EndpointSlice>)>),
    Namespace(follow::Change<PartialObjectMeta<Namespace>>),
}

impl From<objects::Change<Service>> for Told {
    fn from(change: objects::Change<Service>) -> Told {
        Told::Service(change.map(|service| {
            let traffic = to_dataplane::service(&service);
            (service, traffic)
        }))
    }
}

impl From<objects::Change<EndpointSlice>> for Told {
    fn from(change: objects::Change<EndpointSlice>) -> Told {
        Told::Slice(change.map(|slice| {
            let traffic = to_dataplane::slice(&slice);
            (slice, traffic)
        }))
    }
}

/// Services, slices and, if wanted, namespaces: all that is there, and what becomes of it. Nobody follows them any more
/// when this is dropped.
#[derive(Debug)]
pub struct Changes {
    told: mpsc::Receiver<Vec<Told>>,
    namespaces: bool,
    /// When the server was first asked.
    pub(super) begun: Instant,
    _tasks: JoinSet<()>,
}

impl Changes {
    /// Begins to ask the server. What it answers waits to be taken, as far as there is room for it.
    pub fn follow(client: &Client, namespaces: bool) -> Changes {
        let (tell, told) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(follow_kind::<Service, Told>(Followed::all(client.clone()), tell.clone()));
        tasks.spawn(follow_kind::<EndpointSlice, Told>(Followed::all(client.clone()), tell.clone()));
        if namespaces {
            tasks.spawn(follow_namespaces(client.clone(), tell));
        }
        Changes { told, namespaces, begun: Instant::now(), _tasks: tasks }
    }

    /// Whether namespaces are among them.
    pub(super) fn has_namespaces(&self) -> bool {
        self.namespaces
    }

    /// The next, in order; `None`: nobody follows them any more.
    pub(super) async fn next(&mut self) -> Option<Vec<Told>> {
        self.told.recv().await
    }

    /// The next that are there already.
    pub(super) fn now(&mut self) -> Option<Vec<Told>> {
        self.told.try_recv().ok()
    }
}

async fn follow_namespaces(client: Client, tell: mpsc::Sender<Vec<Told>>) {
    let all = Api::<PartialObjectMeta<Namespace>>::all(client);
    let mut changes = std::pin::pin!(follow::follow(all, Default::default()));
    while let Some(change) = changes.next().await {
        if tell.send(vec![Told::Namespace(change)]).await.is_err() {
            return;
        }
    }
}

/// How far the first lists are.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// After how long each kind was there.
    pub(super) services: Option<Duration>,
    pub(super) slices: Option<Duration>,
    pub(super) namespaces: Option<Duration>,
}

impl Listed {
    /// Whether everything was listed once.
    pub(super) fn all(&self) -> bool {
        self.services.is_some() && self.slices.is_some() && self.namespaces.is_some()
    }

    /// How the start went that ended with the first sync.
    pub(super) fn start(&self, taken: Duration, programmed: Duration, sync: Phases) -> Start {
        let (services, slices) = (self.services.unwrap_or_default(), self.slices.unwrap_or_default());
        Start { services, slices, taken, programmed, sync }
    }
}

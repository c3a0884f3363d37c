//! Tells providers of Services, and Services of what providers said.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::loadbalancer::settings::{Outside, Settings};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, Client};
use parking_lot::Mutex;

use super::plan::{self, PROVIDER, Role};
use super::remote::Remote;
use super::{Balancer, Node, Provider, ProviderError, Standing, State};
use crate::cache::Key;
use crate::change::{Note, Reference, SERVICES};
use crate::context::Context;
use crate::objects;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;

const COMPONENT: &str = "service-controller";
const WORKERS: usize = 8;
/// Where the tokens are.
const NAMESPACE: &str = "kube-system";
/// How often one that serves is asked how it is: it may have been taken away by other hands.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often one is asked that is being made: first, and at most.
const PENDING: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How often a provider is tried that cannot be asked: first, and at most.
const UNAVAILABLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is known of a Service's load balancer.
#[derive(Default)]
struct Told {
    /// What the provider was told last, and took.
    wanted: Option<Balancer>,
    /// How often in a row it was not ready.
    waits: u32,
}

type Held = (Outside, Option<String>, Arc<dyn Provider>);

/// The providers, and what they were told.
pub struct Providers {
    client: Client,
    settings: Mutex<Option<Settings>>,
    held: Mutex<BTreeMap<String, Held>>,
    told: Mutex<BTreeMap<Key, Told>>,
    queue: Arc<Queue<Key>>,
}

impl Providers {
    /// None yet; Services are written by a client, and Secrets read.
    pub fn new(client: Client) -> Self {
        let (settings, held, told, queue) = (Mutex::default(), Mutex::default(), Mutex::default(), Arc::default());
        Self { client, settings, held, told, queue }
    }

    /// Whether a Service is a provider's business: then it is looked at by this.
    pub fn takes(&self, service: &Service) -> bool {
        let takes = plan::role(service, self.settings.lock().as_ref()) != Role::None;
        if takes {
            self.queue.add(Key::of(service));
        }
        takes
    }

    /// Other settings from now on.
    pub fn choose(&self, settings: Option<Settings>) {
        *self.settings.lock() = settings;
    }

    /// Nodes have changed: all providers are told.
    pub fn nodes_changed(&self, services: &[Arc<Service>]) {
        let annotated = |service: &&Arc<Service>| {
            service.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(PROVIDER))
        };
        services.iter().filter(annotated).for_each(|service| self.queue.add(Key::of(&**service)));
    }

    /// Works until stopped.
    pub async fn run(self: Arc<Self>, context: Arc<Context>) {
        let (queue, stop) = (self.queue.clone(), context.stop.clone());
        work("loadbalancer-providers", queue, WORKERS, stop, move |key| self.clone().sync(context.clone(), key)).await;
    }

    async fn sync(self: Arc<Self>, context: Arc<Context>, key: Key) -> Result<Outcome, WriteError> {
        let Some(service) = context.caches.services.get(&key.namespace, &key.name) else {
            self.told.lock().remove(&key);
            return Ok(Outcome::Done);
        };
        let role = plan::role(&service, self.settings.lock().as_ref());
        match role {
            Role::None => Ok(Outcome::Done),
            Role::New(class) => {
                context.apply(&plan::take_over(&service, &class)).await?;
                self.queue.add(key);
                Ok(Outcome::Done)
            }
            Role::Kept(class) => self.keep(&context, &key, &service, &class).await,
            Role::Leaving(class) => self.leave(&context, &key, &service, &class).await,
        }
    }

    async fn keep(&self, context: &Context, key: &Key, service: &Service, class: &str) -> Result<Outcome, WriteError> {
        let nodes: Vec<Node> = plan::usable(&context.caches.nodes.all());
        let answer = match plan::balancer(service, nodes) {
            Ok(wanted) => match self.provider(class).await {
                Ok(provider) => self.ask(key, &*provider, wanted).await,
                Err(what) => Err(ProviderError::Unavailable { what, after: None }),
            },
            Err(why) => Err(ProviderError::Refused(why)),
        };
        let (change, note) = plan::answered(service, class, &answer, Timestamp::now());
        if let Some(change) = change {
            context.apply(&change).await?;
        }
        context.tell(COMPONENT, note);
        Ok(Outcome::After(self.next(key, &answer)))
    }

    /// Tells a provider what is new, or asks how it is.
    async fn ask(&self, key: &Key, provider: &dyn Provider, wanted: Balancer) -> Result<Standing, ProviderError> {
        let same = self.told.lock().get(key).is_some_and(|told| told.wanted.as_ref() == Some(&wanted));
        if same && let Some(standing) = provider.get(&wanted.id).await? {
            return Ok(standing);
        }
        self.told.lock().entry(key.clone()).or_default().wanted = None;
        let standing = provider.ensure(&wanted).await?;
        self.told.lock().entry(key.clone()).or_default().wanted = Some(wanted);
        Ok(standing)
    }

    /// When it is asked again.
    fn next(&self, key: &Key, answer: &Result<Standing, ProviderError>) -> Duration {
        let mut told = self.told.lock();
        let told = told.entry(key.clone()).or_default();
        let (first, longest) = match answer {
            Ok(Standing { state: State::Ready, .. }) | Err(ProviderError::Refused(_)) => {
                told.waits = 0;
                return LOOK_EVERY;
            }
            Ok(Standing { state: State::Pending, .. }) => PENDING,
            Err(ProviderError::Unavailable { after: Some(after), .. }) => return (*after).min(UNAVAILABLE.1),
            Err(ProviderError::Unavailable { .. }) => UNAVAILABLE,
        };
        let wait = first.saturating_mul(1 << told.waits.min(16)).min(longest);
        told.waits = told.waits.saturating_add(1);
        wait
    }

    async fn leave(&self, context: &Context, key: &Key, service: &Service, class: &str) -> Result<Outcome, WriteError> {
        let gone = match self.provider(class).await {
            Ok(provider) => provider.delete(service.uid()).await,
            Err(what) => Err(ProviderError::Unavailable { what, after: None }),
        };
        let about = || Reference::to(SERVICES, service);
        match gone {
            Ok(true) => {}
            Ok(false) => {
                let pending = Standing { state: State::Pending, ingress: Vec::new(), message: None };
                return Ok(Outcome::After(self.next(key, &Ok(pending))));
            }
            Err(error) => {
                let waits = self.told.lock().get(key).map_or(0, |told| told.waits);
                if waits == 0 {
                    let message = format!("{class} does not take the load balancer away: {error}: it is tried again");
                    context.tell(COMPONENT, [Note::warning(about(), "SyncLoadBalancerFailed", message)]);
                }
                let error = match error {
                    ProviderError::Refused(what) => ProviderError::Unavailable { what, after: None },
                    error => error,
                };
                return Ok(Outcome::After(self.next(key, &Err(error))));
            }
        }
        if let Some(change) = plan::let_go(service) {
            match context.apply(&change).await {
                Ok(_) | Err(WriteError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
            // There may be a next step; when it has none any more, it is told.
            self.queue.add(key.clone());
        }
        let done = context.caches.services.get(&key.namespace, &key.name);
        if done.is_none_or(|service| plan::let_go(&service).is_none()) {
            self.told.lock().remove(key);
            context.tell(COMPONENT, [Note::normal(about(), "DeletedLoadBalancer", "Deleted load balancer")]);
        }
        Ok(Outcome::Done)
    }

    /// The provider of a class, as it was chosen and with the token that it wants now.
    async fn provider(&self, class: &str) -> Result<Arc<dyn Provider>, String> {
        let chosen = self.settings.lock().as_ref().and_then(|settings| settings.provider(class).cloned());
        let chosen = chosen.ok_or_else(|| {
            "it is not among the providers (ConfigMap kube-system/portolan-load-balancer) any more".to_owned()
        })?;
        let token = match &chosen.token {
            Some(place) => Some(self.token(place).await?),
            None => None,
        };
        if let Some((held, shown, provider)) = self.held.lock().get(class)
            && (held, shown) == (&chosen, &token)
        {
            return Ok(provider.clone());
        }
        let provider: Arc<dyn Provider> = Arc::new(Remote::open(&chosen, token.as_deref()).await?);
        self.held.lock().insert(class.to_owned(), (chosen, token, provider.clone()));
        Ok(provider)
    }

    async fn token(&self, (name, key): &(String, String)) -> Result<String, String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let asked = tokio::time::timeout(UNAVAILABLE.1 / 6, secrets.get(name)).await;
        let secret = asked.map_err(|_| "its token cannot be read in time".to_owned())?;
        let secret = secret.map_err(|error| format!("its token, Secret {NAMESPACE}/{name}: {error}"))?;
        let value = secret.data.and_then(|mut data| data.remove(key));
        let text = value.and_then(|value| String::from_utf8(value.0).ok());
        text.map(|text| text.trim().to_owned())
            .ok_or_else(|| format!("its token, Secret {NAMESPACE}/{name}: no key {key}"))
    }
}

/// What of a node providers are told.
pub fn concerns(old: Option<&Arc<objects::Node>>, new: Option<&Arc<objects::Node>>) -> bool {
    let leads = |node: Option<&Arc<objects::Node>>| node.map(|node| plan::usable(std::slice::from_ref(node)));
    leads(old) != leads(new)
}

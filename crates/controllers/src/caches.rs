//! The caches of all kinds that some controller reads, and their watches.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::{Cache, Cached, Index, Key};
use crate::change::{Act, Change};
use crate::objects::workload::{DaemonSet, Replicas, ReplicationController, StatefulSet};
use crate::objects::{Deployment, Lease, Meta, Node, Pod, ReplicaSet, pod};
use crate::reflect;
use crate::write::Written;

/// The label of a slice that names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Where nodes' leases are, and what their agents report.
pub const NODE_LEASES: &str = "kube-node-lease";
/// The name of the ConfigMap that holds the cluster's root certificate, in every namespace.
pub const ROOT_CA: &str = "kube-root-ca.crt";

/// Where the settings of load balancers are: a ConfigMap's namespace, name, and the key of its data.
pub const LOAD_BALANCER_SETTINGS: (&str, &str, &str) = ("kube-system", "portolan-load-balancer", "config");
/// The label and the value by which an IPAddress is a load balancer's claim, as Kubernetes' own allocator labels its own.
pub const CLAIM: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "load-balancer.portolan.dev");
/// The annotation of a claim that names who has the address: `NAMESPACE/NAME`, with spaces between.
pub const CLAIMED_FOR: &str = "portolan.dev/load-balancer-services";

/// One cache a kind.
#[derive(Default)]
pub struct Caches {
    /// Namespaces.
    pub namespaces: Arc<Cache<Namespace>>,
    /// Nodes.
    pub nodes: Arc<Cache<Node>>,
    /// Leases.
    pub leases: Arc<Cache<Lease>>,
    /// Pods.
    pub pods: Arc<Cache<Pod>>,
    /// Services.
    pub services: Arc<Cache<Service>>,
    /// Endpoints.
    pub endpoints: Arc<Cache<Endpoints>>,
    /// EndpointSlices.
    pub slices: Arc<Cache<EndpointSlice>>,
    /// ReplicaSets.
    pub replica_sets: Arc<Cache<ReplicaSet>>,
    /// Deployments.
    pub deployments: Arc<Cache<Deployment>>,
    /// DaemonSets.
    pub daemon_sets: Arc<Cache<DaemonSet>>,
    /// ReplicationControllers.
    pub replication_controllers: Arc<Cache<ReplicationController>>,
    /// StatefulSets.
    pub stateful_sets: Arc<Cache<StatefulSet>>,
    /// ControllerRevisions.
    pub revisions: Arc<Cache<ControllerRevision>>,
    /// PodDisruptionBudgets.
    pub budgets: Arc<Cache<PodDisruptionBudget>>,
    /// ServiceAccounts.
    pub service_accounts: Arc<Cache<ServiceAccount>>,
    /// The ConfigMaps called [`ROOT_CA`], and no others.
    pub root_cas: Arc<Cache<ConfigMap>>,
    /// The ConfigMap with the settings of load balancers, and no other.
    pub load_balancer_settings: Arc<Cache<ConfigMap>>,
    /// Claims of load balancers' addresses, and no other IPAddress objects.
    pub ip_addresses: Arc<Cache<IPAddress>>,
    /// ServiceCIDRs.
    pub service_cidrs: Arc<Cache<ServiceCIDR>>,
}

impl Caches {
    /// Begins to watch. All handlers must be registered by now.
    pub fn watch(&self, client: &Client, tasks: &TaskTracker, stop: &CancellationToken) {
        let everything = watcher::Config::default();
        let root_cas = everything.clone().fields(&format!("metadata.name={ROOT_CA}"));
        follow(&self.namespaces, client, everything.clone(), tasks, stop);
        follow(&self.nodes, client, everything.clone(), tasks, stop);
        follow(&self.leases, client, everything.clone(), tasks, stop);
        follow(&self.pods, client, everything.clone(), tasks, stop);
        follow(&self.services, client, everything.clone(), tasks, stop);
        follow(&self.endpoints, client, everything.clone(), tasks, stop);
        follow(&self.slices, client, everything.clone(), tasks, stop);
        follow(&self.replica_sets, client, everything.clone(), tasks, stop);
        follow(&self.deployments, client, everything.clone(), tasks, stop);
        follow(&self.daemon_sets, client, everything.clone(), tasks, stop);
        follow(&self.replication_controllers, client, everything.clone(), tasks, stop);
        follow(&self.stateful_sets, client, everything.clone(), tasks, stop);
        follow(&self.revisions, client, everything.clone(), tasks, stop);
        follow(&self.budgets, client, everything.clone(), tasks, stop);
        follow(&self.service_accounts, client, everything.clone(), tasks, stop);
        follow(&self.service_cidrs, client, everything, tasks, stop);
        follow(&self.root_cas, client, root_cas, tasks, stop);
        self.watch_load_balancers(client, tasks, stop);
    }

    /// Begins to watch what is read for load balancers alone.
    fn watch_load_balancers(&self, client: &Client, tasks: &TaskTracker, stop: &CancellationToken) {
        let (namespace, name, _) = LOAD_BALANCER_SETTINGS;
        let settings = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let maps = Api::namespaced(client.clone(), namespace);
        tasks.spawn(reflect::run(maps, settings, self.load_balancer_settings.clone(), stop.clone()));
        let (label, value) = CLAIM;
        let claims = watcher::Config::default().labels(&format!("{label}={value}"));
        follow(&self.ip_addresses, client, claims, tasks, stop);
    }

    /// Waits until what is watched for load balancers, beside what [`Caches::watch_beside`] watches for all, is complete.
    pub async fn synced_load_balancers(&self) {
        tokio::join!(self.namespaces.synced(), self.load_balancer_settings.synced(), self.ip_addresses.synced());
    }

    /// Begins to watch what [`programmed`](crate::programmed) and [`loadbalancer`](crate::loadbalancer) read, and
    /// nothing else.
    pub fn watch_beside(&self, client: &Client, tasks: &TaskTracker, stop: &CancellationToken) {
        let everything = watcher::Config::default();
        let leases = Api::namespaced(client.clone(), NODE_LEASES);
        tasks.spawn(reflect::run(leases, everything.clone(), self.leases.clone(), stop.clone()));
        follow(&self.nodes, client, everything.clone(), tasks, stop);
        follow(&self.services, client, everything.clone(), tasks, stop);
        follow(&self.slices, client, everything.clone(), tasks, stop);
        follow(&self.namespaces, client, everything, tasks, stop);
        self.watch_load_balancers(client, tasks, stop);
    }

    /// Waits until what [`programmed`](crate::programmed) reads is complete for the first time.
    pub async fn synced_programmed(&self) {
        tokio::join!(self.nodes.synced(), self.leases.synced(), self.services.synced(), self.slices.synced());
    }

    /// Lets go of all handlers, when the controllers have ended.
    pub fn close(&self) {
        self.namespaces.close();
        self.nodes.close();
        self.leases.close();
        self.pods.close();
        self.services.close();
        self.endpoints.close();
        self.slices.close();
        self.replica_sets.close();
        self.deployments.close();
        self.daemon_sets.close();
        self.replication_controllers.close();
        self.stateful_sets.close();
        self.revisions.close();
        self.budgets.close();
        self.service_accounts.close();
        self.root_cas.close();
        self.load_balancer_settings.close();
        self.ip_addresses.close();
        self.service_cidrs.close();
    }

    /// Waits until all are complete for the first time.
    pub async fn synced(&self) {
        tokio::join!(
            self.namespaces.synced(),
            self.nodes.synced(),
            self.leases.synced(),
            self.pods.synced(),
            self.services.synced(),
            self.endpoints.synced(),
            self.slices.synced(),
            self.replica_sets.synced(),
            self.deployments.synced(),
            self.daemon_sets.synced(),
            self.replication_controllers.synced(),
            self.stateful_sets.synced(),
            self.revisions.synced(),
            self.budgets.synced(),
            self.service_accounts.synced(),
            self.root_cas.synced(),
            self.load_balancer_settings.synced(),
            self.ip_addresses.synced(),
            self.service_cidrs.synced(),
        );
    }

    /// Waits until a change that was made is seen in the cache of its kind, if there is one.
    pub async fn seen(&self, change: &Change, written: &Written) {
        match change.resource.plural {
            "namespaces" => seen(&self.namespaces, change, written).await,
            "nodes" => seen(&self.nodes, change, written).await,
            "pods" => seen(&self.pods, change, written).await,
            "services" => seen(&self.services, change, written).await,
            "endpoints" => seen(&self.endpoints, change, written).await,
            "endpointslices" => seen(&self.slices, change, written).await,
            "replicasets" => seen(&self.replica_sets, change, written).await,
            "deployments" => seen(&self.deployments, change, written).await,
            "daemonsets" => seen(&self.daemon_sets, change, written).await,
            "replicationcontrollers" => seen(&self.replication_controllers, change, written).await,
            "statefulsets" => seen(&self.stateful_sets, change, written).await,
            "controllerrevisions" => seen(&self.revisions, change, written).await,
            "poddisruptionbudgets" => seen(&self.budgets, change, written).await,
            "serviceaccounts" => seen(&self.service_accounts, change, written).await,
            "servicecidrs" => seen(&self.service_cidrs, change, written).await,
            "ipaddresses" => seen(&self.ip_addresses, change, written).await,
            "configmaps" if change.name == ROOT_CA => seen(&self.root_cas, change, written).await,
            _ => {}
        }
    }
}

fn follow<K: Cached>(
    cache: &Arc<Cache<K>>,
    client: &Client,
    config: watcher::Config,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    tasks.spawn(reflect::run(Api::all(client.clone()), config, cache.clone(), stop.clone()));
}

async fn seen<K: Cached>(cache: &Cache<K>, change: &Change, written: &Written) {
    match &change.act {
        Act::Delete(deletion) => {
            if let Some(uid) = &deletion.uid {
                cache.gone(&Key::new(&change.namespace, &change.name), uid).await;
            }
        }
        // The answer to a binding or to `finalize` is not the object.
        Act::Post(..) | Act::Put(..) => {}
        _ => cache.seen(cache.mark(&written.resource_version)).await,
    }
}

/// By whom an object is controlled; those of nobody are found under their namespace, for adoption.
fn controller(object: &impl Meta) -> String {
    match object.controller() {
        Some(owner) => owner.uid.clone(),
        None => orphans(object.namespace()),
    }
}

/// The value of [`Index::Controller`] of the objects in a namespace that nobody controls.
pub fn orphans(namespace: &str) -> String {
    format!("{namespace}/")
}

impl Cached for Namespace {}
impl Cached for Node {}
impl Cached for Lease {}
impl Cached for DaemonSet {}
impl Cached for PodDisruptionBudget {}
impl Cached for ServiceAccount {}
impl Cached for ConfigMap {}
impl Cached for ServiceCIDR {}

/// The Services that a claim names.
pub fn claimed_for(claim: &IPAddress) -> Vec<Key> {
    let names = claim.annotation(CLAIMED_FOR).unwrap_or_default().split_whitespace();
    names.filter_map(|name| name.split_once('/')).map(|(namespace, name)| Key::new(namespace, name)).collect()
}

impl Cached for IPAddress {
    fn index(&self, add: &mut dyn FnMut(Index, String)) {
        claimed_for(self).into_iter().for_each(|owner| add(Index::Service, owner.to_string()));
    }
}

impl Cached for Pod {
    fn slim(&mut self) {
        pod::slim(self);
    }

    fn index(&self, add: &mut dyn FnMut(Index, String)) {
        add(Index::Controller, controller(self));
        add(Index::Node, self.node_name().unwrap_or_default().to_owned());
    }
}

/// ReplicaSets and ReplicationControllers.
impl<K> Cached for Replicas<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + fmt::Debug + Send + Sync + 'static,
{
    fn index(&self, add: &mut dyn FnMut(Index, String)) {
        add(Index::Controller, controller(self));
    }
}

impl Cached for StatefulSet {}

impl Cached for ControllerRevision {
    fn index(&self, add: &mut dyn FnMut(Index, String)) {
        add(Index::Controller, controller(self));
    }
}

impl Cached for Deployment {}

impl Cached for Service {
    fn index(&self, add: &mut dyn FnMut(Index, String)) {
        let selector = self.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        if let Some((key, value)) = selector.and_then(|selector| selector.first_key_value()) {
            add(Index::Selector, selector_pair(self.namespace(), key, value));
        }
    }
}

/// The value of [`Index::Selector`] of Services of a namespace that select this pair first of all.
pub fn selector_pair(namespace: &str, key: &str, value: &str) -> String {
    format!("{namespace}/{key}={value}")
}

impl Cached for EndpointSlice {
    fn slim(&mut self) {
        // Slices are written back whole, so all of their metadata stays but what the server keeps by itself.
        self.metadata.managed_fields = None;
    }

    fn index(&self, add: &mut dyn FnMut(Index, String)) {
        if let Some(service) = self.label(SERVICE_NAME) {
            add(Index::Service, Key::new(self.namespace(), service).to_string());
        }
    }
}

impl Cached for Endpoints {
    fn slim(&mut self) {
        // As slices.
        self.metadata.managed_fields = None;
    }
}

//! What the kinds that ask for a number of Pods differ in.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;

use crate::cache::Cache;
use crate::caches::Caches;
use crate::change::{REPLICA_SETS, REPLICATION_CONTROLLERS, Resource};
use crate::objects::workload::Replicas;

/// A kind that asks for a number of Pods.
pub trait Replicated: kube::Resource<DynamicType = ()> + Clone + fmt::Debug + Send + Sync + 'static {
    /// Where it is.
    const RESOURCE: Resource;
    /// Who tells of it.
    const COMPONENT: &'static str;
    /// What its queue is called.
    const QUEUE: &'static str;
    /// Whether its status counts Pods on their way to their end.
    const COUNTS_ENDING: bool;

    /// What is known of it.
    fn known(caches: &Caches) -> &Arc<Cache<Replicas<Self>>>;
}

impl Replicated for ReplicaSet {
    const RESOURCE: Resource = REPLICA_SETS;
    const COMPONENT: &'static str = "replicaset-controller";
    const QUEUE: &'static str = "replicaset";
    const COUNTS_ENDING: bool = true;

    fn known(caches: &Caches) -> &Arc<Cache<Replicas<Self>>> {
        &caches.replica_sets
    }
}

impl Replicated for ReplicationController {
    const RESOURCE: Resource = REPLICATION_CONTROLLERS;
    const COMPONENT: &'static str = "replication-controller";
    const QUEUE: &'static str = "replicationcontroller";
    const COUNTS_ENDING: bool = false;

    fn known(caches: &Caches) -> &Arc<Cache<Replicas<Self>>> {
        &caches.replication_controllers
    }
}

//! What Pods are told of the cluster: ConfigMaps and Secrets, asked of the server when a Pod needs them and kept nowhere;
//! Services, from the watch.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, Resource};
use pods::sources::{ServiceAddress, Sources, Unavailable};
use serde::de::DeserializeOwned;

use crate::services::Known;

/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The cluster, as this node's Pods are told of it.
pub struct Cluster {
    client: Client,
    known: Arc<Known>,
}

impl Cluster {
    /// The cluster behind a client, and what the watch knows of Services.
    pub fn new(client: Client, known: Arc<Known>) -> Self {
        Self { client, known }
    }

    fn get<K>(&self, namespace: &str, name: &str) -> BoxFuture<'_, Result<Option<K>, Unavailable>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let objects: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let name = name.to_owned();
        async move {
            match tokio::time::timeout(PATIENCE, objects.get_opt(&name)).await {
                Ok(Ok(object)) => Ok(object),
                Ok(Err(error)) => Err(Unavailable(error.to_string())),
                Err(_) => Err(Unavailable(format!("the server did not answer within {} s", PATIENCE.as_secs()))),
            }
        }
        .boxed()
    }
}

impl Sources for Cluster {
    fn config_map(&self, namespace: &str, name: &str) -> BoxFuture<'_, Result<Option<ConfigMap>, Unavailable>> {
        self.get(namespace, name)
    }

    fn secret(&self, namespace: &str, name: &str) -> BoxFuture<'_, Result<Option<Secret>, Unavailable>> {
        self.get(namespace, name)
    }

    fn services(&self, namespace: &str) -> Vec<ServiceAddress> {
        self.known.services(namespace)
    }

    fn out_of_rotation(&self, address: IpAddr) -> BoxFuture<'_, ()> {
        self.known.out_of_rotation(address).boxed()
    }
}

//! What Pods are told of the cluster: ConfigMaps and Secrets, asked of the server when a Pod needs them and kept nowhere;
//! Services, from the watch.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use pods::sources::{ServiceAddress, Sources, Token, TokenRequest, Unavailable};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::follow::reason;
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
                Ok(Err(error)) => Err(Unavailable(reason(&error))),
                Err(_) => Err(silent()),
            }
        }
        .boxed()
    }
}

fn silent() -> Unavailable {
    Unavailable(format!("the server did not answer within {} s", PATIENCE.as_secs()))
}

/// What the server answers to a request for a token, as far as it is read.
#[derive(Deserialize)]
struct Issued {
    status: IssuedStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IssuedStatus {
    token: String,
    expiration_timestamp: Time,
}

impl Sources for Cluster {
    fn config_map(&self, namespace: &str, name: &str) -> BoxFuture<'_, Result<Option<ConfigMap>, Unavailable>> {
        self.get(namespace, name)
    }

    fn secret(&self, namespace: &str, name: &str) -> BoxFuture<'_, Result<Option<Secret>, Unavailable>> {
        self.get(namespace, name)
    }

    fn token(&self, request: TokenRequest) -> BoxFuture<'_, Result<Token, Unavailable>> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &request.namespace);
        async move {
            let bound = json!({
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {
                    "audiences": request.audience.into_iter().collect::<Vec<_>>(),
                    "expirationSeconds": request.expiration_seconds,
                    "boundObjectRef": {
                        "apiVersion": "v1", "kind": "Pod", "name": request.pod_name, "uid": request.pod_uid,
                    },
                },
            });
            let params = PostParams::default();
            let asked = accounts.create_subresource("token", &request.service_account, &params, &bound);
            let answer: Issued = match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => return Err(Unavailable(reason(&error))),
                Err(_) => return Err(silent()),
            };
            let Time(expires_at) = answer.status.expiration_timestamp;
            Ok(Token { token: answer.status.token, expires_at })
        }
        .boxed()
    }

    fn services(&self, namespace: &str) -> Vec<ServiceAddress> {
        self.known.services(namespace)
    }

    fn out_of_rotation(&self, address: IpAddr) -> BoxFuture<'_, ()> {
        self.known.out_of_rotation(address).boxed()
    }
}

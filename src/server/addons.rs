//! The Service of the cluster's DNS: made where it is not there, with every node that is ready as an endpoint.
//!
//! It has no selector: every node answers DNS itself. Each endpoint bears a hint for its own node, so that a Pod's
//! questions stay on its node (KEP-3015), and go to the others' when the node itself is not ready.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use node::follow::{Change, follow, reason};
use node::views;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";
/// Who writes these slices (label `endpointslice.kubernetes.io/managed-by`).
const MANAGED_BY: &str = "dns.portolan.dev";
/// How many nodes a slice has at most, as the EndpointSlice controller has it.
const PER_SLICE: usize = 100;
/// How long to wait before a slice that could not be written is written again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Makes the Service where it is not there.
///
/// # Errors
/// When the server refuses.
pub async fn ensure(client: &Client, cluster_dns: Ipv4Addr) -> Result<(), kube::Error> {
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    if services.get_opt(NAME).await?.is_some() {
        return Ok(());
    }
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "labels": { "k8s-app": NAME, "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true" },
        },
        "spec": {
            "clusterIP": cluster_dns,
            "trafficDistribution": "PreferSameNode",
            "ports": [
                { "name": "dns", "port": 53, "protocol": "UDP" },
                { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
            ],
        },
    });
    let service: Service = serde_json::from_value(service).map_err(kube::Error::SerdeError)?;
    services.create(&PostParams::default(), &service).await.map(drop)
}

/// Follows the nodes and keeps the slices true, until told to stop.
pub async fn keep(client: Client, stop: CancellationToken) {
    let mut changes = std::pin::pin!(follow(Api::<views::Node>::all(client.clone()), Default::default()));
    let mut ready: BTreeMap<String, Resolver> = BTreeMap::new();
    let mut written: Vec<Value> = Vec::new();
    let (mut synced, mut retry) = (false, false);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => match change {
                None => return,
                Some(Change::Set(node)) => {
                    let name = node.metadata.name.clone().unwrap_or_default();
                    match Resolver::of(&node) {
                        Some(resolver) => ready.insert(name, resolver),
                        None => ready.remove(&name),
                    };
                }
                Some(Change::Gone((_, name))) => {
                    ready.remove(&name);
                }
                Some(Change::Synced) => synced = true,
            },
            () = tokio::time::sleep(RETRY_AFTER), if retry => {}
        }
        let wanted = slices(&ready);
        if !synced || (wanted == written && !retry) {
            continue;
        }
        retry = false;
        // Slices that are too many now stay, empty: a cluster that shrinks by a hundred nodes grows again.
        for (number, slice) in wanted.iter().enumerate() {
            if written.get(number) != Some(slice)
                && let Err(error) = write(&client, slice).await
            {
                tracing::warn!(
                    error = reason(&error),
                    "the DNS Service's endpoints cannot be written; it is tried again"
                );
                retry = true;
            }
        }
        written = if retry { Vec::new() } else { wanted };
    }
}

struct Resolver {
    address: Ipv4Addr,
    zone: Option<String>,
}

impl Resolver {
    fn of(node: &views::Node) -> Option<Self> {
        let address = node.internal_ip().filter(|_| node.is_ready())?;
        Some(Self { address, zone: node.zone().map(str::to_owned) })
    }
}

fn slices(ready: &BTreeMap<String, Resolver>) -> Vec<Value> {
    let endpoints: Vec<Value> = ready
        .iter()
        .map(|(name, resolver)| {
            let mut endpoint = json!({
                "addresses": [resolver.address],
                "conditions": { "ready": true, "serving": true, "terminating": false },
                "nodeName": name,
                "hints": { "forNodes": [{ "name": name }] },
            });
            if let Some(zone) = &resolver.zone {
                endpoint["zone"] = json!(zone);
            }
            endpoint
        })
        .collect();
    let port =
        |name: &str, protocol: &str| json!({ "name": name, "protocol": protocol, "port": node::resolver::DNS_PORT });
    let ports = json!([port("dns", "UDP"), port("dns-tcp", "TCP")]);
    let labels = json!({ "kubernetes.io/service-name": NAME, "endpointslice.kubernetes.io/managed-by": MANAGED_BY });
    let chunks: Vec<&[Value]> = if endpoints.is_empty() { vec![&[]] } else { endpoints.chunks(PER_SLICE).collect() };
    let slice = |(number, endpoints): (usize, &&[Value])| {
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "name": format!("{NAME}-{}", number + 1), "namespace": NAMESPACE, "labels": labels },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": ports,
        })
    };
    chunks.iter().enumerate().map(slice).collect()
}

async fn write(client: &Client, slice: &Value) -> Result<(), kube::Error> {
    let resource = ApiResource {
        group: "discovery.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "discovery.k8s.io/v1".to_owned(),
        kind: "EndpointSlice".to_owned(),
        plural: "endpointslices".to_owned(),
    };
    let slices: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
    let name = slice["metadata"]["name"].as_str().unwrap_or_default();
    match slices.patch(name, &PatchParams::default(), &Patch::Merge(slice)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let new: DynamicObject = serde_json::from_value(slice.clone()).map_err(kube::Error::SerdeError)?;
            slices.create(&PostParams::default(), &new).await.map(drop)
        }
        Err(e) => Err(e),
    }
}

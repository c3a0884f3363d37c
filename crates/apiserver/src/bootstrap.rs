//! What every cluster has, made at the start and kept: namespaces, roles and bindings (at the start only), the range of cluster IPs, the Service
//! `default/kubernetes` and its endpoints, which are the server's own addresses.

mod roles;

use std::sync::Arc;
use std::time::Duration;

use kinds::document::{at, given, list, texts};
use serde_json::{Value, json};

use crate::api::Api;
use crate::clock;
use crate::ownership;
use crate::query::WriteOptions;
use crate::resources;
use crate::status::Status;
use crate::verbs::update::{Part, Update};
use crate::verbs::{create, decode};

/// The namespaces of every cluster.
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];
/// How often it is looked whether all is still there.
const EVERY: Duration = Duration::from_secs(10);
/// The Service by which Pods reach the server, and its port.
const SERVICE: &str = "kubernetes";
const SERVICE_PORT: u16 = 443;

/// Why what every cluster has cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {what}: {why}")]
pub struct BootstrapError {
    /// What was to be made.
    what: String,
    /// The server's own refusal.
    why: String,
}

/// Makes all of it.
pub(crate) async fn run(api: &Api) -> Result<(), BootstrapError> {
    ensure(api).await?;
    roles::ensure(api).await
}

/// Makes what is not there, and corrects the endpoints.
async fn ensure(api: &Api) -> Result<(), BootstrapError> {
    for name in NAMESPACES {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        Wanted { group: "", plural: "namespaces", namespace: "", name, document: namespace }.ensure(api).await?;
    }
    client_authority(api).await?;
    for (name, value, description) in kinds::priority_class::SYSTEM {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": name },
            "value": value, "description": description,
        });
        let (group, plural) = ("scheduling.k8s.io", "priorityclasses");
        Wanted { group, plural, namespace: "", name, document: class }.ensure(api).await?;
    }
    range(api).await?;
    service(api).await?;
    if api.config.advertise.is_loopback() || api.config.advertise.is_unspecified() {
        tracing::warn!(address = %api.config.advertise, "nobody else reaches this address: the Service kubernetes has no endpoints");
        return Ok(());
    }
    endpoints(api).await
}

/// Does that again and again until the server stops: from time to time, and at once when the Service is gone.
pub(crate) async fn keep(api: Arc<Api>) {
    let Some(services) = resources::kind("", "services") else { return };
    let mut changed = api.cache.subscribe(services);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
    loop {
        tokio::select! {
            () = api.stopping.cancelled() => return,
            _ = ticks.tick() => {}
            alive = changed.changed() => match alive {
                Ok(()) if api.cache.get(services, "default", SERVICE).is_some() => continue,
                Ok(()) => {}
                Err(_) => return,
            },
        }
        if let Err(error) = ensure(&api).await {
            tracing::warn!(%error, "what every cluster has could not be kept, it is tried again");
        }
    }
}

/// Who signs clients' certificates, for servers beside this one that take the same clients.
async fn client_authority(api: &Api) -> Result<(), BootstrapError> {
    let (namespace, name) = ("kube-system", "extension-apiserver-authentication");
    let authority = api.config.authority.certificate_pem();
    // A proxy in front may say for whom it asks, by a certificate of this name; none is given out.
    let data = json!({
        "client-ca-file": authority, "requestheader-client-ca-file": authority,
        "requestheader-allowed-names": "[\"front-proxy-client\"]",
        "requestheader-username-headers": "[\"X-Remote-User\"]",
        "requestheader-uid-headers": "[\"X-Remote-Uid\"]",
        "requestheader-group-headers": "[\"X-Remote-Group\"]",
        "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
    });
    let metadata = json!({ "name": name, "namespace": namespace });
    let document = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data });
    let wanted = Wanted { group: "", plural: "configmaps", namespace, name, document };
    wanted.ensure(api).await?;
    wanted.change(api, Part::Object, |object| object["data"] = data.clone()).await
}

async fn range(api: &Api) -> Result<(), BootstrapError> {
    let ranges: Vec<_> = api.config.service_cidr.iter().map(|range| range.to_string()).collect();
    let document = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": { "name": SERVICE },
        "spec": { "cidrs": ranges },
    });
    let wanted = Wanted { group: "networking.k8s.io", plural: "servicecidrs", namespace: "", name: SERVICE, document };
    wanted.ensure(api).await?;
    // A cluster of one family may become one of two; other changes of the ranges are the administrator's.
    wanted
        .change(api, Part::Object, |object| {
            if let ([first, _], [only]) = (&ranges[..], list(at(object, "spec"), "cidrs"))
                && only == first
            {
                object["spec"]["cidrs"] = json!(ranges);
            }
        })
        .await?;
    let condition = json!({
        "type": "Ready", "status": "True", "lastTransitionTime": clock::now(), "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    });
    wanted
        .change(api, Part::Status, |object| {
            let same = texts(at(object, "spec"), "cidrs") == ranges;
            if same && list(at(object, "status"), "conditions").is_empty() {
                object["status"]["conditions"] = json!([condition]);
            }
        })
        .await
}

async fn service(api: &Api) -> Result<(), BootstrapError> {
    let Some(address) = api.config.service_cidr.own_cluster_ip() else { return Ok(()) };
    let document = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": SERVICE, "namespace": "default", "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "clusterIP": address.to_string(), "ipFamilyPolicy": "SingleStack", "type": "ClusterIP",
            "ports": [{ "name": "https", "port": SERVICE_PORT, "protocol": "TCP", "targetPort": port(api) }],
        },
    });
    Wanted { group: "", plural: "services", namespace: "default", name: SERVICE, document }.ensure(api).await
}

async fn endpoints(api: &Api) -> Result<(), BootstrapError> {
    let address = api.config.advertise;
    let ports = json!([{ "name": "https", "port": port(api), "protocol": "TCP" }]);
    let subsets = json!([{ "addresses": [{ "ip": address.to_string() }], "ports": ports }]);
    let document = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": SERVICE, "namespace": "default",
            "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
        },
        "subsets": subsets,
    });
    let wanted = Wanted { group: "", plural: "endpoints", namespace: "default", name: SERVICE, document };
    wanted.ensure(api).await?;
    wanted.change(api, Part::Object, |object| object["subsets"] = subsets.clone()).await?;
    let endpoints = json!([{ "addresses": [address.to_string()], "conditions": { "ready": true } }]);
    let document = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": SERVICE, "namespace": "default", "labels": { "kubernetes.io/service-name": SERVICE },
        },
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": endpoints,
        "ports": ports,
    });
    let wanted =
        Wanted { group: "discovery.k8s.io", plural: "endpointslices", namespace: "default", name: SERVICE, document };
    wanted.ensure(api).await?;
    wanted
        .change(api, Part::Object, |object| {
            object["endpoints"] = endpoints.clone();
            object["ports"] = ports.clone();
        })
        .await
}

/// The port that it listens on; that of every API server when it listens nowhere.
fn port(api: &Api) -> u16 {
    api.addresses.first().map_or(6443, std::net::SocketAddr::port)
}

/// An object that every cluster has.
struct Wanted<'a> {
    group: &'a str,
    plural: &'a str,
    namespace: &'a str,
    name: &'a str,
    document: Value,
}

impl Wanted<'_> {
    fn failed(&self, status: Status) -> BootstrapError {
        BootstrapError { what: format!("{} {}/{}", self.plural, self.namespace, self.name), why: status.message }
    }

    fn options() -> WriteOptions {
        WriteOptions { manager: ownership::SERVER.to_owned(), ..WriteOptions::default() }
    }

    /// Creates the object if it is not there.
    async fn ensure(&self, api: &Api) -> Result<(), BootstrapError> {
        let Some(kind) = resources::kind(self.group, self.plural) else { return Ok(()) };
        if api.cache.get(kind, self.namespace, self.name).is_some() {
            return Ok(());
        }
        let options = Self::options();
        let (document, _) =
            decode::document_of(kind, self.document.clone(), &options).map_err(|status| self.failed(status))?;
        match create::create(api, kind, self.namespace, document, &options).await {
            Ok(_) => Ok(()),
            Err(status) if status.reason == "AlreadyExists" => Ok(()),
            Err(status) => Err(self.failed(status)),
        }
    }

    /// Changes the object; nothing is written when it is as it should be.
    async fn change(&self, api: &Api, part: Part, change: impl Fn(&mut Value)) -> Result<(), BootstrapError> {
        let Some(kind) = resources::kind(self.group, self.plural) else { return Ok(()) };
        let update = Update { kind, namespace: self.namespace, name: self.name, part };
        let changed = update
            .run(api, &Self::options(), |old| {
                let mut new = old.clone();
                change(&mut new);
                kind.strategy.default(&mut new);
                if given(at(old, "metadata"), "deletionTimestamp").is_some() { Ok(old.clone()) } else { Ok(new) }
            })
            .await;
        changed.map(|_| ()).map_err(|status| self.failed(status))
    }
}

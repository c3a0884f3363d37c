//! From the name in a path to the address that a request goes on to.

use std::net::IpAddr;

use kinds::document::{at, flag, integer, list, text};
use rand::seq::IndexedRandom;
use serde_json::Value;

use crate::api::Api;
use crate::cache::selection::Selection;
use crate::nodes::NodeAddress;
use crate::request::RequestInfo;
use crate::resources;
use crate::status::Status;
use crate::subresources::node;

/// Whom a request is passed on to.
pub(super) enum Target {
    /// A node's kubelet, which knows us.
    Node(NodeAddress),
    /// Anything else.
    Pod { address: NodeAddress, is_secured: bool },
}

impl Target {
    pub fn address(&self) -> &NodeAddress {
        match self {
            Self::Node(address) | Self::Pod { address, .. } => address,
        }
    }
}

/// `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'n> {
    pub scheme: &'n str,
    pub name: &'n str,
    pub port: &'n str,
}

impl<'n> Named<'n> {
    pub fn parse(text: &'n str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        (!name.is_empty() && matches!(scheme, "" | "http" | "https")).then_some(Self { scheme, name, port })
    }
}

/// Where a request for something's `/proxy` goes.
pub(super) fn locate(api: &Api, info: &RequestInfo) -> Result<Target, Status> {
    let what = info.resource.trim_end_matches('s');
    let named = Named::parse(&info.name);
    let named = named.ok_or_else(|| Status::bad_request(format!("invalid {what} request {:?}", info.name)))?;
    let is_secured = named.scheme == "https";
    match what {
        "node" => {
            let kubelet = node::address(api, named.name)?;
            allowed(&kubelet.host)?;
            if named.port.is_empty() || named.port == kubelet.port.to_string() {
                return Ok(Target::Node(kubelet));
            }
            let address = NodeAddress { host: kubelet.host, port: number(named.port)? };
            Ok(Target::Pod { address, is_secured })
        }
        "pod" => Ok(Target::Pod { address: pod(api, &info.namespace, named)?, is_secured }),
        _ => Ok(Target::Pod { address: service(api, &info.namespace, named, &info.name)?, is_secured }),
    }
}

/// Only what others can be meant by: not this machine itself, and nobody's neighbours.
fn allowed(host: &str) -> Result<(), Status> {
    let is_global = host.parse::<IpAddr>().is_ok_and(|address| match address {
        IpAddr::V4(v4) => {
            !(v4.is_loopback() || v4.is_unspecified() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast()),
    });
    if is_global { Ok(()) } else { Err(Status::bad_request("address not allowed")) }
}

fn number(port: &str) -> Result<u16, Status> {
    port.parse().map_err(|_| Status::bad_request(format!("invalid port {port:?}")))
}

fn object(api: &Api, plural: &str, namespace: &str, name: &str) -> Result<Value, Status> {
    let kind = resources::kind("", plural).ok_or_else(Status::no_such_resource)?;
    let object = api.cache.get(kind, namespace, name).ok_or_else(|| Status::not_found(kind, name))?;
    Ok(object.document())
}

/// A Pod's own address, at the port that is asked for, or the first that a container names.
fn pod(api: &Api, namespace: &str, named: Named<'_>) -> Result<NodeAddress, Status> {
    let pod = object(api, "pods", namespace, named.name)?;
    let host = text(at(&pod, "status"), "podIP").to_owned();
    allowed(&host)?;
    let port = match named.port {
        "" => {
            let containers = list(at(&pod, "spec"), "containers").iter();
            let first = containers.filter_map(|c| list(c, "ports").first()).map(|p| integer(p, "containerPort")).next();
            let scheme_port = if named.scheme == "https" { 443 } else { 80 };
            first.and_then(|port| u16::try_from(port).ok()).unwrap_or(scheme_port)
        }
        port => number(port)?,
    };
    Ok(NodeAddress { host, port })
}

/// One of a Service's ready Pods, at the port of the Service that is named or numbered.
fn service(api: &Api, namespace: &str, named: Named<'_>, asked: &str) -> Result<NodeAddress, Status> {
    let service = object(api, "services", namespace, named.name)?;
    let port = match named.port.parse::<i64>() {
        Err(_) => named.port.to_owned(),
        Ok(number) => {
            let port = list(at(&service, "spec"), "ports").iter().find(|p| integer(p, "port") == number);
            let missing = || {
                let why = format!("no service port {number} found for service {:?}", named.name);
                Status::unavailable(why).about("", "", "")
            };
            text(port.ok_or_else(missing)?, "name").to_owned()
        }
    };
    let places = endpoints(api, namespace, named.name, &port)?;
    // Any of them, as any client of the Service would have it.
    let place = places.choose(&mut rand::rng()).cloned();
    place.ok_or_else(|| Status::unavailable(format!("no endpoints available for service {asked:?}")).about("", "", ""))
}

/// The Pods that are ready at a port of a Service: no other address is called, whoever put it into a slice.
fn endpoints(api: &Api, namespace: &str, service: &str, port: &str) -> Result<Vec<NodeAddress>, Status> {
    let kind = resources::kind("discovery.k8s.io", "endpointslices").ok_or_else(Status::no_such_resource)?;
    let label = format!("kubernetes.io/service-name={service}");
    let selection =
        Selection::parse(kind, namespace, &label, "").map_err(|error| Status::bad_request(error.to_string()))?;
    let mut places = Vec::new();
    for slice in api.cache.select(kind, &selection, "", 0).objects {
        let slice = slice.document();
        let Some(port) = list(&slice, "ports").iter().find(|p| text(p, "name") == port) else { continue };
        let Ok(port) = u16::try_from(integer(port, "port")) else { continue };
        for endpoint in list(&slice, "endpoints") {
            let ready = at(endpoint, "conditions").get("ready").is_none() || flag(at(endpoint, "conditions"), "ready");
            let addresses = list(endpoint, "addresses").iter().filter_map(Value::as_str);
            for host in addresses.filter(|host| ready && is_pods(api, namespace, endpoint, host)) {
                places.push(NodeAddress { host: host.to_owned(), port });
            }
        }
    }
    Ok(places)
}

/// Whether an address is that of the Pod that the endpoint says it is of.
fn is_pods(api: &Api, namespace: &str, endpoint: &Value, host: &str) -> bool {
    let of = at(endpoint, "targetRef");
    if text(of, "kind") != "Pod" || allowed(host).is_err() {
        return false;
    }
    let Ok(pod) = object(api, "pods", namespace, text(of, "name")) else { return false };
    let status = at(&pod, "status");
    list(status, "podIPs").iter().any(|ip| text(ip, "ip") == host) || text(status, "podIP") == host
}

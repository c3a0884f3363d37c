//! What a Service asks for: in its spec, in our annotations, and in those that came before us.

use std::net::IpAddr;

use ::loadbalancer::book::{Request, Sharing};
use ::loadbalancer::selector::Labels;
use k8s_openapi::api::core::v1::Service;

use crate::cache::Key;
use crate::objects::Meta;
use crate::services::{Family, families};

/// Addresses that are wanted, with commas between; MetalLB's and kube-vip's own annotations are understood.
const ADDRESSES: [&str; 4] = [
    "portolan.dev/load-balancer-ips",
    "metallb.io/loadBalancerIPs",
    "metallb.universe.tf/loadBalancerIPs",
    "kube-vip.io/loadbalancerIPs",
];
/// The pool that is wanted.
const POOL: [&str; 3] = ["portolan.dev/address-pool", "metallb.io/address-pool", "metallb.universe.tf/address-pool"];
/// The key under which an address is shared.
const SHARED: [&str; 3] =
    ["portolan.dev/allow-shared-ip", "metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"];

/// A wish that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// An address is none.
    #[error("{said} says {text:?}, which is no address")]
    NoAddress {
        /// Where.
        said: String,
        /// What.
        text: String,
    },
    /// Two addresses are of one family.
    #[error("{said} says two {} addresses; a Service has one of each family", if *.ipv6 { "IPv6" } else { "IPv4" })]
    TwoOfAFamily {
        /// Where.
        said: String,
        /// Which family.
        ipv6: bool,
    },
}

/// The addresses that a Service shows.
pub fn shown(service: &Service) -> Vec<IpAddr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|status| status.ingress.as_deref()).unwrap_or_default();
    ingress.iter().filter_map(|ingress| ingress.ip.as_deref()?.parse().ok()).collect()
}

/// What a Service asks for.
///
/// # Errors
/// When what it says cannot be read.
pub fn request(service: &Service, namespace_labels: &Labels) -> Result<Request<Key>, WishError> {
    let policy = service.spec.as_ref().and_then(|spec| spec.ip_family_policy.as_deref());
    Ok(Request {
        owner: Key::of(service),
        namespace: service.namespace().to_owned(),
        namespace_labels: namespace_labels.clone(),
        labels: service.metadata.labels.clone().unwrap_or_default(),
        families: families(service).into_iter().map(|family| family == Family::V6).collect(),
        all_families: policy == Some("RequireDualStack"),
        pool: annotation(service, &POOL).map(|(_, pool)| pool.to_owned()),
        addresses: addresses(service)?,
        sharing: sharing(service),
        shown: shown(service),
    })
}

/// The first of some annotations that says something.
fn annotation<'a>(service: &'a Service, names: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let mut said = names.iter().filter_map(|name| Some((*name, service.annotation(name)?.trim())));
    said.find(|(_, value)| !value.is_empty())
}

fn addresses(service: &Service) -> Result<Vec<IpAddr>, WishError> {
    let of_spec = service.spec.as_ref().and_then(|spec| spec.load_balancer_ip.as_deref()).filter(|ip| !ip.is_empty());
    let said = annotation(service, &ADDRESSES).or(of_spec.map(|ip| ("spec.loadBalancerIP", ip)));
    let Some((said, text)) = said else { return Ok(Vec::new()) };
    let mut found: Vec<IpAddr> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let no_address = |_| WishError::NoAddress { said: said.to_owned(), text: part.to_owned() };
        let address: IpAddr = part.parse().map_err(no_address)?;
        if found.iter().any(|other| other.is_ipv6() == address.is_ipv6()) {
            return Err(WishError::TwoOfAFamily { said: said.to_owned(), ipv6: address.is_ipv6() });
        }
        found.push(address);
    }
    Ok(found)
}

/// On which terms it shares its address; `None`: not at all.
pub fn sharing(service: &Service) -> Option<Sharing> {
    let (_, key) = annotation(service, &SHARED)?;
    let spec = service.spec.as_ref()?;
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        Some((protocol, u16::try_from(port.port).ok()?))
    };
    let selector = || {
        let pairs = spec.selector.iter().flatten().map(|(key, value)| format!("{key}={value}"));
        format!("{}: {}", service.namespace(), pairs.collect::<Vec<_>>().join(","))
    };
    Some(Sharing {
        key: key.to_owned(),
        ports: spec.ports.iter().flatten().filter_map(port).collect(),
        backends: (spec.external_traffic_policy.as_deref() == Some("Local")).then(selector),
    })
}

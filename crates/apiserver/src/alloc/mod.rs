//! Allocation for Services: families, cluster IPs, node ports, health-check node ports, in this order.
//!
//! Nothing is taken here. What a Service needs is written into its document, and what it takes and gives back is
//! answered as [`Claims`], which are committed together with it: when the commit fails, nothing was taken.
//!
//! In reading order: [`claims`], [`mod@addresses`] and [`mod@ports`] (pure), `cluster_ips` and `node_ports` (what a `service`
//! needs of each), and here what happens when it is made, changed and removed.

mod addresses;
pub(crate) mod claims;
mod cluster_ips;
mod node_ports;
mod ports;
mod service;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use bytes::Bytes;
use kinds::document::{at, list, text};
use kinds::service::{choose_families, keep_allocated, sync_cluster_ips};
use serde_json::Value;

use crate::api::Api;
use crate::keys;
use crate::resources;
use crate::status::Status;
use claims::Claims;
use ports::Ports;

/// Fills in what a new Service is given. The claims are for the commit of the Service.
pub(crate) fn create(api: &Api, service: &mut Value, dry_run: bool) -> Result<Claims, Status> {
    sync_cluster_ips(service, None);
    families(api, service, None)?;
    let mut claims = Claims::default();
    cluster_ips::take(api, service, 0, dry_run, &mut claims)?;
    let mut ports = node_ports::open(api, dry_run);
    let taken = take_ports(service, &mut ports);
    settle(api, service, taken, ports, dry_run, claims)
}

fn take_ports<F: Fn(u16) -> bool>(service: &mut Value, ports: &mut Ports<F>) -> Result<(), Status> {
    if node_ports::may_have(service) {
        node_ports::take(service, ports)?;
    }
    if node_ports::needs_health_check(service) {
        node_ports::take_health_check(service, ports)?;
    }
    Ok(())
}

/// The claims with those of ports, if all were given; what was not is counted.
fn settle<F>(
    api: &Api,
    service: &Value,
    taken: Result<(), Status>,
    ports: Ports<F>,
    dry_run: bool,
    mut claims: Claims,
) -> Result<Claims, Status> {
    if taken.is_err() && !dry_run {
        node_ports::count_refused(api, &ports);
    }
    taken?;
    node_ports::add(service, &ports, &mut claims);
    Ok(claims)
}

/// Fills in what a changed Service is given.
pub(crate) fn update(api: &Api, new: &mut Value, old: &Value, dry_run: bool) -> Result<Claims, Status> {
    keep_allocated(new, old);
    sync_cluster_ips(new, Some(old));
    families(api, new, Some(old))?;
    let mut claims = Claims::default();
    cluster_ips::change(api, new, old, dry_run, &mut claims)?;
    let mut ports = node_ports::open(api, dry_run);
    let changed = change_ports(new, old, &mut ports);
    settle(api, new, changed, ports, dry_run, claims)
}

fn change_ports<F: Fn(u16) -> bool>(new: &mut Value, old: &Value, ports: &mut Ports<F>) -> Result<(), Status> {
    if node_ports::may_have(old) && !node_ports::may_have(new) {
        node_ports::of(old).into_iter().for_each(|port| ports.release(port));
    }
    if node_ports::may_have(new) {
        node_ports::change(new, old, ports)?;
    }
    match (node_ports::needs_health_check(old), node_ports::needs_health_check(new)) {
        (false, true) => node_ports::take_health_check(new, ports)?,
        (true, false) => node_ports::of_health_check(old).into_iter().for_each(|port| ports.release(port)),
        (true, true) | (false, false) => {}
    }
    Ok(())
}

/// What a Service that is removed gives back.
pub(crate) fn release(api: &Api, service: &Value) -> Claims {
    let mut claims = Claims::default();
    cluster_ips::release(api, service, 0, &mut claims);
    let ports = node_ports::of(service).into_iter().chain(node_ports::of_health_check(service));
    claims.released.extend(ports.map(ports::key));
    claims.released.extend(endpoints(api, service));
    claims.released.sort_unstable();
    claims.released.dedup();
    claims
}

/// The key of the Service's Endpoints: they go with it at once, so that a Service that comes after it under its name does
/// not begin with them.
fn endpoints(api: &Api, service: &Value) -> Option<String> {
    let kind = resources::kind("", "endpoints")?;
    let metadata = at(service, "metadata");
    let (namespace, name) = (text(metadata, "namespace"), text(metadata, "name"));
    let there = api.cache.get(kind, namespace, name)?.document();
    let is_held = !list(at(&there, "metadata"), "finalizers").is_empty();
    (!is_held).then(|| keys::object(kind, namespace, name))
}

/// Of each range how many of its cluster IPs are taken, and how many are free.
pub(crate) fn addresses(api: &Api) -> Vec<(String, usize, usize)> {
    cluster_ips::counted(api)
}

/// The ranges that addresses are given from.
pub(crate) fn ranges(api: &Api) -> Vec<addresses::Range> {
    cluster_ips::ranges(api)
}

/// The record that takes an address for a Service: its key, and its value.
pub(crate) fn claim(service: &Value, address: IpAddr) -> Result<(String, Bytes), Status> {
    cluster_ips::claim(service, address)
}

/// Whether a node port is taken.
pub(crate) fn is_port_taken(api: &Api, port: u16) -> bool {
    api.cache.is_claimed(&ports::key(port))
}

/// The node ports that are taken.
pub(crate) fn taken_ports(api: &Api) -> Vec<u16> {
    let keys = api.cache.claimed(ports::FOLDER);
    keys.iter().filter_map(|key| key.strip_prefix(ports::FOLDER)?.parse().ok()).collect()
}

/// The key of the record that takes a node port.
pub(crate) fn port_key(port: u16) -> String {
    ports::key(port)
}

/// How many node ports are taken, and how many are free.
pub(crate) fn ports(api: &Api) -> (usize, usize) {
    let taken = api.cache.claims(ports::FOLDER);
    (taken, api.config.node_ports.clone().count().saturating_sub(taken))
}

fn families(api: &Api, changed: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    choose_families(changed, old, &api.config.service_cidr.families())
        .map_err(|faults| service::invalid(changed, &faults))
}

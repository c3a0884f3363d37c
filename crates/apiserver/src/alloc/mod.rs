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

use kinds::addresses::Family;
use kinds::service::{choose_families, keep_allocated, sync_cluster_ips};
use serde_json::Value;

use crate::api::Api;
use crate::resources;
use crate::status::Status;
use claims::Claims;

/// Fills in what a new Service is given. The claims are for the commit of the Service.
pub(crate) fn create(api: &Api, service: &mut Value, dry_run: bool) -> Result<Claims, Status> {
    sync_cluster_ips(service, None);
    families(api, service, None)?;
    let mut claims = Claims::default();
    cluster_ips::take(api, service, 0, dry_run, &mut claims)?;
    let mut ports = node_ports::open(api, dry_run);
    if node_ports::may_have(service) {
        node_ports::take(service, &mut ports)?;
    }
    if node_ports::needs_health_check(service) {
        node_ports::take_health_check(service, &mut ports)?;
    }
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
    if node_ports::may_have(old) && !node_ports::may_have(new) {
        node_ports::of(old).into_iter().for_each(|port| ports.release(port));
    }
    if node_ports::may_have(new) {
        node_ports::change(new, old, &mut ports)?;
    }
    match (node_ports::needs_health_check(old), node_ports::needs_health_check(new)) {
        (false, true) => node_ports::take_health_check(new, &mut ports)?,
        (true, false) => node_ports::of_health_check(old).into_iter().for_each(|port| ports.release(port)),
        (true, true) | (false, false) => {}
    }
    node_ports::add(new, &ports, &mut claims);
    Ok(claims)
}

/// What a Service that is removed gives back.
pub(crate) fn release(api: &Api, service: &Value) -> Claims {
    let mut claims = Claims::default();
    cluster_ips::release(api, service, 0, &mut claims);
    let ports = node_ports::of(service).into_iter().chain(node_ports::of_health_check(service));
    claims.released.extend(ports.map(ports::key));
    claims.released.sort_unstable();
    claims.released.dedup();
    claims
}

/// How many cluster IPs of the configured range are taken, and how many are free.
pub(crate) fn addresses(api: &Api) -> (usize, usize) {
    let taken = resources::kind("networking.k8s.io", "ipaddresses").map_or(0, |kind| api.cache.count(kind));
    (taken, addresses::Range::new(api.config.service_cidr).size().saturating_sub(taken))
}

/// How many node ports are taken, and how many are free.
pub(crate) fn ports(api: &Api) -> (usize, usize) {
    let taken = api.cache.claims(ports::FOLDER);
    (taken, api.config.node_ports.clone().count().saturating_sub(taken))
}

fn families(api: &Api, changed: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    let configured = [Family::of(api.config.service_cidr.addr())];
    choose_families(changed, old, &configured).map_err(|faults| service::invalid(changed, &faults))
}

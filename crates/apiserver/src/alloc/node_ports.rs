//! The node ports of a Service, and the port of its health check.

use std::collections::BTreeMap;

use kinds::document::{at, integer, list, list_mut, set, text};
use kinds::field::{self, Path};
use serde_json::{Value, json};

use super::claims::Claims;
use super::ports::{self, PortError, Ports};
use super::service::{invalid, type_of};
use crate::api::Api;
use crate::keys;
use crate::metrics::Allocation;
use crate::status::Status;

/// The ports as they are taken now.
pub(super) fn open(api: &Api, dry_run: bool) -> Ports<impl Fn(u16) -> bool> {
    Ports::new(api.config.node_ports.clone(), dry_run, |port| api.cache.is_claimed(&ports::key(port)))
}

/// Adds what was taken and given back to the claims.
pub(super) fn add<F>(service: &Value, ports: &Ports<F>, claims: &mut Claims) {
    let metadata = at(service, "metadata");
    let owner = keys::inside(text(metadata, "namespace"), text(metadata, "name"));
    claims.taken.extend(ports.taken.iter().map(|port| (ports::key(*port), owner.clone().into())));
    claims.released.extend(ports.released.iter().map(|port| ports::key(*port)));
    let given = ports.asked.iter().filter(|(_, given)| *given);
    claims.given.extend(given.map(|(asked, _)| Allocation { range: None, asked: *asked }));
}

/// Counts what was refused.
pub(super) fn count_refused<F>(api: &Api, ports: &Ports<F>) {
    for (asked, _) in ports.asked.iter().filter(|(_, given)| !given) {
        api.metrics.not_allocated(&Allocation { range: None, asked: *asked });
    }
}

/// Whether the Service's ports can have node ports.
pub(super) fn may_have(service: &Value) -> bool {
    matches!(type_of(service), "NodePort" | "LoadBalancer")
}

/// Whether the Service's ports are given node ports that they do not ask for.
fn wants(service: &Value) -> bool {
    let declined = at(service, "spec").get("allocateLoadBalancerNodePorts") == Some(&json!(false));
    may_have(service) && !(type_of(service) == "LoadBalancer" && declined)
}

/// Whether the Service has a port that says how many endpoints each node has.
pub(super) fn needs_health_check(service: &Value) -> bool {
    type_of(service) == "LoadBalancer" && text(at(service, "spec"), "externalTrafficPolicy") == "Local"
}

/// The node ports that a Service has, each once. An ExternalName may say some, as in Kubernetes, but none is taken for it:
/// what it gave back would be another's.
pub(super) fn of(service: &Value) -> Vec<u16> {
    if type_of(service) == "ExternalName" {
        return Vec::new();
    }
    let mut ports: Vec<u16> = list(at(service, "spec"), "ports").iter().filter_map(node_port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn node_port(port: &Value) -> Option<u16> {
    u16::try_from(integer(port, "nodePort")).ok().filter(|p| *p != 0)
}

/// The port of the health check.
pub(super) fn of_health_check(service: &Value) -> Option<u16> {
    u16::try_from(integer(at(service, "spec"), "healthCheckNodePort")).ok().filter(|p| *p != 0)
}

fn port_fault(service: &Value, index: usize, port: i64, why: &PortError) -> Status {
    let path = Path::new("spec").child("ports").index(index).child("nodePort");
    invalid(service, &[field::Error::invalid(&path, port, why.to_string())])
}

fn no_port(why: &PortError) -> Status {
    Status::internal(format!("failed to allocate a nodePort: {why}"))
}

/// Gives node ports to a new Service. Ports of one number (and different protocols) share one.
pub(super) fn take<F: Fn(u16) -> bool>(service: &mut Value, ports: &mut Ports<F>) -> Result<(), Status> {
    let wanted_all = wants(service);
    let asked: Vec<(i64, i64)> =
        list(at(service, "spec"), "ports").iter().map(|p| (integer(p, "port"), integer(p, "nodePort"))).collect();
    let mut shared: BTreeMap<i64, i64> = BTreeMap::new();
    for (i, (port, own)) in asked.iter().copied().enumerate() {
        if own == 0 && !wanted_all {
            continue;
        }
        let given = match shared.get(&port) {
            Some(given) if own == 0 || own == *given => *given,
            Some(_) => i64::from(ports.take(own).map_err(|e| port_fault(service, i, own, &e))?),
            None => {
                // One that is asked for by a later port of the same number serves this one too.
                let wanted = asked[i..].iter().find(|(p, own)| *p == port && *own != 0).map(|(_, own)| *own);
                let given = match wanted {
                    Some(wanted) => ports.take(wanted).map_err(|e| port_fault(service, i, wanted, &e))?,
                    None => ports.take_next(&mut rand::rng()).map_err(|e| no_port(&e))?,
                };
                shared.insert(port, i64::from(given));
                i64::from(given)
            }
        };
        if let Some(port) = list_mut(&mut service["spec"], "ports").get_mut(i) {
            set(port, "nodePort", given);
        }
    }
    Ok(())
}

/// Gives node ports to a changed Service: those it had stay, others are taken, those it no longer has go.
pub(super) fn change<F: Fn(u16) -> bool>(new: &mut Value, old: &Value, ports: &mut Ports<F>) -> Result<(), Status> {
    let wanted_all = wants(new);
    let before = of(old);
    let mut seen: Vec<(String, i64)> = Vec::new();
    for i in 0..list(at(new, "spec"), "ports").len() {
        let port = &list(at(new, "spec"), "ports")[i];
        let (protocol, asked) = (text(port, "protocol").to_owned(), integer(port, "nodePort"));
        let given = if asked == 0 {
            if !wanted_all {
                continue;
            }
            i64::from(ports.take_next(&mut rand::rng()).map_err(|e| no_port(&e))?)
        } else {
            let known = u16::try_from(asked).is_ok_and(|p| before.contains(&p) || ports.taken.contains(&p));
            if !known {
                ports.take(asked).map_err(|e| port_fault(new, i, asked, &e))?;
            }
            asked
        };
        if seen.contains(&(protocol.clone(), given)) {
            return Err(Status::plain(format!("duplicate nodePort: {{{protocol} {given}}}")));
        }
        seen.push((protocol, given));
        if let Some(port) = list_mut(&mut new["spec"], "ports").get_mut(i) {
            set(port, "nodePort", given);
        }
    }
    let after = of(new);
    before.into_iter().filter(|p| !after.contains(p)).for_each(|port| ports.release(port));
    Ok(())
}

/// Takes the port of the health check: the one that is asked for, or any.
pub(super) fn take_health_check<F: Fn(u16) -> bool>(service: &mut Value, ports: &mut Ports<F>) -> Result<(), Status> {
    let asked = integer(at(service, "spec"), "healthCheckNodePort");
    let port = if asked == 0 {
        let taken = ports.take_next(&mut rand::rng());
        taken.map_err(|e| Status::internal(format!("failed to allocate a HealthCheck NodePort {asked}: {e}")))?
    } else {
        let taken = ports.take(asked);
        taken
            .map_err(|e| Status::internal(format!("failed to allocate requested HealthCheck NodePort {asked}: {e}")))?
    };
    set(&mut service["spec"], "healthCheckNodePort", port);
    Ok(())
}

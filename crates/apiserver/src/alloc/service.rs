//! What a Service needs when it is made, changed and removed.

use std::net::IpAddr;

use kinds::addresses::{self, Family};
use kinds::document::{at, given, integer, list, list_mut, set, text, texts};
use kinds::field::{self, Path};
use kinds::schema::quoted;
use kinds::service::{choose_families, keep_allocated, sync_cluster_ips};
use serde_json::{Value, json};

use super::addresses::Range;
use super::claims::Claims;
use super::ports::{self, Ports};
use crate::api::{self, Api};
use crate::cache::object::encode_stored;
use crate::keys;
use crate::status::Status;

/// Who made the `IPAddress` objects.
const MANAGED_BY: &str = "ipallocator.k8s.io";

/// Fills in what a new Service is given. The claims are for the commit of the Service.
pub(crate) fn create(api: &Api, service: &mut Value, dry_run: bool) -> Result<Claims, Status> {
    sync_cluster_ips(service, None);
    families(api, service, None)?;
    let mut claims = Claims::default();
    take_addresses(api, service, 0, dry_run, &mut claims)?;
    let mut ports = open_ports(api, dry_run);
    if has_node_ports(service) {
        new_node_ports(service, &mut ports)?;
    }
    if needs_health_check(service) {
        take_health_check(service, &mut ports)?;
    }
    add_ports(service, &ports, &mut claims);
    Ok(claims)
}

/// Fills in what a changed Service is given.
pub(crate) fn update(api: &Api, new: &mut Value, old: &Value, dry_run: bool) -> Result<Claims, Status> {
    keep_allocated(new, old);
    sync_cluster_ips(new, Some(old));
    families(api, new, Some(old))?;
    let mut claims = Claims::default();
    change_addresses(api, new, old, dry_run, &mut claims)?;
    let mut ports = open_ports(api, dry_run);
    if has_node_ports(old) && !has_node_ports(new) {
        node_ports(old).into_iter().for_each(|port| ports.release(port));
    }
    if has_node_ports(new) {
        change_node_ports(new, old, &mut ports)?;
    }
    match (needs_health_check(old), needs_health_check(new)) {
        (false, true) => take_health_check(new, &mut ports)?,
        (true, false) => health_check(old).into_iter().for_each(|port| ports.release(port)),
        (true, true) | (false, false) => {}
    }
    add_ports(new, &ports, &mut claims);
    Ok(claims)
}

/// What a Service that is removed gives back.
pub(crate) fn release(api: &Api, service: &Value) -> Claims {
    let mut claims = Claims::default();
    release_addresses(api, service, 0, &mut claims);
    let ports = node_ports(service).into_iter().chain(health_check(service));
    claims.released.extend(ports.map(ports::key));
    claims.released.sort_unstable();
    claims.released.dedup();
    claims
}

fn type_of(service: &Value) -> &str {
    text(at(service, "spec"), "type")
}

fn invalid(service: &Value, faults: &[field::Error]) -> Status {
    Status::invalid("", "Service", text(at(service, "metadata"), "name"), faults)
}

fn families(api: &Api, service: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    let configured = [Family::of(api.config.service_cidr.addr())];
    choose_families(service, old, &configured).map_err(|faults| invalid(service, &faults))
}

/// Whether the Service has cluster IPs of its own.
fn has_addresses(service: &Value) -> bool {
    type_of(service) != "ExternalName" && list(at(service, "spec"), "clusterIPs").first() != Some(&json!("None"))
}

fn change_addresses(api: &Api, new: &mut Value, old: &Value, dry_run: bool, claims: &mut Claims) -> Result<(), Status> {
    let held = |service: &Value| if has_addresses(service) { list(at(service, "spec"), "clusterIPs").len() } else { 0 };
    if type_of(new) == "ExternalName" {
        release_addresses(api, old, 0, claims);
        return Ok(());
    }
    if type_of(old) == "ExternalName" {
        return take_addresses(api, new, 0, dry_run, claims);
    }
    if !has_addresses(new) || !has_addresses(old) {
        return Ok(());
    }
    // The first address stays; a second one comes and goes with the families.
    let wanted = list(at(new, "spec"), "ipFamilies").len();
    if wanted > held(old) {
        take_addresses(api, new, held(old), dry_run, claims)?;
    } else if held(new) < held(old) {
        release_addresses(api, old, held(new), claims);
    }
    Ok(())
}

/// Takes an address for each family from the `from`th on: the one that is asked for, or any.
fn take_addresses(
    api: &Api,
    service: &mut Value,
    from: usize,
    dry_run: bool,
    claims: &mut Claims,
) -> Result<(), Status> {
    if !has_addresses(service) {
        return Ok(());
    }
    let spec = at(service, "spec");
    let families: Vec<Family> = texts(spec, "ipFamilies").into_iter().filter_map(Family::named).collect();
    let mut given: Vec<String> = texts(spec, "clusterIPs").into_iter().map(ToOwned::to_owned).collect();
    for (i, family) in families.iter().enumerate().skip(from) {
        let asked = given.get(i).filter(|ip| !ip.is_empty()).cloned();
        let address = match &asked {
            Some(asked) => asked_address(api, service, asked, dry_run)?,
            None => next_address(api, service, *family, dry_run)?,
        };
        if !dry_run {
            claims.taken.push(address_claim(service, asked.as_deref(), address)?);
        }
        if i < given.len() { given[i] = address.to_string() } else { given.push(address.to_string()) }
    }
    if let Some(first) = given.first() {
        set(&mut service["spec"], "clusterIP", first.as_str());
        set(&mut service["spec"], "clusterIPs", given);
    }
    Ok(())
}

fn release_addresses(api: &Api, service: &Value, from: usize, claims: &mut Claims) {
    let Some(kind) = api::kind("networking.k8s.io", "ipaddresses").filter(|_| has_addresses(service)) else { return };
    let metadata = at(service, "metadata");
    for address in texts(at(service, "spec"), "clusterIPs").into_iter().skip(from).filter_map(addresses::parse) {
        let Some(object) = api.cache.get(kind, "", &address.to_string()) else { continue };
        // An address that was taken from this Service by hand may be another one's by now.
        let document = object.document();
        let parent = at(at(&document, "spec"), "parentRef");
        let is_ours = text(parent, "resource") == "services"
            && text(parent, "namespace") == text(metadata, "namespace")
            && text(parent, "name") == text(metadata, "name");
        if is_ours {
            claims.released.push(keys::object(kind, "", &address.to_string()));
        }
    }
}

/// The ranges that addresses are given from: the configured one, and those of ServiceCIDR objects.
fn ranges(api: &Api) -> Vec<Range> {
    let mut ranges = vec![Range::new(api.config.service_cidr)];
    if let Some(kind) = api::kind("networking.k8s.io", "servicecidrs") {
        for object in api.cache.list(kind, "").objects {
            let document = object.document();
            if given(at(&document, "metadata"), "deletionTimestamp").is_some() {
                continue;
            }
            let networks = texts(at(&document, "spec"), "cidrs").into_iter().filter_map(|cidr| cidr.parse().ok());
            ranges.extend(networks.map(Range::new));
        }
    }
    ranges
}

fn is_taken(api: &Api, address: IpAddr) -> bool {
    let kind = api::kind("networking.k8s.io", "ipaddresses");
    kind.is_some_and(|kind| api.cache.get(kind, "", &address.to_string()).is_some())
}

/// The fault of an address that is asked for, or of none (`""`) that could be given.
fn address_fault(service: &Value, asked: Option<&str>, why: &str) -> Status {
    let what = asked.map_or_else(|| "failed to allocate IP".to_owned(), |ip| format!("failed to allocate IP {ip}"));
    let value = json!([asked.unwrap_or_default()]);
    let path = Path::new("spec").child("clusterIPs");
    invalid(service, &[field::Error::invalid(&path, value, format!("{what}: {why}"))])
}

fn asked_address(api: &Api, service: &Value, asked: &str, dry_run: bool) -> Result<IpAddr, Status> {
    let fault = |why: &str| address_fault(service, Some(asked), why);
    let ranges = ranges(api);
    let address = addresses::parse(asked).ok_or_else(|| fault("not a valid IP address"))?;
    let around: Vec<&Range> = ranges.iter().filter(|r| r.network().contains(&address)).collect();
    let Some(first) = around.first() else {
        return Err(fault("the provided network does not match the current range"));
    };
    if !around.iter().any(|r| r.gives(address)) {
        let why = format!(
            "the provided IP ({address}) is not in the valid range. The range of valid IPs is {}",
            first.network()
        );
        return Err(fault(&why));
    }
    if !dry_run && is_taken(api, address) {
        return Err(fault("provided IP is already allocated"));
    }
    Ok(address)
}

fn next_address(api: &Api, service: &Value, family: Family, dry_run: bool) -> Result<IpAddr, Status> {
    let ranges = ranges(api).into_iter().filter(|r| Family::of(r.network().addr()) == family);
    let mut random = rand::rng();
    for range in ranges {
        if dry_run {
            return Ok(range.network().network());
        }
        if let Some(address) = range.next(&mut random, |address| is_taken(api, address)) {
            return Ok(address);
        }
    }
    let name = quoted(text(at(service, "metadata"), "name"));
    Err(Status::internal(format!("failed to allocate a serviceIP for Service {name}: range is full")))
}

/// The `IPAddress` object that takes an address.
fn address_claim(service: &Value, asked: Option<&str>, address: IpAddr) -> Result<(String, bytes::Bytes), Status> {
    let missing = || Status::internal("addresses are not served");
    let kind = api::kind("networking.k8s.io", "ipaddresses").ok_or_else(missing)?;
    let metadata = at(service, "metadata");
    let mut document = json!({
        "kind": kind.kind,
        "apiVersion": kind.api_version(),
        "metadata": {
            "name": address.to_string(),
            "uid": uuid::Uuid::new_v4().to_string(),
            "creationTimestamp": api::now(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": Family::of(address).name(),
                "ipaddress.kubernetes.io/managed-by": MANAGED_BY,
            },
        },
        "spec": { "parentRef": {
            "resource": "services", "namespace": metadata["namespace"], "name": text(metadata, "name"),
        } },
    });
    if kind.strategy.generation_changes(&document, &document).is_some() {
        document["metadata"]["generation"] = 1.into();
    }
    let faults = kind.strategy.validate(&document);
    if !faults.is_empty() {
        let refused = Status::invalid(kind.group, kind.kind, &address.to_string(), &faults);
        return Err(address_fault(service, asked, &refused.message));
    }
    Ok((keys::object(kind, "", &address.to_string()), encode_stored(kind, &document)))
}

fn open_ports(api: &Api, dry_run: bool) -> Ports<impl Fn(u16) -> bool> {
    Ports::new(api.config.node_ports.clone(), dry_run, |port| api.cache.is_claimed(&ports::key(port)))
}

fn add_ports<F>(service: &Value, ports: &Ports<F>, claims: &mut Claims) {
    let metadata = at(service, "metadata");
    let owner = keys::inside(text(metadata, "namespace"), text(metadata, "name"));
    claims.taken.extend(ports.taken.iter().map(|port| (ports::key(*port), owner.clone().into())));
    claims.released.extend(ports.released.iter().map(|port| ports::key(*port)));
}

/// Whether the Service's ports can have node ports.
fn has_node_ports(service: &Value) -> bool {
    matches!(type_of(service), "NodePort" | "LoadBalancer")
}

/// Whether the Service's ports are given node ports that they do not ask for.
fn wants_node_ports(service: &Value) -> bool {
    let declined = at(service, "spec").get("allocateLoadBalancerNodePorts") == Some(&json!(false));
    has_node_ports(service) && !(type_of(service) == "LoadBalancer" && declined)
}

fn needs_health_check(service: &Value) -> bool {
    type_of(service) == "LoadBalancer" && text(at(service, "spec"), "externalTrafficPolicy") == "Local"
}

/// The node ports that a Service has, each once.
fn node_ports(service: &Value) -> Vec<u16> {
    let mut ports: Vec<u16> = list(at(service, "spec"), "ports").iter().filter_map(node_port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn node_port(port: &Value) -> Option<u16> {
    u16::try_from(integer(port, "nodePort")).ok().filter(|p| *p != 0)
}

fn health_check(service: &Value) -> Option<u16> {
    u16::try_from(integer(at(service, "spec"), "healthCheckNodePort")).ok().filter(|p| *p != 0)
}

fn port_fault(service: &Value, index: usize, port: i64, why: &ports::PortError) -> Status {
    let path = Path::new("spec").child("ports").index(index).child("nodePort");
    invalid(service, &[field::Error::invalid(&path, port, why.to_string())])
}

fn no_port(why: &ports::PortError) -> Status {
    Status::internal(format!("failed to allocate a nodePort: {why}"))
}

/// Gives node ports to a new Service. Ports of one number (and different protocols) share one.
fn new_node_ports<F: Fn(u16) -> bool>(service: &mut Value, ports: &mut Ports<F>) -> Result<(), Status> {
    let wants = wants_node_ports(service);
    let asked: Vec<(i64, i64)> =
        list(at(service, "spec"), "ports").iter().map(|p| (integer(p, "port"), integer(p, "nodePort"))).collect();
    let mut shared: std::collections::BTreeMap<i64, i64> = std::collections::BTreeMap::new();
    for (i, (port, own)) in asked.iter().copied().enumerate() {
        if own == 0 && !wants {
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
fn change_node_ports<F: Fn(u16) -> bool>(new: &mut Value, old: &Value, ports: &mut Ports<F>) -> Result<(), Status> {
    let wants = wants_node_ports(new);
    let before = node_ports(old);
    let mut seen: Vec<(String, i64)> = Vec::new();
    for i in 0..list(at(new, "spec"), "ports").len() {
        let port = &list(at(new, "spec"), "ports")[i];
        let (protocol, asked) = (text(port, "protocol").to_owned(), integer(port, "nodePort"));
        let given = if asked == 0 {
            if !wants {
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
    let after = node_ports(new);
    before.into_iter().filter(|p| !after.contains(p)).for_each(|port| ports.release(port));
    Ok(())
}

fn take_health_check<F: Fn(u16) -> bool>(service: &mut Value, ports: &mut Ports<F>) -> Result<(), Status> {
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

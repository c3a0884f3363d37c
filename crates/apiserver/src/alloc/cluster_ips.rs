//! The cluster IPs of a Service: taken as its families ask, given back when it no longer has them.

use std::net::IpAddr;

use kinds::addresses::{self, Family};
use kinds::document::{at, given, list, set, text, texts};
use kinds::field::{self, Path};
use kinds::schema::quoted;
use serde_json::{Value, json};

use super::addresses::Range;
use super::claims::Claims;
use super::service::{invalid, type_of};
use crate::api::Api;
use crate::cache::object::encode_stored;
use crate::clock;
use crate::keys;
use crate::ownership;
use crate::query::WriteOptions;
use crate::resources;
use crate::status::Status;

/// Who made the `IPAddress` objects.
const MANAGED_BY: &str = "ipallocator.k8s.io";

/// Whether the Service has cluster IPs of its own.
fn has_addresses(service: &Value) -> bool {
    type_of(service) != "ExternalName" && list(at(service, "spec"), "clusterIPs").first() != Some(&json!("None"))
}

/// Takes and gives back what a change of the Service asks for.
pub(super) fn change(
    api: &Api,
    new: &mut Value,
    old: &Value,
    dry_run: bool,
    claims: &mut Claims,
) -> Result<(), Status> {
    let held = |service: &Value| if has_addresses(service) { list(at(service, "spec"), "clusterIPs").len() } else { 0 };
    if type_of(new) == "ExternalName" {
        release(api, old, 0, claims);
        return Ok(());
    }
    if type_of(old) == "ExternalName" {
        return take(api, new, 0, dry_run, claims);
    }
    if !has_addresses(new) || !has_addresses(old) {
        return Ok(());
    }
    // The first address stays; a second one comes and goes with the families.
    let wanted = list(at(new, "spec"), "ipFamilies").len();
    if wanted > held(old) {
        take(api, new, held(old), dry_run, claims)?;
    } else if held(new) < held(old) {
        release(api, old, held(new), claims);
    }
    Ok(())
}

/// Takes an address for each family from the `from`th on: the one that is asked for, or any.
pub(super) fn take(
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

/// Gives back the addresses from the `from`th on.
pub(super) fn release(api: &Api, service: &Value, from: usize, claims: &mut Claims) {
    let Some(kind) = resources::kind("networking.k8s.io", "ipaddresses").filter(|_| has_addresses(service)) else {
        return;
    };
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
    if let Some(kind) = resources::kind("networking.k8s.io", "servicecidrs") {
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
    let kind = resources::kind("networking.k8s.io", "ipaddresses");
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
    let kind = resources::kind("networking.k8s.io", "ipaddresses").ok_or_else(missing)?;
    let metadata = at(service, "metadata");
    let mut document = json!({
        "kind": kind.kind,
        "apiVersion": kind.api_version(),
        "metadata": {
            "name": address.to_string(),
            "uid": uuid::Uuid::new_v4().to_string(),
            "creationTimestamp": clock::now(),
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
    let options = WriteOptions { manager: ownership::SERVER.to_owned(), ..WriteOptions::default() };
    ownership::record(kind, None, &mut document, &options, "")?;
    let faults = kind.strategy.validate(&document);
    if !faults.is_empty() {
        let refused = Status::invalid(kind.group, kind.kind, &address.to_string(), &faults);
        return Err(address_fault(service, asked, &refused.message));
    }
    Ok((keys::object(kind, "", &address.to_string()), encode_stored(kind, &document)))
}

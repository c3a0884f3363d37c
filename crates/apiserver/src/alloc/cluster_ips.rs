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
use crate::metrics::Allocation;
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
    if type_of(old) == "ExternalName" {
        return take(api, new, 0, dry_run, claims);
    }
    if !has_addresses(old) {
        return Ok(());
    }
    if type_of(new) == "ExternalName" {
        release(api, old, 0, claims);
        return Ok(());
    }
    // The first address stays; a second one comes and goes with the families.
    let families = |service: &Value| list(at(service, "spec"), "ipFamilies").len();
    match (families(old), families(new)) {
        (1, 2) => take(api, new, 1, dry_run, claims),
        (2, 1) => {
            release(api, old, 1, claims);
            Ok(())
        }
        _ => Ok(()),
    }
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
    given.resize(given.len().max(families.len()), String::new());
    // What a refusal prints: an address that any could be is none there.
    let asked_for = given.clone();
    let ranges = ranges(api);
    for (i, family) in families.iter().enumerate().skip(from) {
        let wanted = Wanted { service, asked_for: &asked_for, dry_run };
        let asked = Some(asked_for[i].as_str()).filter(|asked| !asked.is_empty());
        let address = match asked {
            // It stays as it was written.
            Some(asked) => wanted.asked(api, &ranges, asked, *family)?,
            None => {
                let address = wanted.next(api, &ranges, *family)?;
                given[i] = address.to_string();
                address
            }
        };
        if !dry_run {
            claims.taken.push(wanted.claim(asked, address)?);
            let range = ranges.iter().find(|range| range.gives(address)).map(|range| range.network().to_string());
            claims.given.push(Allocation { range, asked: asked.is_some() });
        }
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

/// The ranges that addresses are given from: the configured ones, and those of ServiceCIDR objects.
pub(super) fn ranges(api: &Api) -> Vec<Range> {
    let mut ranges: Vec<_> = api.config.service_cidr.iter().map(Range::new).collect();
    let objects = resources::kind("networking.k8s.io", "servicecidrs").map(|kind| api.cache.list(kind, "").objects);
    for object in objects.into_iter().flatten() {
        let document = object.document();
        if !gives_addresses(&document) {
            continue;
        }
        for range in texts(at(&document, "spec"), "cidrs").into_iter().filter_map(|cidr| cidr.parse().ok()) {
            let range = Range::new(range);
            if !ranges.contains(&range) && !range.is_too_large() {
                ranges.push(range);
            }
        }
    }
    ranges
}

/// Whether addresses are given from a ServiceCIDR. One of which nobody has said whether it is ready is: there may be no
/// controller that says it.
fn gives_addresses(document: &Value) -> bool {
    let conditions = list(at(document, "status"), "conditions");
    let ready = conditions.iter().find(|condition| text(condition, "type") == "Ready");
    given(at(document, "metadata"), "deletionTimestamp").is_none()
        && ready.is_none_or(|condition| text(condition, "status") == "True")
}

/// Of each range how many of its addresses are taken, and how many are free.
pub(super) fn counted(api: &Api) -> Vec<(String, usize, usize)> {
    let taken = resources::kind("networking.k8s.io", "ipaddresses").map(|kind| api.cache.list(kind, "").objects);
    let taken: Vec<IpAddr> =
        taken.into_iter().flatten().filter_map(|object| object.field("metadata.name")?.parse().ok()).collect();
    let counted = ranges(api).into_iter().map(|range| {
        let inside = taken.iter().filter(|address| range.network().contains(*address)).count();
        (range.network().to_string(), inside, range.size().saturating_sub(inside))
    });
    counted.collect()
}

fn is_taken(api: &Api, address: IpAddr) -> bool {
    let kind = resources::kind("networking.k8s.io", "ipaddresses");
    kind.is_some_and(|kind| api.cache.get(kind, "", &address.to_string()).is_some())
}

/// A Service that wants addresses.
struct Wanted<'s> {
    service: &'s Value,
    /// Its addresses as it asks for them; `""` is any.
    asked_for: &'s [String],
    dry_run: bool,
}

impl Wanted<'_> {
    /// The fault of an address that is asked for, or of none that could be given.
    fn fault(&self, asked: Option<&str>, why: &str) -> Status {
        let what = asked.map_or_else(|| "failed to allocate IP".to_owned(), |ip| format!("failed to allocate IP {ip}"));
        let path = Path::new("spec").child("clusterIPs");
        invalid(self.service, &[field::Error::invalid(&path, json!(self.asked_for), format!("{what}: {why}"))])
    }

    /// The address that is asked for.
    fn asked(&self, api: &Api, ranges: &[Range], asked: &str, family: Family) -> Result<IpAddr, Status> {
        let fault = |why: &str| self.fault(Some(asked), why);
        let address = addresses::parse(asked)
            .ok_or_else(|| Status::internal(format!("failed to parse service IP {}", quoted(asked))))?;
        if !ranges.iter().any(|range| range.gives(address)) {
            // A dry run asks one range only, and that one says which it is.
            let of_family = ranges.iter().find(|range| Family::of(range.network().addr()) == family);
            return Err(match of_family.filter(|_| self.dry_run) {
                None => fault("the provided network does not match the current range"),
                Some(range) => fault(&format!(
                    "the provided IP ({address}) is not in the valid range. The range of valid IPs is {}",
                    range.network()
                )),
            });
        }
        if !self.dry_run && is_taken(api, address) {
            self.count_refused(api, ranges.iter().copied().find(|range| range.gives(address)), true);
            return Err(fault("provided IP is already allocated"));
        }
        Ok(address)
    }

    /// A free address of the family.
    fn next(&self, api: &Api, ranges: &[Range], family: Family) -> Result<IpAddr, Status> {
        let mut random = rand::rng();
        for range in ranges.iter().filter(|range| Family::of(range.network().addr()) == family) {
            if self.dry_run {
                return Ok(range.network().network());
            }
            if let Some(address) = range.next(&mut random, |address| is_taken(api, address)) {
                return Ok(address);
            }
            self.count_refused(api, Some(*range), false);
        }
        let name = quoted(text(at(self.service, "metadata"), "name"));
        Err(Status::internal(format!("failed to allocate a serviceIP for Service {name}: range is full")))
    }

    /// The record that takes an address.
    fn claim(&self, asked: Option<&str>, address: IpAddr) -> Result<(String, bytes::Bytes), Status> {
        claim(self.service, address).map_err(|refused| self.fault(asked, &refused.message))
    }

    /// A refusal is counted, but of a dry run.
    fn count_refused(&self, api: &Api, range: Option<Range>, asked: bool) {
        if let Some(range) = range.filter(|_| !self.dry_run) {
            api.metrics.not_allocated(&Allocation { range: Some(range.network().to_string()), asked });
        }
    }
}

/// The `IPAddress` object that takes an address for a Service: its key, and itself.
pub(super) fn claim(service: &Value, address: IpAddr) -> Result<(String, bytes::Bytes), Status> {
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
        return Err(Status::invalid(kind.group, kind.kind, &address.to_string(), &faults));
    }
    Ok((keys::object(kind, "", &address.to_string()), encode_stored(kind, &document)))
}

//! Claims: an address of a load balancer is taken by an `IPAddress` object whose name is the address, as cluster IPs are
//! (KEP-1880). Two controllers that know nothing of each other, or one that was ended between two writes, can so never
//! give one address to two Services: the second claim finds the first.
//!
//! The annotation [`CLAIMED_FOR`] names the Services that have the address, more than one when they share it. A claim is
//! made before its Service shows the address, and given back after it does not any more. What is left over, by whatever
//! accident, is found by its Service being gone.

use std::net::IpAddr;

use k8s_openapi::api::networking::v1::IPAddress;
use serde_json::{Value, json};

use crate::cache::{Index, Key};
use crate::caches::{CLAIM, CLAIMED_FOR, claimed_for};
use crate::change::{Act, Change, Deletion, IP_ADDRESSES, SERVICES};
use crate::context::Context;
use crate::objects::Meta;
use crate::write::WriteError;

/// How often a claim is tried that others change at the same time.
const TRIES: usize = 5;

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is made.
    Mine,
    /// It is another's.
    Others(Key),
    /// The address is in use for something else in this cluster: a cluster IP.
    Foreign,
}

/// Claims an address for a Service. With whom it may share it has been decided: `beside` are the others that have it.
pub async fn claim(context: &Context, address: IpAddr, service: &Key, beside: &[Key]) -> Result<Claimed, WriteError> {
    for _ in 0..TRIES {
        let held = context.caches.ip_addresses.get("", &address.to_string());
        if held.as_ref().is_some_and(|held| claimed_for(held).contains(service)) {
            return Ok(Claimed::Mine);
        }
        let mut all = beside.to_vec();
        all.push(service.clone());
        let written = match &held {
            None => context.apply(&Change::create(IP_ADDRESSES, &object(address, std::slice::from_ref(service)))).await,
            Some(held) => {
                if let Some(other) = stranger(context, held, &all).await? {
                    return Ok(Claimed::Others(other));
                }
                let names: Vec<Key> = claimed_for(held).into_iter().filter(|owner| beside.contains(owner)).collect();
                let names: Vec<Key> = names.into_iter().chain([service.clone()]).collect();
                context.apply(&rename(held, &names)).await
            }
        };
        match written {
            Ok(_) => return Ok(Claimed::Mine),
            Err(WriteError::AlreadyExists(_)) => {
                // Ours, and not seen yet; or something else's, which is never seen here.
                match context.writer.metadata(IP_ADDRESSES, "", &address.to_string()).await? {
                    Some(found) if !is_ours(found.labels.as_ref()) => return Ok(Claimed::Foreign),
                    Some(found) => {
                        let mark = context.caches.ip_addresses.mark(found.resource_version.as_deref().unwrap_or("0"));
                        context.caches.ip_addresses.seen(mark).await;
                    }
                    None => {}
                }
            }
            Err(WriteError::Conflict(_) | WriteError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(WriteError::Conflict(format!("the claim of {address} is changed by others again and again")))
}

/// Gives back all claims of a Service but those to keep.
pub async fn give_back(context: &Context, service: &Key, keep: &[IpAddr]) -> Result<(), WriteError> {
    for held in context.caches.ip_addresses.by(Index::Service, &service.to_string()) {
        if held.name().parse::<IpAddr>().is_ok_and(|address| keep.contains(&address)) {
            continue;
        }
        let others: Vec<Key> = claimed_for(&held).into_iter().filter(|owner| owner != service).collect();
        let change = if others.is_empty() { remove(&held) } else { rename(&held, &others) };
        match context.apply(&change).await {
            Ok(_) | Err(WriteError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One of a claim's Services that is there and is not among those that may have the address.
async fn stranger(context: &Context, held: &IPAddress, allowed: &[Key]) -> Result<Option<Key>, WriteError> {
    for owner in claimed_for(held).into_iter().filter(|owner| !allowed.contains(owner)) {
        // By the server's own word: what is not in the cache may have just been made.
        if context.writer.metadata(SERVICES, &owner.namespace, &owner.name).await?.is_some() {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

fn is_ours(labels: Option<&std::collections::BTreeMap<String, String>>) -> bool {
    labels.and_then(|labels| labels.get(CLAIM.0)).is_some_and(|by| by == CLAIM.1)
}

fn names(owners: &[Key]) -> String {
    owners.iter().map(Key::to_string).collect::<Vec<_>>().join(" ")
}

fn object(address: IpAddr, owners: &[Key]) -> Value {
    let first = owners.first().cloned().unwrap_or_default();
    json!({
        "apiVersion": IP_ADDRESSES.api_version(), "kind": IP_ADDRESSES.kind,
        "metadata": {
            "name": address.to_string(),
            "labels": {
                CLAIM.0: CLAIM.1,
                "ipaddress.kubernetes.io/ip-family": if address.is_ipv6() { "IPv6" } else { "IPv4" },
            },
            "annotations": {CLAIMED_FOR: names(owners)},
        },
        "spec": {
            "parentRef": {"group": "", "resource": "services", "namespace": first.namespace, "name": first.name},
        },
    })
}

/// The same claim, of others; only if it is still what was seen.
fn rename(held: &IPAddress, owners: &[Key]) -> Change {
    let patch =
        json!({"metadata": {"resourceVersion": held.resource_version(), "annotations": {CLAIMED_FOR: names(owners)}}});
    Change::merge(IP_ADDRESSES, held, crate::change::Part::Main, patch)
}

fn remove(held: &IPAddress) -> Change {
    let deletion = Deletion {
        uid: Some(held.uid().to_owned()),
        resource_version: Some(held.resource_version().to_owned()),
        ..Deletion::default()
    };
    Change::on(IP_ADDRESSES, held, Act::Delete(deletion))
}

//! The records of those that announce, as leases (`coordination.k8s.io`): how they are read and written.
//!
//! They bear a label by which they are watched, and belong to the node's object, with which they go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use loadbalancer::report::{CLAIMS, EPOCH, LABEL, LIFE, NAMESPACE, name};
use loadbalancer::seat::{Claims, Life, Record, Seen};

use crate::follow::events;

/// The annotation of a life: how long a renewal lasts, in milliseconds.
pub const LASTS: &str = "portolan.dev/lb-lease-milliseconds";
/// The annotation of a life: the node's own addresses, with spaces between.
pub const NODE_ADDRESSES: &str = "portolan.dev/lb-node-addresses";
/// The annotation of claims: the addresses, with spaces between.
pub const ADDRESSES: &str = "portolan.dev/lb-addresses";
/// The annotation of claims: which write this is.
pub const SEQUENCE: &str = "portolan.dev/lb-sequence";

/// A lease as a record; `None`: it is something else.
pub fn read(lease: &Lease) -> Option<Record> {
    let which = lease.labels().get(LABEL)?.as_str();
    let full = lease.name_any();
    let node = full.strip_prefix(&name(which, ""))?.to_owned();
    let version = lease.resource_version()?;
    let annotation = |name| lease.annotations().get(name);
    match which {
        LIFE => {
            let epoch = annotation(EPOCH).filter(|epoch| !epoch.is_empty()).cloned();
            let lasts = annotation(LASTS).and_then(|text| text.parse().ok()).map(Duration::from_millis)?;
            let addresses = annotation(NODE_ADDRESSES).map(|text| addresses(text)).unwrap_or_default();
            Some(Record::Life(Life { node, epoch, lease: lasts, addresses, version }))
        }
        CLAIMS => {
            let addresses = addresses(annotation(ADDRESSES)?);
            let sequence = annotation(SEQUENCE)?.parse().ok()?;
            Some(Record::Claims(Claims { node, epoch: annotation(EPOCH)?.clone(), sequence, addresses, version }))
        }
        _ => None,
    }
}

fn addresses<C: FromIterator<IpAddr>>(text: &str) -> C {
    text.split_whitespace().filter_map(|text| text.parse().ok()).collect()
}

fn text<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    addresses.into_iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
}

/// The annotations of a life; `at` are the node's own addresses.
pub fn life(epoch: &str, lasts: Duration, at: &[IpAddr]) -> BTreeMap<String, String> {
    BTreeMap::from([
        (EPOCH.to_owned(), epoch.to_owned()),
        (LASTS.to_owned(), lasts.as_millis().to_string()),
        (NODE_ADDRESSES.to_owned(), text(at)),
    ])
}

/// The annotations of claims.
pub fn claims(epoch: &str, sequence: u64, addresses: &BTreeSet<IpAddr>) -> BTreeMap<String, String> {
    BTreeMap::from([
        (EPOCH.to_owned(), epoch.to_owned()),
        (SEQUENCE.to_owned(), sequence.to_string()),
        (ADDRESSES.to_owned(), text(addresses)),
    ])
}

/// All that is seen of lives and claims, for ever: first all, then each change in the order of the versions.
pub fn watch(client: Client) -> impl Stream<Item = Seen> + Send {
    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let ours = watcher::Config::default().labels(&format!("{LABEL} in ({LIFE},{CLAIMS})"));
    let mut listed = Vec::new();
    events(leases, ours).filter_map(move |event| {
        let seen = match event {
            Ok(Event::Init) => {
                listed.clear();
                None
            }
            Ok(Event::InitApply(lease)) => {
                listed.extend(read(&lease));
                None
            }
            Ok(Event::InitDone) => Some(Seen::All(std::mem::take(&mut listed))),
            Ok(Event::Apply(lease)) => read(&lease).map(Seen::One),
            Ok(Event::Delete(lease)) => read(&lease).map(|record| Seen::Gone(record.kind(), record.node().to_owned())),
            Err(error) => {
                tracing::debug!(%error, "the records of those that announce cannot be watched; it is tried again");
                None
            }
        };
        std::future::ready(seen)
    })
}

#[cfg(test)]
mod tests;

//! Looks from time to time whether what Services have is what is taken for them, mends what can be mended, and tells of
//! it by events under the names of Kubernetes' repair loops.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kinds::Kind;
use kinds::document::{at, text};
use serde_json::{Value, json};
use store::{Expect, Transaction};

use crate::alloc;
use crate::api::{Api, Uncommitted};
use crate::cache::Next;
use crate::cache::object::Object;
use crate::clock;
use crate::keys;
use crate::ownership;
use crate::query::WriteOptions;
use crate::resources;
use crate::verbs::create;
use plan::{Finding, Mend, Ports, View};

/// How often everything is looked at: Kubernetes' interval.
const EVERY: Duration = Duration::from_secs(180);
/// When everything is looked at for the first time: those who wait for the server come first.
const FIRST: Duration = Duration::from_secs(10);
/// How many objects are looked at before others have a turn.
const TURN: usize = 256;
/// How many changes of addresses are read at a time.
const EVENTS: usize = 512;
/// How many findings are told in one round.
const TOLD: usize = 1000;

/// What the loop remembers from one round to the next.
#[derive(Default)]
struct Memory {
    /// What was told already: uid and note.
    told: BTreeSet<(String, String)>,
    /// Ports that were taken by nobody.
    suspected: BTreeSet<u16>,
}

/// Looks soon after the start, again and again, and at an address that somebody removed at once, until the server stops.
pub(crate) async fn keep(api: Arc<Api>) {
    let (Some(services), Some(addresses)) =
        (resources::kind("", "services"), resources::kind("networking.k8s.io", "ipaddresses"))
    else {
        return;
    };
    let mut memory = Memory::default();
    let mut changed = api.cache.subscribe(addresses);
    let mut place = api.cache.events_told(addresses);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, EVERY);
    loop {
        tokio::select! {
            () = api.stopping.cancelled() => return,
            _ = ticks.tick() => all(&api, services, addresses, &mut memory).await,
            alive = changed.changed() => match alive {
                Ok(()) => removed(&api, services, addresses, &mut place, &mut memory).await,
                Err(_) => return,
            },
        }
    }
}

/// Calls `look` with what there is.
fn with_view<T>(api: &Api, services: &'static Kind, addresses: &'static Kind, look: impl FnOnce(&View<'_>) -> T) -> T {
    let ranges = alloc::ranges(api);
    look(&View {
        in_range: &|address| ranges.iter().any(|range| range.gives(address)),
        address: &|name| api.cache.get(addresses, "", name).map(|object| object.document()),
        service: &|namespace, name| api.cache.get(services, namespace, name).map(|object| object.document()),
        is_taken: &|port| alloc::is_port_taken(api, port),
        ports: api.config.node_ports.clone(),
        now: clock::now_seconds(),
    })
}

async fn all(api: &Api, services: &'static Kind, addresses: &'static Kind, memory: &mut Memory) {
    let before = std::mem::take(&mut memory.told);
    let mut ports = Ports::default();
    for objects in api.cache.list(services, "").objects.chunks(TURN) {
        let found: Vec<_> = with_view(api, services, addresses, |view| {
            let findings = objects.iter().map(|object| {
                let document = object.document();
                let mut findings = plan::addresses_of(&document, view);
                findings.extend(ports.of_service(&document, view));
                (object.clone(), findings)
            });
            findings.filter(|(_, findings)| !findings.is_empty()).collect()
        });
        for (object, findings) in found {
            settle(api, services, &object, findings, memory, &before).await;
        }
        tokio::task::yield_now().await;
    }
    for objects in api.cache.list(addresses, "").objects.chunks(TURN) {
        let found: Vec<_> = with_view(api, services, addresses, |view| {
            let findings =
                objects.iter().filter_map(|object| Some((object.clone(), plan::of_address(&object.document(), view)?)));
            findings.collect()
        });
        for (object, finding) in found {
            settle(api, addresses, &object, vec![finding], memory, &before).await;
        }
        tokio::task::yield_now().await;
    }
    leaked_ports(api, &ports, memory).await;
}

/// Gives back ports that no Service has, when they were nobody's the last time too: a Service may have come since the
/// Services were looked at.
async fn leaked_ports(api: &Api, ports: &Ports, memory: &mut Memory) {
    let nobodys: BTreeSet<u16> =
        alloc::taken_ports(api).into_iter().filter(|port| !ports.seen.contains_key(port)).collect();
    for port in nobodys.intersection(&memory.suspected) {
        tracing::warn!(port, "a node port is taken by no Service, and is given back");
        api.metrics.port_mended("leak");
        mended(api.commit(Transaction::new().delete(alloc::port_key(*port))).await);
    }
    memory.suspected = nobodys;
}

/// Looks at what was removed: a Service that has the address still must keep it.
async fn removed(api: &Api, services: &'static Kind, addresses: &'static Kind, place: &mut u64, memory: &mut Memory) {
    loop {
        let Next::Events { events, place: next, .. } = api.cache.next(addresses, *place, EVENTS) else {
            // Too much has happened to tell what; the next round looks at everything.
            *place = api.cache.events_told(addresses);
            return;
        };
        if events.is_empty() {
            return;
        }
        *place = next;
        for gone in events.iter().filter_map(|event| event.gone.as_ref().filter(|_| event.current.is_none())) {
            let document = gone.document();
            let parent = at(at(&document, "spec"), "parentRef");
            let Some(service) = api.cache.get(services, text(parent, "namespace"), text(parent, "name")) else {
                continue;
            };
            let findings = with_view(api, services, addresses, |view| plan::addresses_of(&service.document(), view));
            settle(api, services, &service, findings, memory, &BTreeSet::new()).await;
        }
    }
}

/// Mends what was found of an object, and tells of it, but not twice of the same.
async fn settle(
    api: &Api,
    kind: &'static Kind,
    object: &Object,
    findings: Vec<Finding>,
    memory: &mut Memory,
    before: &BTreeSet<(String, String)>,
) {
    let document = object.document();
    for finding in findings {
        match finding.action {
            "PortAllocation" => api.metrics.port_mended(finding.kind),
            _ => api.metrics.address_mended(finding.kind),
        }
        if let Some(transaction) = transaction(api, kind, object, &document, finding.mend) {
            mended(api.commit(transaction).await);
        }
        if finding.reason.is_empty() || memory.told.len() >= TOLD {
            continue;
        }
        let said = (text(at(&document, "metadata"), "uid").to_owned(), finding.note.clone());
        if !before.contains(&said) && !memory.told.contains(&said) {
            tell(api, kind, &document, &finding).await;
        }
        memory.told.insert(said);
    }
}

/// Who changed what was to be mended has it looked at again by that.
fn mended(outcome: Result<store::Commit, Uncommitted>) {
    if let Err(Uncommitted::Failed(status)) = outcome {
        tracing::warn!(why = status.message, "what is taken for a Service could not be mended, it is tried again");
    }
}

/// The transaction that mends: nothing of it happens when what was looked at is another meanwhile.
fn transaction(api: &Api, kind: &Kind, object: &Object, document: &Value, mend: Mend) -> Option<Transaction> {
    let key = keys::object(kind, &object.namespace, &object.name);
    let unchanged = Transaction::new().expect(key.as_str(), Expect::Revision(object.revision));
    match mend {
        Mend::Nothing => None,
        Mend::GiveBack => Some(unchanged.delete(key.as_str())),
        Mend::TakePort(port) => {
            let taken = alloc::port_key(port);
            let owner = Bytes::from(keys::inside(&object.namespace, &object.name));
            Some(unchanged.expect(taken.as_str(), Expect::Absent).put(taken.as_str(), owner))
        }
        Mend::Take(address) => {
            let (taken, value) = alloc::claim(document, address)
                .inspect_err(|status| tracing::warn!(%address, why = status.message, "an address cannot be taken"))
                .ok()?;
            let addresses = resources::kind("networking.k8s.io", "ipaddresses")?;
            let holder = api.cache.get(addresses, "", &address.to_string());
            let expect = holder.map_or(Expect::Absent, |holder| Expect::Revision(holder.revision));
            Some(unchanged.expect(taken.as_str(), expect).put(taken.as_str(), value))
        }
    }
}

/// Writes an event about an object.
async fn tell(api: &Api, kind: &Kind, document: &Value, finding: &Finding) {
    let Some(events) = resources::kind("", "events") else { return };
    let metadata = at(document, "metadata");
    let (namespace, name) = (text(metadata, "namespace"), text(metadata, "name"));
    let component = match finding.action {
        "PortAllocation" => "portallocator-repair-controller",
        _ => "ipallocator-repair-controller",
    };
    // Events about objects of the cluster are kept in `default`.
    let place = if namespace.is_empty() { "default" } else { namespace };
    let now = jiff::Timestamp::now();
    // A name may have no colons, as addresses of IPv6 have.
    let name_of_event = format!("{}.{:x}", name.replace(':', "-"), now.as_nanosecond());
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "namespace": place, "name": name_of_event },
        "involvedObject": {
            "apiVersion": kind.api_version(), "kind": kind.kind, "namespace": namespace, "name": name,
            "uid": text(metadata, "uid"), "resourceVersion": text(metadata, "resourceVersion"),
        },
        "reason": finding.reason, "message": finding.note, "type": "Warning", "action": finding.action,
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "reportingComponent": component, "reportingInstance": component, "source": {},
    });
    let options = WriteOptions { manager: ownership::SERVER.to_owned(), ..WriteOptions::default() };
    if let Err(status) = create::create(api, events, place, event, &options).await {
        tracing::warn!(why = status.message, reason = finding.reason, "an event was not written");
    }
}

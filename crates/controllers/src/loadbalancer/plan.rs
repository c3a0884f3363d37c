//! Which addresses a Service of type LoadBalancer shows in its status, and what it says of them.

use std::net::IpAddr;

use ::loadbalancer::book::{Book, Refusal};
use ::loadbalancer::selector::Labels;
use ::loadbalancer::settings::{CLASS, Settings};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::condition::{self, ADDRESS, READY, Said};
use super::request::{WishError, request, shown};
use crate::cache::Key;
use crate::change::{Change, Note, Part, Reference, SERVICES};
use crate::objects::Meta;

/// Keeps a Service from going until its addresses are taken back.
pub const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// What to say before anything is done.
    pub before: Option<Note>,
    /// The writes, one after the other.
    pub changes: Vec<Change>,
    /// What to say when they are done.
    pub after: Option<Note>,
    /// Then the addresses that the Service keeps; all others are free again. `None`: nothing changes.
    pub keep: Option<Vec<IpAddr>>,
    /// Whether the Service waits for an address to become free.
    pub waits: bool,
}

/// What is known when a plan is made.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What was chosen; `None`: nothing, so that this cluster has no load balancer of ours.
    pub settings: Option<&'a Settings>,
    /// The labels of the Service's namespace.
    pub namespace: &'a Labels,
    /// The time.
    pub now: Timestamp,
}

/// Whether a Service is of type LoadBalancer.
pub fn is_balanced(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"))
}

/// The class of a Service.
pub fn class(service: &Service) -> Option<&str> {
    service.spec.as_ref().and_then(|spec| spec.load_balancer_class.as_deref())
}

/// Whether a Service is this controller's business: by its class, or because it was.
pub fn is_ours(service: &Service, settings: Option<&Settings>) -> bool {
    let by_class = match settings {
        Some(settings) => settings.is_ours(class(service)),
        None => class(service).is_none_or(|class| class == CLASS),
    };
    by_class || condition::held(service, ADDRESS).is_some()
}

/// Makes the plan. Addresses that it gives to the Service are the Service's in the book from then on; those that it
/// takes away are free only when [`Plan::keep`] is carried out, after the writes.
pub fn plan(service: &Service, book: &mut Book<Key>, known: Known<'_>) -> Plan {
    if !is_ours(service, known.settings) {
        return Plan::default();
    }
    if !is_balanced(service) || service.deleting() {
        // Where nothing was chosen, the finalizer of a Service that we never saw is another's.
        let was_ours = condition::held(service, ADDRESS).is_some() || !book.addresses(&Key::of(service)).is_empty();
        return if known.settings.is_some() || was_ours { clean_up(service, book) } else { Plan::default() };
    }
    let Some(settings) = known.settings else {
        // Perhaps somebody else gives the addresses here.
        let why = "nobody gives addresses to load balancers in this cluster".to_owned();
        let refused = refused(service, "NoController", why, cure("NoController"), known.now);
        return if shown(service).is_empty() { refused } else { Plan::default() };
    };
    if !settings.is_ours(class(service)) {
        // It was ours and is not any more: what it shows stays until it goes.
        return Plan::default();
    }
    let wish = match request(service, known.namespace) {
        Ok(wish) => wish,
        Err(error) => return unreadable(service, &error, known.now),
    };
    match book.assign(&wish) {
        Ok(addresses) => ensure(service, &addresses, book, known.now),
        Err(refusal) => {
            let reason = reason(&refusal);
            refused(service, reason, refusal.to_string(), cure(reason), known.now)
        }
    }
}

/// The word for a refusal.
fn reason(refusal: &Refusal<Key>) -> &'static str {
    match refusal {
        Refusal::NoPool(_) => "NoPool",
        Refusal::Exhausted { .. } => "PoolExhausted",
        Refusal::NotInPool { .. } => "AddressNotInPool",
        Refusal::InUse { .. } => "AddressInUse",
        Refusal::WrongFamily { .. } => "WrongFamily",
    }
}

/// What helps.
fn cure(reason: &str) -> &'static str {
    match reason {
        "NoPool" => "add a pool to the ConfigMap kube-system/portolan-load-balancer, or choose another",
        "PoolExhausted" => {
            "delete a Service of type LoadBalancer, or add addresses to the pool (ConfigMap kube-system/portolan-load-balancer, or --load-balancer-pool)"
        }
        "AddressNotInPool" => "choose an address of a pool that is for this Service, or ask for none",
        "AddressInUse" => {
            "choose another address, ask for none, or let both share it with the annotation portolan.dev/allow-shared-ip"
        }
        "WrongFamily" => "choose an address of another family, or change spec.ipFamilies",
        "InvalidRequest" => "mend or remove it",
        _ => "make the ConfigMap kube-system/portolan-load-balancer with pools, or install another load balancer",
    }
}

fn unreadable(service: &Service, error: &WishError, now: Timestamp) -> Plan {
    refused(service, "InvalidRequest", error.to_string(), cure("InvalidRequest"), now)
}

/// A Service that gets nothing says why, once. What it has it keeps.
fn refused(service: &Service, reason: &'static str, why: String, cure: &str, now: Timestamp) -> Plan {
    let said = Said { kind: ADDRESS, status: "False", reason, message: format!("{why}: {cure}") };
    let Some(condition) = said.news(service, now) else { return Plan { waits: true, ..Plan::default() } };
    Plan {
        after: Some(Note::warning(Reference::to(SERVICES, service), reason, said.message)),
        changes: vec![status(service, &json!({"conditions": [condition]}))],
        waits: true,
        ..Plan::default()
    }
}

fn status(service: &Service, status: &Value) -> Change {
    let patch = json!({"metadata": {"uid": service.uid()}, "status": status});
    Change::strategic(SERVICES, service, Part::Status, patch)
}

/// What a Service says that has its addresses.
fn assigned(addresses: &[IpAddr], book: &Book<Key>) -> Said {
    let pools: Vec<&str> = addresses.iter().filter_map(|address| Some(book.pool_of(*address)?.name.as_str())).collect();
    if pools.len() == addresses.len() {
        let mut names = pools;
        names.dedup();
        let message = format!("of the pool {}", names.join(" and "));
        return Said { kind: ADDRESS, status: "True", reason: "Assigned", message };
    }
    let message = "it keeps an address that is in no pool any more: add it to one, or ask for another".to_owned();
    Said { kind: ADDRESS, status: "True", reason: "AddressNotInPool", message }
}

fn ensure(service: &Service, addresses: &[IpAddr], book: &Book<Key>, now: Timestamp) -> Plan {
    let mut changes = Vec::new();
    if !service.has_finalizer(FINALIZER) {
        let mut finalizers = service.metadata.finalizers.clone().unwrap_or_default();
        finalizers.push(FINALIZER.to_owned());
        changes.push(set_finalizers(service, &finalizers));
    }
    let wanted: Vec<_> = addresses.iter().map(|address| json!({"ip": address.to_string(), "ipMode": "VIP"})).collect();
    let found = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let found = found.and_then(|status| status.ingress.as_ref()).map(crate::change::document);
    let same = found.is_some_and(|found| found == json!(wanted));
    let said = assigned(addresses, book);
    let condition = said.news(service, now);
    let mut news = json!({});
    if !same {
        news["loadBalancer"] = json!({"ingress": wanted});
    }
    if let Some(condition) = &condition {
        news["conditions"] = json!([condition]);
    }
    let gives = !same || !changes.is_empty();
    if news != json!({}) {
        changes.push(status(service, &news));
    }
    let note = |reason, message: &str| Note::normal(Reference::to(SERVICES, service), reason, message);
    let strange = condition.is_some() && said.reason != "Assigned";
    let after = match (strange, gives) {
        (true, _) => Some(Note::warning(Reference::to(SERVICES, service), said.reason, said.message)),
        (false, true) => Some(note("EnsuredLoadBalancer", "Ensured load balancer")),
        (false, false) => None,
    };
    Plan {
        before: gives.then(|| note("EnsuringLoadBalancer", "Ensuring load balancer")),
        changes,
        after,
        keep: Some(addresses.to_vec()),
        waits: false,
    }
}

/// Takes back what a Service has that no longer wants it.
fn clean_up(service: &Service, book: &Book<Key>) -> Plan {
    let owns = !book.addresses(&Key::of(service)).is_empty();
    let mut changes = Vec::new();
    if service.has_finalizer(FINALIZER) {
        let finalizers = service.metadata.finalizers.iter().flatten();
        let others: Vec<String> = finalizers.filter(|f| *f != FINALIZER).cloned().collect();
        changes.push(set_finalizers(service, &others));
    }
    // The server clears the addresses itself when the type changes; an object that ends keeps its status to the end.
    let mut news = json!({});
    if !service.deleting() {
        if (owns || !changes.is_empty()) && !shown(service).is_empty() {
            news["loadBalancer"] = json!({"ingress": null});
        }
        let gone: Vec<Value> = [ADDRESS, READY].iter().filter_map(|kind| condition::gone(service, kind)).collect();
        if !gone.is_empty() {
            news["conditions"] = json!(gone);
        }
    }
    let gives_back = owns || !changes.is_empty();
    if news != json!({}) {
        changes.push(status(service, &news));
    }
    let note = |reason, message: &str| Note::normal(Reference::to(SERVICES, service), reason, message);
    let news = gives_back && !changes.is_empty();
    Plan {
        before: news.then(|| note("DeletingLoadBalancer", "Deleting load balancer")),
        changes,
        after: news.then(|| note("DeletedLoadBalancer", "Deleted load balancer")),
        keep: owns.then(Vec::new),
        waits: false,
    }
}

fn set_finalizers(service: &Service, finalizers: &[String]) -> Change {
    // The list is replaced as a whole, so it must still be the one that was read.
    let finalizers = if finalizers.is_empty() { json!(null) } else { json!(finalizers) };
    let patch = json!({"metadata": {"resourceVersion": service.resource_version(), "finalizers": finalizers}});
    Change::merge(SERVICES, service, Part::Main, patch)
}

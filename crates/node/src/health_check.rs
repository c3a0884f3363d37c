//! Health-check node ports: how a load balancer learns which nodes have endpoints of a Service whose traffic must stay
//! on its node (`externalTrafficPolicy: Local`). Body, headers and codes are kube-proxy's.
//!
//! [`HealthChecks`] hears of Services and says which ports are wanted; [`keep`] opens and closes them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dataplane::model::{self, Model, NamespacedName, TrafficPolicy};
use dataplane::{SyncError, SyncReport, route};
use futures::FutureExt;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::events::{About, Told};
use crate::follow::ObjectKey;
use crate::health::{Health, Moment};
use crate::http::{self, Answer};
use crate::services::Listener;
use crate::views::Service;

/// How long to wait before a port that could not be had is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// kube-proxy's own word.
const REASON: &str = "FailedToStartServiceHealthcheck";

/// What is answered for one Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// At which port.
    pub port: u16,
    /// How many ready endpoints this node has.
    pub local_endpoints: usize,
}

/// Every Service that has a health-check node port.
pub type Checks = BTreeMap<NamespacedName, Check>;

/// Hears of Services, and tells which ports are wanted with how many endpoints behind them.
#[derive(Debug)]
pub struct HealthChecks {
    checks: Checks,
    /// Services whose endpoints are to be counted again.
    touched: BTreeSet<NamespacedName>,
    tell: watch::Sender<Checks>,
}

impl HealthChecks {
    /// With none yet.
    pub fn new(tell: watch::Sender<Checks>) -> Self {
        Self { checks: Checks::new(), touched: BTreeSet::new(), tell }
    }
}

impl Listener for HealthChecks {
    fn set_service(&mut self, key: &ObjectKey, _: &Service, traffic: Option<&model::Service>) {
        let local = traffic.filter(|s| s.is_proxied() && s.external_policy == TrafficPolicy::Local);
        let name = NamespacedName::new(&key.0, &key.1);
        match local.and_then(|service| service.health_check_port) {
            Some(port) => {
                self.checks.entry(name.clone()).or_insert(Check { port: 0, local_endpoints: 0 }).port = port.get();
                self.touched.insert(name);
            }
            None => drop(self.checks.remove(&name)),
        }
    }

    fn remove_service(&mut self, key: &ObjectKey) {
        self.checks.remove(&NamespacedName::new(&key.0, &key.1));
    }

    fn touched(&mut self, service: &NamespacedName) {
        if self.checks.contains_key(service) {
            self.touched.insert(service.clone());
        }
    }

    fn synced(&mut self, _: &Result<SyncReport, SyncError>, model: &Model) {
        for name in std::mem::take(&mut self.touched) {
            if let Some(check) = self.checks.get_mut(&name) {
                check.local_endpoints = route::local_endpoints(model, &name).unwrap_or_default();
            }
        }
        self.tell.send_if_modified(|held| {
            let changed = *held != self.checks;
            if changed {
                held.clone_from(&self.checks);
            }
            changed
        });
    }
}

/// Where ports are opened, of which there may be none yet: the addresses at which node ports answer.
pub type Addresses = Arc<dyn Fn() -> Vec<IpAddr> + Send + Sync>;

/// A port that is open, at all its addresses.
struct Open {
    port: u16,
    addresses: Vec<IpAddr>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Open {
    /// Returns when the port is free again.
    async fn close(self) {
        self.stop.cancel();
        for task in self.tasks {
            // A task that panicked holds no port either.
            let _ = task.await;
        }
    }
}

/// Keeps the ports that are wanted open, until told to stop. `tell` is told once of each that cannot
/// be had, which is tried again.
pub async fn keep(
    mut checks: watch::Receiver<Checks>,
    addresses: Addresses,
    health: Arc<Health>,
    tell: mpsc::Sender<Told>,
    stop: CancellationToken,
) {
    let mut open: BTreeMap<NamespacedName, Open> = BTreeMap::new();
    let mut refused: BTreeMap<NamespacedName, String> = BTreeMap::new();
    loop {
        let wanted = checks.borrow_and_update().clone();
        let here = if wanted.is_empty() { Vec::new() } else { addresses() };
        let keeps = |name: &NamespacedName, held: &Open| {
            wanted.get(name).is_some_and(|check| check.port == held.port) && held.addresses == here
        };
        let gone: Vec<_> = open.iter().filter(|(name, held)| !keeps(name, held)).map(|(n, _)| n.clone()).collect();
        for name in gone {
            if let Some(held) = open.remove(&name) {
                held.close().await;
            }
        }
        refused.retain(|name, _| wanted.contains_key(name));
        for (name, check) in wanted.iter().filter(|_| !here.is_empty()) {
            if open.contains_key(name) {
                continue;
            }
            match listen(name, check.port, &here, &checks, &health).await {
                Ok(held) => {
                    refused.remove(name);
                    open.insert(name.clone(), held);
                }
                Err(message) if refused.get(name) != Some(&message) => {
                    tracing::warn!(service = %name, message, "a health-check node port cannot be served; it is tried again");
                    refused.insert(name.clone(), message.clone());
                    // When nobody takes it in time the log has it.
                    let about = About::Service(name.clone());
                    let _ = tell.try_send(Told { about, reason: REASON, action: "Listen", message });
                }
                Err(_) => {}
            }
        }
        let missing = wanted.keys().any(|name| !open.contains_key(name));
        tokio::select! {
            () = stop.cancelled() => break,
            changed = checks.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(RETRY_AFTER), if missing => {}
        }
    }
    for (_, held) in open {
        held.close().await;
    }
}

/// Opens a port at all addresses, or at none.
async fn listen(
    name: &NamespacedName,
    port: u16,
    addresses: &[IpAddr],
    checks: &watch::Receiver<Checks>,
    health: &Arc<Health>,
) -> Result<Open, String> {
    let mut listeners = Vec::new();
    for address in addresses {
        let address = SocketAddr::new(*address, port);
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|error| format!("health check of {name}: listening on {address}: {error}"))?);
    }
    let stop = CancellationToken::new();
    let serve = |listener| {
        let (name, checks, health) = (name.clone(), checks.clone(), health.clone());
        let responder: http::Responder = Arc::new(move |_| {
            let count = checks.borrow().get(&name).map_or(0, |check| check.local_endpoints);
            std::future::ready(answer(&name, count, health.is_healthy(Moment::now()))).boxed()
        });
        tokio::spawn(http::serve(listener, responder, stop.clone()))
    };
    let tasks = listeners.into_iter().map(serve).collect();
    Ok(Open { port, addresses: addresses.to_vec(), stop, tasks })
}

/// The answer to a health check, in kube-proxy's own layout.
fn answer(service: &NamespacedName, local_endpoints: usize, healthy: bool) -> Answer {
    let good = local_endpoints > 0 && healthy;
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": {:?},\n\t\t\"name\": {:?}\n\t}},\n\t\"localEndpoints\": {local_endpoints},\n\t\"serviceProxyHealthy\": {healthy}\n}}",
        service.namespace(),
        service.name(),
    );
    let mut answer = http::answer(status, "application/json", body);
    answer.headers_mut().insert(WEIGHT, HeaderValue::from(local_endpoints));
    answer
}

/// The header in which a balancer finds how much traffic a node should get, relative to others.
const WEIGHT: hyper::header::HeaderName = hyper::header::HeaderName::from_static("x-load-balancing-endpoint-weight");

#[cfg(test)]
mod tests;

//! `portolan lb status`: every address of a load balancer, and the nodes that announce. All of it is read from the API:
//! Services, and the leases that nodes write.

mod table;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use loadbalancer::report::{ANNOTATION, EPOCH, LABEL, LIFE, NAMESPACE, REPORT, Report, name};
use serde::Serialize;

use crate::agent;
use crate::cli::{Lb, LbAction};
use crate::stdio;

/// The condition that says whether an address answers.
const READY: &str = "portolan.dev/LoadBalancerReady";
/// The condition that says whether there is an address.
const ADDRESS: &str = "portolan.dev/LoadBalancerAddress";

/// All that is shown.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Each address of each Service, in order; and Services that wait for one.
    pub addresses: Vec<Address>,
    /// The nodes that announce, or did.
    pub nodes: Vec<Node>,
}

/// An address of a Service.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The address; absent where the Service waits for one.
    pub address: Option<String>,
    /// `NAMESPACE/NAME`
    pub service: String,
    /// The node that answers for it.
    pub node: Option<String>,
    /// Since when (RFC 3339).
    pub since: Option<String>,
    /// Whether it answers, or why not: `True`, `False`, `Unknown`.
    pub ready: Option<String>,
    /// In a word.
    pub reason: Option<String>,
    /// In full.
    pub message: Option<String>,
}

/// A node that announces.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it does now; else it left, or was silent and its epoch was ended.
    pub announces: bool,
    /// When it said so last, by its own clock (RFC 3339).
    pub renewed: Option<String>,
    /// How many addresses it answers for.
    pub held: usize,
    /// How many addresses of others it sees answered.
    pub seen: usize,
    /// The interfaces on which it announces, each with its Ethernet address.
    pub interfaces: BTreeMap<String, String>,
    /// The routers that it speaks to, each with how far the session is.
    pub routers: BTreeMap<String, String>,
}

/// Runs `portolan lb`.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn run(args: Lb) -> Result<()> {
    let client = agent::client(args.kubeconfig.as_deref().map(|path| ("--kubeconfig", path))).await?;
    let LbAction::Status { json } = args.action;
    let (everything, ours) = (ListParams::default(), ListParams::default().labels(LABEL));
    let services: Api<Service> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let services = services.list(&everything).await.context("Services cannot be listed")?.items;
    let leases = leases.list(&ours).await.with_context(|| format!("leases in {NAMESPACE} cannot be listed"))?.items;
    let status = status(&services, &leases);
    let text = if json {
        let mut text = serde_json::to_string_pretty(&status)?;
        text.push('\n');
        text
    } else {
        table::show(&status, k8s_openapi::jiff::Timestamp::now())
    };
    Ok(stdio::print(text.as_bytes())?)
}

/// What these objects say.
pub fn status(services: &[Service], leases: &[Lease]) -> Status {
    let of = |which: &'static str| {
        let prefix = name(which, "");
        let ours = leases.iter().filter(move |lease| lease.labels().get(LABEL).is_some_and(|label| label == which));
        ours.filter_map(move |lease| Some((lease.name_any().strip_prefix(&prefix)?.to_owned(), lease)))
    };
    let mut reports: BTreeMap<String, Report> = BTreeMap::new();
    let mut nodes = Vec::new();
    for (node, lease) in of(REPORT) {
        let text = lease.annotations().get(ANNOTATION).map(String::as_str).unwrap_or_default();
        // One that cannot be read is of another version, and says nothing.
        reports.insert(node, serde_json::from_str(text).unwrap_or_default());
    }
    for (name, lease) in of(LIFE) {
        let epoch = lease.annotations().get(EPOCH).filter(|epoch| !epoch.is_empty());
        // What was reported in another epoch holds no more.
        reports.retain(|node, report| *node != name || Some(&report.epoch) == epoch);
        let report = reports.get(&name).cloned().unwrap_or_default();
        nodes.push(Node {
            announces: epoch.is_some(),
            renewed: lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0.to_string()),
            held: report.held.len(),
            seen: report.seen.len(),
            interfaces: report.interfaces,
            routers: report.routers,
            name,
        });
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut addresses: Vec<Address> = services.iter().flat_map(|service| of_service(service, &reports)).collect();
    addresses.sort_by(|a, b| {
        let order = |address: &Address| {
            let parsed = address.address.as_ref().and_then(|text| text.parse::<std::net::IpAddr>().ok());
            (parsed.is_none(), parsed, address.service.clone())
        };
        order(a).cmp(&order(b))
    });
    Status { addresses, nodes }
}

/// The addresses of a Service of type LoadBalancer; one without an address for a Service that has none.
fn of_service(service: &Service, reports: &BTreeMap<String, Report>) -> Vec<Address> {
    if service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) != Some("LoadBalancer") {
        return Vec::new();
    }
    let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let shown: Vec<&String> = ingress.into_iter().flatten().filter_map(|ingress| ingress.ip.as_ref()).collect();
    let kind = if shown.is_empty() { ADDRESS } else { READY };
    let mut conditions = service.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let condition = conditions.find(|condition| condition.type_ == kind);
    let line = |address: Option<&String>| {
        let parsed = address.and_then(|text| text.parse().ok());
        let holder = reports.iter().find_map(|(node, report)| Some((node, report.held.get(&parsed?)?)));
        Address {
            address: address.cloned(),
            service: format!("{}/{}", service.namespace().unwrap_or_default(), service.name_any()),
            node: holder.map(|(node, _)| node.clone()),
            since: holder.map(|(_, since)| since.clone()),
            ready: condition.map(|condition| condition.status.clone()),
            reason: condition.map(|condition| condition.reason.clone()),
            message: condition.map(|condition| condition.message.clone()),
        }
    };
    if shown.is_empty() { vec![line(None)] } else { shown.into_iter().map(|address| line(Some(address))).collect() }
}

#[cfg(test)]
mod tests;

//! Whether a Service's addresses are answered for, by the word of the nodes: the one that answers, and another that has
//! seen it answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ::loadbalancer::report::{ANNOTATION, EPOCH, LABEL, LIFE, REPORT, Report, name};

use super::condition::{READY, Said};
use crate::objects::{Lease, Meta};

/// How many nodes are named.
const NAMED: usize = 3;

/// What the nodes say that announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// The epoch of each node that announces.
    epochs: BTreeMap<String, String>,
    /// The report of each node, of whatever epoch.
    reports: BTreeMap<String, Report>,
}

/// What a lease says of a node that announces; `None`: it is something else.
fn which(lease: &Lease) -> Option<(&str, &str)> {
    let which = lease.label(LABEL)?;
    Some((which, lease.name().strip_prefix(&name(which, ""))?))
}

impl Nodes {
    /// A lease came or changed. True: it says something new.
    pub fn set(&mut self, lease: &Lease) -> bool {
        match which(lease) {
            Some((LIFE, node)) => {
                let epoch = lease.annotation(EPOCH).filter(|epoch| !epoch.is_empty());
                let old = match epoch {
                    Some(epoch) => self.epochs.insert(node.to_owned(), epoch.to_owned()),
                    None => self.epochs.remove(node),
                };
                old.as_deref() != epoch
            }
            Some((REPORT, node)) => {
                // One that cannot be read is of another version, and says nothing.
                let report: Option<Report> =
                    lease.annotation(ANNOTATION).and_then(|text| serde_json::from_str(text).ok());
                let report = report.unwrap_or_default();
                self.reports.insert(node.to_owned(), report.clone()) != Some(report)
            }
            _ => false,
        }
    }

    /// A lease is gone. True: it said something.
    pub fn remove(&mut self, lease: &Lease) -> bool {
        match which(lease) {
            Some((LIFE, node)) => self.epochs.remove(node).is_some(),
            Some((REPORT, node)) => self.reports.remove(node).is_some(),
            _ => false,
        }
    }

    fn alive(&self) -> impl Iterator<Item = (&str, &Report)> {
        self.reports
            .iter()
            .filter(|(node, report)| self.epochs.get(*node) == Some(&report.epoch))
            .map(|(n, r)| (&**n, r))
    }

    /// What a Service says whose addresses these are. `only`: the nodes with ready endpoints, where only these may
    /// announce.
    pub fn said(&self, addresses: &[IpAddr], only: Option<&BTreeSet<String>>) -> Said {
        let mut answers = Vec::new();
        for address in addresses {
            match self.of_address(*address, only) {
                Ok(answer) => answers.push(answer),
                Err(said) => return said,
            }
        }
        said("True", "Answers", answers.join("; "))
    }

    fn of_address(&self, address: IpAddr, only: Option<&BTreeSet<String>>) -> Result<String, Said> {
        let routed: BTreeSet<String> = self
            .alive()
            .filter(|(_, report)| report.routed.contains(&address))
            .map(|(node, _)| node.to_owned())
            .collect();
        if !routed.is_empty() {
            return Ok(format!("{address} is routed to {}", named(&routed)));
        }
        let Some((holder, report)) = self.alive().find(|(_, report)| report.held.contains_key(&address)) else {
            return Err(self.unheld(address, only));
        };
        let others: Vec<&Report> = self.alive().filter(|(node, _)| *node != holder).map(|(_, report)| report).collect();
        if others.is_empty() {
            let why = format!("{holder} answers for {address}, and there is no other node that could see it");
            return Err(said("Unknown", "NoOtherNode", why));
        }
        let seen: Vec<&String> = others.iter().filter_map(|report| report.seen.get(&address)).collect();
        if let Some(mac) = seen.iter().find(|mac| report.interfaces.values().any(|own| own == **mac)) {
            return Ok(format!("{address} answers on {holder} ({mac})"));
        }
        match seen.first() {
            Some(mac) => {
                let why =
                    format!("{address} is {holder}'s, but another machine answers for it ({mac}): take it from there");
                Err(said("False", "WrongAnswer", why))
            }
            None => {
                let why = format!(
                    "{holder} answers for {address}, but no other node has seen it: look at the network between the nodes"
                );
                Err(said("False", "NotSeen", why))
            }
        }
    }

    fn unheld(&self, address: IpAddr, only: Option<&BTreeSet<String>>) -> Said {
        let nobody = self.epochs.is_empty();
        let fitting = only.is_none_or(|only| self.epochs.keys().any(|node| only.contains(node)));
        match (nobody, only) {
            (true, _) => said(
                "False",
                "NoNodeCanAnnounce",
                format!(
                    "no node announces {address}: run the nodes' agents with --load-balancer, and see to it that announce.nodeSelector \
                     of the ConfigMap kube-system/portolan-load-balancer selects some"
                ),
            ),
            (false, Some(only)) if !fitting => {
                let with = if only.is_empty() { "no node".to_owned() } else { named(only) };
                let why = format!(
                    "externalTrafficPolicy is Local and {with} has ready endpoints, which does not announce: run Pods on a \
                     node that does, or set externalTrafficPolicy to Cluster"
                );
                said("False", "NoNodeCanAnnounce", why)
            }
            _ => said("False", "NotAnnounced", format!("no node has taken {address} yet")),
        }
    }
}

fn said(status: &'static str, reason: &'static str, message: String) -> Said {
    Said { kind: READY, status, reason, message }
}

/// The first few by name, and how many more.
fn named(nodes: &BTreeSet<String>) -> String {
    let first: Vec<&str> = nodes.iter().take(NAMED).map(String::as_str).collect();
    match nodes.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

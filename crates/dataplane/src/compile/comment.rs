//! What chains, sets and maps say of themselves to those who list them. Nothing depends on it: a comment is never
//! compared.

use std::borrow::Cow;

use crate::compile::key::Key;
use crate::compile::{Action, Class, Map, Pick};
use crate::route::{List, Masquerade};

impl Map {
    /// What its elements are.
    pub(super) const fn comment(self) -> &'static str {
        match self {
            Map::Classes => "how ports are served: a chain for each number",
            Map::Services => "ports of Services: the number of how each is served",
            Map::Endpoints => "who serves a port, numbered from 0; those of this node again from 0x01000000",
            Map::AffinitySlots => "the same for ports with affinity: the endpoint's number",
            Map::AffinityEndpoints => {
                "endpoints of ports with affinity, by number; those of this node again from 0x80000000"
            }
            Map::NodePorts => "node ports: the number of how each is served",
            Map::NodePortEndpoints => "who serves a node port, numbered as endpoints are",
            Map::NodePortAffinitySlots => "the same for node ports with affinity: the endpoint's number",
            Map::Affinity => "clients and ports, with the number of the endpoint at which each stays",
            Map::Sources => "who may use load balancers that have source ranges: networks, with their lengths",
            Map::ClusterIps => "cluster IPs of Services",
            Map::ServiceCidrs => "where cluster IPs are",
            Map::PodCidrs => "where Pods are",
            Map::PodInterfaces => "by which interfaces packets of Pods come",
            Map::NodePortAddresses => "where node ports answer, if the address is this node's",
            Map::Hairpins => "Pods of this node, to themselves",
            Map::LoopbackRelay => "where the relay for node ports at loopback addresses listens",
            Map::Takers => "nodes that take what is passed on, by number",
            Map::PassedOn => {
                "where all nodes choose alike: the number of the node of each slot's endpoint, if it is another"
            }
            Map::PassedConnections => "connections that are passed on, each with the node that knows it",
            Map::Connections => "ports of Services: connections that were given an endpoint",
            Map::NodePortConnections => "node ports: connections that were given an endpoint",
            Map::Refused => "ports of Services: packets that were rejected or dropped",
            Map::NodePortRefused => "node ports: packets that were rejected or dropped",
        }
    }
}

impl Class {
    /// What its chain does.
    pub(super) fn comment(&self) -> Cow<'static, str> {
        if self.sources.is_empty() { self.action.comment() } else { "first, only sources that are let in".into() }
    }
}

impl Action {
    /// What its chain does.
    pub(super) fn comment(&self) -> Cow<'static, str> {
        match self {
            Action::Reject(_) => "nobody serves".into(),
            Action::Drop(_) => "nobody of this node serves, or the source is not let in".into(),
            Action::Forward { masquerade: Masquerade::Never, pick } => pick.comment(),
            Action::Forward { masquerade: Masquerade::FromOutside, .. } => "masqueraded unless a Pod asks".into(),
            Action::Forward { masquerade: Masquerade::Always, .. } => "masqueraded".into(),
            Action::BySource { local: Some(_), .. } => {
                "Pods and this node: to all; others: to those of this node".into()
            }
            Action::BySource { local: None, .. } => "Pods and this node: to all; others: nobody of this node".into(),
        }
    }
}

impl Pick {
    /// What its chain does.
    pub(super) fn comment(&self) -> Cow<'static, str> {
        if self.is_consistent() {
            return "the same endpoint for a connection on all nodes".into();
        }
        let of = match (self.key, self.list) {
            (Key::Address, List::Cluster | List::Consistent) => "a port's",
            (Key::Address, List::Local) => "a port's of this node",
            (Key::NodePort, List::Cluster | List::Consistent) => "a node port's",
            (Key::NodePort, List::Local) => "a node port's of this node",
        };
        let affinity = self.affinity.map(|stay| format!("; a client stays for {} s", stay.seconds)).unwrap_or_default();
        format!("one of {} endpoints: {of}{affinity}", self.count).into()
    }
}

//! Whether a node may announce at all, and on which of its interfaces: by its own object and by the settings.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use kube::{Api, Client};
use loadbalancer::bgp::Peer;
use loadbalancer::selector::Labels;
use loadbalancer::settings::{Announce, Bgp, LEASE, Router, Settings};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::passwords::{self, Passwords};
use crate::follow::{Change, follow};
use crate::health::TO_BE_DELETED;
use crate::views;

/// The label of nodes that load balancers leave out (KEP-1143).
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Where the settings are: the ConfigMap's namespace and name, and the key of its data.
const SETTINGS: (&str, &str, &str) = ("kube-system", "portolan-load-balancer", "config");

/// What is known of a node as one that may announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Whether it may.
    pub admitted: bool,
    /// On these interfaces, of those that it has; none: on that of its own address.
    pub interfaces: Vec<String>,
    /// How long a renewal of its lease lasts.
    pub lease: Duration,
    /// Its own addresses, as its object says.
    pub addresses: Vec<IpAddr>,
    /// The routers that it speaks to.
    pub peers: Vec<Peer>,
    /// The prefix length at which they are told of addresses, of IPv4 and IPv6.
    pub aggregation: (u8, u8),
}

impl Default for Admission {
    fn default() -> Self {
        let (interfaces, addresses, peers) = (Vec::new(), Vec::new(), Vec::new());
        Self { admitted: false, interfaces, lease: LEASE, addresses, peers, aggregation: (32, 128) }
    }
}

/// Follows the node's object and the settings, and tells what follows from them, until told to stop. Until both are
/// known the node is not admitted.
pub async fn keep(client: Client, own: String, tell: watch::Sender<Admission>, stop: CancellationToken) {
    let (namespace, map, _) = SETTINGS;
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let nodes = follow(Api::<views::Node>::all(client.clone()), named(&own));
    let maps = follow(Api::<ConfigMap>::namespaced(client.clone(), namespace), named(map));
    let (mut nodes, mut maps) = (std::pin::pin!(nodes), std::pin::pin!(maps));
    let mut node: Option<views::Node> = None;
    // The settings that hold, once it is known whether there are any.
    let (mut chosen, mut known) = (Chosen::default(), false);
    let (want, wanted) = watch::channel(BTreeSet::new());
    let (tell_passwords, mut passwords) = watch::channel(Passwords::new());
    let kept = tokio::spawn(passwords::keep(client, wanted, tell_passwords, stop.clone()));
    let _ends_with_this = AbortOnDropHandle::new(kept);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            change = nodes.next() => match change {
                None => return,
                // A server that knows no selector would tell of every node.
                Some(Change::Set(found)) if found.metadata.name.as_deref() == Some(&own) => node = Some(found),
                Some(Change::Gone((_, gone))) if gone == own => node = None,
                Some(_) => {}
            },
            change = maps.next() => match change {
                None => return,
                Some(Change::Set(found)) if found.metadata.name.as_deref() == Some(map) => match announce(&found) {
                    Ok(found) => chosen = found,
                    // The controller says what is wrong; what was chosen before stays.
                    Err(error) => tracing::warn!(error, "the settings of load balancers cannot be used"),
                },
                Some(Change::Gone((_, gone))) if gone == map => chosen = Chosen::default(),
                Some(Change::Synced) => known = true,
                Some(_) => {}
            },
            changed = passwords.changed() => if changed.is_err() { return },
        }
        want.send_if_modified(|held| {
            let now = places(&chosen);
            let changed = *held != now;
            *held = now;
            changed
        });
        let read = passwords.borrow().clone();
        let now = node.as_ref().filter(|_| known).map(|node| admission(node, &chosen, &read)).unwrap_or_default();
        tell.send_if_modified(|held| {
            let changed = *held != now;
            *held = now;
            changed
        });
    }
}

/// What of the settings is a node's business.
type Chosen = (Announce, Option<Bgp>);

fn announce(map: &ConfigMap) -> Result<Chosen, String> {
    let (_, _, key) = SETTINGS;
    let text = map.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| format!("no key {key}"))?;
    Settings::parse(text).map(|settings| (settings.announce, settings.bgp)).map_err(|error| error.to_string())
}

/// Where the passwords are that are needed.
fn places((_, bgp): &Chosen) -> BTreeSet<passwords::Place> {
    bgp.iter().flat_map(|bgp| &bgp.peers).filter_map(|peer| peer.password_secret.clone()).collect()
}

fn admission(node: &views::Node, (chosen, bgp): &Chosen, passwords: &Passwords) -> Admission {
    let nothing = Labels::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&nothing);
    let leaves = node.metadata.deletion_timestamp.is_some()
        || node.spec.taints.iter().any(|taint| taint.key == TO_BE_DELETED)
        || labels.contains_key(EXCLUDED);
    let selected = chosen.node_selector.as_ref().is_none_or(|selector| selector.matches(labels));
    let internal = node.status.addresses.iter().filter(|address| address.kind == "InternalIP");
    let addresses: Vec<IpAddr> = internal.filter_map(|address| address.address.parse().ok()).collect();
    let admitted = selected && !leaves;
    let routers = bgp.as_ref().filter(|_| admitted);
    Admission {
        admitted,
        interfaces: chosen.interfaces.clone(),
        lease: chosen.lease,
        peers: routers.map(|bgp| peers(bgp, labels, &addresses, passwords)).unwrap_or_default(),
        aggregation: routers.map_or((32, 128), |bgp| bgp.aggregation),
        addresses,
    }
}

/// The routers that a node with these labels and addresses speaks to. It is identified by its IPv4 address. One whose
/// password is not known yet is not spoken to.
fn peers(bgp: &Bgp, labels: &Labels, addresses: &[IpAddr], passwords: &Passwords) -> Vec<Peer> {
    let own =
        addresses.iter().find_map(|address| if let IpAddr::V4(address) = address { Some(*address) } else { None });
    let Some(router) = own else {
        tracing::warn!("a node without an IPv4 address does not speak to routers: it has no identifier");
        return Vec::new();
    };
    let selected = |selector: &Option<loadbalancer::selector::Selector>| {
        selector.as_ref().is_none_or(|selector| selector.matches(labels))
    };
    let password = |found: &Router| match &found.password_secret {
        Some(place) => passwords.get(place).cloned().map(Some),
        None => Some(found.password.clone()),
    };
    let peer = |(found, password): (&Router, Option<String>)| Peer {
        address: found.address,
        peer_as: found.asn,
        local_as: bgp.asn,
        router,
        source: None,
        other_next_hop: addresses.iter().copied().find(|address| address.is_ipv4() != found.address.is_ipv4()),
        hold: found.hold,
        passive: found.passive,
        hops: found.hops,
        password,
        restart: found.restart,
        preference: found.preference,
        communities: found.communities.clone(),
        bfd: found.bfd,
    };
    let chosen = bgp.peers.iter().filter(|found| selected(&found.node_selector));
    chosen.filter_map(|found| Some((found, password(found)?))).map(peer).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_announces_unless_its_object_or_the_settings_keep_it() {
        let settings = |text: &str| {
            let settings = Settings::parse(text).unwrap();
            (settings.announce, settings.bgp)
        };
        let edge = settings(
            "{announce: {nodeSelector: {matchLabels: {role: edge}}, interfaces: [eth1]}, bgp: {as: 64512, peers: [{address: 192.0.2.1, as: 64500, nodeSelector: {matchLabels: {role: edge}}}]}}",
        );
        let nothing = Chosen::default();
        let rows = [
            (json!({}), json!([]), &nothing, true),
            (json!({EXCLUDED: ""}), json!([]), &nothing, false),
            (json!({}), json!([{"key": TO_BE_DELETED}]), &nothing, false),
            (json!({}), json!([{"key": "other"}]), &edge, false),
            (json!({"role": "edge"}), json!([]), &edge, true),
        ];
        for (labels, taints, chosen, wanted) in rows {
            let node = json!({
                "metadata": {"name": "a", "labels": labels}, "spec": {"taints": taints},
                "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}, {"type": "Hostname", "address": "a"}]},
            });
            let node: views::Node = serde_json::from_value(node).unwrap();
            let found = admission(&node, chosen, &Passwords::new());
            assert_eq!(found.admitted, wanted, "{labels} {taints}");
            assert_eq!(found.addresses, ["10.0.0.7".parse::<IpAddr>().unwrap()]);
            assert_eq!(found.interfaces, chosen.0.interfaces);
            assert_eq!(found.peers.len(), usize::from(wanted && chosen.1.is_some()));
        }
        // A router whose password is not known yet is not spoken to without it.
        let secret =
            settings("{bgp: {as: 64512, peers: [{address: 192.0.2.1, as: 64500, passwordSecret: {name: a}}]}}");
        let node = json!({"metadata": {"name": "a"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}]}});
        let node: views::Node = serde_json::from_value(node).unwrap();
        assert!(admission(&node, &secret, &Passwords::new()).peers.is_empty());
        let known = Passwords::from([(("a".to_owned(), "password".to_owned()), "portolan".to_owned())]);
        assert_eq!(admission(&node, &secret, &known).peers[0].password.as_deref(), Some("portolan"));
    }
}

//! Whether a node may announce at all, and on which of its interfaces: by its own object and by the settings.

use std::net::IpAddr;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use kube::{Api, Client};
use loadbalancer::selector::Labels;
use loadbalancer::settings::{Announce, Settings};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::{Change, follow};
use crate::health::TO_BE_DELETED;
use crate::views;

/// The label of nodes that load balancers leave out (KEP-1143).
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Where the settings are: the ConfigMap's namespace and name, and the key of its data.
const SETTINGS: (&str, &str, &str) = ("kube-system", "portolan-load-balancer", "config");

/// What is known of a node as one that may announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Whether it may.
    pub admitted: bool,
    /// On these interfaces, of those that it has; none: on that of its own address.
    pub interfaces: Vec<String>,
    /// Its own addresses, as its object says.
    pub addresses: Vec<IpAddr>,
}

/// Follows the node's object and the settings, and tells what follows from them, until told to stop. Until both are
/// known the node is not admitted.
pub async fn keep(client: Client, own: String, tell: watch::Sender<Admission>, stop: CancellationToken) {
    let (namespace, map, _) = SETTINGS;
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let nodes = follow(Api::<views::Node>::all(client.clone()), named(&own));
    let maps = follow(Api::<ConfigMap>::namespaced(client, namespace), named(map));
    let (mut nodes, mut maps) = (std::pin::pin!(nodes), std::pin::pin!(maps));
    let mut node: Option<views::Node> = None;
    // The settings that hold, once it is known whether there are any.
    let (mut chosen, mut known) = (Announce::default(), false);
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
                Some(Change::Gone((_, gone))) if gone == map => chosen = Announce::default(),
                Some(Change::Synced) => known = true,
                Some(_) => {}
            },
        }
        let now = node.as_ref().filter(|_| known).map(|node| admission(node, &chosen)).unwrap_or_default();
        tell.send_if_modified(|held| {
            let changed = *held != now;
            *held = now;
            changed
        });
    }
}

fn announce(map: &ConfigMap) -> Result<Announce, String> {
    let (_, _, key) = SETTINGS;
    let text = map.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| format!("no key {key}"))?;
    Settings::parse(text).map(|settings| settings.announce).map_err(|error| error.to_string())
}

fn admission(node: &views::Node, chosen: &Announce) -> Admission {
    let nothing = Labels::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&nothing);
    let leaves = node.metadata.deletion_timestamp.is_some()
        || node.spec.taints.iter().any(|taint| taint.key == TO_BE_DELETED)
        || labels.contains_key(EXCLUDED);
    let selected = chosen.node_selector.as_ref().is_none_or(|selector| selector.matches(labels));
    let internal = node.status.addresses.iter().filter(|address| address.kind == "InternalIP");
    Admission {
        admitted: selected && !leaves,
        interfaces: chosen.interfaces.clone(),
        addresses: internal.filter_map(|address| address.address.parse().ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_announces_unless_its_object_or_the_settings_keep_it() {
        let settings = |text: &str| Settings::parse(text).unwrap().announce;
        let edge = settings("announce: {nodeSelector: {matchLabels: {role: edge}}, interfaces: [eth1]}");
        let rows = [
            (json!({}), json!([]), &Announce::default(), true),
            (json!({EXCLUDED: ""}), json!([]), &Announce::default(), false),
            (json!({}), json!([{"key": TO_BE_DELETED}]), &Announce::default(), false),
            (json!({}), json!([{"key": "other"}]), &edge, false),
            (json!({"role": "edge"}), json!([]), &edge, true),
        ];
        for (labels, taints, chosen, wanted) in rows {
            let node = json!({
                "metadata": {"name": "a", "labels": labels}, "spec": {"taints": taints},
                "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}, {"type": "Hostname", "address": "a"}]},
            });
            let node: views::Node = serde_json::from_value(node).unwrap();
            let found = admission(&node, chosen);
            assert_eq!(found.admitted, wanted, "{labels} {taints}");
            assert_eq!(found.addresses, ["10.0.0.7".parse::<IpAddr>().unwrap()]);
            assert_eq!(found.interfaces, chosen.interfaces);
        }
    }
}

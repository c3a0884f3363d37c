//! The nodes of the cluster: routes to their Pods, and who of them is ready.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use ipnet::Ipv4Net;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::{Change, follow};
use crate::routes::Routes;
use crate::views;

/// How long to wait after the kernel refused a route.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is known of all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// This node's own Pod range, when it has been given one.
    pub pod_cidr: Option<Ipv4Net>,
    /// This node's zone.
    pub zone: Option<String>,
    /// The nodes that are ready, this one among them.
    pub ready: BTreeSet<Arc<str>>,
}

#[derive(Clone)]
struct Place {
    address: Option<Ipv4Addr>,
    pod_cidr: Option<Ipv4Net>,
    zone: Option<String>,
    ready: bool,
}

/// Follows all nodes, keeps the routes to the others' Pods, and tells what is known of them, until told to stop.
pub async fn keep(
    client: Client,
    own: String,
    mut routes: Routes,
    tell: watch::Sender<Neighbours>,
    stop: CancellationToken,
) {
    let mut changes = std::pin::pin!(follow(Api::<views::Node>::all(client), Default::default()));
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let (mut synced, mut retry) = (false, false);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => match change {
                None => return,
                Some(Change::Set(node)) => {
                    if let Some(name) = node.metadata.name.clone() {
                        places.insert(name, Place::of(&node));
                    }
                }
                Some(Change::Gone((_, name))) => {
                    places.remove(&name);
                }
                Some(Change::Synced) => synced = true,
            },
            () = tokio::time::sleep(RETRY_AFTER), if retry => {}
        }
        // Before everything was listed once, routes of an earlier process must stay.
        if !synced {
            continue;
        }
        retry = false;
        if let Err(error) = routes.set(&routes_from(&own, &places)).await {
            retry = true;
            tracing::warn!(%error, "a route to another node's Pods could not be set; it is tried again");
        }
        let now = known(&own, &places);
        tell.send_if_modified(|held| {
            let changed = *held != now;
            *held = now;
            changed
        });
    }
}

impl Place {
    fn of(node: &views::Node) -> Self {
        Self {
            address: node.internal_ip(),
            pod_cidr: node.spec.pod_cidr.as_ref().and_then(|c| c.parse().ok()),
            zone: node.zone().map(str::to_owned),
            ready: node.is_ready(),
        }
    }
}

fn routes_from(own: &str, places: &BTreeMap<String, Place>) -> BTreeMap<Ipv4Net, Ipv4Addr> {
    places.iter().filter(|(name, _)| *name != own).filter_map(|(_, p)| Some((p.pod_cidr?, p.address?))).collect()
}

fn known(own: &str, places: &BTreeMap<String, Place>) -> Neighbours {
    let here = places.get(own);
    Neighbours {
        pod_cidr: here.and_then(|p| p.pod_cidr),
        zone: here.and_then(|p| p.zone.clone()),
        ready: places.iter().filter(|(_, p)| p.ready).map(|(name, _)| name.as_str().into()).collect(),
    }
}

//! The ranges of cluster IPs, as ServiceCIDR objects say them (KEP-1880, stable since Kubernetes 1.33).

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::{Change, follow, key, reason};

/// How long to wait before a server that did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How long to wait before a server that has no ServiceCIDRs, or does not show them, is asked again: it may have been
/// replaced by a newer one.
const ASK_AGAIN: Duration = Duration::from_secs(300);

/// Follows the ServiceCIDRs and tells their ranges, sorted, until told to stop. A server that does not know them or
/// does not show them means that there are none: then packets to cluster IPs that nobody has are left alone.
pub(super) async fn keep(client: Client, tell: watch::Sender<Option<Vec<IpNet>>>, stop: CancellationToken) {
    let api: Api<ServiceCIDR> = Api::all(client);
    tokio::select! {
        () = stop.cancelled() => return,
        () = served(&api, &tell) => {}
    }
    let mut changes = std::pin::pin!(follow(api, Default::default()));
    let mut ranges: BTreeMap<String, Vec<IpNet>> = BTreeMap::new();
    let mut synced = false;
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => change,
        };
        match change {
            None => return,
            Some(Change::Set(object)) => drop(ranges.insert(key(&object).1, of(&object))),
            Some(Change::Gone((_, name))) => drop(ranges.remove(&name)),
            Some(Change::Synced) => synced = true,
        }
        if synced {
            set(&tell, sorted(ranges.values().flatten().copied()));
        }
    }
}

/// Returns when the server has ServiceCIDRs, and tells what they say; meanwhile tells that there are none.
async fn served(api: &Api<ServiceCIDR>, tell: &watch::Sender<Option<Vec<IpNet>>>) {
    let mut said = String::new();
    loop {
        let wait = match api.list(&ListParams::default()).await {
            // The agent waits for it: it need not wait for the list with which following begins.
            Ok(list) => return set(tell, sorted(list.items.iter().flat_map(of))),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                set(tell, Vec::new());
                if said != status.message {
                    tracing::info!(
                        reason = status.message,
                        "no ServiceCIDR is to be had: no range of cluster IPs is known"
                    );
                    said = status.message.clone();
                }
                ASK_AGAIN
            }
            Err(error) => {
                let error = reason(&error);
                if said != error {
                    tracing::warn!(error, "the server's ServiceCIDRs cannot be read; it is tried again");
                    said = error;
                }
                RETRY_AFTER
            }
        };
        tokio::time::sleep(wait).await;
    }
}

fn of(object: &ServiceCIDR) -> Vec<IpNet> {
    let ranges = object.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
    ranges.iter().filter_map(|range| range.parse().ok()).collect()
}

fn sorted(ranges: impl Iterator<Item = IpNet>) -> Vec<IpNet> {
    let mut sorted: Vec<IpNet> = ranges.collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

fn set(tell: &watch::Sender<Option<Vec<IpNet>>>, now: Vec<IpNet>) {
    tell.send_if_modified(|held| {
        let changed = held.as_ref() != Some(&now);
        *held = Some(now);
        changed
    });
}

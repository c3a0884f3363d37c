//! The Pods that are bound to this node: objects in, statuses and events out.

mod events;
mod statuses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use kube::{Api, Client};
use pods::updates::PodEvent;
use pods::{PodRuntime, StartError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::follow::{Change, ObjectKey, follow};
use crate::services::Known;
use crate::sources::Cluster;

/// The largest packet on a Pod's link: that of the Ethernet on which nodes meet.
const MTU: u32 = 1500;

/// The runtime, ready to be told of Pods.
pub struct Running {
    runtime: PodRuntime,
    events: mpsc::Receiver<PodEvent>,
}

/// Starts the runtime, and takes up what an earlier process left.
///
/// # Errors
/// When a directory cannot be used.
pub fn start(client: &Client, config: &Config, pod_cidr: Ipv4Net, known: Arc<Known>) -> Result<Running, StartError> {
    let cluster = Cluster::new(client.clone(), known);
    let config = pods::Config {
        node_name: config.name.clone(),
        state_dir: config.data_dir.clone(),
        run_dir: config.run_dir.clone(),
        image_dir: config.image_dir.clone(),
        program: config.program.clone(),
        pod_cidr,
        node_ip: config.address,
        mtu: MTU,
        cluster_dns: vec![config.cluster_dns.into()],
        cluster_domain: config.cluster_domain.clone(),
        resolv_conf: "/etc/resolv.conf".into(),
        cgroup_parent: config.cgroup_parent.clone(),
        timing: pods::config::Timing::default(),
        limits: pods::config::Limits::default(),
    };
    let (runtime, events) = PodRuntime::start(config, Arc::new(cluster))?;
    Ok(Running { runtime, events })
}

impl Running {
    /// The runtime, for logs and exec.
    pub fn runtime(&self) -> PodRuntime {
        self.runtime.clone()
    }

    /// Runs the Pods that are bound to a node until told to stop; the containers go on.
    pub async fn keep(self, client: Client, node: String, stop: CancellationToken) {
        let told = statuses::tell(client.clone(), self.runtime.statuses());
        let noted = events::tell(client.clone(), node.clone(), self.events);
        let bound = follow_bound(client, &node, &self.runtime);
        tokio::select! {
            () = stop.cancelled() => {}
            () = told => {}
            () = noted => {}
            () = bound => {}
        }
    }
}

async fn follow_bound(client: Client, node: &str, runtime: &PodRuntime) {
    let mine = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let mut changes = std::pin::pin!(follow(Api::<Pod>::all(client), mine));
    let mut uids: BTreeMap<ObjectKey, String> = BTreeMap::new();
    while let Some(change) = changes.next().await {
        match change {
            Change::Set(pod) => {
                let (key, uid) = (crate::follow::key(&pod), pod.metadata.uid.clone().unwrap_or_default());
                // A Pod of the same name that is another one: that the first is gone was missed while the watch was lost.
                if let Some(old) = uids.insert(key.clone(), uid.clone()).filter(|old| *old != uid) {
                    runtime.remove_pod(&old);
                }
                if let Err(error) = runtime.set_pod(pod) {
                    tracing::error!(namespace = key.0, pod = key.1, %error, "a Pod cannot be run");
                }
            }
            Change::Gone(key) => {
                if let Some(uid) = uids.remove(&key) {
                    runtime.remove_pod(&uid);
                }
            }
            Change::Synced => {
                let wanted: BTreeSet<String> = uids.values().cloned().collect();
                if let Err(error) = runtime.retain(&wanted) {
                    tracing::error!(%error, "Pods that an earlier process left cannot be removed");
                }
            }
        }
    }
}

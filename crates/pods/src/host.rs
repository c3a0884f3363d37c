//! What all Pods of a node share.

use std::net::IpAddr;
use std::path::{Component, Path};
use std::sync::Arc;
use std::{fs, io};

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Semaphore, mpsc};

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::durable::{self, Lasting};
use crate::environment::fields::Facts;
use crate::etc::Names;
use crate::images::Store;
use crate::images::store::StoreError;
use crate::layout::{self, Layout};
use crate::network::namespace;
use crate::remains::Note;
use crate::sandbox::{SandboxError, Sandboxes};
use crate::sources::Sources;
use crate::updates::{PodEvent, Statuses};

/// Events that nobody has taken yet; more are dropped.
const EVENTS: usize = 512;

/// Why a node cannot run Pods.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A directory that cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the machine said.
        source: io::Error,
    },
    /// A path that cannot be told to the kernel.
    #[error("{0:?} cannot be used: give an absolute path without `:`, `,` and `..`")]
    BadPath(std::path::PathBuf),
    /// The images.
    #[error(transparent)]
    Images(#[from] StoreError),
    /// The addresses.
    #[error(transparent)]
    Sandboxes(#[from] SandboxError),
}

/// What all Pods of a node share.
pub struct Host {
    /// As the node said.
    pub config: Config,
    /// Where everything lies.
    pub layout: Layout,
    /// The images.
    pub images: Store,
    /// Addresses and links.
    pub sandboxes: Sandboxes,
    /// Control groups.
    pub cgroups: Cgroups,
    /// ConfigMaps, Secrets and Services.
    pub sources: Arc<dyn Sources>,
    /// Room for containers that are being started.
    pub starting: Semaphore,
    /// What the agent is told.
    pub statuses: Statuses,
    events: mpsc::Sender<PodEvent>,
    cpus: u32,
    memory: u64,
}

impl Host {
    /// Opens or makes what is on disk, and lets the node forward packets.
    ///
    /// # Errors
    /// The machine refused.
    pub fn open(config: Config, sources: Arc<dyn Sources>) -> Result<(Self, mpsc::Receiver<PodEvent>), StartError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| StartError::Io { what, source }
        };
        for path in [&config.state_dir, &config.run_dir, &config.image_dir] {
            check_path(path)?;
        }
        let layout = Layout::new(&config.state_dir, &config.run_dir);
        for path in [layout.pods(), layout.running_pods()] {
            use std::os::unix::fs::DirBuilderExt;
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(failed(&format!("making {}", path.display())))?;
        }
        let note = Note { run_dir: config.run_dir.clone(), cgroup_parent: config.cgroup_parent.clone() };
        let noted = durable::write_json(&layout::note(&config.state_dir), &note, 0o600, Lasting::Process);
        noted.map_err(failed("noting the run directory"))?;
        let (cgroups, refused) = Cgroups::find(&config.cgroup_parent).map_err(failed("reading the mount table"))?;
        if !cgroups.is_usable() {
            let why: Vec<String> = refused.iter().map(ToString::to_string).collect();
            tracing::warn!(
                why = why.join("; "),
                "no control groups can be made here: limits of containers have no effect"
            );
        }
        // Parents of containers become this process' children, so that those which end are waited for by somebody.
        let adopts = nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from);
        adopts.map_err(failed("taking on orphans"))?;
        namespace::set("ipv4/ip_forward", "1").map_err(failed("letting the node forward packets"))?;
        let (events, taken) = mpsc::channel(EVENTS);
        let host = Self {
            images: Store::open(&config.image_dir)?,
            sandboxes: Sandboxes::open(config.pod_cidr, &layout.addresses(), config.node_ip, config.mtu)?,
            starting: Semaphore::new(config.limits.starting.max(1)),
            statuses: Statuses::default(),
            cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
            memory: memory().map_err(failed("reading /proc/meminfo"))?,
            config,
            layout,
            cgroups,
            sources,
            events,
        };
        Ok((host, taken))
    }

    /// The node's memory in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// What is known of a Pod with this address, and of the node.
    #[must_use]
    pub fn facts(&self, address: Option<IpAddr>) -> Facts {
        let node = IpAddr::V4(self.config.node_ip);
        Facts {
            pod_ip: address.unwrap_or(node).to_string(),
            host_ip: node.to_string(),
            node_name: self.config.node_name.clone(),
            cpus: self.cpus,
            memory: self.memory,
        }
    }

    /// What the node knows about names; `resolv_conf` is the text of its own.
    #[must_use]
    pub fn names<'a>(&'a self, resolv_conf: &'a str) -> Names<'a> {
        Names {
            cluster_dns: &self.config.cluster_dns,
            cluster_domain: &self.config.cluster_domain,
            resolv_conf,
            node_name: &self.config.node_name,
        }
    }

    /// Tells of something that happened. Where nobody listens, it is dropped: an Event is a courtesy.
    pub fn event(&self, pod: &Pod, field: String, warning: bool, reason: &'static str, message: String) {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let meta = &pod.metadata;
        let (uid, namespace, name) = (text(&meta.uid), text(&meta.namespace), text(&meta.name));
        tracing::debug!(namespace, name, field, reason, message, "event");
        let event = PodEvent { uid, namespace, name, field, warning, reason, message };
        if self.events.try_send(event).is_err() {
            tracing::debug!(reason, "an event was dropped: nobody takes them");
        }
    }
}

/// Paths become mount options, where a colon or a comma ends them.
fn check_path(path: &Path) -> Result<(), StartError> {
    let plain = path.components().all(|c| !matches!(c, Component::ParentDir));
    let text = path.to_str().is_some_and(|text| !text.contains([':', ',', '\\', '"']));
    if path.is_absolute() && plain && text { Ok(()) } else { Err(StartError::BadPath(path.to_owned())) }
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn memory() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib = total.and_then(|t| t.trim().strip_suffix("kB")).and_then(|n| n.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

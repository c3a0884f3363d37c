//! What all containers of a Pod share: namespaces, address, shared memory. It stands without a process, so nothing of it
//! ends with the node's.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use nix::mount::{MsFlags, mount};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::bundle::Namespaces;
use crate::durable::{self, Lasting};
use crate::layout::PodDir;
use crate::mounts;
use crate::network::addresses::{Addresses, AllocateError};
use crate::network::link::{self, LinkError};
use crate::network::namespace;

/// A sandbox that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The Pod's own address; none on the node's network.
    pub address: Option<Ipv4Addr>,
    /// The node's end of the Pod's link.
    pub link: Option<String>,
    /// The Pod's host name.
    pub hostname: String,
    /// Whether it has its own message queues and semaphores.
    pub own_ipc: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a sandbox has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The Pod's host name.
    pub hostname: String,
    /// Whether it is on the node's network.
    pub host_network: bool,
    /// Whether it shares the node's message queues and semaphores.
    pub host_ipc: bool,
    /// Sysctls of the network, beneath `/proc/sys/net`, with their values.
    pub sysctls: Vec<(String, String)>,
}

/// Why a sandbox was not made or not removed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// No address.
    #[error(transparent)]
    Address(#[from] AllocateError),
    /// The link or a namespace.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A file, directory or mount.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the machine said.
        source: io::Error,
    },
}

/// The node's side of every sandbox.
#[derive(Debug)]
pub struct Sandboxes {
    addresses: Mutex<Addresses>,
    gateway: Ipv4Addr,
    node_ip: Ipv4Addr,
    mtu: u32,
}

impl Sandboxes {
    /// Of a node with this range of addresses, whose use is kept in a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(range: Ipv4Net, ledger: &Path, node_ip: Ipv4Addr, mtu: u32) -> Result<Self, SandboxError> {
        let addresses = Addresses::open(range, ledger.to_owned())?;
        Ok(Self { gateway: addresses.gateway(), addresses: Mutex::new(addresses), node_ip, mtu })
    }

    /// Makes a Pod's sandbox. Blocks for some milliseconds. What was made before an error is removed again.
    ///
    /// # Errors
    /// No address is free, or the machine refused something.
    pub fn create(&self, dir: &PodDir, uid: &str, wanted: &Wanted) -> Result<Sandbox, SandboxError> {
        self.destroy(dir, uid)?;
        let made = self.make(dir, uid, wanted);
        if made.is_err() {
            self.destroy(dir, uid)?;
        }
        made
    }

    /// The sandbox that a node before this one made, when it still stands whole. Looks at links of the calling thread's
    /// network namespace, which has to be the node's.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn find(dir: &PodDir) -> Result<Option<Sandbox>, SandboxError> {
        let sandbox: Option<Sandbox> = durable::read_json(&dir.sandbox()).map_err(io("reading the sandbox"))?;
        let stands = |s: &Sandbox| {
            let pinned = |kind: &str| namespace::is_pinned(&dir.namespace(kind));
            // A link goes with the node's own namespace, which may be another one now.
            let linked = |link: &String| nix::net::if_::if_nametoindex(link.as_str()).is_ok() && pinned("net");
            s.link.as_ref().is_none_or(linked) && pinned("uts") && (!s.own_ipc || pinned("ipc"))
        };
        Ok(sandbox.filter(stands))
    }

    /// The namespaces as containers join them.
    #[must_use]
    pub fn namespaces(dir: &PodDir, sandbox: &Sandbox) -> Namespaces {
        Namespaces {
            net: sandbox.link.is_some().then(|| dir.namespace("net")),
            uts: Some(dir.namespace("uts")),
            ipc: sandbox.own_ipc.then(|| dir.namespace("ipc")),
        }
    }

    /// Removes a Pod's sandbox and takes its address back. What is not there is no error. No container may be left.
    ///
    /// # Errors
    /// The machine refused something; then the address stays the Pod's.
    pub fn destroy(&self, dir: &PodDir, uid: &str) -> Result<(), SandboxError> {
        on_own_thread(|| link::block_on(async { link::remove(&link::connect()?, &link::name(uid)).await }))?;
        clear(dir)?;
        self.addresses.lock().release(uid)?;
        Ok(())
    }

    fn make(&self, dir: &PodDir, uid: &str, wanted: &Wanted) -> Result<Sandbox, SandboxError> {
        for path in [&dir.state, &dir.run] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(io("making the Pod's directory"))?;
        }
        shared_memory(dir)?;
        let address = if wanted.host_network { None } else { Some(self.addresses.lock().allocate(uid)?) };
        let link = address.map(|address| link::Wanted {
            name: link::name(uid),
            address,
            gateway: self.gateway,
            node_ip: self.node_ip,
            mtu: self.mtu,
        });
        on_own_thread(|| enter_and_connect(dir, wanted, link.as_ref()))?;
        let sandbox = Sandbox {
            address,
            link: link.map(|l| l.name),
            hostname: wanted.hostname.clone(),
            own_ipc: !wanted.host_ipc,
            created_at: Timestamp::now(),
        };
        durable::write_json(&dir.sandbox(), &sandbox, 0o600, Lasting::Process).map_err(io("writing the sandbox"))?;
        Ok(sandbox)
    }
}

/// Unmounts and removes what a sandbox has beneath the run directory, and forgets it.
///
/// # Errors
/// The machine refused something.
pub fn clear(dir: &PodDir) -> Result<(), SandboxError> {
    mounts::unmount_beneath(&dir.run).map_err(io("unmounting the Pod's namespaces"))?;
    mounts::remove_tree(&dir.run).map_err(io("removing the Pod's run directory"))?;
    match fs::remove_file(dir.sandbox()) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io("forgetting the sandbox")(e)),
        _ => Ok(()),
    }
}

/// The thread begins in the node's namespaces and ends in the Pod's.
fn enter_and_connect(dir: &PodDir, wanted: &Wanted, link: Option<&link::Wanted>) -> Result<(), LinkError> {
    link::block_on(async {
        let node = link::connect()?;
        let namespaces =
            namespace::Wanted { net: link.is_some(), ipc: !wanted.host_ipc, hostname: wanted.hostname.clone() };
        namespace::make(dir, &namespaces)?;
        let Some(link) = link else { return Ok(()) };
        link::tune_pod()?;
        for (key, value) in &wanted.sysctls {
            namespace::set(key, value)?;
        }
        link::make(&node, link).await
    })
}

/// `/dev/shm` of every container of the Pod.
fn shared_memory(dir: &PodDir) -> Result<(), SandboxError> {
    let shm = dir.shm();
    fs::create_dir(&shm).map_err(io("making the Pod's shared memory"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("shm"), &shm, Some("tmpfs"), flags, Some("mode=1777,size=64m"))
        .map_err(|e| io("mounting the Pod's shared memory")(e.into()))
}

/// A thread whose namespaces nobody uses afterwards.
fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T, LinkError> + Send) -> Result<T, LinkError> {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

fn io(what: &'static str) -> impl Fn(io::Error) -> SandboxError {
    move |source| SandboxError::Io { what, source }
}

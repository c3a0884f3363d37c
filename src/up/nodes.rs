//! The nodes of `up`: each a process of this program in a network namespace of its own.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::pki::Authority;
use nix::sys::signal::Signal;
use rtnetlink::Handle;
use tokio::process::{Child, Command};

use crate::kubeconfig;
use crate::layout::{Layout, NodePlace};
use crate::network;
use crate::process::ProcessId;
use crate::refusal::Refusal;
use crate::run_dir::RunDir;
use crate::up::remains;

/// How long the kernel may take to end a process that was killed.
const DEATH: Duration = Duration::from_secs(5);

/// The nodes of a running cluster.
pub struct Nodes {
    layout: Layout,
    run_dir: RunDir,
    /// What the nodes log, as `--log` has it.
    log: String,
    /// Where the nodes ask for names outside the cluster; nobody, if there is nobody.
    upstream_dns: Option<SocketAddr>,
    handle: Handle,
    /// One a node that runs, in the order of the layout; a child is kept so that it is reaped when it ends.
    running: Vec<Option<Child>>,
}

impl Nodes {
    /// The nodes of a layout, none of them running.
    ///
    /// # Errors
    /// When the kernel gives no netlink socket.
    pub fn new(layout: Layout, run_dir: RunDir, log: &str) -> Result<Self> {
        let running = layout.nodes.iter().map(|_| None).collect();
        let log = log.to_owned();
        Ok(Self { handle: network::connect()?, layout, run_dir, log, upstream_dns: None, running })
    }

    /// Signs each node's identity and writes the kubeconfig with which it joins.
    ///
    /// # Errors
    /// When signing or writing fails.
    pub fn admit(&self, authority: &Authority) -> Result<()> {
        for node in &self.layout.nodes {
            let path = self.run_dir.node_kubeconfig(&node.name);
            let (server, cluster) = (self.layout.api_for_nodes(), &self.layout.name);
            kubeconfig::admit(authority, &node.name, node.address.into(), server, cluster, &path)?;
        }
        Ok(())
    }

    /// Plugs every node in.
    ///
    /// # Errors
    /// When the kernel refuses one; none is left half-way.
    pub async fn plug_in_all(&self) -> Result<()> {
        let each = futures::future::join_all(self.layout.nodes.iter().map(|node| self.plug_in(node)));
        each.await.into_iter().collect()
    }

    async fn plug_in(&self, node: &NodePlace) -> Result<()> {
        network::plug_in(&self.handle, &self.layout, node, |cookie| self.run_dir.write_cookie(&node.name, cookie)).await
    }

    /// Starts the process of every node.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start_all(&mut self, upstream_dns: Option<SocketAddr>) -> Result<()> {
        self.upstream_dns = upstream_dns;
        for index in 0..self.layout.nodes.len() {
            self.running[index] = Some(self.spawn(&self.layout.nodes[index])?);
        }
        Ok(())
    }

    /// The nodes whose process has ended by itself since the last call, with how it ended.
    pub fn ended(&mut self) -> Vec<(String, String)> {
        let mut ended = Vec::new();
        for (node, child) in self.layout.nodes.iter().zip(&mut self.running) {
            if let Some(process) = child
                && let Ok(Some(status)) = process.try_wait()
            {
                ended.push((node.name.clone(), status.to_string()));
                *child = None;
            }
        }
        ended
    }

    /// Ends a node without a word: its process, its Pods, its cable.
    ///
    /// # Errors
    /// When there is none of that name, or it is stopped already.
    pub async fn stop(&mut self, name: &str) -> Result<String> {
        let index = self.index(name)?;
        let node = self.layout.nodes[index].clone();
        let Some(mut child) = self.running[index].take() else {
            bail!(Refusal::new(format!("{name} is stopped already; start it with `portolan start-node {name}`")));
        };
        remains::end_node(&self.layout, &self.run_dir, &node, Signal::SIGKILL).await?;
        tokio::time::timeout(DEATH, child.wait()).await.with_context(|| format!("{name} does not end"))??;
        remains::unplug(&self.handle, &self.run_dir, &node).await?;
        Ok(format!("{name} is stopped; the cluster will notice by itself"))
    }

    /// Starts a stopped node.
    ///
    /// # Errors
    /// When there is none of that name, or it runs already.
    pub async fn start(&mut self, name: &str) -> Result<String> {
        let index = self.index(name)?;
        if self.running[index].is_some() {
            bail!(Refusal::new(format!("{name} runs already; stop it with `portolan stop-node {name}`")));
        }
        let node = self.layout.nodes[index].clone();
        // A node that ended by itself left its Pods and its cable.
        remains::end_node(&self.layout, &self.run_dir, &node, Signal::SIGKILL).await?;
        remains::unplug(&self.handle, &self.run_dir, &node).await?;
        self.plug_in(&node).await?;
        self.running[index] = Some(self.spawn(&node)?);
        Ok(format!("{name} is started"))
    }

    fn index(&self, name: &str) -> Result<usize> {
        self.layout.nodes.iter().position(|n| n.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.layout.nodes.iter().map(|n| n.name.as_str()).collect();
            Refusal::new(format!("no node {name:?}; there are {}", names.join(", "))).into()
        })
    }

    fn spawn(&self, node: &NodePlace) -> Result<Child> {
        let log = self.log(node)?;
        // This very program, also when its file was replaced by another version meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("portolan")
            .arg("node")
            .args(["--log", &self.log])
            .args(["--name", &node.name, "--zone", &node.zone])
            .args(["--address", &node.address.to_string()])
            .args(["--service-cidr", &self.layout.service_cidr.to_string()])
            .args(["--pod-cidr", &self.layout.pod_cidr.to_string()])
            .arg("--kubeconfig")
            .arg(self.run_dir.node_kubeconfig(&node.name))
            .arg("--data-dir")
            .arg(self.layout.node_dir(&node.name))
            .arg("--run-dir")
            .arg(self.run_dir.node_run(&node.name))
            .arg("--cgroup-parent")
            .arg(self.layout.cgroup(&node.name))
            .arg("--image-dir")
            .arg(self.layout.data_dir.join("images"))
            .arg("--netns")
            .arg(crate::netns::path(&node.netns));
        match self.upstream_dns {
            Some(upstream) => command.args(["--upstream-dns", &upstream.to_string()]),
            None => command.arg("--no-upstream-dns"),
        };
        // A process group of its own, so that a Ctrl-C at the terminal reaches `up` alone, which ends the nodes in order.
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", node.name))?;
        let pid = child.id().with_context(|| format!("{} ended at once", node.name))?;
        ProcessId::of(pid)?.write(&self.run_dir.node(&node.name))?;
        Ok(child)
    }

    fn log(&self, node: &NodePlace) -> Result<File> {
        let path = self.run_dir.node_log(&node.name);
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

//! Who is measured: a process on the node.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use testbed::Namespace;

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// `portolan agent`.
    Portolan,
    /// kube-proxy in its mode nftables.
    Nftables,
    /// kube-proxy in its mode iptables.
    Iptables,
}

impl Kind {
    /// What it runs beside itself.
    pub fn tools(self) -> &'static [&'static str] {
        match self {
            Kind::Portolan => &[],
            Kind::Nftables => &["nft"],
            Kind::Iptables => &["iptables", "iptables-restore"],
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Portolan => "portolan",
            Kind::Nftables => "kube-proxy nftables",
            Kind::Iptables => "kube-proxy iptables",
        })
    }
}

/// A running peer; ended when it is dropped.
pub struct Process {
    child: Child,
    /// When it was started.
    pub started: Instant,
}

impl Process {
    /// Starts it on a node. Its log is `KIND.log` in the folder.
    pub fn start(kind: Kind, program: &Path, node: &Namespace, kubeconfig: &Path, work: &Path) -> Process {
        let mut command = node.command(program);
        if kind == Kind::Portolan {
            command.arg("agent").arg("--kubeconfig").arg(kubeconfig).args(["--node-name", "node-1"]);
        } else {
            let mode = if kind == Kind::Nftables { "nftables" } else { "iptables" };
            let path = work.join(format!("{mode}.json"));
            let config = json!({
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": mode,
                "clusterCIDR": "10.244.0.0/16", "hostnameOverride": "node-1", "clientConnection": { "kubeconfig": kubeconfig },
                // The limit of the connection table is the machine's, which a namespace may not change.
                "conntrack": { "maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
            });
            fs::write(&path, config.to_string()).expect("a configuration is written");
            command.arg("--config").arg(path);
        }
        Self::spawn(command, &work.join(format!("{kind}.log")))
    }

    /// Starts any program; what it says is added to the log.
    pub fn spawn(mut command: Command, log: &Path) -> Process {
        let log = fs::File::options().create(true).append(true).open(log).expect("a log");
        end_with_parent(&mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log);
        let started = Instant::now();
        Process { child: command.spawn().expect("the peer starts"), started }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }

    /// Ends it as a kubelet would.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended already, and then there is nobody to be told.
        _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let ended = || self.child.try_wait().is_ok_and(|status| status.is_some());
        if testbed::wait_until(Duration::from_secs(10), "the peer ends", ended).is_err() {
            _ = self.child.kill();
            _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// The kernel ends the process when the thread that starts it ends: nothing is left of a benchmark that is killed.
pub fn end_with_parent(command: &mut Command) {
    // SAFETY: prctl is a plain system call, safe between fork and exec.
    unsafe {
        command.pre_exec(|| nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from));
    }
}

/// The value of a metric of the peer: the sum over its series. `None` if it has none.
pub fn metric(node: &Namespace, name: &str) -> Option<f64> {
    let body = node.run(|| get(10249, "/metrics")).expect("a thread on the node")?;
    let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    let values: Vec<f64> =
        body.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// The body of an answer over plain HTTP/1.0; `None` when there is none.
fn get(port: u16, path: &str) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    Some(body.to_owned())
}

//! Who is measured: a DNS server at 127.0.0.1:53 of the node.

use std::fmt;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use testbed::Namespace;

use crate::generator;
use crate::generator::question;
use crate::load::Cores;
use crate::outside::UPSTREAM;
use crate::peer::Process;

/// Where all of them answer.
pub const DNS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 53);

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// CoreDNS as it comes.
    #[value(name = "coredns")]
    CoreDns,
    /// CoreDNS with two sockets.
    #[value(name = "multisocket")]
    Multisocket,
    /// `portolan dns`.
    Portolan,
}

impl Kind {
    /// A name for files and objects.
    pub fn file(self) -> &'static str {
        match self {
            Kind::CoreDns => "coredns",
            Kind::Multisocket => "multisocket",
            Kind::Portolan => "portolan",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::CoreDns => "CoreDNS",
            Kind::Multisocket => "CoreDNS multisocket",
            Kind::Portolan => "portolan",
        })
    }
}

/// Whether CoreDNS' `cache` keeps it that a name of the cluster does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denials {
    /// As kubeadm sets it up.
    Kept,
    /// It asks each time.
    NotKept,
}

/// A running server; ended when it is dropped.
pub struct Server {
    process: Process,
}

impl Server {
    /// Starts it on the node; its threads have such cores. Where CoreDNS keeps denials it does not look for half a minute
    /// whether a name has come meanwhile.
    pub fn start(
        kind: Kind,
        program: &Path,
        (cores, denials): (Cores, Denials),
        node: &Namespace,
        kubeconfig: &Path,
        work: &Path,
    ) -> Server {
        let file = work.join(format!("Corefile.{}", kind.file()));
        fs::write(&file, corefile(kind, denials, kubeconfig)).expect("a Corefile is written");
        let mut command = node.command(program);
        if kind == Kind::Portolan {
            command.arg("dns").arg("--kubeconfig").arg(kubeconfig).arg("--corefile").arg(&file);
        } else {
            command.arg("-conf").arg(&file);
        }
        // SAFETY: sched_setaffinity is a plain system call, safe between fork and exec.
        unsafe { command.pre_exec(move || generator::pin_to(0, cores.list())) };
        Server { process: Process::spawn(command, &work.join(format!("{}.log", kind.file()))) }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until it knows a name.
    pub fn wait_for(&self, node: &Namespace, name: &str) {
        let ask = || -> std::io::Result<bool> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            socket.connect(DNS)?;
            socket.send(&question(name, 1))?;
            let mut answer = [0; 4096];
            let length = socket.recv(&mut answer)?;
            Ok(length > 12 && answer[3] & 15 == 0 && answer[7] > 0)
        };
        let known = || node.run(ask).expect("a thread on the node").unwrap_or(false);
        testbed::wait_until(Duration::from_secs(90), "the server knows the last name", known).expect("a server");
    }

    /// Ends it as a kubelet would.
    pub fn stop(self) {
        self.process.stop();
    }
}

/// What kubeadm gives to CoreDNS, but for what costs time when nobody looks at it.
fn corefile(kind: Kind, denials: Denials, kubeconfig: &Path) -> String {
    let [mut cluster, mut sockets, mut cache] = [String::new(), String::new(), String::new()];
    if kind != Kind::Portolan {
        cluster = format!("  kubeconfig {} bench\n", kubeconfig.display());
    }
    if kind != Kind::Portolan && denials == Denials::NotKept {
        cache = " {\n  disable denial\n }".to_owned();
    }
    if kind == Kind::Multisocket {
        sockets = " multisocket 2\n".to_owned();
    }
    format!(
        ".:53 {{\n bind 127.0.0.1\n errors\n kubernetes cluster.local in-addr.arpa ip6.arpa {{\n{cluster}  pods insecure\n  \
         fallthrough in-addr.arpa ip6.arpa\n  ttl 30\n }}\n forward . {UPSTREAM}\n cache 30{cache}\n loadbalance\n{sockets}}}\n"
    )
}

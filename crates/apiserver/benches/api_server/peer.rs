//! Who is measured: processes, their certificates, memory and start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::pki::{Authority, Identity, Subject};
use apiserver::{Config, Server};

/// Where the API server of a peer listens.
pub const ADDRESS: &str = "127.0.0.1:6443";
/// How long a peer may take to be ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This one.
    Portolan,
    /// kube-apiserver and etcd.
    Kubernetes,
}

impl Kind {
    /// What it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portolan => "portolan",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// A running server.
pub struct Peer {
    kind: Kind,
    programs: PathBuf,
    dir: PathBuf,
    children: Vec<Child>,
    /// Who asks.
    pub client: Identity,
}

impl Peer {
    /// Starts one with nothing stored, and waits until it is ready.
    pub fn start(kind: Kind, programs: &Path, dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("a folder");
        let authority = Authority::load_or_create(&dir.join("pki")).expect("an authority");
        let client = authority.issue_client(&Subject::in_group("bench", "system:masters")).expect("an identity");
        fs::write(dir.join("ca.pem"), authority.certificate_pem()).expect("a certificate");
        let accounts = authority.service_account_key_pem();
        fs::write(dir.join("accounts.pem"), accounts).expect("a key");
        // kube-apiserver reads no public key out of a private one in PKCS #8.
        let public = rcgen::KeyPair::from_pem(accounts).expect("a key").public_key_pem();
        fs::write(dir.join("accounts.pub"), public).expect("a key");
        let mut peer = Self { kind, programs: programs.to_owned(), dir: dir.to_owned(), children: Vec::new(), client };
        if kind == Kind::Kubernetes {
            let etcd = peer.etcd();
            peer.children.push(etcd);
        }
        peer.start_server();
        peer
    }

    /// Starts the API server, and answers how long it took until it was ready, in milliseconds.
    fn start_server(&mut self) -> f64 {
        let begun = Instant::now();
        let server = match self.kind {
            Kind::Portolan => self.portolan(),
            Kind::Kubernetes => self.kubernetes(),
        };
        self.children.push(server);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        testbed::wait_until(PATIENCE, "the server is ready", || {
            let dead = self.children.iter_mut().any(|c| c.try_wait().is_ok_and(|status| status.is_some()));
            assert!(!dead, "it ended; {} tells why", self.dir.join("server.log").display());
            runtime.block_on(crate::client::is_ready(self))
        })
        .expect("a server");
        begun.elapsed().as_secs_f64() * 1e3
    }

    /// Ends the API server and starts it again on what is stored.
    pub fn restart(&mut self) -> f64 {
        let mut server = self.children.pop().expect("a server");
        end(&mut server);
        self.start_server()
    }

    /// What the processes hold, in MB: `VmRSS`.
    pub fn memory(&self) -> f64 {
        self.children.iter().map(|child| resident(child.id())).sum()
    }

    fn portolan(&self) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--serve", ADDRESS]).arg(&self.dir);
        self.spawn(command, "server")
    }

    fn etcd(&self) -> Child {
        let url = "http://127.0.0.1:2379";
        let mut command = Command::new(self.programs.join("etcd"));
        command.arg("--data-dir").arg(self.dir.join("etcd")).args(["--quota-backend-bytes", "8000000000"]);
        command.args(["--listen-client-urls", url, "--advertise-client-urls", url]);
        command.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
        self.spawn(command, "etcd")
    }

    fn kubernetes(&self) -> Child {
        let mut command = Command::new(self.programs.join("kube-apiserver"));
        command.arg("--cert-dir").arg(self.dir.join("certificates"));
        command.arg("--client-ca-file").arg(self.dir.join("ca.pem"));
        command.arg("--service-account-key-file").arg(self.dir.join("accounts.pub"));
        command.arg("--service-account-signing-key-file").arg(self.dir.join("accounts.pem"));
        command.args(["--etcd-servers=http://127.0.0.1:2379", "--service-cluster-ip-range=10.96.0.0/16"]);
        command.args(["--authorization-mode=RBAC", "--service-account-issuer=https://bench"]);
        command.args(["--bind-address=127.0.0.1", "--secure-port=6443", "--advertise-address=192.0.2.1"]);
        command.args(["--disable-admission-plugins=ServiceAccount"]);
        self.spawn(command, "server")
    }

    fn spawn(&self, mut command: Command, name: &str) -> Child {
        let log = fs::File::create(self.dir.join(format!("{name}.log"))).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a process")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The API server first: etcd without it says nothing.
        self.children.iter_mut().rev().for_each(end);
    }
}

fn end(child: &mut Child) {
    _ = child.kill();
    _ = child.wait();
}

fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    line.and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

/// Serves until it is killed: what the child process does.
pub fn serve(address: &str, dir: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = Config {
            store: store::Store::open(dir.join("objects.redb")).expect("a store"),
            authority: Arc::new(Authority::load_or_create(&dir.join("pki")).expect("an authority")),
            listen: vec![address.parse().expect("an address")],
            advertise: std::net::Ipv4Addr::new(192, 0, 2, 1).into(),
            names: Vec::new(),
            service_cidr: "10.96.0.0/16".parse().expect("a range"),
            node_ports: 30_000..=32_767,
            tokens: Vec::new(),
            audit: None,
        };
        let _server = Server::start(config).await.expect("a server");
        std::future::pending::<()>().await;
    });
}

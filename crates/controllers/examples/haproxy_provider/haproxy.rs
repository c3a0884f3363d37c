//! The other side: an HAProxy whose configuration is written anew at each change, checked by HAProxy itself, and taken up
//! by a reload (`SIGUSR2` to its master) that drops no connection: the old worker serves what it has to the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use controllers::loadbalancer::outside::{Balancer, Ingress, Standing, State};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// How long HAProxy may take to check a configuration, to start, and to take up another.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// Why a wish was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum HaproxyError {
    /// HAProxy cannot do that.
    #[error("{0}")]
    Impossible(String),
    /// The configuration is refused.
    #[error("HAProxy refuses the configuration: {0}")]
    Refused(String),
    /// It did not do what it was told in time.
    #[error("HAProxy did not {0} in time")]
    Late(&'static str),
    /// A file, or the process.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> HaproxyError {
    move |source| HaproxyError::System { what, source }
}

/// A load balancer, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Placed {
    address: IpAddr,
    wanted: Balancer,
}

type All = BTreeMap<String, Placed>;

/// An HAProxy, and what it serves.
pub struct Haproxy {
    folder: PathBuf,
    addresses: Vec<IpAddr>,
    all: All,
    /// Ended when this is dropped, and its workers with it.
    master: Child,
}

impl Haproxy {
    /// Starts one with what stands in a folder.
    pub async fn start(folder: PathBuf, addresses: Vec<IpAddr>) -> Result<Self, HaproxyError> {
        std::fs::create_dir_all(&folder).map_err(system("making the folder"))?;
        let all: All = match std::fs::read(folder.join("balancers.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| HaproxyError::System { what: "reading balancers.json", source: error.into() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => All::new(),
            Err(error) => return Err(system("reading balancers.json")(error)),
        };
        write(&folder, "haproxy.cfg", configuration(&folder, &all).as_bytes())?;
        let mut command = Command::new("haproxy");
        command.arg("-W").arg("-S").arg(folder.join("master.sock")).arg("-f").arg(folder.join("haproxy.cfg"));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let master = command.spawn().map_err(system("starting haproxy"))?;
        let haproxy = Self { folder, addresses, all, master };
        haproxy.worker_but("").await?;
        Ok(haproxy)
    }

    /// Makes or changes a load balancer. One that is wanted as it is costs nothing.
    pub async fn ensure(&mut self, wanted: Balancer) -> Result<Standing, HaproxyError> {
        if let Some(port) = wanted.ports.iter().find(|port| port.protocol != "TCP") {
            return Err(HaproxyError::Impossible(format!("{} is not carried, only TCP", port.protocol)));
        }
        let address = self.place(&wanted)?;
        let mut all = self.all.clone();
        all.insert(wanted.id.clone(), Placed { address, wanted });
        self.take(all).await?;
        Ok(standing(address))
    }

    /// How one is.
    pub fn get(&self, id: &str) -> Option<Standing> {
        self.all.get(id).map(|placed| standing(placed.address))
    }

    /// Takes one away.
    pub async fn delete(&mut self, id: &str) -> Result<(), HaproxyError> {
        let mut all = self.all.clone();
        all.remove(id);
        self.take(all).await
    }

    /// The address that one has, or is wanted, or is free.
    fn place(&self, wanted: &Balancer) -> Result<IpAddr, HaproxyError> {
        let others = || self.all.values().filter(|placed| placed.wanted.id != wanted.id);
        let is_free = |address: &&IpAddr| others().all(|placed| placed.address != **address);
        let asked = wanted.address.as_ref().map(|text| text.parse::<IpAddr>());
        let found = match asked {
            Some(Ok(asked)) => self.addresses.iter().find(|address| **address == asked).filter(is_free),
            Some(Err(_)) => None,
            None => match self.all.get(&wanted.id) {
                Some(placed) => return Ok(placed.address),
                None => self.addresses.iter().find(is_free),
            },
        };
        let why = || match &wanted.address {
            Some(asked) => format!("{asked} is not free here"),
            None => format!("all {} addresses are taken", self.addresses.len()),
        };
        found.copied().ok_or_else(|| HaproxyError::Impossible(why()))
    }

    /// Checks, takes up, and writes down.
    async fn take(&mut self, all: All) -> Result<(), HaproxyError> {
        if all == self.all {
            return Ok(());
        }
        let text = configuration(&self.folder, &all);
        write(&self.folder, "new.cfg", text.as_bytes())?;
        let mut check = Command::new("haproxy");
        check.arg("-c").arg("-f").arg(self.folder.join("new.cfg")).stdin(Stdio::null()).kill_on_drop(true);
        let checked = tokio::time::timeout(PATIENCE, check.output()).await;
        let checked = checked.map_err(|_| HaproxyError::Late("check"))?.map_err(system("checking"))?;
        if !checked.status.success() {
            return Err(HaproxyError::Refused(String::from_utf8_lossy(&checked.stderr).into_owned()));
        }
        write(&self.folder, "haproxy.cfg", text.as_bytes())?;
        let before = self.worker().await.unwrap_or_default();
        if let Some(master) = self.master.id().and_then(|id| i32::try_from(id).ok()) {
            let told = nix::sys::signal::kill(nix::unistd::Pid::from_raw(master), nix::sys::signal::SIGUSR2);
            told.map_err(|error| system("telling haproxy to reload")(error.into()))?;
        }
        self.worker_but(&before).await?;
        let bytes = serde_json::to_vec_pretty(&all)
            .map_err(|error| HaproxyError::System { what: "writing balancers.json", source: error.into() })?;
        write(&self.folder, "balancers.json", &bytes)?;
        self.all = all;
        Ok(())
    }

    /// Waits for a worker that serves, and is not this one.
    async fn worker_but(&self, other: &str) -> Result<(), HaproxyError> {
        let new = async {
            loop {
                match self.worker().await {
                    Some(found) if found != other => return,
                    _ => tokio::time::sleep(LOOK).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, new).await.map_err(|_| HaproxyError::Late("take the configuration up"))
    }

    /// The worker's process id, as the master says it: the first line with the role `worker`, before old ones.
    async fn worker(&self) -> Option<String> {
        let mut master = UnixStream::connect(self.folder.join("master.sock")).await.ok()?;
        master.write_all(b"show proc\n").await.ok()?;
        // It answers until nothing more is asked.
        master.shutdown().await.ok()?;
        let mut said = String::new();
        master.read_to_string(&mut said).await.ok()?;
        let current = said.lines().take_while(|line| !line.starts_with("# old workers"));
        let words = current.map(|line| line.split_whitespace().collect::<Vec<_>>());
        words.filter(|words| words.get(1) == Some(&"worker")).find_map(|words| words.first().map(|id| (*id).to_owned()))
    }
}

fn standing(address: IpAddr) -> Standing {
    let ingress = Ingress { ip: Some(address.to_string()), hostname: None };
    Standing { state: State::Ready, ingress: vec![ingress], message: None }
}

/// Writes a file as a whole or not at all.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), HaproxyError> {
    let beside = folder.join(format!("{name}.part"));
    std::fs::write(&beside, bytes).map_err(system("writing a file"))?;
    std::fs::rename(&beside, folder.join(name)).map_err(system("writing a file"))
}

/// What HAProxy reads. Names are those of ids and numbers alone: nothing that others write stands in it unquoted but
/// addresses and ranges, which are checked.
fn configuration(folder: &Path, all: &All) -> String {
    let socket = folder.join("worker.sock");
    let mut text = format!(
        "global\n  stats socket {} mode 600 level admin expose-fd listeners\n  maxconn 4096\n\
         defaults\n  mode tcp\n  option redispatch\n  timeout connect 5s\n  timeout client 5m\n  timeout server 5m\n\
         frontend nobody\n  bind unix@{}\n",
        socket.display(),
        // Without any it would not start.
        folder.join("nobody.sock").display()
    );
    for (id, placed) in all {
        let Placed { address, wanted } = placed;
        for port in &wanted.ports {
            let name = format!("{id}-{}", port.port);
            let mut say = |line: String| {
                // A String takes whatever is written.
                let _ = writeln!(text, "{line}");
            };
            say(format!("frontend {name}\n  bind {address}:{}", port.port));
            let ranges: Vec<String> = wanted
                .source_ranges
                .iter()
                .filter_map(|range| range.trim().parse::<ipnet::IpNet>().ok())
                .map(|range| range.to_string())
                .collect();
            if !wanted.source_ranges.is_empty() {
                // Ranges of which none can be read let nobody in.
                let allowed = if ranges.is_empty() { "255.255.255.255".to_owned() } else { ranges.join(" ") };
                say(format!("  acl allowed src {allowed}\n  tcp-request connection reject unless allowed"));
            }
            say(format!("  default_backend {name}\nbackend {name}"));
            say(format!("  balance {}", if wanted.client_affinity { "source" } else { "roundrobin" }));
            let mut check = "check inter 1s fall 2 rise 1".to_owned();
            if let Some(health) = &wanted.health_check {
                say("  option httpchk GET /healthz".to_owned());
                check = format!("{check} port {}", health.port);
            }
            let addresses = wanted.nodes.iter().flat_map(|node| &node.addresses);
            let fitting = addresses.filter_map(|text| text.parse::<IpAddr>().ok());
            for (n, node) in fitting.filter(|node| node.is_ipv4() == address.is_ipv4()).enumerate() {
                say(format!("  server node{n} {node}:{} {check}", port.node_port));
            }
        }
    }
    text
}

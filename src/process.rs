//! Processes that a cluster started, told apart from strangers that got the same number later.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::netns;

/// How long a process that was killed may take to be gone.
const DEATH: Duration = Duration::from_secs(5);

/// A process: its number, and when it was started (clock ticks since boot, field 22 of `/proc/PID/stat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    pid: i32,
    start_time: u64,
}

impl ProcessId {
    /// The running process of this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).context("a process number out of range")?;
        let start_time = start_time(pid).with_context(|| format!("no process {pid}"))?;
        Ok(Self { pid, start_time })
    }

    /// Its number.
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it still runs; a zombie does not.
    pub fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.start_time)
    }

    /// Sends a signal, if it still runs.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            // It may end between the look and the call; that it is gone is what was wanted.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Sends a signal, waits, and kills it if it does not listen; whether it is gone.
    pub async fn end(self, signal: Signal, patience: Duration) -> bool {
        self.signal(signal);
        if self.gone_within(patience).await {
            return true;
        }
        self.signal(Signal::SIGKILL);
        self.gone_within(DEATH).await
    }

    /// Waits until it is gone, at most so long; whether it is.
    pub async fn gone_within(self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Reads a process written by [`ProcessId::write`]; `None` where there is no such file.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => {
                Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes it down for a later command.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn write(self, path: &Path) -> Result<()> {
        apiserver::pki::write_private(path, &serde_json::to_string(&self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The processes of `portolan node` that run in a pinned network namespace or are about to enter it, whether anybody
/// wrote them down or not: an `up` can be killed between starting a node and writing so.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn nodes_in(pin: &Path) -> Result<Vec<ProcessId>> {
    let Some(namespace) = netns::identity(pin) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        // Where a process sees other files, the same path is another cluster's.
        let sees = |path: &Path| entry.path().join("root").join(path.strip_prefix("/").unwrap_or(path));
        // A process that ends meanwhile is in no namespace any more.
        if is_node_of(&entry.path(), pin)
            && [entry.path().join("ns/net"), sees(pin)].iter().any(|at| netns::identity(at) == Some(namespace))
            && let Ok(process) = ProcessId::of(pid)
        {
            found.push(process);
        }
    }
    Ok(found)
}

/// Whether a process was started as a node that enters this namespace.
fn is_node_of(process: &Path, pin: &Path) -> bool {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let arguments: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    let enters = [b"--netns".as_slice(), pin.as_os_str().as_bytes()];
    arguments.get(1) == Some(&b"node".as_slice()) && arguments.windows(2).any(|pair| *pair == enters)
}

/// When the process of this number was started; `None` where none runs.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in brackets and may hold blanks and brackets itself.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
    let state = fields.next()?;
    if state == "Z" || state == "X" { None } else { fields.nth(18)?.parse().ok() }
}

//! A machine for one test: network and mount namespaces of its own, with empty `/run`, `/var/lib` and `/tmp`, in which
//! the binary is run as a user would run it. What a cluster leaves behind there is seen: links, routes, rules, names,
//! mounts, control groups, processes, files.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take that a cluster does by itself.
pub const SOON: Duration = Duration::from_secs(60);

/// The machine.
pub struct Host {
    mounts: BTreeSet<String>,
    /// The file systems that no other test sees, as `/proc/PID/mountinfo` names them.
    devices: Vec<String>,
    /// The control groups of the clusters that ran here: all machines of tests share the control groups.
    groups: RefCell<BTreeSet<PathBuf>>,
}

impl Host {
    /// A fresh one; `None` where the test cannot run, which has been said.
    pub fn isolated() -> Option<Self> {
        if testbed::skip_unless_root().is_some() {
            return None;
        }
        let fresh = ["/run", "/var/lib", "/tmp"].map(Path::new);
        testbed::isolate(&fresh).unwrap();
        // Tests may be run by `nohup`, or in the background of a shell, which have these signals ignored, and children would
        // have it from here: what comes before they listen would be lost.
        for signal in [Signal::SIGHUP, Signal::SIGINT] {
            // SAFETY: no handler is installed.
            unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) }.unwrap();
        }
        let devices = fresh.map(|path| {
            let device = fs::metadata(path).unwrap().dev();
            format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device))
        });
        Some(Self { mounts: mounts(), devices: devices.to_vec(), groups: RefCell::default() })
    }

    /// A command of the binary, with nothing on standard input.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command.args(arguments).stdin(Stdio::null()).env_remove("PORTOLAN_LOG").current_dir("/tmp");
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        finish(self.command(arguments), &arguments.join(" "))
    }

    /// Runs the binary, which must succeed, and returns what it said.
    pub fn succeeds(&self, arguments: &[&str]) -> String {
        said(&format!("portolan {}", arguments.join(" ")), &self.run(arguments))
    }

    /// Runs the binary, which must refuse with one line and exit code 2, and returns the line.
    pub fn refused(&self, arguments: &[&str]) -> String {
        refusal(&arguments.join(" "), &self.run(arguments))
    }

    /// Starts `portolan up` with further flags, in the foreground.
    pub fn up(&self, flags: &[&str]) -> Up {
        Self::foreground(self.command(&[&["up"], flags].concat()))
    }

    /// As [`Host::up`], by way of `nohup`.
    pub fn up_by_nohup(&self) -> Up {
        let mut command = Command::new("nohup");
        command.args([env!("CARGO_BIN_EXE_portolan"), "up"]).stdin(Stdio::null()).current_dir("/tmp");
        Self::foreground(command)
    }

    fn foreground(mut command: Command) -> Up {
        // As a shell has it: a process group of its own.
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let out = Reading::of(child.stdout.take().unwrap());
        let err = Reading::of(child.stderr.take().unwrap());
        Up { child, out, err }
    }

    /// Runs `kubectl` for the default cluster, which must succeed, and returns what it said.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_of("/var/lib/portolan/portolan/kubeconfig", arguments)
    }

    /// As [`Host::kubectl`], with a kubeconfig.
    pub fn kubectl_of(&self, kubeconfig: &str, arguments: &[&str]) -> String {
        said(&format!("kubectl {}", arguments.join(" ")), &Self::ask(kubeconfig, arguments))
    }

    /// What `kubectl` says, if it succeeds.
    pub fn run_kubectl(&self, kubeconfig: &str, arguments: &[&str]) -> Option<String> {
        let ran = Self::ask(kubeconfig, arguments);
        ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).trim_end().to_owned())
    }

    fn ask(kubeconfig: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("kubectl");
        command.args(arguments).env("KUBECONFIG", kubeconfig).env("HOME", "/tmp").stdin(Stdio::null());
        finish(command, &format!("kubectl {}", arguments.join(" ")))
    }

    /// The names of the objects of a kind in all namespaces, in order.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let text = self.kubectl(&["get", kind, "-A", "-o", "name"]);
        text.lines().map(str::to_owned).collect()
    }

    /// Notes which control groups the clusters have that run now, or ran until they were killed.
    pub fn note_groups(&self) {
        for cluster in fs::read_dir("/run/portolan").into_iter().flatten().flatten() {
            let Ok(bytes) = fs::read(cluster.path().join("layout.json")) else { continue };
            let layout: Value = serde_json::from_slice(&bytes).unwrap();
            let (name, mark) = (layout["name"].as_str().unwrap(), layout["mark"].as_u64().unwrap());
            self.groups.borrow_mut().insert(format!("portolan/{name}.{mark:08x}").into());
        }
    }

    /// The processes of a cluster's nodes, as they are written down.
    pub fn node_processes(&self, cluster: &str) -> Vec<(String, Pid)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(format!("/run/portolan/{cluster}/nodes")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "json") {
                let process: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                found.push((name, Pid::from_raw(process["pid"].as_i64().unwrap().try_into().unwrap())));
            }
        }
        found.sort();
        found
    }

    /// What `nft` says of a node's rules.
    pub fn rules(&self, node: &str) -> String {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/portolan-{node}")).args(["nft", "list", "table", "ip", "portolan"]);
        said("nft", &finish(command, "nft"))
    }

    /// Everything of clusters that is there now, objects on disk apart.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let links = fs::read_dir("/sys/class/net").unwrap().map(|l| l.unwrap().file_name().into_string().unwrap());
        found.extend(links.filter(|name| name != "lo").map(|name| format!("link {name}")));
        let routes = fs::read_to_string("/proc/thread-self/net/route").unwrap();
        found.extend(routes.lines().skip(1).map(|route| format!("route {route}")));
        let tables = nft::Socket::in_current_netns().unwrap().tables().unwrap();
        found.extend(tables.iter().map(|table| format!("table {:?}", table.object)));
        for folder in ["/run/netns", "/run/portolan"] {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| format!("file {}", entry.path().display())));
        }
        found.extend(mounts().difference(&self.mounts).map(|mount| format!("mount {mount}")));
        found.extend(self.processes().into_iter().map(|(pid, line)| format!("process {pid} {line}")));
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            for group in self.groups.borrow().iter() {
                let path = hierarchy.path().join(group);
                if path.exists() {
                    found.push(format!("control group {}", path.display()));
                }
            }
        }
        found
    }

    /// Asserts that nothing of any cluster is there but objects on disk. A process that was killed may take a moment.
    pub fn assert_clean(&self, after: &str) {
        let clean = testbed::wait_until(Duration::from_secs(2), "nothing is left", || self.leftovers().is_empty());
        assert!(clean.is_ok(), "after {after} there is left:\n{}", self.leftovers().join("\n"));
    }

    /// The processes that see this machine's files, whatever namespaces they are in, this one and its threads apart.
    pub fn processes(&self) -> Vec<(Pid, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            let table = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
            let sees = |line: &str| line.split(' ').nth(2).is_some_and(|d| self.devices.iter().any(|o| o == d));
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            // A process that has ended and waits for its parent to ask has no command line any more.
            if table.lines().any(sees) && !line.is_empty() {
                found.push((Pid::from_raw(pid), line.replace('\0', " ")));
            }
        }
        found
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What a test that failed has started; the namespaces go with the last process.
        for (pid, line) in self.processes() {
            if std::thread::panicking() {
                eprintln!("killing {pid} {line}");
            }
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// A `portolan up` in the foreground.
pub struct Up {
    child: Child,
    out: Reading,
    err: Reading,
}

impl Up {
    /// Waits until it says that the cluster is ready.
    pub fn ready(self, host: &Host) -> Self {
        let mut up = self;
        let mut ended = None;
        let ready = testbed::wait_until(SOON, "the cluster is ready", || {
            ended = up.child.try_wait().unwrap();
            ended.is_some() || up.out.text().contains("ready in")
        });
        if ended.is_some() {
            panic!("it ended ({ended:?}):\n{}{}", up.out.whole(), up.err.whole());
        }
        assert!(ready.is_ok(), "it is not ready:\n{}", up.all());
        host.note_groups();
        up
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.out.text()
    }

    /// What it has complained of so far.
    pub fn complained(&self) -> String {
        self.err.text()
    }

    fn all(&self) -> String {
        format!("{}{}", self.out.text(), self.err.text())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Whether a signal is ignored by it (`SigIgn` of proc(5)).
    pub fn ignores(&self, signal: Signal) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
        u64::from_str_radix(mask, 16).unwrap() & (1 << (signal as u64 - 1)) != 0
    }

    /// Kills it as `kill -9` does: it has no say in what stays.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended, and returns how, with all it said and complained of.
    pub fn ended(mut self) -> (ExitStatus, String, String) {
        let status = testbed::wait_for(SOON, "up ends", || self.child.try_wait().unwrap());
        let status = status.unwrap_or_else(|e| panic!("{e}:\n{}", self.all()));
        (status, self.out.whole(), self.err.whole())
    }
}

/// What a process writes, as it comes.
struct Reading {
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    fn of(source: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let shared = text.clone();
        let thread = std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = String::new();
            while source.read_line(&mut line).is_ok_and(|read| read > 0) {
                shared.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self { text, thread: Some(thread) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn whole(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.text()
    }
}

/// Runs a command to its end, which must come.
pub fn finish(mut command: Command, what: &str) -> Output {
    finish_with(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(), what)
}

/// As [`finish`], of a command that was started with pipes.
pub fn finish_with(mut child: Child, what: &str) -> Output {
    let mut out = Reading::of(child.stdout.take().unwrap());
    let mut err = Reading::of(child.stderr.take().unwrap());
    match testbed::wait_for(SOON, what, || child.try_wait().unwrap()) {
        Ok(status) => Output { status, stdout: out.whole().into_bytes(), stderr: err.whole().into_bytes() },
        Err(e) => {
            child.kill().unwrap();
            panic!("{e}:\n{}{}", out.text(), err.text());
        }
    }
}

/// As [`finish`], with something on standard input.
pub fn finish_given(mut command: Command, input: &str, what: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    finish_with(child, what)
}

/// What a command said that must have succeeded.
pub fn said(what: &str, output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{out}{err}", output.status);
    out.trim_end().to_owned()
}

/// The one line of a command that must have refused with exit code 2 and said nothing else.
pub fn refusal(what: &str, output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{what}: {}\n{out}{err}", output.status);
    assert_eq!(out, "", "{what}: it said something before it refused");
    assert_eq!(err.lines().count(), 1, "{what}: one line:\n{err}");
    let line = err.trim_end();
    line.strip_prefix("portolan: ").unwrap_or_else(|| panic!("{what}: {line}")).to_owned()
}

fn mounts() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    table.lines().map(str::to_owned).collect()
}

//! Silence while something is measured that needs no API server.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What this benchmark has started beside the server that is measured, as the kernel calls it (its names end after 15
/// octets).
const OTHERS: [&str; 2] = ["etcd", "kube-apiserver"];

/// Programs that are stopped; they go on when this is dropped.
pub struct Quiet(Vec<Pid>);

impl Quiet {
    /// Stops the API server and its store, so that they take nothing of the processors.
    pub fn new() -> Quiet {
        let own = std::process::id().to_string();
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        let stopped = processes.filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let is_other = field("PPid:") == Some(&own) && OTHERS.contains(&field("Name:")?);
            is_other.then(|| Pid::from_raw(pid))
        });
        let quiet = Quiet(stopped.collect());
        assert_eq!(quiet.0.len(), OTHERS.len(), "the API server and its store");
        quiet.signal(Signal::SIGSTOP);
        quiet
    }

    fn signal(&self, signal: Signal) {
        for process in &self.0 {
            kill(*process, signal).expect("a program that was started is there");
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
    }
}

//! The process itself: what it costs, under the names that Prometheus' own clients use, and how dear it is to the
//! machine.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some((seconds, bytes)) = usage() else { return Ok(()) };
        let used = ConstCounter::new(seconds);
        let help = "CPU time that the process has used";
        used.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, used.metric_type())?)?;
        let resident = ConstGauge::new(bytes);
        let help = "Memory that the process holds";
        resident.encode(encoder.encode_descriptor(
            "process_resident_memory_bytes",
            help,
            None,
            resident.metric_type(),
        )?)?;
        // What is open while it counts, its own look into the folder included.
        let Ok(open) = fs::read_dir("/proc/self/fd") else { return Ok(()) };
        let open = ConstGauge::new(i64::try_from(open.count()).unwrap_or(i64::MAX));
        let help = "File descriptors that are open";
        open.encode(encoder.encode_descriptor("process_open_fds", help, None, open.metric_type())?)
    }
}

/// Says how willingly the kernel kills this process when memory is short (proc_pid_oom_score_adj(5)). A process that may
/// not say so is killed as readily as others: it is told, and goes on.
pub(crate) fn set_oom_score_adj(score: i32) {
    let path = "/proc/self/oom_score_adj";
    let said = score.to_string();
    if fs::read_to_string(path).is_ok_and(|held| held.trim() == said) {
        return;
    }
    if let Err(error) = fs::write(path, said) {
        tracing::info!(%error, score, "{path} cannot be written: it stays as it is");
    }
}

/// CPU seconds used and bytes resident (proc_pid_stat(5)); `None` where `/proc` does not tell.
pub(crate) fn usage() -> Option<(f64, i64)> {
    let unit = |name| sysconf(name).ok().flatten().and_then(|n| i32::try_from(n).ok());
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything; the next field is the third.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
    let ticks = field(14)? + field(15)?;
    let seconds = ticks as f64 / f64::from(unit(SysconfVar::CLK_TCK)?);
    Some((seconds, field(24)? * i64::from(unit(SysconfVar::PAGE_SIZE)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_something() {
        let (seconds, bytes) = usage().unwrap();
        assert!(seconds >= 0.0);
        assert!(bytes > 100_000, "{bytes}");
    }
}

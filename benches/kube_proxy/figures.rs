//! Percentiles, and what the kernel tells of a process.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A percentile of values that are sorted in place; NaN of none.
pub fn percentile(values: &mut [f64], p: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    if values.is_empty() {
        return f64::NAN;
    }
    let at = (p / 100.0 * (values.len() - 1) as f64).round() as usize;
    values[at.min(values.len() - 1)]
}

/// `VmRSS` and `Pss` of a process, in MB.
pub fn memory(pid: u32) -> (f64, f64) {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix(name)).and_then(|v| v.trim().strip_suffix(" kB"));
        line.and_then(|v| v.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
    };
    (field("status", "VmRSS:"), field("smaps_rollup", "Pss:"))
}

/// How long all threads of a process have run on a CPU, to the nanosecond. Threads that ended count no longer, so this
/// is for watching a process whose threads stay.
pub fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Prints the machine, and of each program the version that it tells when it is given the argument.
pub fn describe_machine(programs: &[(PathBuf, &str)]) {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("machine: {cores} x {model}, Linux {}", kernel.trim());
    for (program, argument) in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let output = Command::new(program).arg(argument).output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        println!("  {name}: {}", text.lines().next().unwrap_or("not there").trim_start_matches(&format!("{name} ")));
    }
}

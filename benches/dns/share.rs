//! A share of the processors, so that a load generator on the same ones has room: a control group with a quota (cgroup v1,
//! `cpu`).

use std::fs;
use std::io;
use std::path::PathBuf;

/// How long a quota counts, in microseconds: short beside what a generator has under way.
const PERIOD: u64 = 20_000;

/// A group that its processes share; gone when it is dropped and they have ended.
pub struct Share {
    folder: PathBuf,
}

impl Share {
    /// One of so many hundredths of a processor. `None`: this machine has no such groups.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(percent: u64) -> io::Result<Option<Share>> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let Some(mount) = mounts.lines().find_map(of_processors) else { return Ok(None) };
        let folder = PathBuf::from(mount).join(format!("portolan-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let share = Share { folder };
        fs::write(share.folder.join("cpu.cfs_period_us"), PERIOD.to_string())?;
        fs::write(share.folder.join("cpu.cfs_quota_us"), (PERIOD * percent / 100).to_string())?;
        Ok(Some(share))
    }

    /// Puts a process with all its threads into the group.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take(&self, process: u32) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // A process that has not ended quite keeps it for a moment.
        let gone = || fs::remove_dir(&self.folder).is_ok() || !self.folder.exists();
        if testbed::wait_until(std::time::Duration::from_secs(5), "the share is given back", gone).is_err() {
            println!("  {} is left over", self.folder.display());
        }
    }
}

/// Where the controller `cpu` is mounted: `cgroup PATH cgroup OPTIONS 0 0`.
fn of_processors(mount: &str) -> Option<&str> {
    let fields: Vec<_> = mount.split_whitespace().collect();
    let options = fields.get(3).filter(|_| fields.get(2) == Some(&"cgroup"))?;
    options.split(',').any(|option| option == "cpu").then(|| fields[1])
}

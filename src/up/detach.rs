//! `up --detach`: the same command once more in the background, whose progress is shown until it is ready.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::cli;
use crate::ends::{Ends, ToldToEnd};
use crate::process::ProcessId;
use crate::refusal::SaidAlready;
use crate::run_dir::RunDir;
use crate::stdio::say;

/// The line by which the one in the background says that it is ready and will write no more here.
const READY: &str = "\u{4}";
/// How long the one in the background may take to remove what it made. Each step of it has a shorter bound of its own.
const REMOVAL: Duration = Duration::from_secs(60);

/// Starts the command in the background and shows what it says until it is ready.
///
/// # Errors
/// When it ends before that, or this process is told to end.
pub async fn start_in_background(args: &cli::Up) -> Result<()> {
    let ends = Ends::listen()?;
    let reads_input = args.manifests.iter().any(|path| path == Path::new("-"));
    let mut child = Command::new("/proc/self/exe")
        .arg0("portolan")
        .args(std::env::args_os().skip(1))
        .arg("--background")
        .stdin(if reads_input { Stdio::inherit() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start in the background")?;
    match ends.or(show_until_ready(&mut child)).await {
        Ok(None) => Ok(()),
        Ok(Some(status)) => Err(ended_early(status)),
        Err(error) if error.is::<ToldToEnd>() => {
            let process = ProcessId::of(child.id().context("it has ended already")?)?;
            process.signal(Signal::SIGTERM);
            let ended = tokio::time::timeout(REMOVAL, child.wait()).await;
            ended.with_context(|| format!("the process {} in the background does not end", process.pid()))??;
            bail!("ended before the cluster was ready; nothing of it is left but its objects")
        }
        Err(error) => Err(error),
    }
}

/// Shows what the one in the background says; how it ended, if it did so before it was ready.
async fn show_until_ready(child: &mut Child) -> Result<Option<ExitStatus>> {
    let said = child.stdout.take().context("no pipe from the background")?;
    let mut lines = BufReader::new(said).lines();
    while let Some(line) = lines.next_line().await.context("cannot read what the background says")? {
        if line == READY {
            return Ok(None);
        }
        say(line);
    }
    child.wait().await.map(Some).context("cannot wait for the background")
}

/// It has said why on standard error, which is this process' own, unless it was killed.
fn ended_early(status: ExitStatus) -> anyhow::Error {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(0) | None => {
            anyhow!("the cluster was ended before it was ready ({status}); `portolan down` removes what may be left")
        }
        Some(code) => SaidAlready { code }.into(),
    }
}

/// Becomes a session of its own, so that closing the terminal does not end the cluster, and keeps no folder busy.
///
/// # Errors
/// When the kernel refuses.
pub fn leave_the_terminal() -> Result<()> {
    nix::unistd::setsid().context("cannot leave the terminal")?;
    std::env::set_current_dir("/").context("cannot leave the folder")
}

/// Tells the caller that the cluster is ready, and writes into the run folder from here on.
///
/// # Errors
/// When the log cannot be written.
pub fn leave_the_caller(run_dir: &RunDir) -> Result<()> {
    let path = run_dir.up_log();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    say(READY);
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    nix::unistd::dup2_stdout(&log)?;
    nix::unistd::dup2_stderr(&log)?;
    Ok(())
}

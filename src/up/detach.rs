//! `up --detach`: the same command once more in the background, whose progress is shown until it is ready.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cli;
use crate::refusal::Refusal;
use crate::up::run_dir::RunDir;

/// The line by which the one in the background says that it is ready and will write no more here.
const READY: &str = "\u{4}";

/// Starts the command in the background and shows what it says until it is ready.
///
/// # Errors
/// When it ends before that, with what it said.
pub async fn start_in_background(args: &cli::Up) -> Result<()> {
    debug_assert!(args.detach);
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let ready = tokio::task::spawn_blocking(move || {
        let mut child = Command::new(program)
            .args(std::env::args_os().skip(1))
            .arg("--background")
            .stdin(Stdio::inherit())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start in the background")?;
        let said = child.stdout.take().context("no pipe from the background")?;
        for line in BufReader::new(said).lines() {
            let line = line.context("cannot read what the background says")?;
            if line == READY {
                return Ok(None);
            }
            println!("{line}");
        }
        child.wait().map(Some).context("cannot wait for the background")
    })
    .await??;
    match ready {
        None => Ok(()),
        // It has said why on standard error, which is this process' own.
        Some(status) if status.code() == Some(2) => bail!(Refusal::silent()),
        Some(status) => bail!("the cluster ended before it was ready ({status})"),
    }
}

/// Becomes a session of its own, so that closing the terminal does not end the cluster.
///
/// # Errors
/// When the kernel refuses.
pub fn leave_the_terminal() -> Result<()> {
    nix::unistd::setsid().map(drop).context("cannot leave the terminal")
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
    println!("{READY}");
    std::io::stdout().flush()?;
    nix::unistd::dup2_stdout(&log)?;
    nix::unistd::dup2_stderr(&log)?;
    Ok(())
}

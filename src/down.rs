//! `portolan down`: nothing of a cluster stays in the kernel, whether its `up` lives, died or was killed.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::cli;
use crate::layout;
use crate::preflight;
use crate::up::remains;
use crate::up::run_dir::RunDir;
use crate::up::{data_dir_of, nothing_there};

/// How long a living `up` may take to remove what it made.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes a cluster down.
///
/// # Errors
/// When nothing of it is there, or something cannot be removed.
pub async fn run(args: cli::Down) -> Result<()> {
    preflight::is_root()?;
    let data_dir = data_dir_of(&args.name, None)?;
    let run_dir = RunDir::at(&layout::run_dir(&args.name));
    let (ran, stored) = (run_dir.exists(), data_dir.exists());
    if !ran && !(args.purge && stored) {
        return Err(nothing_there(&args.name).into());
    }
    if ran {
        take_down(&args.name, &run_dir).await?;
        println!("the cluster {} is down", args.name);
    }
    if args.purge && stored {
        fs::remove_dir_all(&data_dir).with_context(|| format!("cannot remove {}", data_dir.display()))?;
        println!("its objects are forgotten: {}", data_dir.display());
    } else if stored {
        println!(
            "its objects stay in {}; `portolan down --name {} --purge` forgets them",
            data_dir.display(),
            args.name
        );
    }
    Ok(())
}

async fn take_down(name: &str, run_dir: &RunDir) -> Result<()> {
    if let Some(up) = run_dir.running()? {
        up.signal(Signal::SIGTERM);
        if !up.gone_within(PATIENCE).await {
            up.end(Duration::ZERO).await;
        }
    }
    // A living `up` removed everything itself, the run folder too. What is still there was left by a dead one.
    if !run_dir.exists() {
        return Ok(());
    }
    let _claim = run_dir.claim(name)?;
    if let Some(layout) = run_dir.read_layout()? {
        remains::remove(&layout, run_dir).await?;
    }
    run_dir.remove()
}

//! `portolan down`: nothing of a cluster stays in the kernel, whether its `up` lives, died or was killed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use crate::cli;
use crate::data_dir;
use crate::layout;
use crate::preflight;
use crate::refusal::Refusal;
use crate::run_dir::{Doing, RunDir};
use crate::stdio::say;
use crate::up::remains;

/// How long a living `up` may take to remove what it made.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes a cluster down.
///
/// # Errors
/// When nothing of it is there, or something cannot be removed.
pub async fn run(args: cli::Down) -> Result<()> {
    preflight::is_root()?;
    let data_dir = data_dir::find(&args.name)?;
    let run_dir = RunDir::at(&layout::run_dir(&args.name));
    let (ran, stored) = (run_dir.exists(), data_dir::is_kept(&data_dir));
    if !(ran || args.purge && stored) {
        return Err(nothing_runs(&args.name, stored.then_some(data_dir.as_path())).into());
    }
    if ran {
        end_up(&args.name, &run_dir).await?;
    }
    // A living `up` removed everything itself, the run folder too. What is still there was left by a dead one; and a new
    // one must not start on objects that are being forgotten.
    if run_dir.exists() || args.purge {
        let claim = run_dir.claim(&args.name, Doing::Down)?;
        if let Some(layout) = run_dir.read_layout()? {
            remains::remove(&layout, &run_dir).await?;
        }
        if ran {
            say(format_args!("the cluster {} is down", args.name));
        }
        if args.purge && stored {
            forget(&args.name, &data_dir)?;
        }
        claim.remove()?;
    } else {
        say(format_args!("the cluster {} is down", args.name));
    }
    if stored && !args.purge {
        let (name, folder) = (&args.name, data_dir.display());
        say(format_args!("its objects stay in {folder}; `portolan down --name {name} --purge` forgets them"));
    }
    Ok(())
}

/// Ends an `up` that lives, and waits until it has removed what it made.
async fn end_up(name: &str, run_dir: &RunDir) -> Result<()> {
    let Some(holder) = run_dir.holder() else { return Ok(()) };
    if holder.doing == Doing::Up && !holder.process.end(Signal::SIGTERM, PATIENCE).await {
        bail!("the process {} of the cluster {name} does not end", holder.process.pid());
    }
    Ok(())
}

fn forget(name: &str, folder: &Path) -> Result<()> {
    let folder_is_gone = data_dir::forget(name, folder)?;
    say(format_args!("its objects are forgotten: {}", folder.display()));
    if !folder_is_gone {
        say(format_args!("the folder holds something else too, and stays: {}", folder.display()));
    }
    Ok(())
}

fn nothing_runs(name: &str, stored: Option<&Path>) -> Refusal {
    Refusal::new(match stored {
        Some(folder) => format!(
            "no cluster {name} runs here; its objects are in {}: `portolan up --name {name}` starts it again, `portolan down --name {name} --purge` forgets them",
            folder.display()
        ),
        None => format!("no cluster {name} here; `portolan up --name {name}` starts one"),
    })
}

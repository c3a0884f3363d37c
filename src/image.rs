//! `portolan image`: the images that Pods run. They are kept on disk beside the cluster's objects, whether it runs or not.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use pods::images::Store;
use pods::images::store::{Loaded, StoreError};

use crate::cli::{self, ImageAction};
use crate::data_dir::{self, Owner};
use crate::preflight;
use crate::refusal::{Refusal, one_line};
use crate::stdio::{self, say};

/// Loads, lists and removes images.
///
/// # Errors
/// When an archive is none, or an image is not there.
pub async fn run(args: cli::Image) -> Result<()> {
    preflight::is_root()?;
    let data_dir = match &args.data_dir {
        Some(given) => std::path::absolute(given)?,
        None => data_dir::find(&args.name)?,
    };
    tokio::task::spawn_blocking(move || act(&args.name, &data_dir, args.action)).await?
}

fn act(name: &str, data_dir: &Path, action: ImageAction) -> Result<()> {
    match action {
        ImageAction::Load { file } => load(name, data_dir, &file),
        ImageAction::List { json } => list(&open(name, data_dir)?, json),
        ImageAction::Rm { image } => {
            open(name, data_dir)?.remove(&image).map_err(|error| match error {
                StoreError::Absent(_) | StoreError::BuiltIn(_) | StoreError::Name(_) => {
                    anyhow::Error::from(Refusal::new(format!("{error}; `portolan image list` shows which there are")))
                }
                StoreError::InUse(_) => Refusal::new(format!("{error}; delete the Pods that run it first")).into(),
                error => error.into(),
            })?;
            say(format_args!("removed {image}"));
            Ok(())
        }
    }
}

/// The images of a cluster that is there, running or not: a name misspelt makes no folder.
fn open(name: &str, data_dir: &Path) -> Result<Store> {
    if !data_dir::is_kept(data_dir) {
        return Err(Refusal::new(format!(
            "no cluster {name} here; `portolan up --name {name}` starts one, and `portolan image --name {name} load FILE` loads images for it"
        ))
        .into());
    }
    let folder = data_dir.join("images");
    Store::open(&folder).with_context(|| format!("cannot open {}", folder.display()))
}

fn load(name: &str, data_dir: &Path, file: &Path) -> Result<()> {
    let refused = |why: String| {
        Refusal::new(format!(
            "{}: {why}; give an archive in a file, of an OCI image layout or from `docker save`",
            file.display()
        ))
    };
    // Before a folder is made for it.
    match fs::File::open(file).and_then(|f| f.metadata()) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(refused("it is no file".to_owned()).into()),
        Err(e) => return Err(refused(e.to_string()).into()),
    }
    let is_new = !data_dir::is_kept(data_dir);
    let kubeconfig = data_dir.join("kubeconfig");
    if is_new {
        data_dir::claim(data_dir, &Owner::Cluster { name: name.to_owned(), kubeconfig })?;
    }
    let loaded = match open(name, data_dir)?.load(file) {
        Ok(loaded) => loaded,
        Err(error) => {
            if is_new {
                data_dir::forget(name, data_dir)?;
            }
            return Err(match error {
                error if is_full(&error) => Refusal::new(format!(
                    "{}: the disk of {} is full; make room on it",
                    file.display(),
                    data_dir.display()
                ))
                .into(),
                StoreError::Archive(_) | StoreError::Layer { .. } | StoreError::Name(_) => {
                    refused(one_line(&error.into())).into()
                }
                error => anyhow::Error::from(error).context(format!("cannot load {}", file.display())),
            });
        }
    };
    for Loaded { image, devices } in loaded {
        say(format_args!("loaded {}", image.names.join(", ")));
        if devices > 0 {
            say(format_args!("  without its {devices} device files: containers have their own"));
        }
    }
    if data_dir != data_dir::find(name)? {
        data_dir::remember(name, data_dir).context("cannot remember where the images are")?;
    }
    Ok(())
}

/// Whether it failed for want of room.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let full = |e: &io::Error| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    error.downcast_ref::<io::Error>().is_some_and(full) || error.source().is_some_and(is_full)
}

fn list(store: &Store, json: bool) -> Result<()> {
    let images = store.list()?;
    let mut text = String::new();
    if json {
        text = serde_json::to_string_pretty(&images)?;
        text.push('\n');
    } else {
        let mut row = |name: &str, id: &str, size: &str| text += &format!("{name:<52} {id:<16} {size:>10}\n");
        row("IMAGE", "ID", "SIZE");
        for image in &images {
            for name in &image.names {
                row(name, short(&image.id), &human(image.size));
            }
        }
    }
    Ok(stdio::print(text.as_bytes())?)
}

/// The first twelve digits of a digest, as other tools show it.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

fn human(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

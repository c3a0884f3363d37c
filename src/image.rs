//! `portolan image`: the images that Pods run. They are kept on disk beside the cluster's objects, whether it runs or not.

use anyhow::{Context, Result};
use pods::images::Store;
use pods::images::store::StoreError;

use crate::cli::{self, ImageAction};
use crate::preflight;
use crate::refusal::Refusal;
use crate::up::data_dir_of;

/// Loads, lists and removes images.
///
/// # Errors
/// When an archive is none, or an image is not there.
pub async fn run(args: cli::Image) -> Result<()> {
    preflight::is_root()?;
    let folder = data_dir_of(&args.name, args.data_dir.as_deref())?.join("images");
    tokio::task::spawn_blocking(move || act(&folder, args.action)).await?
}

fn act(folder: &std::path::Path, action: ImageAction) -> Result<()> {
    let store = Store::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    match action {
        ImageAction::Load { file } => {
            if !file.is_file() {
                return Err(Refusal::new(format!("no archive at {}", file.display())).into());
            }
            for loaded in store.load(&file).with_context(|| format!("cannot load {}", file.display()))? {
                println!("loaded {}", loaded.image.names.join(", "));
            }
        }
        ImageAction::List { json } => {
            let images = store.list()?;
            if json {
                println!("{}", serde_json::to_string_pretty(&images)?);
            } else {
                println!("{:<52} {:<16} {:>10}", "IMAGE", "ID", "SIZE");
                for image in &images {
                    for name in &image.names {
                        println!("{name:<52} {:<16} {:>10}", short(&image.id), human(image.size));
                    }
                }
            }
        }
        ImageAction::Rm { image } => {
            store.remove(&image).map_err(|error| match error {
                StoreError::Absent(_) | StoreError::InUse(_) | StoreError::BuiltIn(_) | StoreError::Name(_) => {
                    anyhow::Error::from(Refusal::new(format!("{error}; `portolan image list` shows which there are")))
                }
                error => error.into(),
            })?;
            println!("removed {image}");
        }
    }
    Ok(())
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

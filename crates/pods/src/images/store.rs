//! The images of a machine, in a directory that its nodes share.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::archive::{Archive, ArchiveError, Blob, Bounds, Found};
use super::builtin;
use super::config::ImageConfig;
use super::layer::{LayerError, chain_name, lay};
use super::reference::{InvalidReference, Reference};
use crate::durable::{self, Lasting};

/// What cannot be done with images.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of the store.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the machine said.
        source: io::Error,
    },
    /// An archive that cannot be loaded.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A layer that cannot be loaded.
    #[error("layer {diff_id}: {source}")]
    Layer {
        /// The layer's digest.
        diff_id: String,
        /// Why.
        source: LayerError,
    },
    /// What is no image's name.
    #[error(transparent)]
    Name(#[from] InvalidReference),
    /// An image that is not there.
    #[error("there is no image {0}")]
    Absent(String),
    /// An image that a container runs.
    #[error("the image {0} is in use by a container")]
    InUse(String),
    /// The image that is always there.
    #[error("the image {0} is built in")]
    BuiltIn(String),
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:` and the digest of its configuration.
    pub id: String,
    /// Its names, in order.
    pub names: Vec<String>,
    /// How to run it.
    pub config: ImageConfig,
    /// Its layers' directories beneath the store's `layers`, the lowest first. The built-in image has none.
    pub layers: Vec<String>,
    /// Content of its files, in bytes.
    pub size: u64,
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The image.
    pub image: Image,
    /// Device files in it that were left out: containers have their own.
    pub devices: u64,
}

/// The images of a machine.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The store in a directory, which is made when it is not there.
    ///
    /// # Errors
    /// The directories cannot be made.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let store = Self { directory: directory.to_owned() };
        for path in [store.images(), store.layers(), store.aside()] {
            fs::DirBuilder::new().recursive(true).mode(0o711).create(&path).map_err(at(&path))?;
        }
        Ok(store)
    }

    /// Every image, the built-in one too, by their first names.
    ///
    /// # Errors
    /// Reading the store.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        let mut images = self.loaded()?;
        images.push(built_in());
        images.sort_by(|a, b| (&a.names, &a.id).cmp(&(&b.names, &b.id)));
        Ok(images)
    }

    /// The image that a Pod names, or `None` when it is not there.
    ///
    /// # Errors
    /// What is no name, or reading the store.
    pub fn resolve(&self, name: &str) -> Result<Option<Image>, StoreError> {
        let reference: Reference = name.parse()?;
        let found = self.loaded()?.into_iter().find(|image| is_named(image, &reference));
        Ok(found.or_else(|| builtin::is_echo(&reference).then(built_in)))
    }

    /// The directory in which layers' names are looked up.
    #[must_use]
    pub fn layers(&self) -> PathBuf {
        self.directory.join("layers")
    }

    /// The file that a container holds a shared lock of while it runs the image.
    #[must_use]
    pub fn in_use(&self, image: &Image) -> PathBuf {
        self.images().join(format!("{}.use", hex_of(&image.id)))
    }

    /// Loads every image of an archive (an OCI layout or a `docker save`, in a tar that may be compressed by gzip).
    /// What is there already is not loaded again; an image's new names go over to it from images that had them.
    ///
    /// # Errors
    /// The archive is broken, too large or for another machine, or the store cannot be written. Images that were whole
    /// by then are there.
    pub fn load(&self, archive: &Path) -> Result<Vec<Loaded>, StoreError> {
        self.load_within(archive, Bounds::default())
    }

    /// [`Store::load`] with bounds of one's own.
    ///
    /// # Errors
    /// As there.
    pub fn load_within(&self, archive: &Path, bounds: Bounds) -> Result<Vec<Loaded>, StoreError> {
        let _lock = self.lock()?;
        self.clear_aside()?;
        let file = File::open(archive).map_err(at(archive))?;
        let plain = self.aside().join("archive");
        let aside = || OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&plain);
        let archive = Archive::open(file, aside, bounds)?;
        let mut loaded = Vec::new();
        for (id, found) in archive.images()? {
            loaded.push(self.add(&archive, id, &found)?);
        }
        self.clear_aside()?;
        Ok(loaded)
    }

    /// Takes a name from an image, and the image with its layers away with its last name. An image may be named by its
    /// id too.
    ///
    /// # Errors
    /// There is none of that name, a container runs it, or the store cannot be written.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        let images = self.loaded()?;
        let by_id = images.iter().find(|i| i.id == name || i.id.strip_prefix("sha256:") == Some(name));
        let (image, kept) = match by_id {
            Some(image) => (image, Vec::new()),
            None => {
                let reference: Reference = name.parse()?;
                let Some(image) = images.iter().find(|image| is_named(image, &reference)) else {
                    let absent = if builtin::is_echo(&reference) { StoreError::BuiltIn } else { StoreError::Absent };
                    return Err(absent(name.to_owned()));
                };
                let name = reference.to_string();
                (image, image.names.iter().filter(|n| **n != name).cloned().collect())
            }
        };
        if !kept.is_empty() {
            return self.keep(&Image { names: kept, ..image.clone() });
        }
        self.delete(image)?;
        self.collect_layers()
    }

    fn delete(&self, image: &Image) -> Result<(), StoreError> {
        let path = self.in_use(image);
        let file = use_file(&path).map_err(at(&path))?;
        let alone = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(alone) => alone,
            Err((_, Errno::EWOULDBLOCK)) => {
                let name = image.names.first().unwrap_or(&image.id).clone();
                return Err(StoreError::InUse(name));
            }
            Err((_, errno)) => return Err(at(&path)(errno.into())),
        };
        let document = self.document(&image.id);
        fs::remove_file(&document).map_err(at(&document))?;
        fs::remove_file(&path).map_err(at(&path))?;
        drop(alone);
        Ok(())
    }

    /// Removes layers that no image has.
    fn collect_layers(&self) -> Result<(), StoreError> {
        let kept: BTreeSet<String> = self.loaded()?.into_iter().flat_map(|i| i.layers).collect();
        let layers = self.layers();
        for entry in fs::read_dir(&layers).map_err(at(&layers))? {
            let entry = entry.map_err(at(&layers))?;
            if !entry.file_name().to_str().is_some_and(|name| kept.contains(name)) {
                fs::remove_dir_all(entry.path()).map_err(at(&entry.path()))?;
            }
        }
        Ok(())
    }

    fn add(&self, archive: &Archive, id: String, found: &Found) -> Result<Loaded, StoreError> {
        let (mut layers, mut below, mut devices) = (Vec::new(), Vec::new(), 0);
        let diff_ids = &found.file.rootfs.diff_ids;
        for (n, (blob, diff_id)) in found.layers.iter().zip(diff_ids).enumerate() {
            let name = chain_name(diff_ids.get(..=n).unwrap_or_default());
            let home = self.layers().join(&name);
            if !home.exists() {
                devices += self.add_layer(archive, blob, diff_id, &below, &home)?;
            }
            layers.push(name);
            below.push(home.join("fs"));
        }
        let mut size = 0;
        for layer in &layers {
            let path = self.layers().join(layer).join("size");
            let bytes: Option<u64> = durable::read_json(&path).map_err(at(&path))?;
            size += bytes.unwrap_or(0);
        }
        let mut names: Vec<String> = found.names.iter().map(Reference::to_string).collect();
        self.take_names(&id, &names)?;
        let document = self.document(&id);
        let before: Option<Image> = durable::read_json(&document).map_err(at(&document))?;
        names.extend(before.into_iter().flat_map(|image| image.names));
        names.sort();
        names.dedup();
        let image = Image { id, names, config: found.file.config.clone().unwrap_or_default(), layers, size };
        self.keep(&image)?;
        Ok(Loaded { image, devices })
    }

    fn add_layer(
        &self,
        archive: &Archive,
        blob: &Blob,
        diff_id: &str,
        below: &[PathBuf],
        home: &Path,
    ) -> Result<u64, StoreError> {
        let aside = self.aside().join("layer");
        let fs_dir = aside.join("fs");
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&fs_dir).map_err(at(&fs_dir))?;
        let unpacked = lay(archive, blob, diff_id, below, &aside)
            .map_err(|source| StoreError::Layer { diff_id: diff_id.to_owned(), source })?;
        let size = aside.join("size");
        durable::write_json(&size, &unpacked.bytes, 0o644, Lasting::Process).map_err(at(&size))?;
        for scratch in ["work", "union"] {
            match fs::remove_dir_all(aside.join(scratch)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&aside.join(scratch))(e)),
                _ => {}
            }
        }
        // On disk before it has its name: a layer that is there is whole.
        nix::unistd::syncfs(File::open(&aside).map_err(at(&aside))?).map_err(|e| at(&aside)(e.into()))?;
        fs::rename(&aside, home).map_err(at(home))?;
        Ok(unpacked.devices)
    }

    /// A name belongs to one image: the one that was loaded last.
    fn take_names(&self, id: &str, names: &[String]) -> Result<(), StoreError> {
        for image in self.loaded()?.into_iter().filter(|image| image.id != id) {
            let kept: Vec<String> = image.names.iter().filter(|n| !names.contains(n)).cloned().collect();
            if kept.len() != image.names.len() {
                self.keep(&Image { names: kept, ..image })?;
            }
        }
        Ok(())
    }

    fn keep(&self, image: &Image) -> Result<(), StoreError> {
        let path = self.document(&image.id);
        use_file(&self.in_use(image)).map_err(at(&self.in_use(image)))?;
        durable::write_json(&path, image, 0o644, Lasting::Disk).map_err(at(&path))
    }

    fn loaded(&self) -> Result<Vec<Image>, StoreError> {
        let images = self.images();
        let mut found = Vec::new();
        for entry in fs::read_dir(&images).map_err(at(&images))? {
            let path = entry.map_err(at(&images))?.path();
            let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
            if hidden || path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            found.extend(durable::read_json::<Image>(&path).map_err(at(&path))?);
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    fn lock(&self) -> Result<Flock<File>, StoreError> {
        let path = self.directory.join("lock");
        let file = use_file(&path).map_err(at(&path))?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| at(&path)(errno.into()))
    }

    fn clear_aside(&self) -> Result<(), StoreError> {
        let aside = self.aside();
        fs::remove_dir_all(&aside).map_err(at(&aside))?;
        fs::DirBuilder::new().mode(0o700).create(&aside).map_err(at(&aside))
    }

    fn images(&self) -> PathBuf {
        self.directory.join("images")
    }

    fn aside(&self) -> PathBuf {
        self.directory.join("aside")
    }

    fn document(&self, id: &str) -> PathBuf {
        self.images().join(format!("{}.json", hex_of(id)))
    }
}

fn built_in() -> Image {
    let name = format!("{}:latest", builtin::ECHO);
    let config = builtin::config();
    let id = super::archive::digest(name.as_bytes());
    Image { id, names: vec![name], config, layers: Vec::new(), size: 0 }
}

/// By tag, by the digest that is its id, or by both.
fn is_named(image: &Image, reference: &Reference) -> bool {
    let by_digest = reference.digest.as_ref().is_none_or(|digest| *digest == image.id);
    let tagged = Reference { digest: None, ..reference.clone() };
    let by_tag = match reference.tag {
        Some(_) => image.names.contains(&tagged.to_string()),
        None => image.names.iter().any(|n| n.rsplit_once(':').is_some_and(|(r, _)| r == reference.repository)),
    };
    by_digest && by_tag
}

fn hex_of(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

fn use_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn at(path: &Path) -> impl Fn(io::Error) -> StoreError + '_ {
    move |source| StoreError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;

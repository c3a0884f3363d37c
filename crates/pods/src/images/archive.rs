//! An archive of images: an OCI image layout in a tar file, or what `docker save` writes, or both in one.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path};

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::config::ImageFile;
use super::reference::{Reference, is_digest};

/// Bounds of what is taken from an archive.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Of an index, a manifest or a configuration, in bytes.
    pub document: u64,
    /// Of one layer, unpacked, in bytes.
    pub layer: u64,
    /// Files of one layer, and of the archive itself.
    pub entries: u64,
    /// Layers of one image. overlayfs takes no more names than fit a page.
    pub layers: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { document: 4 << 20, layer: 32 << 30, entries: 2_000_000, layers: 100 }
    }
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading it.
    #[error("reading the archive: {0}")]
    Read(#[from] io::Error),
    /// Neither an index nor a manifest.
    #[error("this is no image archive: it has neither index.json nor manifest.json")]
    NotAnArchive,
    /// A file is named that is not there.
    #[error("the archive names {0}, and has none")]
    Missing(String),
    /// A file that is larger than it may be.
    #[error("{name} has {size} bytes; at most {bound} are taken")]
    TooLarge {
        /// The file.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// The bound in bytes.
        bound: u64,
    },
    /// More files or layers than are taken.
    #[error("more than {bound} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        bound: u64,
    },
    /// A document that is not what it should be.
    #[error("{name}: {source}")]
    Document {
        /// The file.
        name: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// Bytes that are not those that were named.
    #[error("{name} has the digest {found}")]
    Digest {
        /// The digest that was named.
        name: String,
        /// That of the bytes.
        found: String,
    },
    /// A digest that is no digest.
    #[error("{0:?} is not a digest that is known here (sha256)")]
    UnknownDigest(String),
    /// A compression that is not known here.
    #[error("layers of the type {0:?} are not known here (plain and gzip are)")]
    UnknownLayer(String),
    /// The image is for another machine.
    #[error("the archive has no image for linux on {0}")]
    OtherPlatform(&'static str),
    /// Configuration and manifest do not fit.
    #[error("image {id} has {layers} layers and {diff_ids} digests of them")]
    Uneven {
        /// The image.
        id: String,
        /// Number of layers.
        layers: usize,
        /// Number of digests.
        diff_ids: usize,
    },
}

/// One image as an archive has it.
#[derive(Debug)]
pub struct Found {
    /// Its configuration.
    pub file: ImageFile,
    /// Where its layers are, the lowest first.
    pub layers: Vec<Blob>,
    /// Its names, in order.
    pub names: Vec<Reference>,
}

/// A stretch of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The digest that its bytes have to have, when the archive names one.
    pub digest: Option<String>,
}

/// An archive whose files have been found.
pub struct Archive {
    file: File,
    files: HashMap<String, (u64, u64)>,
    bounds: Bounds,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: String,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// How deep an index may lie in an index.
const DEPTH: usize = 4;

impl Archive {
    /// Finds the files of an archive. One that is compressed as a whole is unpacked into `aside` first, a file to write.
    ///
    /// # Errors
    /// It cannot be read, or is too large.
    pub fn open(
        mut file: File,
        aside: impl FnOnce() -> io::Result<File>,
        bounds: Bounds,
    ) -> Result<Self, ArchiveError> {
        if begins_with_gzip(&mut file)? {
            let mut plain = aside()?;
            let mut unpacked = MultiGzDecoder::new(BufReader::new(&file)).take(bounds.layer + 1);
            let size = io::copy(&mut unpacked, &mut plain)?;
            if size > bounds.layer {
                return Err(ArchiveError::TooLarge { name: "the archive".into(), size, bound: bounds.layer });
            }
            plain.flush()?;
            file = plain;
        }
        file.seek(SeekFrom::Start(0))?;
        let files = find_files(&file, bounds.entries)?;
        Ok(Self { file, files, bounds })
    }

    /// Every image of the archive that this machine can run, by its id (`sha256:…`).
    ///
    /// # Errors
    /// Documents that are not there, too large or not what they are named.
    pub fn images(&self) -> Result<BTreeMap<String, Found>, ArchiveError> {
        let mut images = BTreeMap::new();
        let mut known = false;
        let mut foreign = false;
        if self.files.contains_key("index.json") {
            known = true;
            let index: Index = self.document("index.json")?;
            for descriptor in &index.manifests {
                foreign |= !self.oci_image(descriptor, &mut Vec::new(), DEPTH, &mut images)?;
            }
        }
        if self.files.contains_key("manifest.json") {
            known = true;
            for image in self.document::<Vec<DockerImage>>("manifest.json")? {
                foreign |= !self.docker_image(&image, &mut images)?;
            }
        }
        match (known, images.is_empty() && foreign) {
            (false, _) => Err(ArchiveError::NotAnArchive),
            (true, true) => Err(ArchiveError::OtherPlatform(architecture())),
            (true, false) => Ok(images),
        }
    }

    /// The bytes of a stretch, from its beginning.
    ///
    /// # Errors
    /// Reading.
    pub fn read(&self, blob: &Blob) -> io::Result<impl Read + '_> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(blob.offset))?;
        Ok(BufReader::with_capacity(128 << 10, file.take(blob.size)))
    }

    /// Bounds of what is taken from it.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Takes the image that a descriptor leads to, through indexes if need be. False when it is for another machine.
    fn oci_image(
        &self,
        descriptor: &Descriptor,
        names: &mut Vec<Reference>,
        depth: usize,
        into: &mut BTreeMap<String, Found>,
    ) -> Result<bool, ArchiveError> {
        if descriptor.platform.as_ref().is_some_and(|p| !runs_here(&p.os, &p.architecture)) {
            return Ok(false);
        }
        let held = names.len();
        names.extend(descriptor_names(descriptor));
        let path = blob_path(&descriptor.digest)?;
        self.verify(&path, &descriptor.digest)?;
        let is_index = descriptor.media_type.contains("index") || descriptor.media_type.contains("manifest.list");
        let taken = if is_index && depth > 0 {
            let mut any = false;
            for inner in &self.document::<Index>(&path)?.manifests {
                any |= self.oci_image(inner, names, depth - 1, into)?;
            }
            any
        } else {
            self.manifest(&self.document(&path)?, names, into)?
        };
        names.truncate(held);
        Ok(taken)
    }

    fn manifest(
        &self,
        manifest: &Manifest,
        names: &[Reference],
        into: &mut BTreeMap<String, Found>,
    ) -> Result<bool, ArchiveError> {
        let layer = |l: &Descriptor| {
            // What says nothing of itself is looked at when it is unpacked.
            if l.media_type.ends_with("+zstd") || l.media_type.ends_with(".zstd") {
                return Err(ArchiveError::UnknownLayer(l.media_type.clone()));
            }
            let (offset, size) = self.place(&blob_path(&l.digest)?)?;
            Ok(Blob { offset, size, digest: Some(l.digest.clone()) })
        };
        let path = blob_path(&manifest.config.digest)?;
        self.verify(&path, &manifest.config.digest)?;
        let file: ImageFile = self.document(&path)?;
        if !runs_here(&file.os, &file.architecture) {
            return Ok(false);
        }
        let layers = manifest.layers.iter().map(layer).collect::<Result<Vec<_>, _>>()?;
        self.add(manifest.config.digest.clone(), file, layers, names, into)?;
        Ok(true)
    }

    fn docker_image(&self, image: &DockerImage, into: &mut BTreeMap<String, Found>) -> Result<bool, ArchiveError> {
        let config = clean(&image.config);
        let id = digest(&self.bytes(&config)?);
        let file: ImageFile = self.document(&config)?;
        if !runs_here(&file.os, &file.architecture) {
            return Ok(false);
        }
        let layer = |name: &String| {
            let (offset, size) = self.place(&clean(name))?;
            Ok(Blob { offset, size, digest: None })
        };
        let layers = image.layers.iter().map(layer).collect::<Result<Vec<_>, ArchiveError>>()?;
        let names: Vec<Reference> = image.repo_tags.iter().flatten().filter_map(|n| n.parse().ok()).collect();
        self.add(id, file, layers, &names, into)?;
        Ok(true)
    }

    fn add(
        &self,
        id: String,
        file: ImageFile,
        layers: Vec<Blob>,
        names: &[Reference],
        into: &mut BTreeMap<String, Found>,
    ) -> Result<(), ArchiveError> {
        if layers.len() > self.bounds.layers {
            return Err(ArchiveError::TooMany { what: "layers", bound: self.bounds.layers as u64 });
        }
        let diff_ids = file.rootfs.diff_ids.len();
        if layers.len() != diff_ids {
            return Err(ArchiveError::Uneven { id, layers: layers.len(), diff_ids });
        }
        let image = into.entry(id).or_insert(Found { file, layers, names: Vec::new() });
        image.names.extend(names.iter().cloned());
        image.names.sort();
        image.names.dedup();
        Ok(())
    }

    fn place(&self, name: &str) -> Result<(u64, u64), ArchiveError> {
        self.files.get(name).copied().ok_or_else(|| ArchiveError::Missing(name.to_owned()))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let (offset, size) = self.place(name)?;
        let bound = self.bounds.document;
        if size > bound {
            return Err(ArchiveError::TooLarge { name: name.to_owned(), size, bound });
        }
        let mut bytes = Vec::new();
        self.read(&Blob { offset, size, digest: None })?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn document<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, ArchiveError> {
        let bytes = self.bytes(name)?;
        serde_json::from_slice(&bytes).map_err(|source| ArchiveError::Document { name: name.to_owned(), source })
    }

    fn verify(&self, name: &str, wanted: &str) -> Result<(), ArchiveError> {
        let found = digest(&self.bytes(name)?);
        if found == wanted { Ok(()) } else { Err(ArchiveError::Digest { name: wanted.to_owned(), found }) }
    }
}

/// `sha256:` and the digest of the bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Two hexadecimal digits for each byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn begins_with_gzip(file: &mut File) -> io::Result<bool> {
    let mut magic = [0; 2];
    let mut read = 0;
    while read < magic.len() {
        match file.read(&mut magic[read..])? {
            0 => break,
            n => read += n,
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(magic == [0x1f, 0x8b])
}

/// Where each file of the tar begins and how long it is. `docker save` writes links where two images share a layer.
fn find_files(file: &File, bound: u64) -> Result<HashMap<String, (u64, u64)>, ArchiveError> {
    let mut tar = tar::Archive::new(file);
    let mut files = HashMap::new();
    let mut links = Vec::new();
    for entry in tar.entries_with_seek()? {
        let entry = entry?;
        if files.len() as u64 >= bound {
            return Err(ArchiveError::TooMany { what: "files in the archive", bound });
        }
        let path = entry.path()?.into_owned();
        let name = clean(&path.to_string_lossy());
        let kind = entry.header().entry_type();
        if kind.is_file() || kind.is_contiguous() {
            files.insert(name, (entry.raw_file_position(), entry.size()));
        } else if let (true, Some(target)) = (kind.is_symlink() || kind.is_hard_link(), entry.link_name()?) {
            let base = if kind.is_symlink() { path.parent().unwrap_or(Path::new("")) } else { Path::new("") };
            links.push((name, clean(&base.join(target).to_string_lossy())));
        }
    }
    for (name, target) in links {
        if let Some(place) = files.get(&target).copied() {
            files.entry(name).or_insert(place);
        }
    }
    Ok(files)
}

/// A path without `.`, `..` and a leading slash: just a key among the archive's own files.
fn clean(path: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts.join("/")
}

fn blob_path(digest: &str) -> Result<String, ArchiveError> {
    if !is_digest(digest) {
        return Err(ArchiveError::UnknownDigest(digest.to_owned()));
    }
    Ok(format!("blobs/{}", digest.replacen(':', "/", 1)))
}

/// The full name that containerd writes, or OCI's when that is a whole name and not just a tag.
fn descriptor_names(descriptor: &Descriptor) -> Option<Reference> {
    let named = |key: &str| descriptor.annotations.get(key);
    let full = named("io.containerd.image.name")
        .or_else(|| named("org.opencontainers.image.ref.name").filter(|name| name.contains('/') || name.contains(':')));
    full.and_then(|name| name.parse().ok())
}

fn runs_here(os: &str, machine: &str) -> bool {
    (os.is_empty() || os == "linux") && (machine.is_empty() || machine == architecture())
}

/// This machine's architecture, as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests;

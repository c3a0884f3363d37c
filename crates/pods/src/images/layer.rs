//! One layer: read, checked against both its digests, and unpacked upon those beneath it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use sha2::{Digest, Sha256};

use super::archive::{Archive, ArchiveError, Blob, Bounds, digest, hex};
use super::unpack::{UnpackError, Unpacked, unpack};

/// Why a layer is not there.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Reading it, or bytes that are not those that were named.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What is in it.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// Laying it upon the others.
    #[error("laying a layer upon {below} others: {source}")]
    Union {
        /// How many.
        below: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The name of a layer's directory: 32 digits of the digest of all that it lies upon, and itself.
#[must_use]
pub fn chain_name(diff_ids: &[String]) -> String {
    let chain = diff_ids.iter().fold(String::new(), |chain, diff_id| {
        if chain.is_empty() { diff_id.clone() } else { digest(format!("{chain} {diff_id}").as_bytes()) }
    });
    let hex = chain.strip_prefix("sha256:").unwrap_or(&chain);
    hex.chars().take(32).collect()
}

/// Unpacks a layer into the empty directory `into/fs`, upon the directories `below`, the lowest first.
pub fn lay(
    archive: &Archive,
    blob: &Blob,
    diff_id: &str,
    below: &[PathBuf],
    into: &Path,
) -> Result<Unpacked, LayerError> {
    let upper = into.join("fs");
    if below.is_empty() {
        return check_and_unpack(archive, blob, diff_id, &upper);
    }
    // The union is seen by no one else, and gone with the thread.
    std::thread::scope(|scope| {
        let unpacked = scope.spawn(|| {
            let union = union(below, into).map_err(|source| LayerError::Union { below: below.len(), source })?;
            check_and_unpack(archive, blob, diff_id, &union)
        });
        unpacked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Mounts the layers beneath, with the new one above them, in a mount namespace of the calling thread's own.
fn union(below: &[PathBuf], into: &Path) -> io::Result<PathBuf> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let (work, union) = (into.join("work"), into.join("union"));
    for directory in [&work, &union] {
        std::fs::create_dir(directory)?;
    }
    // Named relative to the store: the kernel takes no more than a page of options.
    let store = below.first().and_then(|fs| fs.parent()?.parent()).ok_or(io::ErrorKind::InvalidInput)?;
    nix::unistd::chdir(store)?;
    let lower: Vec<String> = below
        .iter()
        .rev()
        .map(|l| l.strip_prefix(store).map(|l| l.display().to_string()).map_err(io::Error::other))
        .collect::<Result<_, _>>()?;
    let (lower, upper) = (lower.join(":"), into.join("fs"));
    let options = format!("lowerdir={lower},upperdir={},workdir={}", upper.display(), work.display());
    mount(Some("overlay"), &union, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    Ok(union)
}

fn check_and_unpack(archive: &Archive, blob: &Blob, diff_id: &str, root: &Path) -> Result<Unpacked, LayerError> {
    let mut packed = Hashing::new(archive.read(blob).map_err(ArchiveError::Read)?);
    let mut begin = [0; 4];
    let begun = read_some(&mut packed, &mut begin).map_err(ArchiveError::Read)?;
    let begin = begin.get(..begun).unwrap_or_default();
    if begin == [0x28, 0xb5, 0x2f, 0xfd] {
        return Err(ArchiveError::UnknownLayer("zstd".into()).into());
    }
    let gzip = begin.starts_with(&[0x1f, 0x8b]);
    let mut whole = begin.chain(&mut packed);
    let (unpacked, found) = if gzip {
        let plain = MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, &mut whole));
        through(plain, root, archive.bounds())?
    } else {
        through(&mut whole, root, archive.bounds())?
    };
    if found != diff_id {
        return Err(ArchiveError::Digest { name: diff_id.to_owned(), found }.into());
    }
    io::copy(&mut whole, &mut io::sink()).map_err(ArchiveError::Read)?;
    let found = packed.digest();
    match &blob.digest {
        Some(name) if *name != found => Err(ArchiveError::Digest { name: name.clone(), found }.into()),
        _ => Ok(unpacked),
    }
}

/// Unpacks what is read and gives the digest of all of it, what comes after the tar's end too.
fn through(plain: impl Read, root: &Path, bounds: &Bounds) -> Result<(Unpacked, String), LayerError> {
    let mut plain = Hashing::new(plain);
    let unpacked = unpack(&mut plain, root, bounds)?;
    io::copy(&mut (&mut plain).take(bounds.layer), &mut io::sink()).map_err(ArchiveError::Read)?;
    Ok((unpacked, plain.digest()))
}

fn read_some(reader: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match reader.read(&mut into[read..])? {
            0 => break,
            n => read += n,
        }
    }
    Ok(read)
}

/// Reads, and digests what was read.
struct Hashing<R> {
    reader: R,
    digest: Sha256,
}

impl<R: Read> Hashing<R> {
    fn new(reader: R) -> Self {
        Self { reader, digest: Sha256::new() }
    }

    fn digest(self) -> String {
        format!("sha256:{}", hex(&self.digest.finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.digest.update(buffer.get(..n).unwrap_or_default());
        Ok(n)
    }
}

#[cfg(test)]
mod tests;

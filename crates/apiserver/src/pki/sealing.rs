//! Secrets are sealed before they reach the disk: AES-256-GCM, each bound to its key in the store.
//!
//! The keys lie beside the cluster's other keys, in a file that only its owner can read: a line each, the newest first. A
//! sealed value is [`MAGIC`], the name of its key, a nonce and the ciphertext; what does not begin so is as it was
//! written before there were keys. [`SecretKeys::rotate`] puts a new key first; what older ones sealed can still be opened,
//! also in the store's log and in backups.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kinds::Kind;
use parking_lot::RwLock;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::{PkiError, write_private};

#[cfg(test)]
mod tests;

/// What a sealed value begins with.
const MAGIC: &[u8] = b"portolan:aes-256-gcm:1:";
/// How long the name of a key is.
const NAME: usize = 8;
/// How many keys are kept: the newest, and older ones for what they sealed.
const KEYS: usize = 8;

/// Why a value cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key that sealed it is not there.
    #[error("it is sealed with the key {0}, which is not there")]
    UnknownKey(String),
    /// It was changed, cut off, or sealed for another place.
    #[error("it is sealed, and is not what was sealed here")]
    Damaged,
    /// There is no randomness, or too much to seal.
    #[error("it cannot be sealed")]
    Seal,
}

struct Key {
    name: [u8; NAME],
    cipher: LessSafeKey,
}

/// The keys that seal Secrets.
pub struct SecretKeys {
    path: PathBuf,
    random: SystemRandom,
    /// The newest first; never empty.
    keys: RwLock<Vec<Key>>,
}

impl SecretKeys {
    /// Reads the keys of a file; makes it with one key where there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is damaged.
    pub fn load_or_create(path: &Path) -> Result<Self, PkiError> {
        let keys = Self { path: path.to_owned(), random: SystemRandom::new(), keys: RwLock::default() };
        if !path.exists() {
            keys.rotate()?;
            return Ok(keys);
        }
        let file = |source| PkiError::File { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(file)?;
        let damaged = || PkiError::Damaged { path: path.to_owned(), reason: "it has no keys of Secrets".to_owned() };
        let read = text.lines().map(read_key).collect::<Option<Vec<Key>>>().filter(|keys| !keys.is_empty());
        *keys.keys.write() = read.ok_or_else(damaged)?;
        Ok(keys)
    }

    /// Puts a new key first; the oldest goes when there are more than eight.
    ///
    /// # Errors
    /// When there is no randomness, or the file cannot be written; then nothing has changed.
    pub fn rotate(&self) -> Result<(), PkiError> {
        let file = |source| PkiError::File { path: self.path.clone(), source };
        let no_randomness = |_| file(std::io::Error::other("there is no randomness"));
        let (mut secret, mut name) = ([0; 32], [0; NAME / 2]);
        self.random.fill(&mut secret).map_err(no_randomness)?;
        self.random.fill(&mut name).map_err(no_randomness)?;
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{name} {}", STANDARD.encode(secret));
        let Some(key) = read_key(&line) else { return Err(file(std::io::Error::other("a new key is no key"))) };
        let mut keys = self.keys.write();
        let old = if self.path.exists() { fs::read_to_string(&self.path).map_err(file)? } else { String::new() };
        let lines: Vec<&str> = std::iter::once(line.as_str()).chain(old.lines()).take(KEYS).collect();
        write_private(&self.path, &(lines.join("\n") + "\n")).map_err(file)?;
        keys.insert(0, key);
        keys.truncate(KEYS);
        Ok(())
    }

    /// What is to be stored under `place` for a value of this kind: sealed if the kind is Secret.
    pub(crate) fn seal(&self, kind: &Kind, place: &str, value: bytes::Bytes) -> Result<bytes::Bytes, SealError> {
        if !is_sealed(kind) {
            return Ok(value);
        }
        let keys = self.keys.read();
        let key = keys.first().ok_or(SealError::Seal)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| SealError::Seal)?;
        let mut sealed = value.to_vec();
        let (with, place) = (Nonce::assume_unique_for_key(nonce), Aad::from(place.as_bytes()));
        key.cipher.seal_in_place_append_tag(with, place, &mut sealed).map_err(|_| SealError::Seal)?;
        Ok([MAGIC, &key.name, &nonce, &sealed].concat().into())
    }

    /// The value that is stored under `place`.
    ///
    /// # Errors
    /// When its key is not there, or it is not what was sealed for this place.
    pub fn open<'v>(&self, place: &str, stored: &'v [u8]) -> Result<Cow<'v, [u8]>, SealError> {
        let Some(rest) = stored.strip_prefix(MAGIC) else { return Ok(Cow::Borrowed(stored)) };
        let (name, rest) = rest.split_at_checked(NAME).ok_or(SealError::Damaged)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let keys = self.keys.read();
        let key = keys.iter().find(|key| key.name == name);
        let key = key.ok_or_else(|| SealError::UnknownKey(String::from_utf8_lossy(name).into_owned()))?;
        let mut opened = sealed.to_vec();
        let length = key.cipher.open_in_place(nonce, Aad::from(place.as_bytes()), &mut opened);
        let length = length.map_err(|_| SealError::Damaged)?.len();
        opened.truncate(length);
        Ok(Cow::Owned(opened))
    }

    /// Whether a stored value is sealed with the newest key.
    pub(crate) fn is_newest(&self, stored: &[u8]) -> bool {
        let name = stored.strip_prefix(MAGIC).and_then(|rest| rest.get(..NAME));
        name.is_some() && self.keys.read().first().map(|key| key.name.as_slice()) == name
    }
}

/// Whether objects of this kind are sealed.
pub(crate) fn is_sealed(kind: &Kind) -> bool {
    std::ptr::eq(kind, &kinds::secret::KIND)
}

fn read_key(line: &str) -> Option<Key> {
    let (name, secret) = line.trim().split_once(' ')?;
    let cipher = UnboundKey::new(&AES_256_GCM, &STANDARD.decode(secret).ok()?).ok()?;
    Some(Key { name: name.as_bytes().try_into().ok()?, cipher: LessSafeKey::new(cipher) })
}

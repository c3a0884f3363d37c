use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;

use super::*;

const PLACE: &str = "/registry/secrets/default/s";

fn keys() -> (tempfile::TempDir, SecretKeys) {
    let dir = tempfile::tempdir().unwrap();
    let keys = SecretKeys::load_or_create(&dir.path().join("secrets.keys")).unwrap();
    (dir, keys)
}

fn sealed(keys: &SecretKeys, text: &'static str) -> Bytes {
    keys.seal(&kinds::secret::KIND, PLACE, Bytes::from_static(text.as_bytes())).unwrap()
}

#[test]
fn what_is_sealed_is_opened_here_and_nowhere_else() {
    let (_dir, keys) = keys();
    let (one, two) = (sealed(&keys, "hunter2"), sealed(&keys, "hunter2"));
    assert_ne!(one, two, "no two are alike");
    assert!(!one.windows(7).any(|part| part == b"hunter2"));
    assert_eq!(keys.open(PLACE, &one).unwrap(), b"hunter2".as_slice());
    assert_eq!(keys.open("/registry/secrets/default/t", &one), Err(SealError::Damaged));
    for at in MAGIC.len() + NAME..one.len() {
        let mut changed = one.to_vec();
        changed[at] ^= 1;
        assert_eq!(keys.open(PLACE, &changed), Err(SealError::Damaged), "{at}");
        assert!(keys.open(PLACE, &one[..at]).is_err(), "{at}");
    }
    let config_map = keys.seal(&kinds::config_map::KIND, PLACE, Bytes::from_static(b"{}")).unwrap();
    assert_eq!(config_map, Bytes::from_static(b"{}"), "nothing else is sealed");
    assert_eq!(keys.open(PLACE, b"{}").unwrap(), b"{}".as_slice(), "what was there before is read");
}

#[test]
fn a_new_key_seals_and_older_ones_still_open() {
    let (dir, keys) = keys();
    let path = dir.path().join("secrets.keys");
    let old = sealed(&keys, "old");
    keys.rotate().unwrap();
    assert!(!keys.is_newest(&old) && keys.is_newest(&sealed(&keys, "new")));
    let again = SecretKeys::load_or_create(&path).unwrap();
    assert_eq!(again.open(PLACE, &old).unwrap(), b"old".as_slice());
    assert!(again.is_newest(&sealed(&keys, "new")), "the order is that of the file");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for _ in 0..KEYS {
        keys.rotate().unwrap();
    }
    assert!(matches!(keys.open(PLACE, &old), Err(SealError::UnknownKey(_))));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), KEYS);
}

#[test]
fn a_file_without_keys_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "x", "01234567 AAAA", "0123 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        let path = dir.path().join("keys");
        fs::write(&path, text).unwrap();
        assert!(matches!(SecretKeys::load_or_create(&path), Err(PkiError::Damaged { .. })), "{text:?}");
    }
}

use std::io::{Cursor, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use serde_json::json;

use super::super::archive::digest;
use super::*;

type Entry<'a> = (&'a str, tar::EntryType, &'a str);

/// A layer: (path, type, content or target).
fn layer(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        let data = if kind.is_file() { content.as_bytes() } else { b"" };
        header.set_size(data.len() as u64);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name_literal(content).unwrap();
        }
        // Written as they are: a builder refuses the paths that have to be refused here.
        let name = path.as_bytes();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        tar.append(&header, Cursor::new(data)).unwrap();
    }
    tar.into_inner().unwrap()
}

fn archive(name: &str, layers: &[Vec<u8>]) -> tempfile::NamedTempFile {
    let diff_ids: Vec<String> = layers.iter().map(|l| digest(l)).collect();
    let config = json!({"config": {"Cmd": ["run"]}, "rootfs": {"diff_ids": diff_ids}}).to_string().into_bytes();
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest = json!([{"Config": "c.json", "RepoTags": [name], "Layers": names}]).to_string().into_bytes();
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    add("manifest.json", &manifest);
    add("c.json", &config);
    for (name, layer) in names.iter().zip(layers) {
        add(name, layer);
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&tar.into_inner().unwrap()).unwrap();
    file
}

fn store() -> Option<(tempfile::TempDir, Store)> {
    if testbed::skip_unless_root().is_some() {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("images")).unwrap();
    Some((dir, store))
}

const FILE: tar::EntryType = tar::EntryType::Regular;
const DIR: tar::EntryType = tar::EntryType::Directory;
const SYMLINK: tar::EntryType = tar::EntryType::Symlink;
const LINK: tar::EntryType = tar::EntryType::Link;

#[test]
fn a_layer_lies_upon_those_beneath_it() {
    let Some((_dir, store)) = store() else { return };
    let base = layer(&[
        ("usr/lib", DIR, ""),
        ("usr/lib/old", FILE, "old"),
        ("lib", SYMLINK, "usr/lib"),
        ("gone", FILE, "x"),
        ("emptied/a", FILE, "x"),
        ("emptied/b/c", FILE, "x"),
    ]);
    let top = layer(&[
        ("lib/new", FILE, "new"),
        (".wh.gone", FILE, ""),
        ("emptied/mine", FILE, "mine"),
        ("emptied/.wh..wh..opq", FILE, ""),
        ("link", LINK, "usr/lib/old"),
    ]);
    let loaded = store.load(archive("a:1", &[base, top]).path()).unwrap();
    let image = &loaded[0].image;
    let fs_of = |n: usize| store.layers().join(&image.layers[n]).join("fs");
    assert_eq!(fs::read_to_string(fs_of(0).join("usr/lib/old")).unwrap(), "old");
    let top = fs_of(1);
    assert_eq!(fs::read_to_string(top.join("usr/lib/new")).unwrap(), "new", "a lower link was not followed");
    assert!(fs::symlink_metadata(top.join("lib")).is_err(), "the lower link was hidden");
    assert!(fs::symlink_metadata(top.join("gone")).unwrap().file_type().is_char_device(), "no whiteout");
    assert_eq!(fs::read_to_string(top.join("emptied/mine")).unwrap(), "mine");
    assert!(fs::symlink_metadata(top.join("emptied/a")).unwrap().file_type().is_char_device());
    assert!(fs::symlink_metadata(top.join("emptied/b")).unwrap().file_type().is_char_device());
    assert_eq!(fs::read_to_string(top.join("link")).unwrap(), "old");
    assert_eq!(image.size, 13);
}

#[test]
fn nothing_is_made_outside() {
    let Some((dir, store)) = store() else { return };
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let to = outside.to_str().unwrap();
    let up = format!("../../../../../../..{to}");
    let cases: [Vec<Entry<'_>>; 4] = [
        vec![("../evil", FILE, "x")],
        vec![("a/../../evil", FILE, "x")],
        vec![("hard", LINK, "../../../outside/secret")],
        vec![(".wh...", FILE, "")],
    ];
    for case in cases {
        let loaded = store.load(archive("evil", &[layer(&case)]).path());
        assert!(loaded.is_err(), "{case:?}");
    }
    // Links lead to where they lead in the image, whatever the machine has there.
    for target in [to, up.as_str()] {
        let sly = layer(&[("d", SYMLINK, target), ("d/evil", FILE, "x"), ("d/.wh.secret", FILE, "")]);
        let loaded = store.load(archive("sly", &[sly]).path()).unwrap();
        let root = store.layers().join(&loaded[0].image.layers[0]).join("fs");
        assert!(root.join(to.trim_start_matches('/')).join("evil").exists());
        let hard = layer(&[("d", SYMLINK, target), ("hard", LINK, "d/secret")]);
        assert!(store.load(archive("hard", &[hard]).path()).is_err());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    }
    assert!(!dir.path().join("images/evil").exists());
}

#[test]
fn device_files_are_left_out() {
    let Some((_dir, store)) = store() else { return };
    let devices = layer(&[("dev/sda", tar::EntryType::Block, ""), ("c", tar::EntryType::Char, ""), ("f", FILE, "x")]);
    let loaded = store.load(archive("d", &[devices]).path()).unwrap();
    assert_eq!(loaded[0].devices, 2);
    let root = store.layers().join(&loaded[0].image.layers[0]).join("fs");
    assert!(fs::symlink_metadata(root.join("dev/sda")).is_err());
    assert!(root.join("f").exists());
}

#[test]
fn growth_is_bounded() {
    let Some((_dir, store)) = store() else { return };
    let big = layer(&[("big", FILE, &"x".repeat(5000))]);
    let many = layer(&[("a", FILE, ""), ("b", FILE, ""), ("c", FILE, "")]);
    let bounds = Bounds { layer: 4096, entries: 3, ..Bounds::default() };
    assert!(store.load_within(archive("big", &[big]).path(), bounds.clone()).is_err());
    assert!(store.load_within(archive("many", &[many]).path(), Bounds { entries: 2, ..bounds }).is_err());
    assert_eq!(store.list().unwrap().len(), 1, "only the built-in one");
    assert_eq!(fs::read_dir(store.layers()).unwrap().count(), 0);
}

#[test]
fn bytes_that_are_not_those_named() {
    let Some((_dir, store)) = store() else { return };
    let file = archive("a", &[layer(&[("a", FILE, "aaaa")])]);
    let bytes = fs::read(file.path()).unwrap();
    let at = bytes.windows(4).rposition(|w| w == b"aaaa").unwrap();
    let mut broken = bytes.clone();
    broken[at] = b'b';
    fs::write(file.path(), &broken).unwrap();
    let error = store.load(file.path()).unwrap_err();
    assert!(matches!(error, StoreError::Layer { .. }), "{error}");
    assert_eq!(fs::read_dir(store.layers()).unwrap().count(), 0);
}

#[test]
fn names_come_and_go() {
    let Some((_dir, store)) = store() else { return };
    let (one, two) = (layer(&[("a", FILE, "1")]), layer(&[("a", FILE, "2")]));
    store.load(archive("a:1", std::slice::from_ref(&one)).path()).unwrap();
    store.load(archive("b", &[one]).path()).unwrap();
    let first = store.resolve("a:1").unwrap().unwrap();
    assert_eq!(first.names, ["docker.io/library/a:1", "docker.io/library/b:latest"]);
    assert_eq!(store.resolve("docker.io/library/b").unwrap(), Some(first.clone()));
    assert_eq!(store.resolve(&format!("a@{}", first.id)).unwrap(), Some(first.clone()));
    assert_eq!(store.resolve("a").unwrap(), None);
    store.load(archive("a:1", &[two]).path()).unwrap();
    assert_ne!(store.resolve("a:1").unwrap().unwrap().id, first.id);
    assert_eq!(store.resolve("b").unwrap().unwrap().names, ["docker.io/library/b:latest"]);
    store.remove("b").unwrap();
    assert!(matches!(store.remove("b"), Err(StoreError::Absent(_))));
    assert_eq!(fs::read_dir(store.layers()).unwrap().count(), 1);
    assert!(matches!(store.remove("portolan/echo"), Err(StoreError::BuiltIn(_))));
    assert_eq!(store.resolve("portolan/echo:anything").unwrap().unwrap().layers.len(), 0);
}

#[test]
fn an_image_in_use_stays() {
    let Some((_dir, store)) = store() else { return };
    store.load(archive("a", &[layer(&[("a", FILE, "1")])]).path()).unwrap();
    let image = store.resolve("a").unwrap().unwrap();
    let held = Flock::lock(use_file(&store.in_use(&image)).unwrap(), FlockArg::LockShared).unwrap();
    assert!(matches!(store.remove("a"), Err(StoreError::InUse(_))));
    drop(held);
    store.remove(&image.id).unwrap();
    assert_eq!(fs::read_dir(store.layers()).unwrap().count(), 0);
}

#[test]
fn rights_and_times_are_the_archive_s() {
    let Some((_dir, store)) = store() else { return };
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o4755);
    header.set_uid(33);
    header.set_gid(34);
    header.set_mtime(1000);
    header.set_cksum();
    tar.append_data(&mut header, "s", Cursor::new(b"x")).unwrap();
    store.load(archive("s", &[tar.into_inner().unwrap()]).path()).unwrap();
    let image = store.resolve("s").unwrap().unwrap();
    let meta = fs::metadata(store.layers().join(&image.layers[0]).join("fs/s")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mtime()), (33, 34, 1000));
    assert_eq!(meta.permissions().mode() & 0o7777, 0o4755);
}

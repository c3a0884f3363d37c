use std::io::Cursor;

use serde_json::json;

use super::*;

/// A tar of these files.
fn tar_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, Cursor::new(bytes)).unwrap();
    }
    tar.into_inner().unwrap()
}

fn open(bytes: &[u8]) -> Result<Archive, ArchiveError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    Archive::open(file, tempfile::tempfile, Bounds::default())
}

fn path_of(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn oci(architecture: &str, break_digest: bool) -> Vec<u8> {
    let layer = b"layer".to_vec();
    let config = serde_json::to_vec(&json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}
    }))
    .unwrap();
    let manifest = serde_json::to_vec(&json!({
        "config": {"digest": digest(&config)}, "layers": [{"digest": digest(&layer)}]
    }))
    .unwrap();
    let named = json!({"io.containerd.image.name": "docker.io/library/a:1"});
    let index = json!({"manifests": [{"digest": digest(&manifest), "annotations": named}]});
    let stored = if break_digest { [manifest.clone(), b" ".to_vec()].concat() } else { manifest.clone() };
    tar_of(&[
        ("index.json", serde_json::to_vec(&index).unwrap()),
        (&path_of(&digest(&manifest)), stored),
        (&path_of(&digest(&config)), config),
        (&path_of(&digest(&layer)), layer),
    ])
}

#[test]
fn an_oci_layout() {
    let archive = open(&oci(architecture(), false)).unwrap();
    let images = archive.images().unwrap();
    let (_, image) = images.first_key_value().unwrap();
    assert_eq!(image.names[0].to_string(), "docker.io/library/a:1");
    let mut layer = Vec::new();
    archive.read(&image.layers[0]).unwrap().read_to_end(&mut layer).unwrap();
    assert_eq!(layer, b"layer");
}

#[test]
fn a_compressed_archive() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&oci(architecture(), false)).unwrap();
    assert_eq!(open(&gzip.finish().unwrap()).unwrap().images().unwrap().len(), 1);
}

#[test]
fn docker_save_with_a_shared_layer_as_a_link() {
    let layer = b"layer".to_vec();
    let config = serde_json::to_vec(&json!({"rootfs": {"diff_ids": [digest(&layer), digest(&layer)]}})).unwrap();
    let manifest = json!([{"Config": "c.json", "RepoTags": ["a:1", "b"], "Layers": ["x/layer.tar", "y/layer.tar"]}]);
    let mut tar = tar::Builder::new(Vec::new());
    let add_to = |tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    add_to(&mut tar, "manifest.json", &serde_json::to_vec(&manifest).unwrap());
    add_to(&mut tar, "c.json", &config);
    add_to(&mut tar, "x/layer.tar", &layer);
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    tar.append_link(&mut link, "y/layer.tar", "../x/layer.tar").unwrap();
    let images = open(&tar.into_inner().unwrap()).unwrap().images().unwrap();
    let image = &images[&digest(&config)];
    assert_eq!(
        image.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["docker.io/library/a:1", "docker.io/library/b:latest"]
    );
    assert_eq!(image.layers[0], image.layers[1]);
}

#[test]
fn what_is_refused() {
    assert!(matches!(open(&tar_of(&[("x", vec![1])])).unwrap().images(), Err(ArchiveError::NotAnArchive)));
    assert!(matches!(open(&oci("vax", false)).unwrap().images(), Err(ArchiveError::OtherPlatform(_))));
    assert!(matches!(open(&oci(architecture(), true)).unwrap().images(), Err(ArchiveError::Digest { .. })));
    let escape = json!({"manifests": [{"digest": "sha256:../../etc/passwd"}]}).to_string().into_bytes();
    let escape = open(&tar_of(&[("index.json", escape)])).unwrap().images();
    assert!(matches!(escape, Err(ArchiveError::UnknownDigest(_))), "{escape:?}");
    let missing = json!([{"Config": "c.json", "Layers": []}]).to_string().into_bytes();
    let missing = open(&tar_of(&[("manifest.json", missing)])).unwrap().images();
    assert!(matches!(missing, Err(ArchiveError::Missing(_))), "{missing:?}");
    assert!(matches!(open(b"no tar at all, and longer than nothing").map(|a| a.images()), Err(_) | Ok(Err(_))));
}

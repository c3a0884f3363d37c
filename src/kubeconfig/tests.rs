use super::*;

fn authority(folder: &Path) -> Authority {
    Authority::load_or_create(&folder.join("pki")).unwrap()
}

#[test]
fn a_file_of_ours_may_be_written_again_and_somebody_elses_may_not() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("deep/config");
    is_free(&path, "shop").unwrap();
    write_admin(&authority(root.path()), "shop", "127.0.0.1:6443".parse().unwrap(), &path).unwrap();
    is_free(&path, "shop").unwrap();
    let refusal = is_free(&path, "other").unwrap_err().to_string();
    assert!(refusal.ends_with("it is there already and not the cluster other's; give another file"), "{refusal}");
    remove(&path, "other").unwrap();
    assert!(path.exists());
    remove(&path, "shop").unwrap();
    remove(&path, "shop").unwrap();
    assert!(!path.exists());
    assert!(is_free(root.path(), "shop").is_err(), "a folder");
}

#[tokio::test]
async fn what_is_wrong_with_a_kubeconfig_is_said_with_the_cure() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("node.kubeconfig");
    let server = "127.0.0.1:6443".parse().unwrap();
    admit(&authority(root.path()), "node-1", "10.0.0.1".parse().unwrap(), server, "shop", &path).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    assert!(read(&path).await.is_ok());
    let rows = [
        ("no file", None),
        ("no YAML", Some("{".to_owned())),
        ("nothing in it", Some(String::new())),
        ("no key", Some(whole.replace("client-key-data", "client-kee-data"))),
        ("no certificate", Some(whole.replace("client-certificate-data: ", "client-certificate-data: !"))),
        ("half of it", Some(whole[..whole.len() / 2].to_owned())),
    ];
    for (name, content) in rows {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let refusal = read(&path).await.err().unwrap_or_else(|| panic!("{name}: it should be refused")).to_string();
        assert!(refusal.starts_with(&format!("--kubeconfig {}: ", path.display())), "{name}: {refusal}");
        assert!(refusal.ends_with("; give a file that `portolan server --admit NAME=IP` wrote"), "{name}: {refusal}");
        assert!(!refusal.contains('\n'), "{name}: {refusal}");
    }
}

use super::*;

fn cluster(name: &str) -> Owner {
    Owner::Cluster { name: name.to_owned(), kubeconfig: "/nowhere/kubeconfig".into() }
}

fn refusal(path: &Path, owner: &Owner) -> String {
    let error = claim(path, owner).unwrap_err();
    assert!(error.downcast_ref::<Refusal>().is_some(), "{error:#}");
    error.to_string()
}

#[test]
fn a_folder_is_made_claimed_and_forgotten() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b");
    claim(&path, &cluster("shop")).unwrap();
    claim(&path, &cluster("shop")).unwrap();
    fs::create_dir(path.join("pki")).unwrap();
    fs::write(path.join("pki/ca.key"), "key").unwrap();
    assert!(forget("shop", &path).unwrap());
    assert!(!path.exists());
}

#[test]
fn what_is_somebody_elses_is_not_taken_and_not_removed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("etc");
    fs::create_dir_all(path.join("pki")).unwrap();
    assert!(
        refusal(&path, &cluster("shop")).ends_with("holds files of somebody else; give an empty folder, or a new one")
    );
    let other = root.path().join("other");
    claim(&other, &cluster("other")).unwrap();
    assert!(refusal(&other, &cluster("shop")).ends_with("it is the cluster other's; give another folder"));
    assert!(refusal(&other, &Owner::Server).ends_with("it is the cluster other's; give another folder"));
    assert!(forget("shop", &other).is_err());
    assert!(other.join(OWNER).exists());
}

#[test]
fn files_that_are_not_ours_stay_in_a_forgotten_folder() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data");
    claim(&path, &cluster("shop")).unwrap();
    fs::write(path.join("notes.txt"), "mine").unwrap();
    assert!(!forget("shop", &path).unwrap());
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
}

#[test]
fn a_file_is_no_folder() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "").unwrap();
    assert!(refusal(&path, &cluster("shop")).contains("give a folder"));
    assert!(refusal(&path.join("beneath"), &cluster("shop")).contains("give a folder"));
}

#[test]
fn a_damaged_mark_is_told_and_left() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(OWNER), "{").unwrap();
    assert!(refusal(root.path(), &cluster("shop")).contains("owner.json is damaged"));
    assert!(root.path().join(OWNER).exists());
}

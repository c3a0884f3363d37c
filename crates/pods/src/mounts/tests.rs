use super::*;

#[test]
fn lines_with_and_without_optional_fields() {
    let text = b"36 35 98:0 / /mnt rw,noatime - ext4 /dev/root rw,errors=continue\n\
        40 1 0:30 /a /sys/fs/cgroup/memory rw shared:9 master:2 - cgroup cgroup rw,memory\n";
    let table = parse(text);
    assert_eq!(table.len(), 2);
    assert_eq!(table[0].target, Path::new("/mnt"));
    assert_eq!(table[1].root, Path::new("/a"));
    assert_eq!((table[1].kind.as_str(), table[1].options.as_str()), ("cgroup", "rw,memory"));
}

#[test]
fn escapes() {
    for (field, path) in [("/a\\040b", "/a b"), ("/a\\134b", "/a\\b"), ("/a\\9b", "/a\\9b"), ("/a\\04", "/a\\04")] {
        assert_eq!(unescape(field.as_bytes()), Path::new(path), "{field}");
    }
}

#[test]
fn truncated_lines_are_no_mounts() {
    for line in ["", "36 35 98:0 /", "36 35 98:0 / /mnt rw - ext4", "36 35 98:0 / /mnt rw"] {
        assert_eq!(parse_line(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn this_machine_has_a_root() {
    assert!(table().unwrap().iter().any(|m| m.target == Path::new("/")));
}

#[test]
fn a_tree_goes_and_its_absence_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tree");
    std::fs::create_dir_all(path.join("a/b")).unwrap();
    remove_tree(&path).unwrap();
    assert!(!path.exists());
    remove_tree(&path).unwrap();
}

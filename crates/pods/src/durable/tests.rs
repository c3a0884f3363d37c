use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_value_comes_back_and_nothing_is_left_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("value.json");
    assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), None);
    write_json(&path, &vec![1u8, 2], 0o600, Lasting::Disk).unwrap();
    write_json(&path, &vec![3u8], 0o600, Lasting::Process).unwrap();
    assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![3]));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_broken_file_is_an_error_not_an_absence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("value.json");
    fs::write(&path, b"{").unwrap();
    let kind = read_json::<Vec<u8>>(&path).unwrap_err().kind();
    assert!(matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData), "{kind:?}");
}

#[test]
fn a_write_that_fails_leaves_the_old_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), b"x").unwrap();
    assert!(write(&path, b"new", 0o600, Lasting::Process).is_err());
    assert_eq!(fs::read(path.join("inside")).unwrap(), b"x");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

use std::process::Command;

use super::*;

#[test]
fn names_with_brackets_do_not_confuse() {
    let stat = b"12 (a) R (b) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3";
    assert_eq!(parse_stat(stat), Some((98765, b'S')));
    for broken in [&b"12 (a S"[..], b"", b"12 (a) S 1 2"] {
        assert_eq!(parse_stat(broken), None);
    }
}

#[test]
fn a_process_is_itself_until_it_ends() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let id = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap();
    assert!(id.is_alive());
    assert!(id.open().unwrap().is_some());
    let other = ProcessId { start: id.start + 1, ..id.clone() };
    assert!(!other.is_alive());
    other.signal(libc::SIGKILL).unwrap();
    assert!(id.is_alive(), "a signal for another start time reached it");
    id.signal(libc::SIGKILL).unwrap();
    child.wait().unwrap();
    assert!(!id.is_alive());
    id.signal(libc::SIGKILL).unwrap();
    assert!(id.open().unwrap().is_none());
}

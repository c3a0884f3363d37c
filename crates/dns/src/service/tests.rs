use std::sync::Arc;

use super::*;

fn parse(text: &str) -> Corefile {
    corefile::parse(text).unwrap()
}

#[tokio::test]
async fn what_did_not_change_is_kept() {
    let first = parse(". {\n forward . 192.0.2.1\n hosts /nonexistent {\n 192.0.2.9 a.test\n }\n}");
    let one = Pieces::default().after(&first).unwrap();
    let same = |a: &Pieces, b: &Pieces| {
        let hosts = |pieces: &Pieces| Arc::as_ptr(&pieces.hosts[0].hosts);
        (Arc::ptr_eq(a.forwarder().unwrap(), b.forwarder().unwrap()), hosts(a) == hosts(b))
    };
    let rewritten = ". {\n forward . 192.0.2.1\n hosts /nonexistent {\n 192.0.2.9 a.test\n }\n rewrite name a b\n}";
    let two = one.after(&parse(rewritten)).unwrap();
    assert_eq!(same(&one, &two), (true, true));
    let other = parse(". {\n forward . 192.0.2.2\n hosts /nonexistent {\n 192.0.2.9 a.test\n }\n}");
    let three = two.after(&other).unwrap();
    assert_eq!(same(&two, &three), (false, true));
    let other = parse(". {\n forward . 192.0.2.2\n hosts /nonexistent {\n 192.0.2.8 a.test\n }\n}");
    assert_eq!(same(&three, &three.after(&other).unwrap()), (true, false));
    let none = three.after(&parse("a.test {\n forward . 192.0.2.2\n}")).unwrap();
    let sources = none.sources(&parse("a.test {\n forward . 192.0.2.2\n}"), None);
    assert!(sources.hosts.is_empty() && sources.rewriter.is_empty() && sources.log.is_none());
}

#[test]
fn a_file_is_told_of_when_it_changed_and_a_mistake_once() {
    let path = std::env::temp_dir().join(format!("dns-corefile-{}", std::process::id()));
    let missing = CorefileOnDisk::open(&path).unwrap_err();
    assert!(matches!(missing, CorefileError::Read { .. }), "{missing}");
    std::fs::write(&path, ". {\n forward . 192.0.2.1\n}").unwrap();
    let (mut disk, whole) = CorefileOnDisk::open(&path).unwrap();
    assert_eq!(whole.port, 53);
    assert!(disk.changed().unwrap().is_none());
    std::fs::write(&path, ". {\n wohami\n}").unwrap();
    let mistake = disk.changed().unwrap_err();
    let text = format!("{mistake}: {}", std::error::Error::source(&mistake).unwrap());
    assert!(text.contains(&*path.to_string_lossy()) && text.contains("line 2: plugin \"wohami\""), "{text}");
    assert!(disk.changed().unwrap().is_none());
    std::fs::write(&path, ". {\n forward . 192.0.2.1\n loop\n}").unwrap();
    assert!(disk.changed().unwrap().unwrap().find_loops);
    std::fs::remove_file(&path).unwrap();
    assert!(disk.changed().is_err());
}

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn write(path: &Path, lines: &[(u32, char, &str)]) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    for (second, tag, text) in lines {
        writeln!(file, "2026-01-01T00:00:{second:02}.000000000Z stdout {tag} {text}").unwrap();
    }
}

fn read(path: &Path, options: Options) -> String {
    let (to, mut from) = mpsc::channel(1);
    let reader = Read::new(path, options);
    let thread = std::thread::spawn(move || reader.stream(Streaming { to, ended: || true }));
    let mut all = Vec::new();
    while let Some(bytes) = from.blocking_recv() {
        all.extend(bytes);
    }
    thread.join().unwrap().unwrap();
    String::from_utf8(all).unwrap()
}

fn bed() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    write(&dir.path().join("log.1"), &[(1, 'F', "one"), (2, 'P', "two, ")]);
    write(&path, &[(3, 'F', "and more"), (4, 'F', "three"), (5, 'F', "")]);
    (dir, path)
}

#[test]
fn what_is_asked_for() {
    let (_dir, path) = bed();
    let since = Some("2026-01-01T00:00:04Z".parse().unwrap());
    let cases = [
        (Options::default(), "one\ntwo, and more\nthree\n\n"),
        (Options { tail: Some(3), ..Options::default() }, "two, and more\nthree\n\n"),
        (Options { tail: Some(0), ..Options::default() }, ""),
        (Options { tail: Some(99), ..Options::default() }, "one\ntwo, and more\nthree\n\n"),
        (Options { since, ..Options::default() }, "three\n\n"),
        (Options { limit: Some(6), ..Options::default() }, "one\ntw"),
        (
            Options { timestamps: true, tail: Some(3), since, ..Options::default() },
            "2026-01-01T00:00:04.000000000Z three\n2026-01-01T00:00:05.000000000Z \n",
        ),
    ];
    for (options, want) in cases {
        assert_eq!(read(&path, options.clone()), want, "{options:?}");
    }
    assert_eq!(read(&path.with_file_name("none"), Options::default()), "");
    assert_eq!(tail(&path, 80, 2048).unwrap(), "and more\nthree\n");
    assert_eq!(tail(&path, 2, 4).unwrap(), "ree\n");
}

#[test]
fn following_over_a_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    write(&path, &[(1, 'F', "first")]);
    let (to, mut from) = mpsc::channel(4);
    let over = std::sync::Arc::new(AtomicBool::new(false));
    let reader = Read::new(&path, Options { follow: true, ..Options::default() });
    let ended = {
        let over = over.clone();
        move || over.load(Ordering::Relaxed)
    };
    let thread = std::thread::spawn(move || reader.stream(Streaming { to, ended }));
    let mut next = || String::from_utf8(from.blocking_recv().unwrap_or_default()).unwrap();
    assert_eq!(next(), "first\n");
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    write!(file, "2026-01-01T00:00:02.000000000Z stdout F not yet").unwrap();
    writeln!(file, " whole").unwrap();
    assert_eq!(next(), "not yet whole\n");
    std::fs::rename(&path, dir.path().join("log.1")).unwrap();
    write(&path, &[(3, 'F', "after")]);
    assert_eq!(next(), "after\n");
    write(&path, &[(4, 'F', "last")]);
    over.store(true, Ordering::Relaxed);
    assert_eq!(next(), "last\n");
    assert_eq!(next(), "");
    thread.join().unwrap().unwrap();
}

use super::*;

fn bounds(dir: &std::path::Path, max_bytes: u64, max_files: u32) -> LogFile {
    LogFile { path: dir.join("log"), max_bytes, max_files }
}

#[test]
fn lines_have_time_stream_and_tag() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(bounds(dir.path(), 1 << 20, 2)).unwrap();
    let now: Timestamp = "2026-01-02T03:04:05.000000006Z".parse().unwrap();
    log.write(now, "stdout", true, b"hello").unwrap();
    log.write(now, "stderr", false, b"part").unwrap();
    let text = fs::read_to_string(dir.path().join("log")).unwrap();
    assert_eq!(text, "2026-01-02T03:04:05.000000006Z stdout F hello\n2026-01-02T03:04:05.000000006Z stderr P part\n");
}

#[test]
fn growth_is_bounded_and_the_newest_lines_are_kept() {
    for files in 1..=3u32 {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(bounds(dir.path(), 100, files)).unwrap();
        for n in 0..50 {
            log.write(Timestamp::UNIX_EPOCH, "stdout", true, format!("line {n}").as_bytes()).unwrap();
        }
        let names = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, files as usize);
        let newest = fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(newest.ends_with("line 49\n"), "{newest}");
    }
}

#[test]
fn an_opened_file_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..2 {
        let mut log = Log::open(bounds(dir.path(), 1 << 20, 2)).unwrap();
        log.write(Timestamp::UNIX_EPOCH, "stdout", true, format!("{n}").as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap().lines().count(), 2);
}

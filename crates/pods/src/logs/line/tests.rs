use super::*;

#[test]
fn lines() {
    let line = Line::parse(b"2026-01-02T03:04:05.000000006Z stdout F a  b").unwrap();
    assert_eq!((line.time, line.whole, line.content), ("2026-01-02T03:04:05.000000006Z", true, &b"a  b"[..]));
    assert_eq!(line.timestamp().unwrap().as_nanosecond() % 1_000_000_000, 6);
    assert!(!Line::parse(b"2026-01-02T03:04:05Z stderr P ").unwrap().whole);
    for broken in [&b""[..], b"x", b"x stdout", b"x stdout G a"] {
        assert_eq!(Line::parse(broken), None);
    }
}

use super::*;

fn parse(args: &[&str]) -> Result<Arguments, String> {
    Arguments::parse(args.iter().map(OsString::from))
}

#[test]
fn what_is_asked() {
    assert_eq!(parse(&[]).unwrap().ports, [8080]);
    let all = parse(&["--port", "9376", "--port=80", "--delay=5", "--fail-after", "3", "--linger=1"]).unwrap();
    assert_eq!((all.ports.as_slice(), all.delay), ([80, 9376].as_slice(), Duration::from_millis(5)));
    assert_eq!((all.fail_after, all.linger), (Some(Duration::from_secs(3)), Duration::from_secs(1)));
}

#[test]
fn what_is_refused() {
    for args in [&["--port"][..], &["--port", "0"], &["--port=65536"], &["--delay=x"], &["--what=1"], &["x"]] {
        assert!(parse(args).is_err(), "{args:?}");
    }
}

use super::*;

#[test]
fn signals_by_name() {
    let cases = [
        ("SIGTERM", Some(15)),
        ("quit", Some(3)),
        ("9", Some(9)),
        ("SIGRTMIN+3", Some(37)),
        ("0", None),
        ("FOO", None),
    ];
    for (name, number) in cases {
        assert_eq!(signal_number(name), number, "{name}");
    }
}

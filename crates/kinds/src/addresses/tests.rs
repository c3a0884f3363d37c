use super::*;

#[test]
fn addresses_are_read_leniently() {
    let rows = [
        ("10.0.0.1", Some("10.0.0.1")),
        ("010.000.000.0001", Some("10.0.0.1")),
        ("256.0.0.1", None),
        ("1.2.3", None),
        ("1.2.3.4.5", None),
        ("1.2.3.+4", None),
        ("", None),
        ("None", None),
        ("fd00::1", Some("fd00::1")),
        ("FD00:0:0:0:0:0:0:1", Some("fd00::1")),
        ("fd00::00001", Some("fd00::1")),
        ("::ffff:10.0.0.01", Some("10.0.0.1")),
        ("::", Some("::")),
        ("fe80::1%eth0", None),
        ("1:2:3", None),
    ];
    for (text, want) in rows {
        assert_eq!(parse(text).map(|a| a.to_string()).as_deref(), want, "{text}");
    }
}

fn body(faults: &[Error]) -> Vec<String> {
    faults.iter().map(Error::body).collect()
}

#[test]
fn faults_of_addresses() {
    let path = Path::new("x");
    let rows: &[(&str, &[&str], &str)] = &[
        ("10.0.0.1", &[], ""),
        ("FD00:0:0:0:0:0:0:1", &[], ""),
        ("foo", &[], "Invalid value: \"foo\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("010.0.0.1", &[], "Invalid value: \"010.0.0.1\": must not have leading 0s"),
        ("010.0.0.1", &["010.0.0.1"], ""),
        ("::ffff:1.2.3.4", &[], "Invalid value: \"::ffff:1.2.3.4\": must not be an IPv4-mapped IPv6 address"),
    ];
    for (value, stored, want) in rows {
        assert_eq!(body(&validate_legacy(&path, value, stored)).concat(), *want, "{value}");
    }
    assert_eq!(
        body(&validate(&path, "fd00:0:0::1")),
        ["Invalid value: \"fd00:0:0::1\": must be in canonical form (\"fd00::1\")"]
    );
    for special in ["0.0.0.0", "::", "127.0.0.1", "::1", "169.254.1.1", "fe80::1", "224.0.0.5", "ff02::1"] {
        assert_eq!(validate_endpoint(&path, special).len(), 1, "{special}");
    }
    assert!(validate_endpoint(&path, "10.0.0.1").is_empty());
}

#[test]
fn faults_of_ranges() {
    let path = Path::new("x");
    let rows = [
        ("10.0.0.0/8", ""),
        ("10.0.0.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        ("10.0.0.1", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
        ("010.0.0.0/8", "must not have leading 0s in IP or prefix length"),
        ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
        ("::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
    ];
    for (value, want) in rows {
        let got: Vec<_> = validate_legacy_range(&path, value, &[]).into_iter().map(|e| e.detail).collect();
        assert_eq!(got.concat(), want, "{value}");
    }
    assert_eq!(validate_range(&path, "FD00::/64")[0].detail, "must be in canonical form (\"fd00::/64\")");
    assert_eq!(range_family("fd00::/64"), Some(Family::V6));
}

#[test]
fn warnings_name_the_better_form() {
    let path = Path::new("x");
    assert_eq!(warnings(&path, "10.0.0.1"), None);
    assert_eq!(
        warnings(&path, "010.0.0.1").as_deref(),
        Some("x: non-standard IP address \"010.0.0.1\" is invalid: use \"10.0.0.1\"")
    );
    assert_eq!(
        warnings(&path, "FD00::1").as_deref(),
        Some("x: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")")
    );
    assert_eq!(
        range_warnings(&path, "10.0.0.1/8"),
        ["x: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)"]
    );
    assert_eq!(
        range_warnings(&path, "10.0.0.0/08"),
        ["x: non-standard CIDR value \"10.0.0.0/08\" is invalid: use \"10.0.0.0/8\""]
    );
    assert!(range_warnings(&path, "fd00::/64").is_empty());
}

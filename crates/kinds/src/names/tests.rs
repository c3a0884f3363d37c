use super::*;

/// A rule, a value, and the number of messages, which are told apart below.
#[test]
fn formats() {
    type Rule = fn(&str) -> Vec<String>;
    let long_label = "a".repeat(64);
    let long_domain = format!("{}.com", "a".repeat(250));
    let rows: &[(&str, Rule, &str, usize)] = &[
        ("label", dns1123_label, "my-name", 0),
        ("label of digits", dns1123_label, "123", 0),
        ("label with capital", dns1123_label, "A", 1),
        ("label empty", dns1123_label, "", 1),
        ("label with dot", dns1123_label, "a.b", 1),
        ("label ends with dash", dns1123_label, "a-", 1),
        ("label too long", dns1123_label, &long_label, 1),
        ("label not ASCII", dns1123_label, "ä", 1),
        ("subdomain", dns1123_subdomain, "a.b-c.d", 0),
        ("subdomain two dots", dns1123_subdomain, "a..b", 1),
        ("subdomain too long", dns1123_subdomain, &long_domain, 1),
        ("underscore", dns1123_subdomain_with_underscore, "_a.b_c", 0),
        ("underscore at the end", dns1123_subdomain_with_underscore, "a_", 1),
        ("1035", dns1035_label, "a1", 0),
        ("1035 begins with digit", dns1035_label, "1a", 1),
        ("key", label_key, "example.com/My_Name.x", 0),
        ("key empty", label_key, "", 2),
        ("key empty prefix", label_key, "/a", 1),
        ("key bad prefix", label_key, "A/a", 1),
        ("key two slashes", label_key, "a/b/c", 1),
        ("key too long", label_key, &long_label, 1),
        ("value empty", label_value, "", 0),
        ("value", label_value, "a_B.1", 0),
        ("value bad", label_value, "-a", 1),
        ("port name", port_name, "http-alt", 0),
        ("port name empty", port_name, "", 2),
        ("port name capital", port_name, "A", 2),
        ("port name digits", port_name, "80", 1),
        ("port name dashes", port_name, "-a--b-", 2),
        ("port name too long", port_name, "abcdefghijklmnop", 1),
        ("config key", config_key, "a.B_c-1", 0),
        ("config key dots", config_key, "..a", 1),
        ("config key dot", config_key, ".", 1),
        ("config key empty", config_key, "", 1),
        ("variable", environment_variable, "1 any:thing", 0),
        ("variable with =", environment_variable, "a=b", 1),
        ("variable empty", environment_variable, "", 1),
        ("header", http_header, "X-A", 0),
        ("header bad", http_header, "X A", 1),
        ("percent", percent, "25%", 0),
        ("percent bad", percent, "25", 1),
        ("segment", path_segment, "a", 0),
        ("segment dots", path_segment, "..", 1),
        ("segment both", path_segment, "a/b%", 2),
    ];
    for (name, rule, value, messages) in rows {
        assert_eq!(rule(value).len(), *messages, "{name}: {:?}", rule(value));
    }
}

#[test]
fn messages() {
    assert_eq!(
        dns1123_label("A_b"),
        [
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        ]
    );
    assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
    assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
    assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
    assert_eq!(
        label_key("a b"),
        [
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ]
    );
    assert_eq!(
        port_name("A"),
        [
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "must contain at least one letter (a-z)"
        ]
    );
}

#[test]
fn prefixes_of_generated_names() {
    for (prefix, judged) in [("web-", "wea"), ("a-", "a"), ("-", "-"), ("web", "web"), ("ä-", "ä-")] {
        assert_eq!(without_trailing_dash(prefix), judged);
    }
}

#[test]
fn domains() {
    let path = Path::new("x");
    let faults = |value: &str| fully_qualified_domain(&path, value).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(faults("a.example.com.").is_empty());
    assert_eq!(faults(""), ["x: Required value"]);
    assert_eq!(
        faults("localhost"),
        ["x: Invalid value: \"localhost\": should be a domain with at least two segments separated by dots"]
    );
    assert_eq!(faults("A.b").len(), 1);
}

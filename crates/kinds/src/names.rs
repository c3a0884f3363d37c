//! The formats that names must have: DNS labels and subdomains, label keys and values, port names, data keys.
//!
//! Each rule answers with Kubernetes' own messages, in Kubernetes' order; none means that the value is valid.

use crate::field::{self, Path};

#[cfg(test)]
mod tests;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
/// A label of DNS, and the name part of a label key, in bytes.
const LABEL_LENGTH: usize = 63;
/// A domain name, in bytes.
const SUBDOMAIN_LENGTH: usize = 253;

/// A label as RFC 1123 has it: `my-name`, `123-abc`.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut messages = longer_than(value, LABEL_LENGTH);
    if !is_label(value) {
        messages.push(if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            regex(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    messages
}

/// A domain as RFC 1123 has it: `example.com`.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut messages = longer_than(value, SUBDOMAIN_LENGTH);
    if !is_subdomain(value) {
        messages.push(regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN,
            &["example.com"],
        ));
    }
    messages
}

/// A domain whose first label stands for any: `*.example.com`.
pub fn wildcard_subdomain(value: &str) -> Vec<String> {
    let mut messages = longer_than(value, SUBDOMAIN_LENGTH);
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        messages.push(regex(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    messages
}

/// A path below a domain: `acme.io/foo`.
pub fn domain_prefixed_path(path: &Path, value: &str) -> Vec<field::Error> {
    const SEGMENT: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
    if value.is_empty() {
        return vec![field::Error::required(path, "")];
    }
    let Some((host, rest)) = value.split_once('/').filter(|(host, rest)| !host.is_empty() && !rest.is_empty()) else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![field::Error::invalid(path, value, detail)];
    };
    let mut faults = subdomain_field(path, host);
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        faults.push(field::Error::invalid(path, rest, regex("Invalid path", SEGMENT, &[])));
    }
    faults
}

/// A domain whose labels may begin with and contain underscores, as search paths of resolvers may.
pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    const FORMAT: &str = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
    let valid = value.split('.').all(|label| {
        let label = label.strip_prefix('_').unwrap_or(label);
        framed(label, is_lower_alphanumeric, |b| is_lower_alphanumeric(b) || b == b'-' || b == b'_')
    });
    let mut messages = longer_than(value, SUBDOMAIN_LENGTH);
    if !valid {
        messages.push(regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
            FORMAT,
            &["example.com"],
        ));
    }
    messages
}

/// A label as RFC 1035 has it: begins with a letter.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut messages = longer_than(value, LABEL_LENGTH);
    if !is_label(value) || !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        messages.push(regex(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    messages
}

/// A domain of at least two labels, with or without its final dot.
pub fn fully_qualified_domain(path: &Path, value: &str) -> Vec<field::Error> {
    if value.is_empty() {
        return vec![field::Error::required(path, "")];
    }
    let domain = value.strip_suffix('.').unwrap_or(value);
    let messages = dns1123_subdomain(domain);
    if !messages.is_empty() {
        return vec![field::Error::invalid(path, domain, messages.join(","))];
    }
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        return vec![field::Error::invalid(path, domain, detail)];
    }
    for label in domain.split('.') {
        let messages = dns1123_label(label);
        if !messages.is_empty() {
            return vec![field::Error::invalid(path, label, messages.join(","))];
        }
    }
    Vec::new()
}

/// A label key, also called a qualified name: `app`, `example.com/app`.
pub fn label_key(value: &str) -> Vec<String> {
    const RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    const EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];
    let mut messages = Vec::new();
    let parts: Vec<_> = value.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                messages.push("prefix part must be non-empty".to_owned());
            } else {
                messages.extend(subdomain_in_bytes(prefix).into_iter().map(|m| format!("prefix part {m}")));
            }
            *name
        }
        _ => {
            let rule = regex(RULE, KEY, EXAMPLES);
            return vec![format!(
                "a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_LENGTH {
        messages.push(format!("name part must be no more than {LABEL_LENGTH} bytes"));
    }
    if !is_key(name) {
        messages.push(format!("name part {}", regex(RULE, KEY, EXAMPLES)));
    }
    messages
}

/// The value of a label: empty, or up to 63 bytes of letters, digits, `-`, `_` and `.`.
pub fn label_value(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > LABEL_LENGTH {
        messages.push(format!("must be no more than {LABEL_LENGTH} bytes"));
    }
    if !value.is_empty() && !is_key(value) {
        messages.push(regex(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({KEY})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    messages
}

/// A number that a port may have.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec![inclusive_range(1, 65535)] }
}

/// The name of a port as RFC 6335 has it (`IANA_SVC_NAME`).
pub fn port_name(value: &str) -> Vec<String> {
    let mut messages = longer_than(value, 15);
    if value.is_empty() || !value.bytes().all(|b| is_lower_alphanumeric(b) || b == b'-') {
        messages.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        messages.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        messages.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        messages.push("must not begin or end with a hyphen".to_owned());
    }
    messages
}

/// A key of the data of a ConfigMap or a Secret.
pub fn config_key(value: &str) -> Vec<String> {
    let mut messages = longer_than(value, SUBDOMAIN_LENGTH);
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        messages.push(regex(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    if value == "." {
        messages.push("must not be '.'".to_owned());
    } else if value == ".." {
        messages.push("must not be '..'".to_owned());
    } else if value.starts_with("..") {
        messages.push("must not start with '..'".to_owned());
    }
    messages
}

/// The name of an environment variable: any printable ASCII but `=`.
pub fn environment_variable(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.is_empty() {
        messages.push("environment variable name must be non-empty".to_owned());
    }
    if !value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        messages.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    messages
}

/// The name of a header of HTTP.
pub fn http_header(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    let rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![regex(rule, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// A part of a share, as `maxSurge: 25%`.
pub fn percent(value: &str) -> Vec<String> {
    if value.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
        return Vec::new();
    }
    let rule = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![regex(rule, "[0-9]+%", &["1%", "93%"])]
}

/// A name that can stand between two slashes of a path.
pub fn path_segment(value: &str) -> Vec<String> {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    let found = ["/", "%"].into_iter().filter(|banned| value.contains(banned));
    found.map(|banned| format!("may not contain '{banned}'")).collect()
}

/// A prefix from which names are generated may end with a dash: it is judged without.
pub fn without_trailing_dash(name: &str) -> String {
    // Kubernetes replaces the last two bytes, not the last, and so do its messages.
    match name.len() {
        length if length > 1 && name.ends_with('-') && name.is_char_boundary(length - 2) => {
            format!("{}a", &name[..length - 2])
        }
        _ => name.to_owned(),
    }
}

/// `must be between LOW and HIGH, inclusive`
pub fn inclusive_range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// The rules of DNS-1123 labels for a field.
pub fn label_field(path: &Path, value: &str) -> Vec<field::Error> {
    field::Error::invalid_each(path, value, dns1123_label(value))
}

/// The rules of DNS-1123 subdomains for a field.
pub fn subdomain_field(path: &Path, value: &str) -> Vec<field::Error> {
    field::Error::invalid_each(path, value, dns1123_subdomain(value))
}

/// The rules of qualified names for a field.
pub fn label_key_field(path: &Path, value: &str) -> Vec<field::Error> {
    field::Error::invalid_each(path, value, label_key(value))
}

fn longer_than(value: &str, limit: usize) -> Vec<String> {
    if value.len() > limit { vec![format!("must be no more than {limit} characters")] } else { Vec::new() }
}

/// The same rule as [`dns1123_subdomain`], in the words that label keys use for lengths.
fn subdomain_in_bytes(value: &str) -> Vec<String> {
    dns1123_subdomain(value).into_iter().map(|m| m.replace("253 characters", "253 bytes")).collect()
}

fn is_label(value: &str) -> bool {
    framed(value, is_lower_alphanumeric, |b| is_lower_alphanumeric(b) || b == b'-')
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

fn is_key(value: &str) -> bool {
    framed(value, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// At least one byte; the first and last of one class, all between of another.
fn framed(value: &str, ends: impl Fn(u8) -> bool, inside: impl Fn(u8) -> bool) -> bool {
    let bytes = value.as_bytes();
    match bytes {
        [] => false,
        [only] => ends(*only),
        [first, middle @ .., last] => ends(*first) && ends(*last) && middle.iter().all(|b| inside(*b)),
    }
}

fn is_lower_alphanumeric(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// How Kubernetes words a value that does not match a regular expression.
pub(crate) fn regex(rule: &str, expression: &str, examples: &[&str]) -> String {
    let mut message = rule.to_owned();
    message.push_str(if examples.is_empty() { " (" } else { " (e.g. " });
    for (i, example) in examples.iter().enumerate() {
        if i > 0 {
            message.push_str(" or ");
        }
        message.push_str(&format!("'{example}', "));
    }
    message.push_str(&format!("regex used for validation is '{expression}')"));
    message
}

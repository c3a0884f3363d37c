//! Links of a page that is looked at through a proxy.

/// Which attributes of which elements hold a link (HTML 4.01, index of attributes; HTML Living Standard).
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// A link as it is to be followed through the proxy at `prefix`: one to the server itself, which the hosts name, or to no
/// other, whose path begins at the root.
pub(super) fn url(url: &str, prefix: &str, own_hosts: [&str; 2]) -> String {
    let after_scheme = ["http://", "https://", "//"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let path = match after_scheme {
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            if host.is_empty() || !own_hosts.contains(&host) {
                return url.to_owned();
            }
            if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
        }
        None if url.starts_with('/') => url.to_owned(),
        None => return url.to_owned(),
    };
    if path.starts_with(prefix) { path } else { format!("{prefix}{path}") }
}

/// A page with its links rewritten; all else is left as it is.
pub(super) fn html(page: &str, prefix: &str, own_hosts: [&str; 2]) -> String {
    let mut out = String::with_capacity(page.len() + 256);
    let mut rest = page;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let length = match rest.strip_prefix("<!--") {
            Some(comment) => comment.find("-->").map_or(rest.len(), |at| at + 7),
            None if rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => tag(rest),
            None => 1,
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        let name = element(piece);
        match LINKS.iter().find(|(element, _)| name.eq_ignore_ascii_case(element)) {
            Some((_, attributes)) => links(piece, name, attributes, &mut out, |link| url(link, prefix, own_hosts)),
            None => out.push_str(piece),
        }
        // What a script or a style says is no HTML.
        if name.eq_ignore_ascii_case("script") || name.eq_ignore_ascii_case("style") {
            let end = find_ignoring_case(rest, &format!("</{name}")).unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

/// How long the tag is with which the text begins: a `>` within quotes does not end it.
fn tag(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.bytes().enumerate() {
        match (quote, c) {
            (None, b'"' | b'\'') => quote = Some(c),
            (None, b'>') => return at + 1,
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// The name of the element that a tag begins; empty for what is none.
fn element(tag: &str) -> &str {
    let name = tag.strip_prefix('<').unwrap_or_default();
    &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())]
}

/// Writes a tag with what these attributes say rewritten.
fn links(tag: &str, name: &str, attributes: &[&str], out: &mut String, rewritten: impl Fn(&str) -> String) {
    let mut rest = &tag[1 + name.len()..];
    out.push_str(&tag[..1 + name.len()]);
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/')).unwrap_or(rest.len());
        let (attribute, after) = rest.split_at(end);
        out.push_str(attribute);
        rest = after;
        let Some(value) = rest.trim_start().strip_prefix('=').map(str::trim_start) else { continue };
        out.push_str(&rest[..rest.len() - value.len()]);
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (open, length) = match quote {
            Some(quote) => (1, value[1..].find(quote).unwrap_or(value.len() - 1)),
            None => (0, value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len())),
        };
        let link = &value[open..open + length];
        out.push_str(&value[..open]);
        let is_link = attributes.iter().any(|a| attribute.eq_ignore_ascii_case(a));
        out.push_str(&if is_link { rewritten(link) } else { link.to_owned() });
        rest = &value[open + length..];
        if let Some(after) = quote.and_then(|quote| rest.strip_prefix(quote)) {
            out.push_str(&rest[..1]);
            rest = after;
        }
    }
    out.push_str(rest);
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    text.windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted))
}

use super::locate::Named;
use super::{rewrite, split};

const PREFIX: &str = "/api/v1/namespaces/shop/services/web/proxy";
const HOSTS: [&str; 2] = ["api.example.com:6443", "10.0.0.1:80"];

#[test]
fn names_with_schemes_and_ports() {
    let named = |scheme, name, port| Some(Named { scheme, name, port });
    let rows = [
        ("web", named("", "web", "")),
        ("web:80", named("", "web", "80")),
        ("https:web:tls", named("https", "web", "tls")),
        ("http:web:", named("http", "web", "")),
        ("ftp:web:21", None),
        (":80", None),
        ("a:b:c:d", None),
        ("", None),
    ];
    for (text, want) in rows {
        assert_eq!(Named::parse(text), want, "{text}");
    }
}

#[test]
fn the_path_that_is_passed_on() {
    let rows = [
        (PREFIX.to_owned(), true, ""),
        (format!("{PREFIX}/"), true, "/"),
        (format!("{PREFIX}/a//b%20c/"), true, "/a//b%20c/"),
        ("/api/v1/nodes/n1/proxy".to_owned(), false, ""),
        ("/api/v1/nodes/n1:10250/proxy/pods".to_owned(), false, "/pods"),
    ];
    for (path, is_namespaced, want) in rows {
        let (prefix, rest) = split(&path, is_namespaced);
        assert_eq!(rest, want, "{path}");
        assert!(prefix.ends_with("/proxy"), "{prefix}");
    }
}

#[test]
fn links_to_the_same_place_lead_through_the_proxy() {
    let rows = [
        ("/x", format!("{PREFIX}/x")),
        ("/x/?a=b#c", format!("{PREFIX}/x/?a=b#c")),
        ("http://10.0.0.1:80/x", format!("{PREFIX}/x")),
        ("https://api.example.com:6443?q", format!("{PREFIX}/?q")),
        ("http://elsewhere.example.com/x", "http://elsewhere.example.com/x".to_owned()),
        ("//cdn.example.com/x", "//cdn.example.com/x".to_owned()),
        ("x/y", "x/y".to_owned()),
        ("#top", "#top".to_owned()),
        ("mailto:a@example.com", "mailto:a@example.com".to_owned()),
        ("", String::new()),
    ];
    for (link, want) in rows {
        assert_eq!(rewrite::url(link, PREFIX, HOSTS), want, "{link}");
    }
    let already = format!("{PREFIX}/x");
    assert_eq!(rewrite::url(&already, PREFIX, HOSTS), already);
}

#[test]
fn only_links_of_a_page_are_rewritten() {
    let rows = [
        (r#"<a href="/rewriteme">test</a>"#, r#"<a href="P/rewriteme">test</a>"#),
        ("<A HREF='/x' title='/y>'>/z</A>", "<A HREF='P/x' title='/y>'>/z</A>"),
        ("<img alt src=/x.png><p href=\"/no\">", "<img alt src=P/x.png><p href=\"/no\">"),
        ("<link rel=x\n  href = \"/a.css\" />", "<link rel=x\n  href = \"P/a.css\" />"),
        ("<!-- <a href=\"/x\"> --> 1 < 2 <a href=\"y\">", "<!-- <a href=\"/x\"> --> 1 < 2 <a href=\"y\">"),
        (
            "<script src=\"/s.js\">if (a<b) x('<a href=\"/x\">')</script><a href=\"/y\">",
            "<script src=\"P/s.js\">if (a<b) x('<a href=\"/x\">')</script><a href=\"P/y\">",
        ),
        ("<a href=\"/unended", "<a href=\"P/unended"),
        ("<a href", "<a href"),
        ("<a href=", "<a href="),
        ("<", "<"),
        ("é<a href=\"/é\">é", "é<a href=\"P/é\">é"),
    ];
    for (page, want) in rows {
        assert_eq!(rewrite::html(page, PREFIX, HOSTS), want.replace('P', PREFIX), "{page}");
    }
}

proptest::proptest! {
    #[test]
    fn any_page_is_read(page in "[<>a-z/=\"' !é-]{0,60}") {
        let written = rewrite::html(&page, "", HOSTS);
        proptest::prop_assert_eq!(written, page);
    }
}

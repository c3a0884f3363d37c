//! Whatever is read, it ends, without a panic, and what is wrong is in a line that is there.

use proptest::prelude::*;

use super::*;

const WORDS: [&str; 52] = [
    ".",
    ".:53",
    "{",
    "}",
    "\n",
    "\n",
    "\n",
    "\"",
    "#",
    "\\",
    "(s)",
    "import",
    "s",
    "f*",
    "{$V}",
    "{%V%",
    ",",
    "a.test",
    "10.0.0.0/8",
    "forward",
    "1.1.1.1",
    "tls://9.9.9.9%n:1",
    "/etc/resolv.conf",
    "policy",
    "random",
    "health_check",
    "1s",
    "no_rec",
    "domain",
    "cache",
    "30",
    "success",
    "denial",
    "prefetch",
    "10%",
    "serve_stale",
    "verify",
    "disable",
    "kubernetes",
    "cluster.local",
    "fallthrough",
    "hosts",
    "192.0.2.1",
    "rewrite",
    "name",
    "regex",
    "(.*)",
    "{1}",
    "answer",
    "auto",
    "log",
    "class",
];

fn check(text: &str) {
    let made = Made::new().variable("V", "x { y").file("f1", "errors\n").file("s", "log {\nclass all\n}");
    if let Err(mistake) = parse_with(text, &made) {
        let lines = text.split('\n').count().max(3);
        assert!(mistake.line >= 1 && mistake.line <= lines, "{mistake} of {lines}");
        assert!(!mistake.to_string().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        check(&text);
    }

    #[test]
    fn any_words_are_read_or_refused(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..60)) {
        check(&words.join(" "));
        check(&format!(". {{\n{}\n}}", words.join(" ")));
    }

    #[test]
    fn a_file_that_is_damaged_is_read_or_refused(at in 0usize..600, length in 0usize..40, put in ".{0,5}") {
        let stock = include_str!("stock.txt");
        let start = stock.floor_char_boundary(at.min(stock.len()));
        let end = stock.floor_char_boundary((start + length).min(stock.len()));
        check(&format!("{}{put}{}", &stock[..start], &stock[end..]));
    }
}

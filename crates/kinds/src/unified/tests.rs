//! Differences as `difflib` writes them.

use super::difference;

fn numbers(changed: &[(usize, &str)]) -> String {
    let line = |i: usize| changed.iter().find(|(at, _)| *at == i).map_or(i.to_string(), |(_, text)| (*text).to_owned());
    (1..=20).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn differences() {
    let cases = [
        ("nothing", numbers(&[]), numbers(&[]), ""),
        ("one line", numbers(&[]), numbers(&[(10, "ten")]), "@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n"),
        ("the first line", numbers(&[]), numbers(&[(1, "one")]), "@@ -1,4 +1,4 @@\n-1\n+one\n 2\n 3\n 4\n"),
        ("the last line", numbers(&[]), numbers(&[(20, "end")]), "@@ -17,4 +17,4 @@\n 17\n 18\n 19\n-20\n+end\n"),
        (
            "two that are near",
            numbers(&[]),
            numbers(&[(5, "five"), (10, "ten")]),
            "@@ -2,12 +2,12 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n",
        ),
        (
            "two that are not",
            numbers(&[]),
            numbers(&[(4, "four"), (16, "b")]),
            "@@ -1,7 +1,7 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7\n@@ -13,7 +13,7 @@\n 13\n 14\n 15\n-16\n+b\n 17\n 18\n 19\n",
        ),
        ("more lines", "a\nb".to_owned(), "a\nx\ny\nb".to_owned(), "@@ -1,2 +1,4 @@\n a\n+x\n+y\n b\n"),
        ("fewer lines", "a\nx\nb".to_owned(), "a\nb".to_owned(), "@@ -1,3 +1,2 @@\n a\n-x\n b\n"),
    ];
    for (name, old, new, expected) in cases {
        assert_eq!(difference(&old, &new), expected, "{name}");
    }
}

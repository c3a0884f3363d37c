use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

fn run(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
    let mut lines = Lines::default();
    let mut out = Vec::new();
    for chunk in chunks {
        lines
            .push(chunk, |content, whole| {
                out.push((content.to_vec(), whole));
                Ok::<_, Infallible>(())
            })
            .unwrap();
    }
    lines
        .finish(|content, whole| {
            out.push((content.to_vec(), whole));
            Ok::<_, Infallible>(())
        })
        .unwrap();
    out
}

#[test]
fn lines_that_come_in_pieces() {
    let got = run(&[b"one\ntw", b"o\n\nthree"]);
    let want = [("one", true), ("two", true), ("", true), ("three", false)];
    assert_eq!(got, want.map(|(s, w)| (s.as_bytes().to_vec(), w)));
}

#[test]
fn a_long_line_comes_in_parts_of_the_bound() {
    let long = vec![b'x'; LINE * 2 + 5];
    let got = run(&[&long, b"\n"]);
    assert_eq!(got.iter().map(|(c, w)| (c.len(), *w)).collect::<Vec<_>>(), [(LINE, false), (LINE, false), (5, true)]);
}

proptest! {
    #[test]
    fn nothing_is_lost_however_it_is_cut(text in proptest::collection::vec(0u8..4, 0..200), cut in 1usize..7) {
        let text: Vec<u8> = text.into_iter().map(|b| if b == 0 { b'\n' } else { b'a' + b }).collect();
        let chunks: Vec<&[u8]> = text.chunks(cut).collect();
        let mut joined = Vec::new();
        for (content, whole) in run(&chunks) {
            joined.extend(content);
            if whole {
                joined.push(b'\n');
            }
        }
        prop_assert_eq!(joined, text);
    }
}

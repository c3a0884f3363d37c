//! How two texts differ, as Kubernetes' faults show it: the unified format, with three lines around each change.
//!
//! The matching is that of Python's `difflib`, whose Go port Kubernetes uses: of equally good answers it must be the
//! same one. (Longest common block first, then the same to the left and to the right of it.)

use std::collections::HashMap;

#[cfg(test)]
mod tests;

const CONTEXT: usize = 3;
/// From so many lines on, lines that occur often start no block.
const MANY_LINES: usize = 200;

/// A block that is the same in both: where in the one, where in the other, how long.
type Block = (usize, usize, usize);

/// A stretch of both that is the same, or that is not.
#[derive(Clone, Copy)]
struct Stretch {
    same: bool,
    old: (usize, usize),
    new: (usize, usize),
}

/// The changes from one text to another, without a header; empty when there are none.
pub(crate) fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut printed = String::new();
    for group in groups(stretches(&old, &new)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (of_old, of_new) = (range(first.old.0, last.old.1), range(first.new.0, last.new.1));
        printed.push_str(&format!("@@ -{of_old} +{of_new} @@\n"));
        for stretch in &group {
            let mut lines = |sign: char, lines: &[&str]| {
                lines.iter().for_each(|line| printed.push_str(&format!("{sign}{line}\n")));
            };
            if stretch.same {
                lines(' ', &old[stretch.old.0..stretch.old.1]);
            } else {
                lines('-', &old[stretch.old.0..stretch.old.1]);
                lines('+', &new[stretch.new.0..stretch.new.1]);
            }
        }
    }
    printed
}

/// Lines are counted from 1; an empty stretch comes after the line that is named.
fn range(start: usize, end: usize) -> String {
    match end - start {
        1 => (start + 1).to_string(),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

/// Changes that are near one another go together.
fn groups(mut stretches: Vec<Stretch>) -> Vec<Vec<Stretch>> {
    if stretches.iter().all(|stretch| stretch.same) {
        return Vec::new();
    }
    let end_of = |stretch: &Stretch| Stretch {
        old: (stretch.old.0.max(stretch.old.1.saturating_sub(CONTEXT)), stretch.old.1),
        new: (stretch.new.0.max(stretch.new.1.saturating_sub(CONTEXT)), stretch.new.1),
        ..*stretch
    };
    let beginning_of = |stretch: &Stretch| Stretch {
        old: (stretch.old.0, stretch.old.1.min(stretch.old.0 + CONTEXT)),
        new: (stretch.new.0, stretch.new.1.min(stretch.new.0 + CONTEXT)),
        ..*stretch
    };
    if let Some(first) = stretches.first_mut().filter(|first| first.same) {
        *first = end_of(first);
    }
    if let Some(last) = stretches.last_mut().filter(|last| last.same) {
        *last = beginning_of(last);
    }
    let mut groups = vec![Vec::new()];
    for stretch in stretches {
        let is_long = stretch.same && stretch.old.1 - stretch.old.0 > 2 * CONTEXT;
        if is_long {
            groups.last_mut().into_iter().for_each(|group| group.push(beginning_of(&stretch)));
            groups.push(vec![end_of(&stretch)]);
        } else {
            groups.last_mut().into_iter().for_each(|group| group.push(stretch));
        }
    }
    groups.retain(|group| group.iter().any(|stretch| !stretch.same));
    groups
}

fn stretches(old: &[&str], new: &[&str]) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let (mut i, mut j) = (0, 0);
    let mut blocks = blocks(old, new);
    blocks.push((old.len(), new.len(), 0));
    for (at_old, at_new, length) in blocks {
        if i < at_old || j < at_new {
            stretches.push(Stretch { same: false, old: (i, at_old), new: (j, at_new) });
        }
        (i, j) = (at_old + length, at_new + length);
        if length > 0 {
            stretches.push(Stretch { same: true, old: (at_old, i), new: (at_new, j) });
        }
    }
    stretches
}

/// All blocks, in order; such that touch are one.
fn blocks(old: &[&str], new: &[&str]) -> Vec<Block> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (j, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(j);
    }
    if new.len() >= MANY_LINES {
        let most = new.len() / 100 + 1;
        places.retain(|_, places| places.len() <= most);
    }
    let mut found = Vec::new();
    let mut left = vec![((0, old.len()), (0, new.len()))];
    while let Some((in_old, in_new)) = left.pop() {
        let block = longest(old, new, &places, in_old, in_new);
        let (i, j, length) = block;
        if length > 0 {
            found.push(block);
            left.push(((in_old.0, i), (in_new.0, j)));
            left.push(((i + length, in_old.1), (j + length, in_new.1)));
        }
    }
    found.sort_unstable();
    let mut joined: Vec<Block> = Vec::new();
    for (i, j, length) in found {
        match joined.last_mut() {
            Some(last) if last.0 + last.2 == i && last.1 + last.2 == j => last.2 += length,
            _ => joined.push((i, j, length)),
        }
    }
    joined
}

/// The longest block in a part of both; of several, the first.
fn longest(
    old: &[&str],
    new: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    in_old: (usize, usize),
    in_new: (usize, usize),
) -> Block {
    let (mut i, mut j, mut length) = (in_old.0, in_new.0, 0);
    // How long the block is that ends with the line before, for each line of the new text.
    let mut ending: HashMap<usize, usize> = HashMap::new();
    for (at_old, line) in old.iter().enumerate().take(in_old.1).skip(in_old.0) {
        let mut next = HashMap::new();
        for &at_new in places.get(line).into_iter().flatten() {
            if at_new < in_new.0 {
                continue;
            }
            if at_new >= in_new.1 {
                break;
            }
            let before = at_new.checked_sub(1).and_then(|before| ending.get(&before)).copied().unwrap_or(0);
            next.insert(at_new, before + 1);
            if before + 1 > length {
                (i, j, length) = (at_old - before, at_new - before, before + 1);
            }
        }
        ending = next;
    }
    // Lines that occur often start no block, but belong to one.
    while i > in_old.0 && j > in_new.0 && old[i - 1] == new[j - 1] {
        (i, j, length) = (i - 1, j - 1, length + 1);
    }
    while i + length < in_old.1 && j + length < in_new.1 && old[i + length] == new[j + length] {
        length += 1;
    }
    (i, j, length)
}

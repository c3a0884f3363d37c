//! The shape of the house: sizes of files and functions, names of modules, no import cycles, no document that names a
//! file which is not there.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what it could not do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file, in lines, tests apart.
const LONGEST_FILE: usize = 600;
/// The longest function, in lines, from its signature to its closing brace.
const LONGEST_FUNCTION: usize = 80;
/// Names that say nothing.
const EMPTY_NAMES: [&str; 7] = ["common", "util", "utils", "helpers", "helper", "misc", "manager"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A source file: where it is, the crate's folder, its module path in the crate, and its lines without its tests.
struct Source {
    path: PathBuf,
    krate: PathBuf,
    module: Vec<String>,
    lines: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut crates = vec![root.clone()];
    crates.extend(fs::read_dir(root.join("crates")).unwrap().map(|e| e.unwrap().path()));
    crates.sort();
    let mut found = Vec::new();
    for krate in crates {
        let src = krate.join("src");
        for path in rust_files(&src) {
            let relative = path.strip_prefix(&src).unwrap().with_extension("");
            let mut module: Vec<String> = relative.iter().map(|p| p.to_str().unwrap().to_owned()).collect();
            if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                module.pop();
            }
            if module.iter().any(|m| m == "tests" || m == "bin") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().take_while(|l| *l != "#[cfg(test)]").map(str::to_owned).collect();
            found.push(Source { path, krate: krate.clone(), module, lines });
        }
    }
    found
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|s| s.lines.len() > LONGEST_FILE)
        .map(|s| format!("{}: {} lines", shown(&s.path), s.lines.len()))
        .collect();
    assert!(long.is_empty(), "files of more than {LONGEST_FILE} lines:\n{}", long.join("\n"));
}

#[test]
fn no_function_is_too_long() {
    let mut long = Vec::new();
    for source in sources() {
        // rustfmt puts a function's closing brace under its first letter.
        for (start, line) in source.lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if !is_function(line.trim_start()) {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let length = source.lines[start..]
                .iter()
                .position(|l| *l == close || l.trim_end().ends_with(");") && l.len() - l.trim_start().len() == indent);
            if let Some(length) = length
                && length + 1 > LONGEST_FUNCTION
            {
                long.push(format!("{}:{}: {} lines", shown(&source.path), start + 1, length + 1));
            }
        }
    }
    assert!(long.is_empty(), "functions of more than {LONGEST_FUNCTION} lines:\n{}", long.join("\n"));
}

fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|w| {
        w.starts_with("pub")
            || matches!(*w, "async" | "const" | "unsafe" | "extern" | "\"C\"" | "in" | "super)" | "crate)")
    });
    words.next() == Some("fn")
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let empty: Vec<String> = sources()
        .iter()
        .filter(|s| s.module.iter().any(|m| EMPTY_NAMES.contains(&m.as_str())))
        .map(|s| shown(&s.path))
        .collect();
    assert!(empty.is_empty(), "{}", empty.join("\n"));
}

#[test]
fn modules_side_by_side_do_not_import_each_other_in_circles() {
    let mut by_crate: BTreeMap<PathBuf, Vec<Source>> = BTreeMap::new();
    for source in sources() {
        by_crate.entry(source.krate.clone()).or_default().push(source);
    }
    let mut circles = Vec::new();
    for (krate, sources) in &by_crate {
        let modules: BTreeSet<&[String]> = sources.iter().map(|s| s.module.as_slice()).collect();
        // (parent module) -> (child -> the children whose names it uses)
        let mut graphs: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for source in sources {
            for target in references(source, &modules) {
                let shared = source.module.iter().zip(&target).take_while(|(a, b)| a == b).count();
                if shared == source.module.len() || shared == target.len() {
                    continue;
                }
                let graph = graphs.entry(target[..shared].to_vec()).or_default();
                graph.entry(source.module[shared].clone()).or_default().insert(target[shared].clone());
            }
        }
        for (parent, graph) in graphs {
            if let Some(circle) = circle(&graph) {
                circles.push(format!("{} {}: {}", shown(krate), parent.join("::"), circle.join(" -> ")));
            }
        }
    }
    assert!(circles.is_empty(), "import cycles:\n{}", circles.join("\n"));
}

/// The modules of its own crate that a file names.
fn references(source: &Source, modules: &BTreeSet<&[String]>) -> Vec<Vec<String>> {
    let code = source.lines.iter().filter(|l| !l.trim_start().starts_with("//"));
    let text: String = code.map(|l| format!("{l}\n")).collect();
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::").chain(text.match_indices("super::")) {
        if text[..at].chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        for path in paths(&text[at..]) {
            let mut base = source.module.clone();
            let mut rest: Vec<&str> = path.split("::").filter(|s| !s.is_empty()).collect();
            if rest.first() == Some(&"crate") {
                base.clear();
                rest.remove(0);
            }
            while rest.first() == Some(&"super") {
                base.pop();
                rest.remove(0);
            }
            base.extend(rest.iter().map(|s| (*s).to_owned()));
            // The longest part that is a module; what follows is an item in it.
            while !base.is_empty() && !modules.contains(base.as_slice()) {
                base.pop();
            }
            if !base.is_empty() && base != source.module {
                found.push(base);
            }
        }
    }
    found
}

/// The paths at the start of a text; several where it goes on in braces: `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn paths(text: &str) -> Vec<String> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    if !path.ends_with("::") || !rest.starts_with('{') {
        return vec![path.to_owned()];
    }
    let mut depth = 0;
    let close = rest.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let inner = &rest[1..close.unwrap_or(rest.len())];
    let mut depth = 0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.flat_map(|part| paths(part.trim_start())).map(|inner| format!("{path}{inner}")).collect()
}

#[test]
fn a_path_in_braces_is_several() {
    assert_eq!(paths("crate::a::B;"), ["crate::a::B"]);
    let nested = paths("crate::{\n    a::{B, c::D},\n    e,\n};");
    assert_eq!(nested[..3], ["crate::a::B", "crate::a::c::D", "crate::e"]);
}

fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(graph: &BTreeMap<String, BTreeSet<String>>, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        let here = way.last().unwrap().clone();
        for next in graph.get(&here).into_iter().flatten() {
            if let Some(at) = way.iter().position(|w| w == next) {
                way.drain(..at);
                way.push(next.clone());
                return true;
            }
            if done.contains(next) {
                continue;
            }
            way.push(next.clone());
            if walk(graph, way, done) {
                return true;
            }
            way.pop();
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| {
        let mut way = vec![start.clone()];
        walk(graph, &mut way, &mut done).then_some(way)
    })
}

#[test]
fn documents_name_only_files_that_are_there() {
    let root = root();
    let mut missing = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "docs/path-of-a-packet.md"] {
        let Ok(text) = fs::read_to_string(root.join(document)) else { continue };
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = name.contains('/') && [".rs", ".md", ".toml", ".yaml"].iter().any(|e| name.ends_with(e));
            if is_path && !name.contains([' ', '<', '*']) && !root.join(name).exists() {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "documents name files that are not there:\n{}", missing.join("\n"));
}

#[test]
fn documents_are_short_enough_to_be_read() {
    for (document, longest) in [("README.md", 150), ("ARCHITECTURE.md", 200)] {
        let lines = fs::read_to_string(root().join(document)).unwrap().lines().count();
        assert!(lines <= longest, "{document} has {lines} lines; {longest} is the most");
    }
}

//! A writer is killed with SIGKILL at random points, many times: what it was told is there, nothing is half there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rand::Rng;
use store::{Options, Store, Transaction};

const CHILD: &str = "STORE_CRASH_CHILD";
const WRITERS: u64 = 4;
const ROUNDS: usize = 40;

fn options() -> Options {
    Options { retain_revisions: 50, recent_bytes: 4096, ..Options::default() }
}

/// Each writer writes its number, counted up, under three keys in one transaction, with a value too large for one page.
fn transaction(writer: u64, count: u64) -> Transaction {
    let value = format!("{count} {}", "x".repeat((count % 7000) as usize));
    (0..3).fold(Transaction::new(), |t, part| t.put(format!("/{writer}/{part}"), value.clone()))
}

fn counts(store: &Store) -> BTreeMap<u64, Vec<u64>> {
    let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    store
        .load(|record| {
            let writer = record.key.split('/').nth(1).unwrap().parse().unwrap();
            let value = String::from_utf8(record.value.to_vec()).unwrap();
            let (count, padding) = value.split_once(' ').unwrap();
            let count: u64 = count.parse().unwrap();
            assert_eq!(padding.len() as u64, count % 7000);
            found.entry(writer).or_default().push(count);
        })
        .unwrap();
    found
}

/// Not a test of its own: the process that is killed. It says `WRITER COUNT REVISION` for each answer it gets.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let store = Store::open_with(path, options()).unwrap();
    let reached = counts(&store);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            let mut count = reached.get(&writer).map_or(0, |c| c[0]);
            runtime.spawn(async move {
                while let Ok(commit) = store.commit(transaction(writer, count + 1)).await {
                    count += 1;
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "{writer} {count} {}", commit.revision).unwrap();
                    out.flush().unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        runtime.block_on(writer).unwrap();
    }
}

/// Runs the child until it has said `lines` lines, kills it, and adds what it was told to `told`.
fn run_and_kill(path: &Path, lines: usize, told: &mut BTreeMap<u64, (u64, u64)>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut seen = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if out.read_line(&mut line).unwrap() == 0 {
            break;
        }
        let numbers: Vec<u64> = line.split(' ').filter_map(|n| n.trim().parse().ok()).collect();
        let (true, [writer, count, revision]) = (line.ends_with('\n'), numbers.as_slice()) else { continue };
        told.insert(*writer, (*count, *revision));
        seen += 1;
        if seen == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= lines, "the child ended by itself after {seen} lines");
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut random = rand::rng();
    let mut told = BTreeMap::new();
    for round in 0..ROUNDS {
        run_and_kill(&path, random.random_range(1..60), &mut told);
        let store = Store::open_with(&path, options()).unwrap();
        let found = counts(&store);
        for (writer, counts) in &found {
            assert_eq!(counts.len(), 3, "round {round}: a transaction of writer {writer} is half there");
            assert!(counts.iter().all(|c| *c == counts[0]), "round {round}: writer {writer}: {counts:?}");
        }
        for writer in 0..WRITERS {
            let reached = found.get(&writer).map_or(0, |c| c[0]);
            let (count, revision) = told.get(&writer).copied().unwrap_or_default();
            // One more may be on disk whose answer was not heard; the next round goes on from there.
            assert!((count..=count + 1).contains(&reached), "round {round}: {writer} told {count}, found {reached}");
            assert!(store.revision() >= revision, "round {round}: revision {revision} went back");
            told.insert(writer, (reached, revision));
        }
        check_log(&store);
    }
}

/// The log ends with the state of the live records.
fn check_log(store: &Store) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (from, to) = (store.compacted().unwrap(), store.revision());
    let mut watcher = store.watch(from);
    let mut newest = BTreeMap::new();
    for revision in from + 1..=to {
        let batch = runtime.block_on(watcher.next()).unwrap();
        assert_eq!(batch.revision, revision);
        for event in &batch.events {
            newest.insert(event.key.clone(), revision);
        }
    }
    for (key, revision) in newest {
        assert_eq!(store.get(&key).unwrap().unwrap().mod_revision, revision);
    }
}

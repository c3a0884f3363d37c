//! The store against a simple model of it: a map and a list.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::{Change, CommitError, Expect, Operation, Options, Store, Transaction, WatchError};

#[derive(Clone, Debug)]
enum Step {
    Commit(Transaction),
    Reopen,
}

/// A record of the model: value, create revision, revision, version.
type Held = (Vec<u8>, u64, u64, u64);

/// An event of the model: revision, key, the value now, and the value before.
type Told = (u64, String, Option<Vec<u8>>, Option<Vec<u8>>);

#[derive(Default)]
struct Model {
    live: BTreeMap<String, Held>,
    revision: u64,
    log: Vec<Told>,
}

impl Model {
    fn commit(&mut self, t: &Transaction) -> Result<u64, Option<u64>> {
        for compare in &t.compares {
            let actual = self.live.get(&compare.key).map(|r| r.2);
            let met = match compare.expect {
                Expect::Absent => actual.is_none(),
                Expect::Present => actual.is_some(),
                Expect::Revision(r) => actual == Some(r),
            };
            if !met {
                return Err(actual);
            }
        }
        let next = self.revision + 1;
        for operation in &t.operations {
            match operation {
                Operation::Put { key, value } => {
                    let old = self.live.get(key).cloned();
                    let (created, version) = old.as_ref().map_or((next, 1), |o| (o.1, o.3 + 1));
                    self.live.insert(key.clone(), (value.to_vec(), created, next, version));
                    self.log.push((next, key.clone(), Some(value.to_vec()), old.map(|o| o.0)));
                    self.revision = next;
                }
                Operation::Delete { key } => {
                    if let Some(old) = self.live.remove(key) {
                        self.log.push((next, key.clone(), None, Some(old.0)));
                        self.revision = next;
                    }
                }
            }
        }
        Ok(self.revision)
    }
}

fn key() -> impl Strategy<Value = String> {
    (0..6u8).prop_map(|n| format!("/registry/k{n}"))
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let expect = prop_oneof![
        2 => Just(Expect::Absent),
        2 => Just(Expect::Present),
        1 => (1..20u64).prop_map(Expect::Revision)
    ];
    let compares = prop::collection::vec((key(), expect), 0..2);
    let operations = prop::collection::btree_map(
        key(),
        prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..40)),
        0..4,
    );
    (compares, operations).prop_map(|(compares, operations)| {
        let t = compares.into_iter().fold(Transaction::new(), |t, (key, expect)| t.expect(key, expect));
        operations.into_iter().fold(t, |t, (key, value)| match value {
            Some(value) => t.put(key, value),
            None => t.delete(key),
        })
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(prop_oneof![12 => transaction().prop_map(Step::Commit), 1 => Just(Step::Reopen)], 1..40)
}

fn check_records(store: &Store, model: &Model) {
    let mut found = BTreeMap::new();
    let revision = store
        .load(|r| {
            found.insert(r.key, (r.value.to_vec(), r.create_revision, r.mod_revision, r.version));
        })
        .unwrap();
    assert_eq!(revision, model.revision);
    assert_eq!(found, model.live);
}

async fn check_log(store: &Store, model: &Model, from: u64) {
    let want: Vec<_> = model.log.iter().filter(|e| e.0 > from).cloned().collect();
    let mut watcher = store.watch(from);
    let mut got = Vec::new();
    while got.len() < want.len() {
        let batch = watcher.next().await.unwrap();
        for event in &batch.events {
            let now = match &event.change {
                Change::Put { value, .. } => Some(value.to_vec()),
                Change::Delete => None,
            };
            got.push((batch.revision, event.key.clone(), now, event.previous.as_ref().map(|p| p.value.to_vec())));
        }
    }
    assert_eq!(got, want);
}

async fn run(steps: Vec<Step>, recent_bytes: usize, from: u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let options = Options { recent_bytes, ..Options::default() };
    let mut store = Store::open_with(&path, options.clone()).unwrap();
    let mut model = Model { revision: store.revision(), ..Model::default() };
    for step in steps {
        match step {
            Step::Reopen => {
                store.close().await;
                drop(store);
                store = Store::open_with(&path, options.clone()).unwrap();
            }
            Step::Commit(t) => match (store.commit(t.clone()).await, model.commit(&t)) {
                (Ok(commit), Ok(revision)) => assert_eq!(commit.revision, revision),
                (Err(CommitError::Conflict { actual, .. }), Err(want)) => assert_eq!(actual, want),
                (got, want) => panic!("{t:?}: {got:?}, want {want:?}"),
            },
        }
        assert_eq!(store.revision(), model.revision);
    }
    check_records(&store, &model);
    check_log(&store, &model, from).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_the_model_does(
        steps in steps(), recent_bytes in prop_oneof![Just(0usize), Just(600), Just(1 << 20)], from in 1..10u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps, recent_bytes, from));
    }
}

#[tokio::test]
async fn a_key_that_is_changed_twice_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let twice = Transaction::new().put("/a", "1").delete("/a");
    assert!(matches!(store.commit(twice).await, Err(CommitError::DuplicateKey { key }) if key == "/a"));
    assert_eq!(store.get("/a").unwrap(), None);
}

#[tokio::test]
async fn old_revisions_are_compacted_by_count() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retain_revisions: 10, recent_bytes: 0, ..Options::default() };
    let store = Store::open_with(dir.path().join("store"), options).unwrap();
    for i in 0..100 {
        store.commit(Transaction::new().put("/a", i.to_string())).await.unwrap();
    }
    assert_eq!(store.compacted().unwrap(), store.revision() - 10);
    let error = store.watch(5).next().await.unwrap_err();
    assert!(matches!(error, WatchError::Compacted { asked: 6, oldest } if oldest == store.revision() - 9), "{error}");
    assert_eq!(store.watch(store.revision() - 10).next().await.unwrap().revision, store.revision() - 9);
}

#[tokio::test]
async fn old_revisions_are_compacted_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { retain_for: std::time::Duration::ZERO, ..Options::default() };
    let store = Store::open_with(dir.path().join("store"), options).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while store.compacted().unwrap() == 1 {
        store.commit(Transaction::new().put("/a", "x")).await.unwrap();
        assert!(std::time::Instant::now() < deadline, "nothing was compacted");
    }
}

#[tokio::test]
async fn a_watch_waits_and_ends_when_the_store_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let mut watcher = store.watch(store.revision());
    let waiting = tokio::spawn(async move {
        let batch = watcher.next().await.unwrap();
        (batch, watcher.next().await)
    });
    store.commit(Transaction::new().put("/a", "1")).await.unwrap();
    store.close().await;
    let (batch, end) = waiting.await.unwrap();
    assert_eq!(batch.events[0].key, "/a");
    assert!(matches!(end, Err(WatchError::Closed)));
    assert!(matches!(store.commit(Transaction::new().put("/a", "2")).await, Err(CommitError::Closed)));
}

#[tokio::test]
async fn a_store_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    assert!(Store::open(dir.path().join("store")).is_err());
    drop(store);
    Store::open(dir.path().join("store")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_that_expect_absence_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let writers: Vec<_> = (0..64)
        .map(|i: u32| {
            let store = store.clone();
            tokio::spawn(async move {
                let t = Transaction::new().expect("/one", Expect::Absent).put("/one", i.to_string());
                store.commit(t).await.is_ok()
            })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        won += u32::from(writer.await.unwrap());
    }
    assert_eq!(won, 1);
}

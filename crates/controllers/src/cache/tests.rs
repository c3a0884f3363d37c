use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::objects::Pod;

pub(crate) fn pod(name: &str, uid: &str, revision: u64, node: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": revision.to_string()},
        "spec": {"nodeName": node}}))
    .unwrap()
}

#[test]
fn objects_are_found_by_key_namespace_and_index() {
    let cache = Cache::<Pod>::default();
    for (i, node) in ["n1", "n2", "n1", ""].into_iter().enumerate() {
        cache.apply(pod(&format!("p{i}"), &format!("u{i}"), i as u64 + 1, node));
    }
    assert_eq!(cache.get("shop", "p1").unwrap().uid(), "u1");
    assert!(cache.get("other", "p1").is_none());
    let names = |pods: Vec<Arc<Pod>>| pods.iter().map(|p| p.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(cache.by(Index::Node, "n1")), ["p0", "p2"]);
    assert_eq!(names(cache.by(Index::Node, "")), ["p3"]);
    cache.apply(pod("p0", "u0", 9, "n2"));
    assert_eq!(names(cache.by(Index::Node, "n1")), ["p2"]);
    assert_eq!(names(cache.by(Index::Node, "n2")), ["p0", "p1"]);
    cache.delete(pod("p1", "u1", 10, "n2"));
    assert_eq!(names(cache.by(Index::Node, "n2")), ["p0"]);
    assert_eq!(names(cache.in_namespace("shop", |p| p.name() != "p2")), ["p0", "p3"]);
    assert!(names(cache.in_namespace("sho", |_| true)).is_empty());
}

#[test]
fn a_relist_tells_only_what_changed() {
    let cache = Cache::<Pod>::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    cache.on_change(move |delta| {
        let side =
            |o: Option<&Arc<Pod>>| o.map(|p| format!("{}@{}", p.uid(), p.resource_version())).unwrap_or_default();
        log.lock().push(format!("{}>{}", side(delta.old), side(delta.new)));
    });
    cache.init();
    for name in ["a", "b", "c", "d"] {
        cache.init_apply(pod(name, name, 1, ""));
    }
    assert!(cache.get("shop", "a").is_none() && !cache.is_synced());
    cache.init_done();
    assert!(cache.is_synced());
    told.lock().clear();
    cache.init();
    cache.init_apply(pod("a", "a", 1, ""));
    cache.init_apply(pod("b", "b", 5, ""));
    cache.init_apply(pod("c", "other", 6, ""));
    cache.init_done();
    assert_eq!(*told.lock(), ["d@1>", "b@1>b@5", "c@1>", ">other@6"]);
}

#[tokio::test]
async fn a_write_is_seen_when_its_revision_or_a_later_list_came_by() {
    let cache = Arc::new(Cache::<Pod>::default());
    cache.init();
    cache.init_done();
    let seen = Arc::new(AtomicUsize::new(0));
    let waiter = |revision: &str| {
        let (cache, seen, mark) = (cache.clone(), seen.clone(), cache.mark(revision));
        tokio::spawn(async move {
            cache.seen(mark).await;
            seen.fetch_add(1, Ordering::SeqCst);
        })
    };
    let (first, second) = (waiter("5"), waiter("7"));
    cache.apply(pod("a", "a", 4, ""));
    tokio::task::yield_now().await;
    assert_eq!(seen.load(Ordering::SeqCst), 0);
    cache.apply(pod("a", "a", 6, ""));
    first.await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    // The object of revision 7 was created and deleted while the watch was broken: the list does not have it.
    cache.init();
    cache.init_done();
    second.await.unwrap();
    waiter("not a number").await.unwrap();
}

#[tokio::test]
async fn a_list_that_began_before_the_write_does_not_prove_it_seen() {
    let cache = Arc::new(Cache::<Pod>::default());
    cache.init();
    let mark = cache.mark("9");
    cache.init_done();
    let waiting = tokio::time::timeout(Duration::from_millis(20), cache.seen(mark)).await;
    assert!(waiting.is_err());
    cache.init();
    cache.init_done();
    cache.seen(mark).await;
}

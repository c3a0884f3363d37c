//! GET with `watch`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{CONFIG_MAPS, Cluster, config_map, version};
use serde_json::json;

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_watch_tells_what_happens_in_order() {
    let cluster = Cluster::start().await;
    let first = cluster.post(CONFIG_MAPS, &config_map("one")).await.with(201);
    let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", version(&first))).await;
    cluster.post(CONFIG_MAPS, &config_map("two")).await.with(201);
    let mut changed = first.clone();
    changed["data"]["a"] = json!("2");
    let changed = cluster.put(&format!("{CONFIG_MAPS}/one"), &changed).await.with(200);
    let deleted_at = {
        cluster.delete(&format!("{CONFIG_MAPS}/two")).await.with(200);
        version(&cluster.get(CONFIG_MAPS).await.with(200))
    };
    assert_eq!(watch.named().await, pair("ADDED", "two"));
    let modified = watch.next().await.unwrap();
    assert_eq!((&modified["type"], &modified["object"]), (&json!("MODIFIED"), &changed));
    let deleted = watch.next().await.unwrap();
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(version(&deleted["object"]), deleted_at);
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let cluster = Cluster::start().await;
    for name in ["one", "two"] {
        cluster.post(CONFIG_MAPS, &config_map(name)).await.with(201);
    }
    for query in ["watch=1", "watch=1&resourceVersion=0"] {
        let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?{query}")).await;
        assert_eq!(watch.named().await, pair("ADDED", "one"));
        assert_eq!(watch.named().await, pair("ADDED", "two"));
        let name = query.len().to_string();
        cluster.post(CONFIG_MAPS, &config_map(&name)).await.with(201);
        assert_eq!(watch.named().await, pair("ADDED", &name));
        cluster.delete(&format!("{CONFIG_MAPS}/{name}")).await.with(200);
    }
}

#[tokio::test]
async fn a_streaming_list_ends_with_a_bookmark_that_says_so() {
    let cluster = Cluster::start().await;
    let created = cluster.post(CONFIG_MAPS, &config_map("one")).await.with(201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(watch.named().await, pair("ADDED", "one"));
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(version(&bookmark["object"]), version(&created));
    cluster.post(CONFIG_MAPS, &config_map("two")).await.with(201);
    assert_eq!(watch.named().await, pair("ADDED", "two"));
}

#[tokio::test]
async fn a_watch_ends_at_its_time_with_a_bookmark_if_it_wants_one() {
    let cluster = Cluster::start().await;
    let list = cluster.get(CONFIG_MAPS).await.with(200);
    let query = format!("watch=1&timeoutSeconds=1&resourceVersion={}", version(&list));
    let mut silent = cluster.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    let mut marked = cluster.watch(&format!("{CONFIG_MAPS}?{query}&allowWatchBookmarks=1")).await;
    assert_eq!(silent.next().await, None);
    let bookmark = marked.next().await.unwrap();
    assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    assert_eq!(marked.next().await, None);
}

#[tokio::test]
async fn a_watch_sees_its_namespace_only() {
    let cluster = Cluster::start().await;
    let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    // What every cluster has is told first.
    let mut all = cluster.watch("/api/v1/configmaps?watch=1").await;
    assert_eq!(all.named().await, pair("ADDED", "extension-apiserver-authentication"));
    cluster.post("/api/v1/namespaces/kube-system/configmaps", &config_map("other")).await.with(201);
    cluster.post(CONFIG_MAPS, &config_map("mine")).await.with(201);
    assert_eq!(watch.named().await, pair("ADDED", "mine"));
    assert_eq!(all.named().await, pair("ADDED", "other"));
    assert_eq!(all.named().await, pair("ADDED", "mine"));
}

#[tokio::test]
async fn a_watch_goes_on_after_a_restart() {
    let cluster = Cluster::start().await;
    let first = cluster.post(CONFIG_MAPS, &config_map("one")).await.with(201);
    cluster.post(CONFIG_MAPS, &config_map("two")).await.with(201);
    cluster.delete(&format!("{CONFIG_MAPS}/one")).await.with(200);
    let cluster = cluster.restart().await;
    let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", version(&first))).await;
    assert_eq!(watch.named().await, pair("ADDED", "two"));
    assert_eq!(watch.named().await, pair("DELETED", "one"));
}

#[tokio::test]
async fn a_watch_from_before_all_that_is_known_has_expired() {
    let cluster = Cluster::start().await;
    // More than a kind keeps: each event holds on to the object that it replaced.
    let mut big = config_map("big");
    big["data"]["a"] = json!("x".repeat(500 << 10));
    let first = cluster.post(CONFIG_MAPS, &big).await.with(201);
    let mut slow = cluster.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", version(&first))).await;
    for i in 0..12 {
        big["data"]["b"] = json!(i.to_string());
        cluster.put(&format!("{CONFIG_MAPS}/big"), &big).await.with(200);
    }
    // Who does not read is told so once, and dropped; so is who comes too late.
    let mut late = cluster.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", version(&first))).await;
    for watch in [&mut slow, &mut late] {
        let error = watch.next().await.unwrap();
        assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
        assert_eq!(error["object"]["reason"], "Expired");
        assert_eq!(watch.next().await, None);
    }
}

#[tokio::test]
async fn only_the_first_table_of_a_watch_has_headings() {
    let cluster = Cluster::start().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut watch = cluster.watch_as(&format!("{CONFIG_MAPS}?watch=1"), accept).await;
    for name in ["one", "two"] {
        cluster.post(CONFIG_MAPS, &config_map(name)).await.with(201);
    }
    let (first, second) = (watch.next().await.unwrap(), watch.next().await.unwrap());
    assert_eq!(first["object"]["kind"], "Table");
    assert_eq!(first["object"]["rows"][0]["cells"][0], "one");
    assert!(first["object"]["columnDefinitions"].is_array());
    assert!(second["object"]["columnDefinitions"].is_null());
}

#[tokio::test]
async fn a_watch_ends_when_the_server_stops() {
    let cluster = Cluster::start().await;
    let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    let ended = tokio::spawn(async move { watch.next().await });
    cluster.stop().await;
    assert_eq!(ended.await.unwrap(), None);
}

#[tokio::test]
async fn objects_come_into_a_selection_and_leave_it() {
    let cluster = Cluster::start().await;
    let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?watch=1&labelSelector=app%3Dx")).await;
    let path = format!("{CONFIG_MAPS}/c");
    let mut object = cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
    for label in ["x", "x", "y"] {
        object["metadata"]["labels"] = json!({ "app": label });
        object["data"]["a"] = json!(version(&object));
        object = cluster.put(&path, &object).await.with(200);
    }
    cluster.delete(&path).await.with(200);
    cluster.post(CONFIG_MAPS, &config_map("other")).await.with(201);
    let mut last = config_map("last");
    last["metadata"]["labels"] = json!({ "app": "x" });
    cluster.post(CONFIG_MAPS, &last).await.with(201);
    for want in ["ADDED", "MODIFIED"] {
        assert_eq!(watch.named().await, pair(want, "c"));
    }
    // It left by a change: the last state that the watch saw, at the version of the change.
    let left = watch.next().await.unwrap();
    assert_eq!((&left["type"], &left["object"]["metadata"]["labels"]["app"]), (&json!("DELETED"), &json!("x")));
    assert_eq!(version(&left["object"]), version(&object));
    assert_eq!(watch.named().await, pair("ADDED", "last"));
}

//! What `resourceVersion`, `resourceVersionMatch`, `limit`, `continue` and `sendInitialEvents` mean: a row a rule.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster::{CONFIG_MAPS, Cluster, config_map, names, version};
use serde_json::{Value, json};

/// `a` at the first of three revisions, `b` since the second, and since the third only `b` and `c`.
async fn three_revisions(cluster: &Cluster) -> [String; 3] {
    let first = version(&cluster.post(CONFIG_MAPS, &config_map("a")).await.with(201));
    let second = version(&cluster.post(CONFIG_MAPS, &config_map("b")).await.with(201));
    cluster.delete(&format!("{CONFIG_MAPS}/a")).await.with(200);
    let third = version(&cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201));
    [first, second, third]
}

#[tokio::test]
async fn which_state_a_list_shows() {
    let cluster = Cluster::start().await;
    let [first, second, third] = three_revisions(&cluster).await;
    let rows: [(&str, String, &[&str], &str); 12] = [
        ("nothing said: the newest", String::new(), &["b", "c"], &third),
        ("0: any, which is the newest", "resourceVersion=0".into(), &["b", "c"], &third),
        ("a version: not older", format!("resourceVersion={first}"), &["b", "c"], &third),
        ("not older, said", format!("resourceVersion={first}&resourceVersionMatch=NotOlderThan"), &["b", "c"], &third),
        ("not older than any", "resourceVersion=0&resourceVersionMatch=NotOlderThan".into(), &["b", "c"], &third),
        ("exact", format!("resourceVersion={second}&resourceVersionMatch=Exact"), &["a", "b"], &second),
        ("exact, the first", format!("resourceVersion={first}&resourceVersionMatch=Exact"), &["a"], &first),
        ("a version with a limit: exact", format!("resourceVersion={second}&limit=9"), &["a", "b"], &second),
        (
            "unless it says otherwise",
            format!("resourceVersion={second}&limit=9&resourceVersionMatch=NotOlderThan"),
            &["b", "c"],
            &third,
        ),
        ("0 knows no limit", "resourceVersion=0&limit=1".into(), &["b", "c"], &third),
        ("a limit alone", "limit=1".into(), &["b"], &third),
        ("exact and one object", format!("resourceVersion={second}&limit=1"), &["a"], &second),
    ];
    for (rule, query, want, revision) in rows {
        let list = cluster.get(&format!("{CONFIG_MAPS}?{query}")).await.with(200);
        assert_eq!(
            (names(&list).iter().map(String::as_str).collect::<Vec<_>>().as_slice(), &*version(&list)),
            (want, revision),
            "{rule}"
        );
        let more = list["metadata"].get("continue").is_some();
        assert_eq!(more, query.ends_with("limit=1") && !query.contains("resourceVersion=0"), "{rule}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn which_state_one_object_is_shown_in() {
    let cluster = Cluster::start().await;
    let [first, _, third] = three_revisions(&cluster).await;
    for query in ["", "?resourceVersion=0", &format!("?resourceVersion={first}"), &format!("?resourceVersion={third}")]
    {
        cluster.get(&format!("{CONFIG_MAPS}/c{query}")).await.with(200);
        cluster.get(&format!("{CONFIG_MAPS}/a{query}")).await.with(404);
    }
    let future = cluster.get(&format!("{CONFIG_MAPS}/c?resourceVersion=999999")).await;
    assert_eq!(future.with(504)["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/c?resourceVersion=x")).await.code, 400);
    cluster.stop().await;
}

fn token(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

#[tokio::test]
async fn a_token_that_is_none_is_refused() {
    let cluster = Cluster::start().await;
    let rows = [
        ("!", "illegal base64 data at input byte 0"),
        ("abcd*", "illegal base64 data at input byte 4"),
        ("abcde", "illegal base64 data at input byte 4"),
        (&*URL_SAFE_NO_PAD.encode("{"), "unexpected end of JSON input"),
        (&*URL_SAFE_NO_PAD.encode("x"), "invalid character 'x' looking for beginning of value"),
        (&*token(&json!({ "v": "v9", "rv": 1, "start": "a" })), "server does not recognize this encoded version v9"),
        (
            &*token(&json!({ "v": "meta.k8s.io/v1", "rv": 0, "start": "a" })),
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        (
            &*token(&json!({ "v": "meta.k8s.io/v1", "rv": 1, "start": "" })),
            "encoded start key empty (version meta.k8s.io/v1)",
        ),
        (&*token(&json!({ "v": "meta.k8s.io/v1", "rv": 1, "start": "../../secrets/x" })), "../../secrets/x"),
    ];
    for (token, why) in rows {
        let answer = cluster.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await;
        let want = format!("invalid continue token: continue key is not valid: {why}");
        assert_eq!((answer.code, answer.message()), (400, &*want), "{token}");
    }
    let list = cluster.get("/api/v1/namespaces?limit=1").await.with(200);
    let token = list["metadata"]["continue"].as_str().unwrap();
    let answer = cluster.get(&format!("/api/v1/namespaces?resourceVersion=5&continue={token}")).await;
    assert_eq!(answer.message(), "specifying resource version is not allowed when using continue");
    cluster.stop().await;
}

#[tokio::test]
async fn a_list_whose_snapshot_is_gone_goes_on_with_another() {
    let cluster = Cluster::start().await;
    for name in ["a", "b", "c", "d"] {
        cluster.post(CONFIG_MAPS, &config_map(name)).await.with(201);
    }
    let first = cluster.get(&format!("{CONFIG_MAPS}?limit=1")).await.with(200);
    let second = first["metadata"]["continue"].as_str().unwrap().to_owned();
    // More than the server remembers: each event holds on to the object that it replaced.
    let mut big = config_map("big");
    for i in 0..14 {
        big["data"] = json!({ "a": "x".repeat(500 << 10), "b": i.to_string() });
        let written = cluster.patch(&format!("{CONFIG_MAPS}/a"), &json!({ "data": big["data"] })).await;
        assert_eq!(written.code, 200);
    }
    cluster.delete(&format!("{CONFIG_MAPS}/b")).await.with(200);
    let expired = cluster.get(&format!("{CONFIG_MAPS}?limit=2&continue={second}")).await.with(410);
    assert_eq!(expired["reason"], "Expired");
    assert!(expired["message"].as_str().unwrap().starts_with("The provided continue parameter is too old to display"));
    let inconsistent = expired["metadata"]["continue"].as_str().unwrap();
    let rest = cluster.get(&format!("{CONFIG_MAPS}?limit=2&continue={inconsistent}")).await.with(200);
    assert_eq!(names(&rest), ["c", "d"]);
    assert_eq!(version(&rest), version(&cluster.get(CONFIG_MAPS).await.with(200)));
    cluster.stop().await;
}

#[tokio::test]
async fn pages_of_a_selection_end_when_nothing_is_left() {
    let cluster = Cluster::start().await;
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "y")] {
        let mut map = config_map(name);
        map["metadata"]["labels"] = json!({ "app": app });
        cluster.post(CONFIG_MAPS, &map).await.with(201);
    }
    let mut pages = Vec::new();
    let mut query = "?limit=1&labelSelector=app%3Dx".to_owned();
    loop {
        let list = cluster.get(&format!("{CONFIG_MAPS}{query}")).await.with(200);
        assert!(list["metadata"].get("remainingItemCount").is_none(), "it counts what is not wanted too");
        pages.push(names(&list));
        let Some(token) = list["metadata"]["continue"].as_str() else { break };
        query = format!("?limit=1&labelSelector=app%3Dx&continue={token}");
    }
    // `d` is left after the second page, and only the third finds out that it is not wanted.
    assert_eq!(pages, [vec!["a"], vec!["c"], vec![]]);
    cluster.stop().await;
}

#[tokio::test]
async fn where_a_watch_begins() {
    let cluster = Cluster::start().await;
    let [first, _, third] = three_revisions(&cluster).await;
    let listing = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let not_listing = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
    let all = ["ADDED b", "ADDED c"].as_slice();
    let rows: [(&str, String, &[&str]); 10] = [
        ("nowhere", String::new(), all),
        ("at any version", "resourceVersion=0".into(), all),
        ("nowhere, with bookmarks", "allowWatchBookmarks=1".into(), &["ADDED b", "ADDED c", "BOOKMARK end"]),
        ("at a version", format!("resourceVersion={first}"), &["ADDED b", "DELETED a", "ADDED c"]),
        ("at the newest version", format!("resourceVersion={third}"), &[]),
        ("as a list", listing.into(), all),
        (
            "as a list that says when it ends",
            format!("{listing}&allowWatchBookmarks=true"),
            &["ADDED b", "ADDED c", "BOOKMARK end"],
        ),
        ("as a list, not older", format!("{listing}&resourceVersion={first}"), all),
        ("now", not_listing.into(), &[]),
        ("at a version, said", format!("{not_listing}&resourceVersion={first}"), &["ADDED b", "DELETED a", "ADDED c"]),
    ];
    for (rule, query, want) in rows {
        let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?watch=1&{query}")).await;
        let last = cluster.post(CONFIG_MAPS, &config_map("last")).await.with(201);
        let mut told = Vec::new();
        loop {
            let event = watch.next().await.unwrap();
            let metadata = &event["object"]["metadata"];
            if metadata["name"] == "last" {
                break;
            }
            let end = metadata["annotations"]["k8s.io/initial-events-end"] == "true";
            let name = if end { "end" } else { metadata["name"].as_str().unwrap_or("?") };
            told.push(format!("{} {name}", event["type"].as_str().unwrap()));
        }
        assert_eq!(told, want, "{rule}");
        // The cluster is as before, but for the revision, which only the row of the newest names.
        cluster.delete(&format!("{CONFIG_MAPS}/last")).await.with(200);
        assert!(!version(&last).is_empty());
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_watch_of_the_future_tells_the_future_alone() {
    let cluster = Cluster::start().await;
    let now: u64 = version(&cluster.get(CONFIG_MAPS).await.with(200)).parse().unwrap();
    let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", now + 2)).await;
    for name in ["a", "b", "c"] {
        cluster.post(CONFIG_MAPS, &config_map(name)).await.with(201);
    }
    assert_eq!(watch.named().await, ("ADDED".to_owned(), "c".to_owned()));
    // A streaming list waits for it, and says that it does not come.
    let listing = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=999999";
    let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?{listing}")).await;
    let error = watch.next().await.unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(504)));
    assert_eq!(watch.next().await, None);
    cluster.stop().await;
}

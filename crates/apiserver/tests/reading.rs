//! GET of objects and lists.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{CONFIG_MAPS, Cluster, config_map, names, version};
use serde_json::json;

#[tokio::test]
async fn a_list_after_a_write_shows_it() {
    let cluster = Cluster::start().await;
    for i in 0..50 {
        let name = format!("c{i:02}");
        let created = cluster.post(CONFIG_MAPS, &config_map(&name)).await.with(201);
        let list = cluster.get(CONFIG_MAPS).await.with(200);
        assert!(names(&list).contains(&name));
        assert_eq!(version(&list), version(&created));
    }
}

#[tokio::test]
async fn items_of_a_list_have_neither_kind_nor_version() {
    let cluster = Cluster::start().await;
    let created = cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
    let list = cluster.get(CONFIG_MAPS).await.with(200);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    let item = &list["items"][0];
    assert!(item.get("kind").is_none() && item.get("apiVersion").is_none());
    assert_eq!(item["metadata"], created["metadata"]);
    assert_eq!(item["data"], created["data"]);
}

#[tokio::test]
async fn pages_are_all_of_one_revision() {
    let cluster = Cluster::start().await;
    for i in 0..7 {
        cluster.post(CONFIG_MAPS, &config_map(&format!("c{i}"))).await.with(201);
    }
    let first = cluster.get(&format!("{CONFIG_MAPS}?limit=3")).await.with(200);
    assert_eq!(names(&first), ["c0", "c1", "c2"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    // What happens between pages is not seen.
    cluster.delete(&format!("{CONFIG_MAPS}/c4")).await.with(200);
    cluster.post(CONFIG_MAPS, &config_map("c3a")).await.with(201);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = cluster.get(&format!("{CONFIG_MAPS}?limit=3&continue={token}")).await.with(200);
    assert_eq!(names(&second), ["c3", "c4", "c5"]);
    assert_eq!(version(&second), version(&first));
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = cluster.get(&format!("{CONFIG_MAPS}?limit=3&continue={token}")).await.with(200);
    assert_eq!(names(&third), ["c6"]);
    assert!(third["metadata"].get("continue").is_none());
}

#[tokio::test]
async fn an_exact_version_shows_what_was_then() {
    let cluster = Cluster::start().await;
    let one = cluster.post(CONFIG_MAPS, &config_map("one")).await.with(201);
    cluster.post(CONFIG_MAPS, &config_map("two")).await.with(201);
    cluster.delete(&format!("{CONFIG_MAPS}/one")).await.with(200);
    let path = format!("{CONFIG_MAPS}?resourceVersionMatch=Exact&resourceVersion={}", version(&one));
    let then = cluster.get(&path).await.with(200);
    assert_eq!(names(&then), ["one"]);
    assert_eq!(version(&then), version(&one));
    let now = cluster.get(&format!("{CONFIG_MAPS}?resourceVersion={}", version(&one))).await.with(200);
    assert_eq!(names(&now), ["two"]);
}

#[tokio::test]
async fn a_version_of_the_future_is_waited_for_in_vain() {
    let cluster = Cluster::start().await;
    let answer = cluster.get(&format!("{CONFIG_MAPS}?resourceVersion=999999")).await;
    assert_eq!(answer.code, 504);
    assert!(
        answer.message().starts_with("Timeout: Too large resource version: 999999, current: "),
        "{}",
        answer.message()
    );
    assert_eq!(answer.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(answer.body["details"]["retryAfterSeconds"], 1);
}

#[tokio::test]
async fn a_version_that_nobody_remembers_has_expired() {
    let cluster = Cluster::start().await;
    let answer = cluster.get(&format!("{CONFIG_MAPS}?resourceVersionMatch=Exact&resourceVersion=1")).await;
    // The store's log still has everything of a young cluster; a version before it is gone for good.
    assert_eq!(answer.code, 200, "{}", answer.body);
}

#[tokio::test]
async fn all_namespaces_and_one() {
    let cluster = Cluster::start().await;
    for namespace in ["default", "kube-system"] {
        cluster.post(&format!("/api/v1/namespaces/{namespace}/configmaps"), &config_map("c")).await.with(201);
    }
    // Beside what every cluster has.
    let all = "/api/v1/configmaps?fieldSelector=metadata.name!%3Dextension-apiserver-authentication";
    assert_eq!(cluster.get(all).await.with(200)["items"].as_array().unwrap().len(), 2);
    assert_eq!(cluster.get(CONFIG_MAPS).await.with(200)["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn objects_are_shown_as_metadata_tables_and_yaml() {
    let cluster = Cluster::start().await;
    let created = cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
    let get = |path: String, accept: &'static str| {
        let cluster = &cluster;
        async move { cluster.send("GET", &path, &[("accept", accept)], "").await }
    };
    let one = || format!("{CONFIG_MAPS}/c");
    let partial = get(one(), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1").await.with(200);
    assert_eq!(partial["kind"], "PartialObjectMetadata");
    assert_eq!(partial["metadata"], created["metadata"]);
    assert!(partial.get("data").is_none());
    let list =
        get(CONFIG_MAPS.into(), "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").await.with(200);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(list["items"][0]["metadata"], created["metadata"]);
    let table =
        get(CONFIG_MAPS.into(), "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await.with(200);
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "c");
    assert_eq!(table["rows"][0]["object"]["metadata"], created["metadata"]);
    let bare = get(format!("{CONFIG_MAPS}?includeObject=None"), "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    assert_eq!(bare.with(200)["rows"][0]["object"], json!(null));
    let yaml = get(one(), "application/yaml").await.with(200);
    assert!(yaml.as_str().unwrap().contains("\nkind: ConfigMap"), "{yaml}");
    let refused = get(one(), "application/cbor").await;
    assert_eq!(refused.code, 406);
}

#[tokio::test]
async fn a_head_has_no_body() {
    let cluster = Cluster::start().await;
    let answer = cluster.send("HEAD", CONFIG_MAPS, &[], "").await;
    assert_eq!((answer.code, answer.body.as_str()), (200, Some("")));
}

#[tokio::test]
async fn wrong_options_are_named() {
    let cluster = Cluster::start().await;
    let cases = [
        (
            "resourceVersion=x",
            400,
            r#"resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax"#,
        ),
        ("limit=9999999999999999999", 400, r#"strconv.ParseInt: parsing "9999999999999999999": value out of range"#),
        (
            "resourceVersionMatch=Exact",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            "sendInitialEvents=true",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
        ),
        (
            "watch=1&resourceVersionMatch=NotOlderThan",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
    ];
    for (query, code, message) in cases {
        let answer = cluster.get(&format!("{CONFIG_MAPS}?{query}")).await;
        assert_eq!((answer.code, answer.message()), (code, message));
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let cluster = Cluster::start().await;
    let created = cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
    let before = cluster.get("/api/v1/services").await.with(200);
    let cluster = cluster.restart().await;
    assert_eq!(cluster.get(&format!("{CONFIG_MAPS}/c")).await.with(200), created);
    assert_eq!(cluster.get("/api/v1/services").await.with(200)["items"], before["items"]);
}

#[tokio::test]
async fn discovery_names_what_is_served() {
    let cluster = Cluster::start().await;
    let list = cluster.get("/api/v1").await.with(200);
    let resources: Vec<&str> =
        list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    for name in ["services", "services/status", "namespaces/finalize", "endpoints"] {
        assert!(resources.contains(&name), "{name} is not among {resources:?}");
    }
    for kind in kinds::registry::all() {
        let path =
            if kind.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/{}", kind.group, kind.version) };
        let list = cluster.get(&path).await.with(200);
        let found = list["resources"].as_array().unwrap().iter().find(|r| r["name"] == kind.plural).unwrap();
        assert_eq!(found["kind"], kind.kind);
    }
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let all = cluster.send("GET", "/apis", &[("accept", accept)], "").await.with(200);
    assert_eq!(all["kind"], "APIGroupDiscoveryList");
    let groups: Vec<&str> =
        all["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap()).collect();
    assert!(groups.contains(&"discovery.k8s.io"), "{groups:?}");
    assert_eq!(cluster.get("/apis/nothing.example.com").await.code, 404);
}

#[tokio::test]
async fn selectors_select() {
    let cluster = Cluster::start().await;
    for (name, labels) in [("a", json!({ "app": "x", "tier": "1" })), ("b", json!({ "app": "y" })), ("c", json!({}))] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = labels;
        cluster.post(CONFIG_MAPS, &object).await.with(201);
    }
    let cases: [(&str, &[&str]); 8] = [
        ("labelSelector=app%3Dx", &["a"]),
        ("labelSelector=app+in+(x,y),!tier", &["b"]),
        ("labelSelector=app!%3Dx", &["b", "c"]),
        ("labelSelector=!app", &["c"]),
        ("fieldSelector=metadata.name%3Db", &["b"]),
        ("fieldSelector=metadata.name!%3Db", &["a", "c"]),
        ("fieldSelector=metadata.name%3Db&labelSelector=app%3Dx", &[]),
        ("fieldSelector=metadata.namespace%3Ddefault&labelSelector=tier", &["a"]),
    ];
    for (query, want) in cases {
        assert_eq!(names(&cluster.get(&format!("{CONFIG_MAPS}?{query}")).await.with(200)), want, "{query}");
    }
    let unknown = cluster.get(&format!("{CONFIG_MAPS}?fieldSelector=data%3Dx")).await;
    assert_eq!(unknown.code, 400);
}

#[tokio::test]
async fn openapi_documents_are_served_under_their_hash() {
    let cluster = Cluster::start().await;
    let index = cluster.get("/openapi/v3").await.with(200);
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let request = http::Request::get(&url).body(http_body_util::Full::default()).unwrap();
    let response = cluster.raw(request).await;
    assert_eq!(response.headers()["cache-control"], "public, immutable");
    let hash = url.split_once("hash=").unwrap().1;
    assert_eq!(response.headers()["etag"], format!("\"{hash}\"").as_str());
    let document = cluster::read(response).await.with(200);
    assert!(document["components"]["schemas"]["io.k8s.api.core.v1.Service"].is_object());
    assert_eq!(cluster.get("/openapi/v3/apis/nothing/v1").await.code, 404);
    assert_eq!(cluster.get("/openapi/v2").await.with(200)["swagger"], "2.0");
}

#[tokio::test]
async fn metrics_count_requests_objects_and_addresses() {
    let cluster = Cluster::start().await;
    let mut watch = cluster.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    cluster.post(CONFIG_MAPS, &config_map("c")).await.with(201);
    watch.next().await.unwrap();
    cluster.get(&format!("{CONFIG_MAPS}/nowhere")).await.with(404);
    let text = cluster.get("/metrics").await.with(200);
    let text = text.as_str().unwrap();
    let labels = |verb: &str, code: u16, scope: &str| {
        format!(
            "apiserver_request_total{{code=\"{code}\",verb=\"{verb}\",group=\"\",version=\"v1\",resource=\"configmaps\",\
             subresource=\"\",scope=\"{scope}\",component=\"apiserver\",dry_run=\"\"}} 1\n"
        )
    };
    for line in [
        labels("POST", 201, "namespace"),
        labels("GET", 404, "resource"),
        labels("WATCH", 200, "namespace"),
        "apiserver_longrunning_requests{group=\"\",resource=\"configmaps\"} 1\n".to_owned(),
        "apiserver_watch_events_total{group=\"\",resource=\"configmaps\"} 1\n".to_owned(),
        "apiserver_resource_objects{group=\"\",resource=\"namespaces\"} 4\n".to_owned(),
        "kube_apiserver_clusterip_allocator_allocated_ips{cidr=\"10.96.0.0/16\"} 1\n".to_owned(),
        "kube_apiserver_clusterip_allocator_available_ips{cidr=\"10.96.0.0/16\"} 65533\n".to_owned(),
        "kube_apiserver_nodeport_allocator_available_ports 2768\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    drop(watch);
    let text = cluster.get("/metrics").await.with(200);
    assert!(text.as_str().unwrap().contains("apiserver_longrunning_requests{group=\"\",resource=\"configmaps\"} 0\n"));
    cluster.stop().await;
}

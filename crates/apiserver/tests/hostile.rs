//! Bodies that are meant to hurt: each is refused or taken in a bounded time, and the server goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::io::Write;

use bytes::Bytes;
use cluster::{CONFIG_MAPS, Cluster, SERVICES, config_map, service};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
/// As deep as Go's decoder goes.
const DEEP: usize = 9_990;
const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";

fn zipped(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

/// It is still there and does its work.
async fn lives(cluster: &Cluster) {
    assert_eq!(cluster.get(&format!("{SERVICES}/web")).await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deep_is_refused_or_taken() {
    let cluster = Cluster::start().await;
    cluster.post(SERVICES, &service("web", &json!({}))).await.with(201);
    cluster.post(CONFIG_MAPS, &config_map("m")).await.with(201);
    let deep = [nested("[", "]", DEEP), nested("{\"a\":", "}", DEEP)];
    for nest in &deep {
        let object =
            format!("{{\"metadata\":{{\"name\":\"x\"}},\"spec\":{{\"ports\":[{{\"port\":80}}],\"x\":{nest}}}}}");
        let code = cluster.send("POST", SERVICES, &[JSON], object).await.code;
        assert!(matches!(code, 201 | 400 | 422), "{code}");
        _ = cluster.delete(&format!("{SERVICES}/x")).await;
        let patches = [
            ("application/merge-patch+json", format!("{{\"spec\":{{\"x\":{nest}}}}}")),
            ("application/strategic-merge-patch+json", format!("{{\"spec\":{{\"x\":{nest}}}}}")),
            ("application/strategic-merge-patch+json", format!("{{\"spec\":{{\"ports\":{nest}}}}}")),
            ("application/json-patch+json", format!("[{{\"op\":\"add\",\"path\":\"/spec/x\",\"value\":{nest}}}]")),
            (
                "application/merge-patch+json",
                format!("{{\"metadata\":{{\"managedFields\":[{{\"fieldsV1\":{nest}}}]}}}}"),
            ),
        ];
        for (kind, patch) in patches {
            let answer = cluster.send("PATCH", &format!("{SERVICES}/web"), &[("content-type", kind)], patch).await;
            assert!(matches!(answer.code, 200 | 400 | 422 | 500), "{kind}: {}", answer.code);
        }
        let apply = format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{{\"name\":\"web\"}},\"spec\":{{\"x\":{nest}}}}}"
        );
        let path = format!("{SERVICES}/web?fieldManager=m&force=true");
        let code = cluster.send("PATCH", &path, &[("content-type", "application/apply-patch+yaml")], apply).await.code;
        assert!(matches!(code, 200 | 400 | 422 | 500), "apply: {code}");
        let code = cluster.send("POST", SERVICES, &[("content-type", "application/yaml")], nest.clone()).await.code;
        assert_eq!(code, 400);
    }
    // What a kind takes as it is, is kept as it is, unless nobody could read it again.
    let revision =
        |depth: usize| format!("{{\"metadata\":{{\"name\":\"r{depth}\"}},\"data\":{}}}", nested("{\"a\":", "}", depth));
    assert_eq!(cluster.send("POST", REVISIONS, &[JSON], revision(98)).await.code, 201);
    for depth in [100, 120, 127, 128, 400] {
        assert_eq!(cluster.send("POST", REVISIONS, &[JSON], revision(depth)).await.code, 400, "{depth}");
    }
    let yaml = [("content-type", "application/yaml")];
    let code = cluster.send("POST", REVISIONS, &yaml, revision(62)).await.code;
    assert_eq!(code, 201);
    let code = cluster.send("POST", REVISIONS, &yaml, revision(90)).await.code;
    assert_eq!(code, 400);
    // Step by step it goes no deeper.
    let (mut path, mut steps) = ("/spec/x".to_owned(), vec![json!({ "op": "add", "path": "/spec/x", "value": {} })]);
    for _ in 0..300 {
        path += "/a";
        steps.push(json!({ "op": "add", "path": path, "value": {} }));
    }
    let headers = [("content-type", "application/json-patch+json")];
    let answer = cluster.send("PATCH", &format!("{SERVICES}/web"), &headers, Value::from(steps).to_string()).await;
    assert_eq!(answer.code, 422);
    for nest in [nested("[", "]", 1_000_000), "[".repeat(3_000_000)] {
        assert_eq!(cluster.send("POST", SERVICES, &[JSON], nest).await.code, 400);
    }
    lives(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_is_refused_and_what_grows_does_not_grow() {
    let cluster = Cluster::start().await;
    cluster.post(SERVICES, &service("web", &json!({}))).await.with(201);
    let ten = 10 << 20;
    let long_key = |length: usize| format!("{{\"{}\":1}}", "k".repeat(length));
    let many = |number: usize| {
        let keys: Vec<String> = (0..number).map(|n| format!("\"{n}\":\"\"")).collect();
        format!("{{\"metadata\":{{\"name\":\"x\"}},\"data\":{{{}}}}}", keys.join(","))
    };
    let rows: Vec<(&str, Bytes, bool, &[u16])> = vec![
        ("10 MB of one key", long_key(ten).into(), false, &[413]),
        ("the same, packed", zipped(long_key(ten).as_bytes()), true, &[413]),
        ("100 MB of blanks, packed", zipped(&vec![b' '; 10 * ten]), true, &[413]),
        ("a gzip of nothing", zipped(b""), true, &[400]),
        ("no gzip", Bytes::from_static(b"{}"), true, &[400]),
        ("as long a key as may be", long_key(3_000_000).into(), false, &[400, 422]),
        ("a number of a million digits", "1".repeat(1_000_000).into(), false, &[400]),
        (
            "an exponent of a million",
            format!("{{\"metadata\":{{\"generation\":1e{}}}}}", "9".repeat(100_000)).into(),
            false,
            &[400],
        ),
        ("200,000 keys", many(200_000).into(), false, &[201, 422, 500]),
    ];
    for (what, body, is_zipped, codes) in rows {
        let headers: &[(&str, &str)] = if is_zipped { &[JSON, GZIP] } else { &[JSON] };
        let answer = cluster.send("POST", CONFIG_MAPS, headers, body).await;
        assert!(
            codes.contains(&answer.code),
            "{what}: {} {}",
            answer.code,
            answer.message().chars().take(300).collect::<String>()
        );
        _ = cluster.delete(&format!("{CONFIG_MAPS}/x")).await;
    }
    // What is said of it is short, however long it is.
    let long = format!("{{\"metadata\":{{\"name\":\"x\"}},\"{}\":1}}", "k".repeat(100_000));
    let answer = cluster.send("POST", CONFIG_MAPS, &[JSON], long).await;
    assert_eq!((answer.code, answer.warnings.iter().map(String::len).sum::<usize>() < 400), (201, true));
    cluster.delete(&format!("{CONFIG_MAPS}/x")).await.with(200);
    // Each of so many unknown fields twice.
    let twice: Vec<String> = (0..60_000).flat_map(|n| vec![format!("\"x{n}\":{{\"a\":1,\"a\":2}}"); 2]).collect();
    let twice = format!("{{\"metadata\":{{\"name\":\"x\"}},{}}}", twice.join(","));
    let answer = cluster.send("POST", &format!("{CONFIG_MAPS}?dryRun=All"), &[JSON], twice).await;
    assert_eq!((answer.code, answer.warnings.len() <= 100), (201, true));
    // Each copy doubles what is there.
    let copies: Vec<Value> =
        (0..64).map(|n| json!({ "op": "copy", "from": "/metadata", "path": format!("/metadata/{n}") })).collect();
    let headers = [("content-type", "application/json-patch+json")];
    let answer = cluster.send("PATCH", &format!("{SERVICES}/web"), &headers, Value::from(copies).to_string()).await;
    assert_eq!(answer.code, 422);
    // Aliases of aliases, as in a bomb of YAML.
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..12 {
        let before = n - 1;
        let all = vec![format!("*a{before}"); 9].join(",");
        bomb += &format!("a{n}: &a{n} [{all}]\n");
    }
    let answer = cluster.send("POST", CONFIG_MAPS, &[("content-type", "application/yaml")], bomb).await;
    assert_eq!(answer.code, 400);
    let selector = format!("{}=b", "a,".repeat(20_000));
    let answer = cluster.get(&format!("{SERVICES}?labelSelector={selector}")).await;
    assert!(matches!(answer.code, 200 | 400), "{}", answer.code);
    lives(&cluster).await;
}

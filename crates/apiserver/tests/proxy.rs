//! `/proxy` of Pods, Services and nodes, to a server in a network namespace of the test's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use bytes::Bytes;
use cluster::{Cluster, DEADLINE};
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/// An address that a Pod may have.
const POD_IP: &str = "10.0.0.1";

/// A server that says of each request what it was, in an answer of the kind that the path asks for.
async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(stream.read_line(&mut head).await.unwrap(), 0);
            }
            let length =
                head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            let mut body = vec![0; length.map_or(0, |l| l.parse().unwrap())];
            stream.read_exact(&mut body).await.unwrap();
            let path = head.split(' ').nth(1).unwrap();
            let (extra, said) = match path {
                "/page" => {
                    ("content-type: text/html; charset=utf-8\r\n", r#"<a href="/rewriteme">test</a>"#.to_owned())
                }
                "/moved" => ("location: /new/place\r\naccess-control-allow-origin: *\r\n", String::new()),
                _ => ("content-type: text/plain\r\n", format!("{head}{}", String::from_utf8(body).unwrap())),
            };
            let code = if path == "/moved" { "302 Found" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {code}\r\ncontent-length: {}\r\n{extra}\r\n{said}", said.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
    }
}

/// Runs a test with a cluster and a server at this port of [`POD_IP`].
fn with_server<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Cluster, u16) -> F + Send) {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let namespace = testbed::Namespace::new(name).unwrap();
    namespace.add_address("lo", format!("{POD_IP}/32").parse().unwrap()).unwrap();
    let ran = namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind((POD_IP, 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(serve(listener));
            let cluster = Cluster::start().await;
            cluster.have_default_account().await;
            tokio::time::timeout(DEADLINE, test(cluster, port)).await.unwrap();
        });
    });
    ran.unwrap();
}

/// A Pod that is reached, a Service of it with two ports, and a slice with that Pod and an address that is no Pod's.
async fn objects(cluster: &Cluster, port: u16) {
    let container = json!({ "name": "c", "image": "x", "ports": [{ "containerPort": port }] });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": { "containers": [container] },
    });
    let mut pod = cluster.post(PODS, &pod).await.with(201);
    pod["status"] = json!({ "phase": "Running", "podIP": POD_IP, "podIPs": [{ "ip": POD_IP }] });
    cluster.put(&format!("{PODS}/p/status"), &pod).await.with(200);
    let ports = json!([{ "name": "http", "port": 80, "targetPort": port }, { "name": "other", "port": 81 }]);
    for name in ["web", "empty"] {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": { "ports": ports },
        });
        cluster.post(SERVICES, &service).await.with(201);
    }
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "web-1", "labels": { "kubernetes.io/service-name": "web" } },
        "ports": [{ "name": "http", "port": port }],
        "endpoints": [
            { "addresses": ["10.0.0.99"], "conditions": { "ready": true } },
            { "addresses": ["10.0.0.98"], "targetRef": { "kind": "Pod", "name": "p", "namespace": "default" } },
            { "addresses": [POD_IP], "targetRef": { "kind": "Pod", "name": "p", "namespace": "default" } },
        ],
    });
    cluster.post(SLICES, &slice).await.with(201);
}

#[test]
fn a_request_reaches_pods_and_services_by_name_and_port() {
    with_server("proxy-by-name", |cluster, port| async move {
        objects(&cluster, port).await;
        let pod = format!("{PODS}/p:{port}/proxy");
        let rows = [format!("{PODS}/p/proxy"), pod, format!("{PODS}/http:p:{port}/proxy")];
        let services = ["web:http", "web:80", "http:web:http"].map(|name| format!("{SERVICES}/{name}/proxy"));
        for place in rows.iter().chain(&services) {
            let path = format!("{place}/a//b%20c/?x=1&y=%2F");
            let headers = [("x-mine", "yes"), ("authorization", "Bearer secret"), ("host", "api.example.com")];
            let answer = cluster.send("POST", &path, &headers, "sent").await;
            let said = answer.with(200);
            let said = said.as_str().unwrap();
            assert!(said.starts_with("POST /a//b%20c/?x=1&y=%2F HTTP/1.1\r\n"), "{said}");
            assert!(said.ends_with("\r\n\r\nsent"), "{said}");
            assert!(said.contains("x-mine: yes\r\n") && said.contains("host: api.example.com\r\n"), "{said}");
            assert!(said.contains(&format!("x-forwarded-uri: {place}/a//b%20c/\r\n")), "{said}");
            assert!(!said.contains("secret"), "who asks us is no affair of a Pod's: {said}");
        }
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            let said = cluster.send(method, &format!("{PODS}/p/proxy/x"), &[], "").await.with(200);
            assert!(said.as_str().unwrap().starts_with(&format!("{method} /x ")), "{said}");
        }
        cluster.stop().await;
    });
}

#[test]
fn pages_and_redirects_lead_through_the_proxy() {
    with_server("proxy-pages", |cluster, port| async move {
        objects(&cluster, port).await;
        let proxy = format!("{SERVICES}/web:http/proxy");
        let page = cluster.get(&format!("{proxy}/page")).await.with(200);
        assert_eq!(page, format!(r#"<a href="{proxy}/rewriteme">test</a>"#));
        let location = |r: &http::Response<_>| r.headers()["location"].to_str().unwrap().to_owned();
        let request = |path: String| Request::get(path).body(Full::<Bytes>::default()).unwrap();
        let moved = cluster.raw(request(format!("{proxy}/moved"))).await;
        assert_eq!((moved.status().as_u16(), location(&moved)), (302, format!("{proxy}/new/place")));
        assert!(!moved.headers().contains_key("access-control-allow-origin"));
        let root = cluster.raw(request(format!("{proxy}?a=b"))).await;
        assert_eq!((root.status().as_u16(), location(&root)), (301, format!("{proxy}/?a=b")));
        assert!(root.into_body().collect().await.unwrap().to_bytes().is_empty());
        cluster.stop().await;
    });
}

#[test]
fn what_cannot_be_reached_says_why() {
    with_server("proxy-refused", |cluster, port| async move {
        objects(&cluster, port).await;
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" },
            "status": { "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }] },
        });
        cluster.post("/api/v1/nodes", &node).await.with(201);
        cluster.put("/api/v1/nodes/n/status", &node).await.with(200);
        let rows = [
            (format!("{SERVICES}/web:99/proxy/"), 503, "no service port 99 found for service \"web\""),
            (format!("{SERVICES}/web:other/proxy/"), 503, "no endpoints available for service \"web:other\""),
            (format!("{SERVICES}/empty:80/proxy/"), 503, "no endpoints available for service \"empty:80\""),
            (format!("{SERVICES}/nowhere:80/proxy/"), 404, "services \"nowhere\" not found"),
            (format!("{SERVICES}/ftp:web:80/proxy/"), 400, "invalid service request \"ftp:web:80\""),
            (format!("{PODS}/a:b:c:d/proxy/"), 400, "invalid pod request \"a:b:c:d\""),
            ("/api/v1/nodes/n/proxy/".to_owned(), 400, "address not allowed"),
            ("/api/v1/nodes/x/proxy/".to_owned(), 404, "nodes \"x\" not found"),
        ];
        for (path, code, why) in rows {
            let answer = cluster.get(&path).await;
            assert_eq!((answer.code, answer.message()), (code, why), "{path}");
        }
        // Nobody listens at this port.
        let answer = cluster.get(&format!("{PODS}/p:1/proxy/")).await;
        assert_eq!(answer.code, 503);
        assert!(answer.message().starts_with("error trying to reach service: dial tcp 10.0.0.1:1: "), "{answer:?}");
        cluster.stop().await;
    });
}

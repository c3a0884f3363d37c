//! What is measured: rates of requests, and how soon watchers hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::Sizes;
use crate::arrival;
use crate::client::{self, Connection};
use crate::peer::Peer;

const CONNECTIONS: usize = 32;
const LISTERS: usize = 4;
/// How many changes the watchers are told of.
const CHANGES: usize = 40;
/// How long the client keeps quiet after each.
const CALM: Duration = Duration::from_millis(100);
/// How long a watcher may have to wait.
const PATIENCE: Duration = Duration::from_secs(30);
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// What the objects need that are made later.
pub async fn prepare(peer: &Peer) {
    let mut connection = Connection::open(&client::tls(peer)).await.expect("a connection");
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
    let made = connection.send("POST", "/api/v1/namespaces/default/serviceaccounts", &account.to_string()).await;
    assert!(matches!(made, Ok(201 | 409)), "{made:?}");
}

/// Asks so often, or for so long, over so many connections: answers a second.
async fn rate(
    peer: &Peer,
    connections: usize,
    end: End,
    code: u16,
    request: impl Fn(usize) -> (&'static str, String, String) + Clone + Send + 'static,
) -> f64 {
    let (done, seconds) = ask(peer, connections, end, code, request).await;
    done as f64 / seconds
}

/// Asks so often, or for so long, over so many connections: how many answers, and in how many seconds. Every answer
/// must have the code.
async fn ask(
    peer: &Peer,
    connections: usize,
    end: End,
    code: u16,
    request: impl Fn(usize) -> (&'static str, String, String) + Clone + Send + 'static,
) -> (usize, f64) {
    let tls = client::tls(peer);
    let (next, ready) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(connections + 1)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (tls, next, ready, request) = (tls.clone(), next.clone(), ready.clone(), request.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(&tls).await.expect("a connection");
            ready.wait().await;
            let begun = Instant::now();
            let mut done = 0;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if end.is_reached(n, begun) {
                    return done;
                }
                let (method, path, body) = request(n);
                let answered = connection.send(method, &path, &body).await.expect("an answer");
                assert_eq!(answered, code, "{method} {path}: {}", String::from_utf8_lossy(&connection.body));
                done += 1;
            }
        });
    }
    ready.wait().await;
    let begun = Instant::now();
    let done: usize = tasks.join_all().await.into_iter().sum();
    (done, begun.elapsed().as_secs_f64())
}

/// When a run is over.
#[derive(Clone, Copy)]
enum End {
    After(usize),
    In(Duration),
}

impl End {
    fn is_reached(self, done: usize, begun: Instant) -> bool {
        match self {
            Self::After(count) => done >= count,
            Self::In(time) => begun.elapsed() >= time,
        }
    }
}

fn service(n: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": format!("s{n}"), "labels": { "app": "bench" } },
        "spec": { "selector": { "app": format!("s{n}") }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
    })
}

/// Makes Services from one number to another: in how many seconds.
pub async fn create_services(peer: &Peer, from: usize, to: usize) -> f64 {
    let request = move |n: usize| ("POST", SERVICES.into(), service(from + n).to_string());
    ask(peer, CONNECTIONS, End::After(to.saturating_sub(from)), 201, request).await.1
}

/// Makes a slice of three endpoints for each Service.
pub async fn create_slices(peer: &Peer, count: usize) {
    let slice = |n: usize| {
        let endpoint = |i: usize| json!({ "addresses": [format!("10.{}.{}.{i}", n / 256, n % 256)] });
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": format!("s{n}-x"), "labels": { "kubernetes.io/service-name": format!("s{n}") } },
            "endpoints": (1..=3).map(endpoint).collect::<Vec<_>>(), "ports": [{ "name": "http", "port": 8080 }],
        })
    };
    rate(peer, CONNECTIONS, End::After(count), 201, move |n| ("POST", SLICES.into(), slice(n).to_string())).await;
}

/// Makes Pods.
pub async fn create_pods(peer: &Peer, count: usize) {
    let pod = |n: usize| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("p{n}"), "labels": { "app": "bench" } },
            "spec": { "automountServiceAccountToken": false, "containers": [{ "name": "c", "image": "x" }] },
        })
    };
    rate(peer, CONNECTIONS, End::After(count), 201, move |n| ("POST", PODS.into(), pod(n).to_string())).await;
}

/// Changes Services: so many a second.
pub async fn patch(peer: &Peer, sizes: Sizes) -> f64 {
    let end = End::In(Duration::from_secs(sizes.seconds as u64));
    rate(peer, CONNECTIONS, end, 200, move |n| {
        let patch = json!({ "metadata": { "annotations": { "n": n.to_string() } } });
        ("PATCH", format!("{SERVICES}/s{}", n % sizes.services), patch.to_string())
    })
    .await
}

/// Reads Services one by one: so many a second.
pub async fn get(peer: &Peer, sizes: Sizes) -> f64 {
    let end = End::In(Duration::from_secs(sizes.seconds as u64));
    let request = move |n| ("GET", format!("{SERVICES}/s{}", n % sizes.services), String::new());
    rate(peer, CONNECTIONS, end, 200, request).await
}

/// Lists: so many a second.
pub async fn list(peer: &Peer, path: &'static str, seconds: usize) -> f64 {
    let end = End::In(Duration::from_secs(seconds as u64));
    rate(peer, LISTERS, end, 200, move |_| ("GET", path.into(), String::new())).await
}

/// How soon watchers hear of a change: the 99th percentile, in milliseconds from sending the patch until the kernel has
/// something for a watcher's socket, by the kernel's own clock. The client does nothing meanwhile, and what comes is not
/// deciphered: a thousand watchers on the server's own processors would need more of them than the server.
pub async fn watch(peer: &Peer, sizes: Sizes) -> f64 {
    let tls = client::tls(peer);
    let mut connection = Connection::open(&tls).await.expect("a connection");
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "watched" } });
    assert_eq!(connection.send("POST", MAPS, &map.to_string()).await.expect("an answer"), 201);
    let mut sockets = Vec::with_capacity(sizes.watchers);
    for _ in 0..sizes.watchers {
        let mut watch = Connection::open(&tls).await.expect("a connection");
        let path = format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Dwatched");
        assert_eq!(watch.head("GET", &path, "").await.expect("a watch").0, 200);
        while !watch.body.ends_with(b"\n") {
            watch.chunk().await.expect("the object as it is");
        }
        sockets.push(arrival::Socket::new(watch.into_socket()).expect("a socket that tells when"));
    }
    let mut delays = Vec::new();
    for n in 0..CHANGES {
        let patch = json!({ "data": { "n": n.to_string() } }).to_string();
        let sent = SystemTime::now();
        assert_eq!(connection.send("PATCH", &format!("{MAPS}/watched"), &patch).await.expect("an answer"), 200);
        tokio::time::sleep(CALM).await;
        for socket in &mut sockets {
            let arrived = socket.arrival(PATIENCE).expect("every watcher hears");
            delays.push(arrived.duration_since(sent).expect("it came after it was sent").as_secs_f64() * 1e3);
        }
    }
    delays.sort_by(f64::total_cmp);
    println!("watch delivery: {:.2} ms at p50, {:.2} ms at most", delays[delays.len() / 2], delays[delays.len() - 1]);
    delays[delays.len() * 99 / 100]
}

//! A node and somebody who changes its rules: they are mended within a second. And a Service that cannot be served as it
//! says: the others are, and it is told by an event. The API server is played by a few lines of this file.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dataplane::backend::nftables;
use dataplane::{Config, Dataplane};
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use nft::{Batch, Family, ObjectId, Operation, TableId};
use node::connections::Connections;
use node::services::{self, Outside};
use serde_json::{Value, json};
use testbed::Namespace;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

fn service(name: &str, address: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "1" },
        "spec": { "type": "ClusterIP", "clusterIPs": [address], "ports": [{ "port": 80, "protocol": "TCP" }] }
    })
}

fn slice(name: &str, address: &str) -> Value {
    let labels = json!({ "kubernetes.io/service-name": name });
    json!({
        "metadata": { "name": format!("{name}-x"), "namespace": "shop", "labels": labels, "resourceVersion": "1" },
        "addressType": "IPv4", "ports": [{ "port": 8080, "protocol": "TCP" }], "endpoints": [{ "addresses": [address] }]
    })
}

/// What the server answers; `None`: a watch that never tells anything. Events are kept.
fn answer(method: &Method, path: &str, query: &str, body: &[u8], events: &Mutex<Vec<Value>>) -> Option<Value> {
    let list = |items: Value| json!({ "metadata": { "resourceVersion": "1" }, "items": items });
    match (method, path) {
        _ if query.contains("watch=") => None,
        (&Method::GET, "/api/v1/services") => {
            Some(list(json!([service("good", "10.96.0.1"), service("bad", "10.96.0.2")])))
        }
        (&Method::GET, "/apis/discovery.k8s.io/v1/endpointslices") => {
            Some(list(json!([slice("good", "10.244.9.1"), slice("bad", "fd00::1")])))
        }
        (&Method::GET, "/api/v1/namespaces/shop/services") => {
            assert_eq!(query, "&fieldSelector=metadata.name%3Dbad");
            Some(list(json!([service("bad", "10.96.0.2")])))
        }
        (&Method::POST, "/api/v1/namespaces/shop/events") => {
            let event: Value = serde_json::from_slice(body).unwrap();
            events.lock().unwrap().push(event.clone());
            Some(event)
        }
        other => panic!("nobody is to ask {other:?}?{query}"),
    }
}

fn client(events: Arc<Mutex<Vec<Value>>>) -> Client {
    let serve = move |request: Request<Body>| {
        let events = Arc::clone(&events);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let query = head.uri.query().unwrap_or_default();
            match answer(&head.method, head.uri.path(), query, &body, &events) {
                Some(value) => Ok::<_, kube::Error>(Response::new(Body::from(value.to_string().into_bytes()))),
                None => std::future::pending().await,
            }
        }
    };
    Client::new(tower::service_fn(serve), "default")
}

fn table() -> TableId {
    TableId::new(Family::Ip, "portolan")
}

/// The addresses and ports that the kernel serves.
fn served(place: &Namespace) -> anyhow::Result<usize> {
    let elements = place.run(|| anyhow::Ok(nft::Socket::in_current_netns()?.elements(&table(), "services")))??;
    match elements {
        Err(error) if error.is_not_found() => Ok(0),
        elements => Ok(elements?.len()),
    }
}

#[test]
fn what_others_do_is_mended_and_what_is_wrong_with_a_service_is_told() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let place = Namespace::new("healing")?;
    let events = Arc::new(Mutex::new(Vec::new()));
    let backend = place.run(|| nftables::Backend::new(Config::default()))??;
    let known = dataplane::Node { name: "n1".into(), ..dataplane::Node::default() };
    let dataplane = Dataplane::new(backend, known.clone());
    let (stop, path) = (CancellationToken::new(), place.path());
    let enter = move || {
        let file = std::fs::File::open(&path).unwrap();
        nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).on_thread_start(enter).enable_all().build()?;
    let (seen, ended) = (Arc::clone(&events), stop.clone());
    let running = runtime.spawn(async move {
        let client = client(seen);
        let (_tell, node) = watch::channel(known);
        let mut parts = JoinSet::new();
        let connections = Connections::start(&mut parts, node.clone(), Arc::default(), ended.clone());
        let outside = Outside::unasked(watch::channel(false).0);
        services::keep(client, dataplane, Vec::new(), connections, node, outside, ended).await;
    });
    let soon = Duration::from_secs(20);
    testbed::wait_until(soon, "the first programming", || served(&place).unwrap() == 2)?;

    let (mut flushed, mut deleted) = (Batch::new(), Batch::new());
    flushed.push(Operation::FlushSet(table(), "services".into()));
    deleted.delete(ObjectId::Table(table()));
    for damage in [flushed, deleted] {
        place.run(|| anyhow::Ok(nft::Socket::in_current_netns()?.commit(&damage)?))??;
        let since = std::time::Instant::now();
        testbed::wait_until(soon, "mended", || served(&place).unwrap() == 2)?;
        println!("mended after {:?}", since.elapsed());
    }
    testbed::wait_until(soon, "an event", || !events.lock().unwrap().is_empty())?;
    let event = events.lock().unwrap()[0].clone();
    assert_eq!(event["reason"], "AddressFamilyMismatch", "{event}");
    assert_eq!(event["involvedObject"]["uid"], "uid-bad", "{event}");
    assert_eq!(event["message"], "the slice bad-x is of IPv4, and fd00::1 is not", "{event}");

    stop.cancel();
    runtime.block_on(running)?;
    assert_eq!(served(&place)?, 2, "rules stay when the agent ends");
    assert_eq!(events.lock().unwrap().len(), 1, "it is told once");
    Ok(())
}

//! What the server costs: `measure [SERVICES]`. Prints times and memory, without sockets.

#![allow(clippy::unwrap_used, reason = "an example stops at the first error")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use apiserver::pki::Authority;
use apiserver::{Config, Handler, Server};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;

const WRITERS: usize = 32;

#[tokio::main]
async fn main() {
    let services: usize = std::env::args().nth(1).map_or(1000, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let config = || Config {
        store: store::Store::open(dir.path().join("store")).unwrap(),
        authority: Arc::new(Authority::load_or_create(&dir.path().join("pki")).unwrap()),
        listen: Vec::new(),
        advertise: Ipv4Addr::new(192, 0, 2, 1).into(),
        names: Vec::new(),
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        node_ports: 30_000..=32_767,
        tokens: Vec::new(),
        audit: None,
    };
    let begun = Instant::now();
    let server = Server::start(config()).await.unwrap();
    println!("first start      {:>10.1?}   rss {} KB", begun.elapsed(), rss());
    let handler = server.handler();

    let begun = Instant::now();
    for i in 0..100 {
        create(&handler, format!("one-{i}")).await;
    }
    println!("create, alone    {:>10.1?} each", begun.elapsed() / 100);

    let watching = tokio::spawn(watch(handler.clone(), services + 101));
    let begun = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|w| {
            let handler = handler.clone();
            tokio::spawn(async move {
                for i in (w..services).step_by(WRITERS) {
                    create(&handler, format!("many-{i}")).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let took = begun.elapsed();
    println!("create {services}, by {WRITERS} {took:>9.1?}   {:.0} a second", services as f64 / took.as_secs_f64());
    watching.await.unwrap();
    println!("watched          {:>10.1?}   rss {} KB", begun.elapsed(), rss());
    let begun = Instant::now();
    let size = get(&handler, "/api/v1/services").await;
    println!("list             {:>10.1?}   {size} bytes", begun.elapsed());
    server.shutdown().await;
    drop(handler);

    let begun = Instant::now();
    let server = Server::start(config()).await.unwrap();
    println!("start again      {:>10.1?}   rss {} KB", begun.elapsed(), rss());
    server.shutdown().await;
}

async fn create(handler: &Handler, name: String) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "app": name }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
    });
    let request = Request::post("/api/v1/namespaces/default/services").body(Full::from(service.to_string())).unwrap();
    assert_eq!(handler.handle(request).await.status(), 201);
}

async fn get(handler: &Handler, path: &str) -> usize {
    let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
    handler.handle(request).await.into_body().collect().await.unwrap().to_bytes().len()
}

async fn watch(handler: Handler, events: usize) {
    let request = Request::get("/api/v1/services?watch=1").body(Full::<Bytes>::default()).unwrap();
    let mut body = handler.handle(request).await.into_body();
    let mut seen = 0;
    while seen < events {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        seen += frame.iter().filter(|b| **b == b'\n').count();
    }
}

fn rss() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

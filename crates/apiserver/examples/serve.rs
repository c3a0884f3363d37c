//! A server alone, with its data in a temporary folder: `serve ADDRESS KUBECONFIG`.
//!
//! Writes the kubeconfig of an administrator when it is ready, and serves until it is interrupted.

#![allow(clippy::unwrap_used, reason = "an example stops at the first error")]

use std::net::SocketAddr;
use std::sync::Arc;

use apiserver::pki::{Authority, Subject};
use apiserver::{Config, Server};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(kubeconfig)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: serve ADDRESS KUBECONFIG");
        std::process::exit(2);
    };
    let address: SocketAddr = address.parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let authority = Arc::new(Authority::load_or_create(&dir.path().join("pki")).unwrap());
    let config = Config {
        store: store::Store::open(dir.path().join("store")).unwrap(),
        authority: authority.clone(),
        listen: vec![address],
        // A documentation address: nobody is to reach the endpoints of the Service kubernetes here.
        advertise: std::net::Ipv4Addr::new(192, 0, 2, 1).into(),
        names: Vec::new(),
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        node_ports: 30_000..=32_767,
        tokens: Vec::new(),
        audit: None,
    };
    let server = Server::start(config).await.unwrap();
    let admin = authority.issue_client(&Subject::in_group("kubernetes-admin", "system:masters")).unwrap();
    let url = format!("https://{}", server.addresses()[0]);
    let cluster = json!({ "server": url, "certificate-authority-data": STANDARD.encode(authority.certificate_pem()) });
    let user = json!({
        "client-certificate-data": STANDARD.encode(&admin.certificate_pem),
        "client-key-data": STANDARD.encode(&admin.key_pem),
    });
    let document = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "serve",
        "clusters": [{ "name": "serve", "cluster": cluster }],
        "users": [{ "name": "admin", "user": user }],
        "contexts": [{ "name": "serve", "context": { "cluster": "serve", "user": "admin" } }],
    });
    std::fs::write(kubeconfig, document.to_string()).unwrap();
    println!("ready at {url}");
    tokio::signal::ctrl_c().await.unwrap();
    server.shutdown().await;
}

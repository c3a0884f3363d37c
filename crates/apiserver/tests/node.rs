//! Logs and exec, through to a node: sockets in a network namespace of the test's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::sync::Arc;

use apiserver::pki::{Authority, Identity, Subject};
use cluster::{Cluster, DEADLINE};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Runs a test in a network namespace of its own, with `lo` up.
fn isolated<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F + Send) {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let namespace = testbed::Namespace::new(name).unwrap();
    namespace.set_up("lo").unwrap();
    namespace
        .run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { tokio::time::timeout(DEADLINE, test()).await.unwrap() });
        })
        .unwrap();
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
    roots
}

fn parts(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    (vec![certificate], PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap())
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A node that answers one request: it tells the request's head, and says `answer`; after a 101 it echoes.
async fn node(authority: &Authority, answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let identity = authority.issue_server(
        &Subject::in_group("system:node:n", "system:nodes"),
        &[],
        &["127.0.0.1".parse().unwrap()],
    );
    let (certificate, key) = parts(&identity.unwrap());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authority)), provider()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificate, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).await.unwrap(), 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if answer.starts_with("HTTP/1.1 101") {
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.unwrap();
            bytes.reverse();
            stream.write_all(&bytes).await.unwrap();
        }
        let _ = stream.shutdown().await;
        head
    });
    (port, serving)
}

/// A Pod with these containers, on a node at this port.
async fn pod(cluster: &Cluster, port: u16, containers: &[&str]) {
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" },
        "status": {
            "addresses": [{ "type": "Hostname", "address": "n" }, { "type": "InternalIP", "address": "127.0.0.1" }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        },
    });
    cluster.post("/api/v1/nodes", &node).await.with(201);
    cluster.put("/api/v1/nodes/n/status", &node).await.with(200);
    let containers: Vec<Value> = containers.iter().map(|name| json!({ "name": name, "image": "x" })).collect();
    let pod =
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": { "containers": containers } });
    cluster.have_default_account().await;
    cluster.post(PODS, &pod).await.with(201);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" },
    });
    cluster.post(&format!("{PODS}/p/binding"), &binding).await.with(201);
}

#[test]
fn logs_come_from_the_node() {
    isolated("logs", || async {
        let cluster = Cluster::start().await;
        let (port, serving) =
            node(&cluster.authority, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\none\ntwo\n").await;
        pod(&cluster, port, &["c"]).await;
        let bound = cluster.get(&format!("{PODS}/p")).await.with(200);
        assert_eq!(bound["spec"]["nodeName"], "n");
        assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
        let answer = cluster.get(&format!("{PODS}/p/log?tailLines=5&follow=true&nothing=1")).await;
        assert_eq!((answer.code, answer.body.as_str()), (200, Some("one\ntwo\n")));
        let head = serving.await.unwrap();
        assert!(head.starts_with("GET /containerLogs/default/p/c?follow=true&tailLines=5 HTTP/1.1\r\n"), "{head}");
    });
}

#[test]
fn a_pod_is_bound_once() {
    isolated("binding", || async {
        let cluster = Cluster::start().await;
        pod(&cluster, 1, &["c"]).await;
        let binding =
            json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "p" }, "target": { "name": "m" } });
        let refused = cluster.post(&format!("{PODS}/p/binding"), &binding).await;
        assert_eq!(
            (refused.code, refused.message()),
            (409, "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\"")
        );
        let nowhere = cluster.get(&format!("{PODS}/p/log")).await;
        assert_eq!(nowhere.code, 500);
        assert!(
            nowhere
                .message()
                .starts_with("Get \"https://127.0.0.1:1/containerLogs/default/p/c\": dial tcp 127.0.0.1:1: ")
        );
    });
}

#[test]
fn a_container_is_named_when_there_are_several() {
    isolated("containers", || async {
        let cluster = Cluster::start().await;
        pod(&cluster, 1, &["a", "b"]).await;
        let cases = [
            ("", "a container name must be specified for pod p, choose one of: [a b]"),
            ("?container=z", "container z is not valid for pod p"),
        ];
        for (query, message) in cases {
            let answer = cluster.get(&format!("{PODS}/p/log{query}")).await;
            assert_eq!((answer.code, answer.message()), (400, message));
        }
        let negative = cluster.get(&format!("{PODS}/p/log?tailLines=-1")).await;
        assert_eq!(
            negative.message(),
            "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"
        );
        let plain = cluster.get(&format!("{PODS}/p/exec?container=a&command=ls&stdout=1")).await;
        assert_eq!((plain.code, plain.message()), (400, "Upgrade request required"));
    });
}

#[test]
fn exec_is_a_tunnel_to_the_node() {
    isolated("exec", || async {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::start_with(dir, |config| config.listen = vec!["127.0.0.1:0".parse().unwrap()]).await;
        let upgraded = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n";
        let (port, serving) = node(&cluster.authority, upgraded).await;
        pod(&cluster, port, &["c"]).await;
        let (certificate, key) =
            parts(&cluster.authority.issue_client(&Subject::in_group("ada", "system:masters")).unwrap());
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&cluster.authority))
            .with_client_auth_cert(certificate, key)
            .unwrap();
        let stream = TcpStream::connect(cluster.addresses()[0]).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let mut stream = BufReader::new(stream);
        let request = format!(
            "POST {PODS}/p/exec?command=ls&command=-l%20x&stdin=true&stdout=1&tty=false HTTP/1.1\r\nhost: x\r\n\
             connection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n\
             authorization: Basic eA==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_lowercase().contains("upgrade: spdy/3.1"), "{head}");
        stream.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"olleh");
        let asked = serving.await.unwrap();
        assert!(
            asked.starts_with("POST /exec/default/p/c?command=ls&command=-l+x&input=1&output=1 HTTP/1.1\r\n"),
            "{asked}"
        );
        assert!(asked.contains("x-stream-protocol-version: v4.channel.k8s.io"), "{asked}");
        assert!(!asked.contains("authorization"), "{asked}");
    });
}

#[tokio::test]
async fn a_pod_is_given_the_token_of_its_account_and_is_refused_without_one() {
    let cluster = Cluster::start().await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "containers": [{ "name": "c", "image": "x" }] },
    });
    let refused = cluster.post(PODS, &pod).await.with(403);
    assert_eq!(
        refused["message"],
        "pods \"p\" is forbidden: error looking up service account default/default: serviceaccount \"default\" not found"
    );
    // The default account is made a moment after its namespace: who makes a Pod in between need not know.
    let (made, ()) = tokio::join!(cluster.post(PODS, &pod), cluster.have_default_account());
    let made = made.with(201);
    let volume = made["spec"]["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-"), "{volume}");
    let mount = &made["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!((mount["name"].as_str(), mount["readOnly"].as_bool()), (Some(volume), Some(true)));
    assert_eq!(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
}

use std::net::Ipv4Addr;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty, Full};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::authn::service_accounts::{Bound, Grant, ISSUER, ServiceAccountTokens};
use crate::pki::{Authority, Identity};
use crate::{Server, StaticToken, User};

/// A server whose connections are pipes of memory.
struct Served {
    _dir: TempDir,
    authority: Arc<Authority>,
    server: Server,
    tls: Tls,
}

async fn serve() -> Served {
    serve_with(|authority| authority).await
}

async fn serve_with(change: impl FnOnce(Authority) -> Authority) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let authority = Arc::new(change(Authority::load_or_create(&dir.path().join("pki")).unwrap()));
    let config = Config {
        store: store::Store::open(dir.path().join("store")).unwrap(),
        authority: authority.clone(),
        listen: Vec::new(),
        advertise: Ipv4Addr::new(192, 0, 2, 1).into(),
        names: vec!["api.example.com".to_owned()],
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        node_ports: 30_000..=32_767,
        tokens: vec![StaticToken::new("secret", User::authenticated("robot", ["system:masters".to_owned()]))],
        audit: None,
    };
    let tls = configure(&config).unwrap();
    let server = Server::start(config).await.unwrap();
    Served { _dir: dir, authority, server, tls }
}

impl Served {
    fn connect(&self) -> tokio::io::DuplexStream {
        let (client, server) = tokio::io::duplex(64 << 10);
        tokio::spawn(connection(server, std::net::Ipv4Addr::LOCALHOST.into(), self.tls.clone(), self.server.front()));
        client
    }

    /// Asks once, over HTTP/1.1 or HTTP/2, as whom the certificate or the token says.
    async fn ask(
        &self,
        identity: Option<&Identity>,
        token: Option<&str>,
        h2: bool,
        path: &str,
    ) -> (u16, Value, Version) {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate_pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let name = ServerName::try_from("api.example.com").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, self.connect()).await.unwrap();
        let mut request = Request::get(format!("https://api.example.com{path}"));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = if h2 {
            let io = TokioIo::new(stream);
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        };
        let (code, version) = (response.status().as_u16(), response.version());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&body).unwrap_or_default(), version)
    }
}

fn subject() -> Subject {
    Subject::in_group("ada", "system:masters")
}

#[tokio::test]
async fn a_certificate_says_who_asks_over_both_versions_of_http() {
    let served = serve().await;
    let ada = served.authority.issue_client(&subject()).unwrap();
    for h2 in [false, true] {
        let (code, body, version) = served.ask(Some(&ada), None, h2, "/api/v1/namespaces/default").await;
        assert_eq!((code, &body["kind"]), (200, &json!("Namespace")));
        assert_eq!(version, if h2 { Version::HTTP_2 } else { Version::HTTP_11 });
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_answered_with_401() {
    let served = serve().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::load_or_create(elsewhere.path()).unwrap().issue_client(&subject()).unwrap();
    let (code, body, _) = served.ask(Some(&other), None, false, "/livez").await;
    let want = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "Unauthorized",
        "reason": "Unauthorized", "code": 401,
    });
    assert_eq!((code, body), (401, want));
}

#[tokio::test]
async fn a_server_certificate_is_none_for_clients_unless_it_says_so() {
    let served = serve().await;
    // The authority's server certificates may be used by clients too: it says whose it is.
    let node = Subject::in_group("system:node:n1", "system:nodes");
    let node = served.authority.issue_server(&node, &["n1"], &[]).unwrap();
    assert_eq!(served.ask(Some(&node), None, false, "/api/v1/nodes").await.0, 200);
    assert_eq!(served.ask(Some(&node), None, false, "/apis/apps/v1/deployments").await.0, 403);
}

#[tokio::test]
async fn tokens_say_who_asks() {
    let served = serve().await;
    let ask = |token: &'static str| {
        let served = &served;
        async move { served.ask(None, Some(token), false, "/api/v1/namespaces/default").await.0 }
    };
    assert_eq!(ask("secret").await, 200);
    assert_eq!(ask("secre").await, 401);
    assert_eq!(ask("secret2").await, 401);
    assert_eq!(served.ask(None, None, false, "/api/v1/namespaces/default").await.0, 403);
    assert_eq!(served.ask(None, None, false, "/version").await.0, 200);
}

#[tokio::test]
async fn a_service_account_s_token_is_good_as_long_as_the_account() {
    let served = serve().await;
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "web" } });
    let path = "/api/v1/namespaces/default/serviceaccounts";
    let request = Request::post(path).body(Full::from(account.to_string())).unwrap();
    let made = served.server.handler().handle(request).await.into_body().collect().await.unwrap().to_bytes();
    let uid = serde_json::from_slice::<Value>(&made).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let tokens = ServiceAccountTokens::new(served.authority.service_account_key_pem()).unwrap();
    let now = crate::clock::now_seconds();
    let bound = |name: &str, uid: &str| Bound { name: name.to_owned(), uid: uid.to_owned() };
    let grant = |uid: &str, audience: &str| Grant {
        namespace: "default".to_owned(),
        account: bound("web", uid),
        pod: None,
        secret: None,
        node: None,
        audiences: vec![audience.to_owned()],
    };
    let good = tokens.issue(grant(&uid, ISSUER), now, 600).unwrap();
    let late = tokens.issue(grant(&uid, ISSUER), now - 4000, 600).unwrap();
    let other = tokens.issue(grant("another", ISSUER), now, 600).unwrap();
    let for_others = tokens.issue(grant(&uid, "https://elsewhere"), now, 600).unwrap();
    let of_pod = Grant { pod: Some(bound("gone", "gone")), ..grant(&uid, ISSUER) };
    let of_pod = tokens.issue(of_pod, now, 600).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = Authority::load_or_create(elsewhere.path()).unwrap();
    let foreign = ServiceAccountTokens::new(foreign.service_account_key_pem()).unwrap();
    let foreign = foreign.issue(grant(&uid, ISSUER), now, 600).unwrap();
    assert_eq!(served.ask(None, Some(&good), false, "/api").await.0, 200);
    let (code, body, _) = served.ask(None, Some(&good), false, "/api/v1/nodes").await;
    assert_eq!(code, 403);
    let message = body["message"].as_str().unwrap();
    assert!(message.contains("User \"system:serviceaccount:default:web\""), "{message}");
    for token in [late, other, for_others, of_pod, foreign] {
        assert_eq!(served.ask(None, Some(&token), false, "/api").await.0, 401);
    }
    let request = Request::delete(format!("{path}/web")).body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(served.server.handler().handle(request).await.status(), 200);
    assert_eq!(served.ask(None, Some(&good), false, "/api").await.0, 401);
}

#[tokio::test]
async fn what_is_no_handshake_is_dropped() {
    let served = serve().await;
    let mut client = served.connect();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert, if anything; no answer in the clear.
    let _ = client.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let error = bind(&["192.0.2.1:1".parse().unwrap()]).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:1: "), "{error}");
}

impl Served {
    /// A connection of somebody without a certificate who speaks this protocol.
    async fn open(&self, protocol: &[u8]) -> tokio_rustls::client::TlsStream<tokio::io::DuplexStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate_pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("api.example.com").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.connect()).await.unwrap()
    }
}

/// A handshake: the certificate that the server showed, which the client found good.
async fn shown(served: &Served) -> CertificateDer<'static> {
    let stream = served.open(b"http/1.1").await;
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn the_server_shows_a_new_certificate_before_the_old_one_is_over() {
    const LIFE: Duration = Duration::from_secs(3);
    let served = serve_with(|authority| authority.with_identity_life(LIFE)).await;
    let first = shown(&served).await;
    let renewed = async { while shown(&served).await == first {} };
    tokio::time::timeout(LIFE * 10, renewed).await.unwrap();
}

#[tokio::test]
async fn a_watch_is_told_over_a_websocket() {
    let served = serve().await;
    let mut stream = served.open(b"http/1.1").await;
    let request = "GET /api/v1/namespaces?watch=1&fieldSelector=metadata.name%3Ddefault HTTP/1.1\r\n\
                   host: api.example.com\r\nauthorization: Bearer secret\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    // The example of RFC 6455, section 1.3.
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    let first = socket.next().await.unwrap().unwrap();
    let event: Value = serde_json::from_str(first.to_text().unwrap()).unwrap();
    assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("default")));
    // It ends with the server, as every watch does.
    served.server.shutdown().await;
    while let Some(said) = socket.next().await {
        assert!(said.unwrap().is_close());
    }
}

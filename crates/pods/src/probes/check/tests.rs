use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn target() -> Target {
    let nobody = ProcessId { pid: 0, start: 0, boot: String::new() };
    Target { address: "127.0.0.1".into(), program: "/nope".into(), bundle: "/nope".into(), process: nobody }
}

fn check(probe: Value) -> Check {
    let container = json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}]});
    let container = serde_json::from_value(container).unwrap();
    Check::of_probe(&serde_json::from_value(probe).unwrap(), &container, "127.0.0.1")
}

#[test]
fn questions() {
    let get = |host: &str, path: &str, tls| {
        Check::Http(http::Get { tls, host: host.into(), port: 8080, path: path.into(), headers: vec![] })
    };
    assert_eq!(check(json!({"httpGet": {"port": "web"}})), get("127.0.0.1", "/", false));
    let other = json!({"httpGet": {"port": 8080, "path": "x", "host": "h", "scheme": "HTTPS"}});
    assert_eq!(check(other), get("h", "/x", true));
    assert_eq!(check(json!({"tcpSocket": {"port": "web"}})), Check::Tcp("127.0.0.1".into(), 8080));
    assert_eq!(check(json!({"grpc": {"port": 1, "service": "s"}})), Check::Grpc(1, "s".into()));
    for impossible in [json!({"tcpSocket": {"port": "nope"}}), json!({"httpGet": {"port": 0}}), json!({})] {
        assert!(matches!(check(impossible.clone()), Check::Impossible(_)), "{impossible}");
    }
}

/// Runs this in a network namespace of its own; `None` where that cannot be.
fn inside<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> Option<T> {
    if testbed::skip_unless_root().is_some() {
        return None;
    }
    let namespace = testbed::Lab::new("probe").namespace("pod").unwrap();
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    };
    Some(namespace.run(run).unwrap())
}

/// A server in a namespace of its own that answers each connection with the next of these texts.
fn asked(answers: &'static [&'static str], probe: impl FnOnce(u16) -> Value + Send + 'static) -> Option<Outcome> {
    inside(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let outcome = check(probe(port)).ask(&target(), Duration::from_secs(5)).await;
        server.abort();
        outcome
    })
}

#[test]
fn pages() {
    let get = |port: u16| json!({"httpGet": {"port": port, "path": "/healthz"}});
    let ill = |why: &str| Outcome::Ill(why.to_owned());
    let cases: [(&'static [&'static str], Outcome); 5] = [
        (&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], Outcome::Well),
        (&["HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"], ill("HTTP probe failed with statuscode: 503")),
        (
            &[
                "HTTP/1.1 302 Go\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n",
                "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n",
            ],
            ill("HTTP probe failed with statuscode: 404"),
        ),
        (&["HTTP/1.1 302 Go\r\nlocation: http://else.where/\r\ncontent-length: 0\r\n\r\n"], Outcome::Well),
        (&["HTTP/1.1 204 No\r\n\r\n"], Outcome::Well),
    ];
    for (answers, want) in cases {
        match asked(answers, get) {
            Some(outcome) => assert_eq!(outcome, want, "{answers:?}"),
            None => return,
        }
    }
    let nobody = asked(&[], |_| json!({"httpGet": {"port": 9}}));
    assert!(nobody.is_none_or(|outcome| matches!(outcome, Outcome::Ill(why) if why.contains("refused"))));
}

#[test]
fn connections() {
    let tcp = |port: u16| json!({"tcpSocket": {"port": port}});
    let Some(outcome) = asked(&["x"], tcp) else { return };
    assert_eq!(outcome, Outcome::Well);
    assert!(matches!(asked(&[], |_| json!({"tcpSocket": {"port": 9}})), Some(Outcome::Ill(_))));
}

/// A server that answers every call of gRPC's health protocol with this status, or says that it has no such service.
async fn health(listener: TcpListener, status: Option<u8>) {
    let answer = move |request: ::http::Request<hyper::body::Incoming>| async move {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let (body, code) = match status {
            Some(status) => (vec![0, 0, 0, 0, 2, 8, status], "0"),
            None => (Vec::new(), "12"),
        };
        let trailers = ::http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())]);
        let frames = [hyper::body::Frame::data(bytes::Bytes::from(body)), hyper::body::Frame::trailers(trailers)];
        let frames = futures::stream::iter(frames.map(Ok::<_, std::convert::Infallible>));
        Ok::<_, std::convert::Infallible>(::http::Response::new(http_body_util::StreamBody::new(frames)))
    };
    let (stream, _) = listener.accept().await.unwrap();
    let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let service = hyper::service::service_fn(answer);
    let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
}

#[test]
fn the_health_protocol_of_grpc() {
    let cases = [
        (Some(1), Outcome::Well),
        (Some(2), Outcome::Ill("service unhealthy (responded with status 2)".into())),
        (None, Outcome::Ill("the server does not have gRPC's health service".into())),
    ];
    for (status, want) in cases {
        let outcome = inside(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = tokio::spawn(health(listener, status));
            let asked = check(json!({"grpc": {"port": port, "service": "s"}}));
            let outcome = asked.ask(&target(), Duration::from_secs(5)).await;
            server.abort();
            outcome
        });
        assert!(outcome.is_none_or(|outcome| outcome == want), "{status:?}");
    }
}

#[test]
fn pages_over_tls_of_whoever_it_is() {
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ServerConfig, crypto};
    let outcome = inside(async || {
        let own = rcgen::generate_simple_self_signed(vec!["nobody".into()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
        });
        let asked = check(json!({"httpGet": {"port": port, "scheme": "HTTPS"}}));
        let outcome = asked.ask(&target(), Duration::from_secs(5)).await;
        server.abort();
        outcome
    });
    assert!(outcome.is_none_or(|outcome| outcome == Outcome::Well));
}

//! The HTTP side: `PUT`, `GET` and `DELETE` of `/v1/load-balancers/ID`, over TLS with a token where there are keys.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use controllers::loadbalancer::outside::{Balancer, Standing};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::haproxy::{Haproxy, HaproxyError};

/// The longest wish: a cluster of some thousand nodes.
const LONGEST: usize = 4 << 20;
/// How long a client may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at a time.
const MOST: usize = 256;

/// What shows who is who.
pub struct Keys {
    token: String,
    tls: TlsAcceptor,
}

impl Keys {
    /// From files.
    pub fn read(token: &Path, certificate: &Path, key: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let token = std::fs::read_to_string(token)?.trim().to_owned();
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_no_client_auth().with_single_cert(chain, key)?;
        Ok(Self { token, tls: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// Where clients come in.
pub struct Door {
    listener: TcpListener,
    keys: Option<Keys>,
}

/// What every request is answered from.
struct Service {
    haproxy: Mutex<Haproxy>,
    token: Option<String>,
}

impl Door {
    /// Listens.
    pub async fn open(listen: SocketAddr, keys: Option<Keys>) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(listen).await?, keys })
    }

    /// Answers, for ever.
    pub async fn serve(self, haproxy: Haproxy) -> io::Result<()> {
        let token = self.keys.as_ref().map(|keys| keys.token.clone());
        let service = Arc::new(Service { haproxy: Mutex::new(haproxy), token });
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= MOST {
                connections.join_next().await;
            }
            let (stream, _) = self.listener.accept().await?;
            let (service, tls) = (service.clone(), self.keys.as_ref().map(|keys| keys.tls.clone()));
            connections.spawn(async move {
                match tls {
                    None => talk(stream, service).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                            talk(stream, service).await;
                        }
                    }
                }
            });
        }
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: Arc<Service>) {
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, io::Error>(service.answer(request).await) }
    });
    // A client that goes away ends its connection and nothing else.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
}

/// An answer that says why not.
fn no(status: StatusCode, message: impl ToString) -> (StatusCode, Value) {
    (status, json!({"message": message.to_string()}))
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match self.judge(request).await {
            Ok(done) | Err(done) => done,
        };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    }

    async fn judge(&self, request: Request<Incoming>) -> Result<(StatusCode, Value), (StatusCode, Value)> {
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        if self.token.as_ref().is_some_and(|token| shown != Some(&format!("Bearer {token}"))) {
            return Err(no(StatusCode::UNAUTHORIZED, "the token is not known"));
        }
        let (parts, body) = request.into_parts();
        let id = parts.uri.path().strip_prefix("/v1/load-balancers/").map(str::to_owned);
        let fits = |id: &String| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let id = id.filter(fits).ok_or_else(|| no(StatusCode::NOT_FOUND, "there is no such path"))?;
        let mut haproxy = self.haproxy.lock().await;
        let failed = |error: HaproxyError| match &error {
            HaproxyError::Impossible(_) => no(StatusCode::UNPROCESSABLE_ENTITY, &error),
            _ => no(StatusCode::SERVICE_UNAVAILABLE, &error),
        };
        let told = |standing: Standing| (StatusCode::OK, json!(standing));
        match parts.method {
            Method::PUT => {
                let body = Limited::new(body, LONGEST).collect().await;
                let body = body.map_err(|error| no(StatusCode::BAD_REQUEST, error))?.to_bytes();
                let wanted: Balancer =
                    serde_json::from_slice(&body).map_err(|error| no(StatusCode::BAD_REQUEST, error))?;
                if wanted.id != id {
                    return Err(no(StatusCode::BAD_REQUEST, "the id is not that of the path"));
                }
                haproxy.ensure(wanted).await.map(told).map_err(failed)
            }
            Method::GET => {
                haproxy.get(&id).map(told).ok_or_else(|| no(StatusCode::NOT_FOUND, "there is no such load balancer"))
            }
            Method::DELETE => haproxy.delete(&id).await.map(|()| (StatusCode::OK, json!({}))).map_err(failed),
            _ => Err(no(StatusCode::METHOD_NOT_ALLOWED, "PUT, GET or DELETE")),
        }
    }
}

//! Calling nodes: HTTPS with the server's own client certificate, which must meet a certificate of the cluster's authority.
//! And calling Pods, of which nothing is known but their address.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, crypto};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pki::renewal::{RenewError, Renewing};
use crate::pki::{Authority, Subject};
use crate::response::BodyError;

/// How long a node has to take a connection, and to answer a request's head.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);

/// Calls nodes.
pub(crate) struct Nodes {
    connector: TlsConnector,
}

/// Why nodes cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// The client certificate cannot be had.
    #[error(transparent)]
    Certificate(#[from] RenewError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS towards nodes: {0}")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a node cannot be called.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("dial tcp {0}: {1}")]
    Dial(String, std::io::Error),
    #[error("dial tcp {0}: i/o timeout")]
    TimedOut(String),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

impl Nodes {
    /// With a client certificate of the server's own.
    pub fn new(authority: Arc<Authority>) -> Result<Self, NodesError> {
        let tls = |error: Box<dyn std::error::Error + Send + Sync>| NodesError::Tls(error);
        let certificate = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.map_err(|e| tls(e.into()))?).map_err(|e| tls(e.into()))?;
        let identity = Renewing::new(authority, |authority| {
            authority.issue_client(&Subject::in_group("kube-apiserver-kubelet-client", crate::identity::MASTERS))
        })?;
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| tls(e.into()))?
            .with_root_certificates(roots)
            .with_client_cert_resolver(identity);
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends a request to a node; the answer's body comes as the node sends it.
    pub async fn call<B>(&self, node: &NodeAddress, request: Request<B>) -> Result<Response<Incoming>, CallError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        secured(&self.connector, node, request).await
    }
}

/// Sends a request to what runs in a Pod, over TLS that says nothing of who it is, or without.
pub(crate) async fn call_pod<B>(
    place: &NodeAddress,
    is_secured: bool,
    request: Request<B>,
) -> Result<Response<Incoming>, CallError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    if is_secured {
        return secured(&TlsConnector::from(unchecked()), place, request).await;
    }
    let name = place.to_string();
    let connected = tokio::time::timeout(CONNECT, TcpStream::connect((place.host.as_str(), place.port))).await;
    let stream = connected.map_err(|_| CallError::TimedOut(name.clone()))?;
    let stream = stream.map_err(|error| CallError::Dial(name.clone(), error))?;
    send(stream, name, request).await
}

async fn secured<B>(
    connector: &TlsConnector,
    place: &NodeAddress,
    request: Request<B>,
) -> Result<Response<Incoming>, CallError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    let connect = async {
        let stream = TcpStream::connect((place.host.as_str(), place.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(place.host.clone()).map_err(std::io::Error::other)?;
        connector.connect(name, stream).await
    };
    let name = place.to_string();
    let stream = tokio::time::timeout(CONNECT, connect).await.map_err(|_| CallError::TimedOut(name.clone()))?;
    send(stream.map_err(|error| CallError::Dial(name.clone(), error))?, name, request).await
}

async fn send<S, B>(stream: S, place: String, request: Request<B>) -> Result<Response<Incoming>, CallError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a node broke");
        }
    });
    let answered = tokio::time::timeout(ANSWER, sender.send_request(request)).await;
    Ok(answered.map_err(|_| CallError::TimedOut(place))??)
}

/// Where a node is called.
#[derive(Clone, Debug)]
pub(crate) struct NodeAddress {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// TLS towards what nobody has signed: Pods' certificates are their own affair, as Kubernetes' proxies have it.
fn unchecked() -> Arc<ClientConfig> {
    static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier = Arc::new(Unchecked(provider.clone()));
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::DEFAULT_VERSIONS);
        #[allow(clippy::expect_used, reason = "the provider has every default version")]
        let builder = builder.expect("TLS has its default versions");
        Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    });
    CONFIG.clone()
}

/// Takes every certificate, though not every signature.
#[derive(Debug)]
struct Unchecked(Arc<crypto::CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! Calling nodes: HTTPS with the server's own client certificate, which must meet a certificate of the cluster's authority.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pki::{Authority, PkiError, Subject};

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
    /// The client certificate cannot be signed.
    #[error(transparent)]
    Certificate(#[from] PkiError),
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
    pub fn new(authority: &Authority) -> Result<Self, NodesError> {
        let tls = |error: Box<dyn std::error::Error + Send + Sync>| NodesError::Tls(error);
        let identity =
            authority.issue_client(&Subject::in_group("kube-apiserver-kubelet-client", crate::identity::MASTERS))?;
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| tls(e.into()));
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|e| tls(e.into()))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate(authority.certificate_pem())?).map_err(|e| tls(e.into()))?;
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| tls(e.into()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate(&identity.certificate_pem)?], key)
            .map_err(|e| tls(e.into()))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends a request to a node; the answer's body comes as the node sends it.
    pub async fn call(
        &self,
        node: &NodeAddress,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<hyper::body::Incoming>, CallError> {
        let place = format!("{}:{}", node.host, node.port);
        let dial = |error| CallError::Dial(place.clone(), error);
        let late = |_| CallError::TimedOut(place.clone());
        let connect = async {
            let stream = TcpStream::connect((node.host.as_str(), node.port)).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(node.host.clone()).map_err(std::io::Error::other)?;
            self.connector.connect(name, stream).await
        };
        let stream = tokio::time::timeout(CONNECT, connect).await.map_err(late)?.map_err(dial)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a node broke");
            }
        });
        Ok(tokio::time::timeout(ANSWER, sender.send_request(request)).await.map_err(late)??)
    }
}

/// Where a node is called.
pub(crate) struct NodeAddress {
    pub host: String,
    pub port: u16,
}

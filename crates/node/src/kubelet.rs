//! The node's own port, where the API server asks for logs and exec, as it asks a kubelet.
//!
//! Only the API server may ask: a client must show a certificate of the cluster's authority in the group
//! `system:masters`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, crypto};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{Config, KUBELET_PORT};

/// How many connections are open at a time.
const CONNECTIONS: usize = 512;
/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take for the head of a request.
const HEADERS: Duration = Duration::from_secs(30);
/// How long to wait when no connection can be taken: there are no file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// The group whose members may ask.
const GROUP: &str = "system:masters";

/// Why the port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// It cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node's certificate is none.
    #[error("the node's certificate, its key or its authority cannot be used")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An open port that nobody is served on yet.
pub struct Listener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

/// Opens the port.
///
/// # Errors
/// When it is in use, or the node's certificate is none.
pub async fn listen(config: &Config) -> Result<Listener, KubeletError> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(config).map_err(KubeletError::Certificate)?));
    let address = SocketAddr::new(config.address.into(), KUBELET_PORT);
    let listener = TcpListener::bind(address).await.map_err(|source| KubeletError::Bind { address, source })?;
    Ok(Listener { listener, acceptor })
}

fn tls(config: &Config) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(config.authority_pem.as_bytes())?)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let certificate = CertificateDer::from_pem_slice(config.certificate_pem.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(config.key_pem.as_bytes())?;
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)?;
    // Upgrades, which exec needs, are HTTP/1.1's.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

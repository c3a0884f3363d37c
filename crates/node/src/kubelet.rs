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

impl Listener {
    /// Serves requests by `handler` until told to stop.
    pub async fn serve(self, handler: pods::server::Handler, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let taken = tokio::select! {
                () = stop.cancelled() => return,
                taken = async {
                    let permit = room.clone().acquire_owned().await;
                    (self.listener.accept().await, permit)
                } => taken,
            };
            match taken {
                (Ok((stream, _)), Ok(permit)) => {
                    let (acceptor, handler, stop) = (self.acceptor.clone(), handler.clone(), stop.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            () = connection(stream, acceptor, handler) => {}
                        }
                        drop(permit);
                    });
                }
                (Err(error), _) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(PAUSE).await;
                }
                // The semaphore is never closed.
                (Ok(_), Err(_)) => return,
            }
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, handler: pods::server::Handler) {
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    if !certificates.first().is_some_and(|c| may_ask(c)) {
        return tracing::warn!("somebody who is not the API server asked for logs or exec");
    }
    let service = hyper::service::service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, std::convert::Infallible>(handler.handle(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection broke");
    }
}

fn may_ask(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, c)| c.subject().iter_organization().any(|o| o.as_str() == Ok(GROUP)))
}

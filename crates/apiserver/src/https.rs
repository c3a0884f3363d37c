//! HTTPS: sockets, TLS, connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, crypto};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::authn::certificates::ClientVerifier;
use crate::config::Config;
use crate::front::Front;
use crate::handler::Handler;
use crate::pki::Subject;
use crate::pki::renewal::{RenewError, Renewing};

#[cfg(test)]
mod tests;

/// How many connections are open at a time.
const CONNECTIONS: usize = 8192;
/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take for the head of a request.
const HEADERS: Duration = Duration::from_secs(30);
/// How often a quiet HTTP/2 connection is asked whether it is still there, and how long it has to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(15);
/// How many requests one HTTP/2 connection may make at a time.
const STREAMS: u32 = 250;
/// How long requests may go on when the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be taken: there are no file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Its certificate cannot be had.
    #[error(transparent)]
    Certificate(#[from] RenewError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// TLS, and who is let in by it.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    verifier: Arc<ClientVerifier>,
}

/// Binds all addresses.
pub(crate) async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let bound = TcpListener::bind(address).await;
        listeners.push(bound.map_err(|source| ListenError::Bind { address, source })?);
    }
    Ok(listeners)
}

/// Makes the server's certificate and what TLS needs.
pub(crate) fn configure(config: &Config) -> Result<Tls, ListenError> {
    let tls = |error: Box<dyn std::error::Error + Send + Sync>| ListenError::Tls(error);
    let mut names = vec![
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let (further_addresses, further_names): (Vec<&String>, Vec<&String>) =
        config.names.iter().partition(|name| name.parse::<IpAddr>().is_ok());
    names.extend(further_names.into_iter().map(String::as_str));
    let mut addresses =
        vec![config.advertise, std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()];
    addresses.extend(config.listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()));
    addresses.extend(config.service_cidr.own_cluster_ip());
    addresses.extend(further_addresses.into_iter().filter_map(|address| address.parse::<IpAddr>().ok()));
    addresses.sort_unstable();
    addresses.dedup();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let identity = Renewing::new(config.authority.clone(), move |authority| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        authority.issue_server(&Subject::alone("kube-apiserver"), &names, &addresses)
    })?;
    let authority = CertificateDer::from_pem_slice(config.authority.certificate_pem().as_bytes());
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = ClientVerifier::new(authority.map_err(|e| tls(e.into()))?, provider.clone()).map_err(tls)?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| tls(e.into()))?
        .with_client_cert_verifier(verifier.clone())
        .with_cert_resolver(identity);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(server)), verifier })
}

/// Takes connections until the server stops.
pub(crate) async fn serve(listener: TcpListener, tls: Tls, front: Arc<Front>, connections: TaskTracker) {
    let stopping = front.api.stopping.clone();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let taken = tokio::select! {
            () = stopping.cancelled() => return,
            taken = async {
                let permit = room.clone().acquire_owned().await;
                (listener.accept().await, permit)
            } => taken,
        };
        match taken {
            (Ok((stream, address)), Ok(permit)) => {
                // Answers are small and waited for.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                let (tls, front) = (tls.clone(), front.clone());
                connections.spawn(async move {
                    connection(stream, address.ip(), tls, front).await;
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

/// Serves one connection to its end.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: IpAddr,
    tls: Tls,
    front: Arc<Front>,
) {
    let stopping = front.api.stopping.clone();
    let accepted = tokio::select! {
        () = stopping.cancelled() => return,
        accepted = tokio::time::timeout(HANDSHAKE, tls.acceptor.accept(stream)) => accepted,
    };
    let stream = match accepted {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!("a TLS handshake took too long");
            return;
        }
    };
    let peer = tls.verifier.identify(stream.get_ref().1.peer_certificates());
    let service = TowerToHyperService::new(Handler::of_peer(front, peer, Some(address)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .max_concurrent_streams(STREAMS);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

//! DNS over TLS (RFC 7858), always with the server's certificate verified.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::settings::Tls;

/// A server cannot be spoken to over TLS as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of certificates or keys cannot be read.
    #[error("cannot read {what} from {path}: {reason}", path = path.display())]
    File {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it was not found.
        reason: String,
    },
    /// There is nobody to trust.
    #[error("the system has no certificate authorities; name a file of them")]
    NoAuthorities,
    /// The name that the certificate must have is none.
    #[error("{name:?} is no name that a server's certificate can have")]
    Name {
        /// The name as given.
        name: String,
    },
    /// The certificates do not fit.
    #[error("the certificates cannot be used: {0}")]
    Certificates(#[from] rustls::Error),
}

/// What it takes to open connections to one server.
#[derive(Clone)]
pub(super) struct Connector {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Connector {
    /// Reads the files that the settings name.
    pub(super) fn new(settings: &Tls, address: SocketAddr) -> Result<Self, TlsError> {
        let name = match &settings.name {
            Some(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| TlsError::Name { name: name.clone() })?,
            None => ServerName::IpAddress(address.ip().into()),
        };
        let roots = match &settings.authorities {
            Some(path) => authorities_of(path)?,
            None => system_authorities()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match &settings.identity {
            Some((certificate, key)) => builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?,
            None => builder.with_no_client_auth(),
        };
        // RFC 7858 section 3.1 has no protocol name of its own; RFC 8310's servers may ask for "dot".
        config.alpn_protocols = vec![b"dot".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// A connection whose certificate is verified.
    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

fn authorities_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
    }
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "the system's certificate authorities");
    if roots.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WHAT: &str = "certificates";
    let failed = |reason: String| TlsError::File { what: WHAT, path: path.to_owned(), reason };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
    let found: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))?;
    if found.is_empty() { Err(failed("there are none".to_owned())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File {
        what: "a private key",
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

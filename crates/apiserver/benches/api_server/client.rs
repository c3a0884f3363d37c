//! A client that costs little: HTTP/1.1 over TLS, one request at a time a connection.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::peer::{ADDRESS, Peer};

/// A connection.
pub struct Connection {
    stream: BufReader<TlsStream<TcpStream>>,
    /// What was read last.
    pub body: Vec<u8>,
}

/// What a connection is made with; made once, used for many.
pub fn tls(peer: &Peer) -> Arc<ClientConfig> {
    let provider = Arc::new(crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(peer.client.certificate_pem.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(peer.client.key_pem.as_bytes()).expect("a key");
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.expect("TLS").with_root_certificates(RootCertStore::empty());
    let mut config = builder.with_client_auth_cert(vec![certificate], key).expect("a configuration");
    config.dangerous().set_certificate_verifier(Arc::new(anyone::Anyone(provider)));
    Arc::new(config)
}

impl Connection {
    /// Connects.
    pub async fn open(tls: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(ADDRESS).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
        Ok(Self { stream: BufReader::with_capacity(64 << 10, stream), body: Vec::new() })
    }

    /// Sends a request and reads the answer's head: the code, and how long the body is, if that is known.
    pub async fn head(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, Option<usize>)> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {ADDRESS}\r\naccept: application/json\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let code = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line).await?;
            if line.trim().is_empty() {
                return Ok((code, length));
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
    }

    /// Sends a request and reads the whole answer: its code.
    pub async fn send(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<u16> {
        let (code, length) = self.head(method, path, body).await?;
        self.body.clear();
        match length {
            Some(length) => {
                self.body.resize(length, 0);
                self.stream.read_exact(&mut self.body).await?;
            }
            None => while self.chunk().await? {},
        }
        Ok(code)
    }

    /// The socket below, on which what comes is not deciphered any more.
    pub fn into_socket(self) -> TcpStream {
        self.stream.into_inner().into_inner().0
    }

    /// Reads a chunk onto the body; `false` for the last.
    pub async fn chunk(&mut self) -> std::io::Result<bool> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        let at = self.body.len();
        self.body.resize(at + length + 2, 0);
        self.stream.read_exact(&mut self.body[at..]).await?;
        self.body.truncate(at + length);
        Ok(length > 0)
    }
}

/// Whether the server says that it is ready.
pub async fn is_ready(peer: &Peer) -> bool {
    match Connection::open(&tls(peer)).await {
        Ok(mut connection) => connection.send("GET", "/readyz", "").await.is_ok_and(|code| code == 200),
        Err(_) => false,
    }
}

/// Both servers make certificates of their own for an address of this machine.
mod anyone {
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme, crypto};

    #[derive(Debug)]
    pub struct Anyone(pub Arc<crypto::CryptoProvider>);

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

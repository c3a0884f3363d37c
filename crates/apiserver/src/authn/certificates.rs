//! Client certificates: the common name is the user, the organizations are the groups.
//!
//! The handshake proves that the client has the certificate's key, but takes certificates of any authority: whether it
//! is ours is looked at afterwards, so that a wrong certificate is answered with 401 and not with a broken connection.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::User;

/// What is known of the other end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Peer {
    /// It showed no certificate.
    #[default]
    Unknown,
    /// Its certificate is good.
    Known(User),
    /// Its certificate is not.
    Refused,
}

/// Verifies clients against the cluster's authority.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    ours: Arc<dyn ClientCertVerifier>,
}

impl ClientVerifier {
    pub fn new(
        authority: CertificateDer<'static>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, Box<dyn std::error::Error + Send + Sync>> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Arc::new(Self { ours: builder.allow_unauthenticated().build()? }))
    }

    /// Who showed these certificates (the client's own first).
    pub fn identify(&self, certificates: Option<&[CertificateDer<'_>]>) -> Peer {
        let Some((own, others)) = certificates.and_then(|c| c.split_first()) else { return Peer::Unknown };
        match self.ours.verify_client_cert(own, others, UnixTime::now()) {
            Ok(_) => user(own).map_or(Peer::Refused, Peer::Known),
            Err(error) => {
                tracing::debug!(%error, "a client's certificate is not good");
                Peer::Refused
            }
        }
    }
}

fn user(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(ToOwned::to_owned);
    (!name.is_empty()).then(|| User::authenticated(name, groups))
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.ours.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // Looked at in `identify`.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.ours.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.ours.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.ours.supported_verify_schemes()
    }
}

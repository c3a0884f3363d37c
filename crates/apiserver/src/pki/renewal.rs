//! Identities that renew themselves: one that is used when two thirds of its life are over is signed anew first, so that
//! a server that runs for years never shows a certificate that is over. Connections that are open keep theirs: a
//! certificate is looked at in the handshake alone.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureScheme, crypto};

use super::{Authority, Identity, PkiError};

#[cfg(test)]
mod tests;

/// How long to wait when one could not be signed.
const RETRY: Duration = Duration::from_secs(60);

/// Signs an identity.
type Sign = dyn Fn(&Authority) -> Result<Identity, PkiError> + Send + Sync;

/// Why an identity cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] PkiError),
    /// What was signed is no certificate.
    #[error("a signed certificate cannot be read")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// Its key cannot sign.
    #[error("a new key cannot be used")]
    Key(#[from] rustls::Error),
}

/// An identity that is always good.
pub(crate) struct Renewing {
    authority: Arc<Authority>,
    sign: Box<Sign>,
    provider: Arc<CryptoProvider>,
    held: Mutex<Held>,
}

struct Held {
    key: Arc<CertifiedKey>,
    /// From when until when it is shown, by the clock by which others judge it.
    from: SystemTime,
    until: SystemTime,
}

impl Held {
    fn new(key: Arc<CertifiedKey>, authority: &Authority) -> Self {
        let from = SystemTime::now();
        Self { key, from, until: from + authority.identity_life() * 2 / 3 }
    }
}

impl Renewing {
    /// Signs the first.
    pub fn new(
        authority: Arc<Authority>,
        sign: impl Fn(&Authority) -> Result<Identity, PkiError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, RenewError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let key = certified(&sign(&authority)?, &provider)?;
        let held = Mutex::new(Held::new(key, &authority));
        Ok(Arc::new(Self { authority, sign: Box::new(sign), provider, held }))
    }

    /// The identity, signed anew when it is time.
    fn current(&self) -> Arc<CertifiedKey> {
        let mut held = self.held.lock();
        let now = SystemTime::now();
        // A clock that was set back may be before the certificate's beginning.
        if !(held.from..held.until).contains(&now) {
            match (self.sign)(&self.authority).map_err(RenewError::from).and_then(|i| certified(&i, &self.provider)) {
                Ok(key) => *held = Held::new(key, &self.authority),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a certificate cannot be renewed");
                    (held.from, held.until) = (now, now + RETRY);
                }
            }
        }
        held.key.clone()
    }
}

fn certified(identity: &Identity, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, RenewError> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())?;
    let key = provider.key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate], key)))
}

impl fmt::Debug for Renewing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewing { .. }")
    }
}

impl ResolvesServerCert for Renewing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Renewing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

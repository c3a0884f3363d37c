//! The cluster's own certificate authority, and the identities that it signs.
//!
//! One P-256 authority a cluster signs server certificates (the API server's, each node's) and client certificates
//! (the administrator's, each node's): the common name is the user, the organization is the group, as
//! Kubernetes reads them. A second key signs service-account tokens. Everything lies in one folder, readable by its
//! owner alone:
//!
//! | file | what |
//! |---|---|
//! | `ca.crt`, `ca.key` | the authority |
//! | `sa.key` | signs service-account tokens |
//! | `secrets.keys` | seal Secrets on disk ([`sealing`]) |

pub(crate) mod renewal;
pub mod sealing;

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use sealing::SecretKeys;

#[cfg(test)]
mod tests;

/// How long an authority lives. Kubernetes' kubeadm gives it the same.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * DAY);
/// How long a signed identity lives. It is signed anew at each start; the server's own also while it runs ([`renewal`]).
const IDENTITY_LIFE: Duration = Duration::from_secs(365 * DAY);
const DAY: u64 = 86_400;

/// Why the authority could not be had, or could not sign.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is there but is no key or certificate.
    #[error("{path} is damaged: {reason}; remove the folder to have a new authority made")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A certificate could not be signed.
    #[error("cannot sign a certificate for {subject}")]
    Sign {
        /// Whose.
        subject: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The user: `kubernetes-admin`, `system:node:node-1`.
    pub common_name: String,
    /// The group, if any: `system:masters`, `system:nodes`.
    pub organization: Option<String>,
}

impl Subject {
    /// A user in a group.
    pub fn in_group(common_name: &str, organization: &str) -> Self {
        Self { common_name: common_name.to_owned(), organization: Some(organization.to_owned()) }
    }

    /// A user in no group.
    pub fn alone(common_name: &str) -> Self {
        Self { common_name: common_name.to_owned(), organization: None }
    }
}

/// A certificate (leaf only) and its private key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// The key, PKCS #8.
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity { .. }")
    }
}

/// The cluster's certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    service_account_key_pem: String,
    secret_keys: SecretKeys,
    identity_life: Duration,
}

impl Authority {
    /// Reads the authority of a folder; makes folder and authority where there is none.
    ///
    /// # Errors
    /// When a file cannot be read or written, or is damaged.
    pub fn load_or_create(dir: &Path) -> Result<Self, PkiError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| PkiError::File { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file(dir))?;
        let (cert_path, key_path, sa_path) = (dir.join("ca.crt"), dir.join("ca.key"), dir.join("sa.key"));
        if !cert_path.exists() || !key_path.exists() {
            let (certificate, key) = new_authority()?;
            // The key first: a certificate without its key would be taken for a whole authority.
            write_private(&key_path, &key).map_err(file(&key_path))?;
            write_private(&cert_path, &certificate).map_err(file(&cert_path))?;
        }
        if !sa_path.exists() {
            let key = new_key("service accounts")?.serialize_pem();
            write_private(&sa_path, &key).map_err(file(&sa_path))?;
        }
        let certificate_pem = fs::read_to_string(&cert_path).map_err(file(&cert_path))?;
        let key_pem = fs::read_to_string(&key_path).map_err(file(&key_path))?;
        let service_account_key_pem = fs::read_to_string(&sa_path).map_err(file(&sa_path))?;
        let damaged = |path: &Path, e: rcgen::Error| PkiError::Damaged { path: path.to_owned(), reason: e.to_string() };
        let key = KeyPair::from_pem(&key_pem).map_err(|e| damaged(&key_path, e))?;
        KeyPair::from_pem(&service_account_key_pem).map_err(|e| damaged(&sa_path, e))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(|e| damaged(&cert_path, e))?;
        let secret_keys = SecretKeys::load_or_create(&dir.join("secrets.keys"))?;
        Ok(Self { issuer, certificate_pem, service_account_key_pem, secret_keys, identity_life: IDENTITY_LIFE })
    }

    /// The same, with identities that live so long from when they are signed on.
    #[must_use]
    pub fn with_identity_life(self, life: Duration) -> Self {
        Self { identity_life: life, ..self }
    }

    /// How long identities live.
    pub fn identity_life(&self) -> Duration {
        self.identity_life
    }

    /// The authority's certificate, PEM: what clients trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The key that signs service-account tokens (P-256, PKCS #8 PEM; ES256).
    pub fn service_account_key_pem(&self) -> &str {
        &self.service_account_key_pem
    }

    /// The keys that seal Secrets on disk.
    pub fn secret_keys(&self) -> &SecretKeys {
        &self.secret_keys
    }

    /// Signs a certificate for a client.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue_client(&self, subject: &Subject) -> Result<Identity, PkiError> {
        self.issue(subject, vec![ExtendedKeyUsagePurpose::ClientAuth], Vec::new())
    }

    /// Signs a certificate for a server that answers under these names and addresses, and may be a client too.
    ///
    /// # Errors
    /// When a name is no DNS name, or signing fails.
    pub fn issue_server(&self, subject: &Subject, names: &[&str], addresses: &[IpAddr]) -> Result<Identity, PkiError> {
        let sign = |source| PkiError::Sign { subject: subject.common_name.clone(), source };
        let mut alternatives = Vec::new();
        for name in names {
            alternatives.push(SanType::DnsName((*name).try_into().map_err(sign)?));
        }
        alternatives.extend(addresses.iter().map(|&a| SanType::IpAddress(a)));
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(subject, usages, alternatives)
    }

    fn issue(
        &self,
        subject: &Subject,
        usages: Vec<ExtendedKeyUsagePurpose>,
        alternatives: Vec<SanType>,
    ) -> Result<Identity, PkiError> {
        let key = new_key(&subject.common_name)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = usages;
        params.subject_alt_names = alternatives;
        params.use_authority_key_identifier_extension = true;
        lives_for(&mut params, self.identity_life);
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|source| PkiError::Sign { subject: subject.common_name.clone(), source })?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn new_key(subject: &str) -> Result<KeyPair, PkiError> {
    KeyPair::generate().map_err(|source| PkiError::Sign { subject: subject.to_owned(), source })
}

fn new_authority() -> Result<(String, String), PkiError> {
    let subject = Subject::alone("portolan-ca");
    let key = new_key(&subject.common_name)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(&subject);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    lives_for(&mut params, AUTHORITY_LIFE);
    let certificate =
        params.self_signed(&key).map_err(|source| PkiError::Sign { subject: subject.common_name, source })?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn distinguished_name(subject: &Subject) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, subject.common_name.as_str());
    if let Some(organization) = &subject.organization {
        name.push(DnType::OrganizationName, organization.as_str());
    }
    name
}

fn lives_for(params: &mut CertificateParams, life: Duration) {
    // An hour back, so that a node whose clock is a little late accepts it.
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + life).into();
}

/// Writes a file that only its owner can read, whole or not at all.
///
/// # Errors
/// As the file system gives them.
pub fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

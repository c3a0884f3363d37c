//! Kubeconfig files: how a client reaches a cluster, and as whom.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use apiserver::pki::{self, Identity};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret;

/// Writes a kubeconfig that only its owner can read.
///
/// # Errors
/// As the file system gives them.
pub fn write(
    path: &Path,
    cluster: &str,
    server: SocketAddr,
    authority_pem: &str,
    user: &str,
    identity: &Identity,
) -> Result<()> {
    let context = format!("{user}@{cluster}");
    let yaml = format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {cluster}\n  cluster:\n    server: https://{server}\n    certificate-authority-data: {ca}\n\
         users:\n\
         - name: {user}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
         contexts:\n\
         - name: {context}\n  context:\n    cluster: {cluster}\n    user: {user}\n\
         current-context: {context}\n",
        ca = STANDARD.encode(authority_pem),
        certificate = STANDARD.encode(&identity.certificate_pem),
        key = STANDARD.encode(&identity.key_pem),
    );
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    pki::write_private(path, &yaml).with_context(|| format!("cannot write {}", path.display()))
}

/// What a node's kubeconfig says, beside how to reach the server.
pub struct Credentials {
    /// A client for the server.
    pub client: kube::Client,
    /// The server's authority, PEM.
    pub authority_pem: String,
    /// The node's certificate, PEM.
    pub certificate_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
}

/// Reads a kubeconfig with a certificate inside.
///
/// # Errors
/// When it cannot be read, or holds no certificate.
pub async fn read(path: &Path) -> Result<Credentials> {
    let file = Kubeconfig::read_from(path).with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
    let config = kube::Config::from_custom_kubeconfig(file.clone(), &KubeConfigOptions::default())
        .await
        .with_context(|| format!("{} is no usable kubeconfig", path.display()))?;
    let user = file.auth_infos.first().and_then(|u| u.auth_info.as_ref());
    let cluster = file.clusters.first().and_then(|c| c.cluster.as_ref());
    let decode = |what: &str, data: Option<&String>| -> Result<String> {
        let data = data.with_context(|| format!("{} has no {what} inside", path.display()))?;
        let bytes = STANDARD.decode(data).with_context(|| format!("the {what} of {} is damaged", path.display()))?;
        String::from_utf8(bytes).with_context(|| format!("the {what} of {} is no PEM", path.display()))
    };
    let key = user.and_then(|u| u.client_key_data.as_ref()).map(|k| k.expose_secret().to_owned());
    Ok(Credentials {
        client: kube::Client::try_from(config).context("cannot make a client")?,
        authority_pem: decode("certificate authority", cluster.and_then(|c| c.certificate_authority_data.as_ref()))?,
        certificate_pem: decode("client certificate", user.and_then(|u| u.client_certificate_data.as_ref()))?,
        key_pem: decode("client key", key.as_ref())?,
    })
}

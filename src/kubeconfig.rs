//! Kubeconfig files: how a client reaches a cluster, and as whom.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use apiserver::pki::{self, Authority, Identity, Subject};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret;

use crate::refusal::{Refusal, one_line};

#[cfg(test)]
mod tests;

/// The first line of every file that we write: what does not begin so is somebody else's.
fn first_line(cluster: &str) -> String {
    format!("# Written by portolan for the cluster {cluster}, anew at each start.\n")
}

/// Refuses a path at which somebody else's file is: other clusters' credentials may be in it.
///
/// # Errors
/// When it is so.
pub fn is_free(path: &Path, cluster: &str) -> Result<(), Refusal> {
    let refused = |why: String| Refusal::new(format!("--kubeconfig {}: {why}; give another file", path.display()));
    match fs::read(path) {
        Ok(bytes) if bytes.starts_with(first_line(cluster).as_bytes()) => Ok(()),
        Ok(_) => Err(refused(format!("it is there already and not the cluster {cluster}'s"))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(refused(e.to_string())),
    }
}

/// Removes a file that was written for a cluster. One that is not there, or somebody else's, is left.
///
/// # Errors
/// As the file system gives them.
pub fn remove(path: &Path, cluster: &str) -> Result<()> {
    if path.is_file() && is_free(path, cluster).is_ok() {
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Signs an administrator's identity and writes their kubeconfig.
///
/// # Errors
/// When signing or writing fails.
pub fn write_admin(authority: &Authority, cluster: &str, server: SocketAddr, path: &Path) -> Result<()> {
    let admin = Subject::in_group("kubernetes-admin", "system:masters");
    let identity = authority.issue_client(&admin)?;
    write(path, cluster, server, authority.certificate_pem(), "kubernetes-admin", &identity)
}

/// Signs a node's identity and writes the kubeconfig with which it joins: user `system:node:NAME` in the group
/// `system:nodes`, as Kubernetes' node authorizer wants it. The same certificate serves the node's own port.
///
/// # Errors
/// When signing or writing fails.
pub fn admit(
    authority: &Authority,
    node: &str,
    address: IpAddr,
    server: SocketAddr,
    cluster: &str,
    path: &Path,
) -> Result<()> {
    let user = format!("system:node:{node}");
    let identity = authority.issue_server(&Subject::in_group(&user, "system:nodes"), &[node], &[address])?;
    write(path, cluster, server, authority.certificate_pem(), &user, &identity)
}

/// Writes a kubeconfig that only its owner can read.
fn write(
    path: &Path,
    cluster: &str,
    server: SocketAddr,
    authority_pem: &str,
    user: &str,
    identity: &Identity,
) -> Result<()> {
    let context = format!("{user}@{cluster}");
    let yaml = format!(
        "{first}\
         apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {cluster}\n  cluster:\n    server: https://{server}\n    certificate-authority-data: {ca}\n\
         users:\n\
         - name: {user}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
         contexts:\n\
         - name: {context}\n  context:\n    cluster: {cluster}\n    user: {user}\n\
         current-context: {context}\n",
        first = first_line(cluster),
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
pub async fn read(path: &Path) -> Result<Credentials, Refusal> {
    read_with_causes(path).await.map_err(|error| {
        Refusal::new(format!(
            "--kubeconfig {}: {}; give a file that `portolan server --admit NAME=IP` wrote",
            path.display(),
            one_line(&error)
        ))
    })
}

async fn read_with_causes(path: &Path) -> Result<Credentials> {
    let file = Kubeconfig::read_from(path).context("it cannot be read")?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file.clone(), &options).await.context("it cannot be used")?;
    let user = file.auth_infos.first().and_then(|u| u.auth_info.as_ref());
    let cluster = file.clusters.first().and_then(|c| c.cluster.as_ref());
    let decode = |what: &str, data: Option<&String>| -> Result<String> {
        let data = data.with_context(|| format!("it has no {what} inside"))?;
        let bytes = STANDARD.decode(data).with_context(|| format!("its {what} is damaged"))?;
        String::from_utf8(bytes).with_context(|| format!("its {what} is no PEM"))
    };
    let key = user.and_then(|u| u.client_key_data.as_ref()).map(|k| k.expose_secret().to_owned());
    let authority_pem = decode("certificate authority", cluster.and_then(|c| c.certificate_authority_data.as_ref()))?;
    let certificate_pem = decode("client certificate", user.and_then(|u| u.client_certificate_data.as_ref()))?;
    let key_pem = decode("client key", key.as_ref())?;
    let client = kube::Client::try_from(config).context("its certificates cannot be used")?;
    Ok(Credentials { client, authority_pem, certificate_pem, key_pem })
}

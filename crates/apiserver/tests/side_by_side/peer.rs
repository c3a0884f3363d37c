//! Kubernetes' own API server with its etcd, and how it is asked.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use apiserver::pki::{Authority, Subject};
use http_body_util::BodyExt;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::cluster::Answer;

/// How long it may take to be ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where it listens; it has a network of its own.
const ADDRESS: &str = "https://127.0.0.1:6443";
/// Where its etcd listens.
const ETCD: &str = "http://127.0.0.1:2379";

/// A running pair of etcd and kube-apiserver.
pub struct Peer {
    children: Vec<Child>,
    client: Client,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The API server first: without etcd it waits long.
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start(dir: &Path, program: &Path, arguments: &[String]) -> Child {
    let log = File::create(dir.join(program.file_name().unwrap()).with_extension("log")).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn flags(flags: &[(&str, &str)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

impl Peer {
    /// Starts both and waits until they answer.
    pub async fn start(programs: &Path, dir: &Path, ranges: &str) -> Self {
        let authority = Authority::load_or_create(&dir.join("pki")).unwrap();
        let file = |name: &str, content: &str| {
            fs::write(dir.join(name), content).unwrap();
            dir.join(name).display().to_string()
        };
        let ca = file("ca.pem", authority.certificate_pem());
        let accounts = authority.service_account_key_pem();
        // It reads no public key out of a private one in PKCS #8.
        let public = file("accounts.pub", &rcgen::KeyPair::from_pem(accounts).unwrap().public_key_pem());
        let private = file("accounts.pem", accounts);
        let data = dir.join("etcd-data").display().to_string();
        let etcd = flags(&[
            ("data-dir", &data),
            ("listen-client-urls", ETCD),
            ("advertise-client-urls", ETCD),
            ("listen-peer-urls", "http://127.0.0.1:2380"),
            // Nothing outlives the test.
            ("unsafe-no-fsync", "true"),
        ]);
        let server = flags(&[
            ("cert-dir", &dir.join("certificates").display().to_string()),
            ("client-ca-file", &ca),
            ("service-account-key-file", &public),
            ("service-account-signing-key-file", &private),
            ("service-account-issuer", "https://peer"),
            ("etcd-servers", ETCD),
            ("service-cluster-ip-range", ranges),
            ("authorization-mode", "RBAC"),
            ("bind-address", "127.0.0.1"),
            ("secure-port", "6443"),
            ("advertise-address", advertised(ranges)),
            // It would wait for a controller that makes accounts.
            ("disable-admission-plugins", "ServiceAccount"),
            ("max-requests-inflight", "0"),
            ("enable-priority-and-fairness", "false"),
        ]);
        let client = client(&authority);
        let children =
            vec![start(dir, &programs.join("etcd"), &etcd), start(dir, &programs.join("kube-apiserver"), &server)];
        let mut peer = Self { children, client };
        peer.wait(dir).await;
        peer
    }

    async fn wait(&mut self, dir: &Path) {
        let deadline = Instant::now() + PATIENCE;
        for path in ["/readyz", "/api/v1/namespaces/default/services/kubernetes"] {
            while self.ask("GET", path, &[], String::new()).await.is_none_or(|answer| answer.code != 200) {
                let log = || fs::read_to_string(dir.join("kube-apiserver.log")).unwrap_or_default();
                let dead = self.children.iter_mut().any(|child| child.try_wait().unwrap().is_some());
                assert!(!dead && Instant::now() < deadline, "it is not ready: {}", log());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Sends a request; there is an answer when it listens.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Option<Answer> {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(kube::client::Body::from(body.into_bytes())).unwrap();
        let response = self.client.send(request).await.ok()?;
        let code = response.status().as_u16();
        let warnings = response.headers().get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
        let bytes = response.into_body().collect().await.ok()?.to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()));
        Some(Answer { code, body, warnings })
    }
}

fn client(authority: &Authority) -> Client {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let admin = authority.issue_client(&Subject::in_group("kubernetes-admin", "system:masters")).unwrap();
    let document = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "peer",
        "clusters": [{ "name": "peer", "cluster": { "server": ADDRESS, "insecure-skip-tls-verify": true } }],
        "users": [{ "name": "admin", "user": {
            "client-certificate-data": STANDARD.encode(&admin.certificate_pem),
            "client-key-data": STANDARD.encode(&admin.key_pem),
        } }],
        "contexts": [{ "name": "peer", "context": { "cluster": "peer", "user": "admin" } }],
    });
    let config = Kubeconfig::from_yaml(&document.to_string()).unwrap();
    let config =
        futures::executor::block_on(kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()));
    Client::try_from(config.unwrap()).unwrap()
}

/// The address at which a server with these ranges says it is: of the family of the first.
pub fn advertised(ranges: &str) -> &'static str {
    if ranges.starts_with("fd") { "2001:db8::1" } else { "192.0.2.1" }
}

/// The folder of Kubernetes' programs, if it is named and they are there.
pub fn programs() -> Option<PathBuf> {
    let Some(peers) = std::env::var_os("PORTOLAN_PEERS").map(PathBuf::from) else {
        testbed::privilege::skip("PORTOLAN_PEERS does not name the folder of Kubernetes' programs");
        return None;
    };
    let missing = ["kube-apiserver", "etcd"].iter().find(|program| !peers.join(program).is_file());
    if let Some(missing) = missing {
        testbed::privilege::skip(&format!("{} is not there", peers.join(missing).display()));
        return None;
    }
    Some(peers)
}

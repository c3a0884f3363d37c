//! Stock kubectl asks what it may, who it is, and for tokens, and makes roles.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use apiserver::pki::Subject;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cluster::Cluster;
use serde_json::{Value, json};
use testbed::Namespace;

/// Where a server is and whom it trusts, with a user of whom this is shown.
fn kubeconfig(cluster: &Cluster, user: &Value) -> String {
    let server = json!({
        "server": format!("https://{}", cluster.addresses()[0]),
        "certificate-authority-data": STANDARD.encode(cluster.authority.certificate_pem()),
    });
    let document = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": server }], "users": [{ "name": "user", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "user", "namespace": "default" } }],
    });
    document.to_string()
}

fn certificate(cluster: &Cluster, name: &str, group: &str) -> Value {
    let issued = cluster.authority.issue_client(&Subject::in_group(name, group)).unwrap();
    json!({
        "client-certificate-data": STANDARD.encode(&issued.certificate_pem),
        "client-key-data": STANDARD.encode(&issued.key_pem),
    })
}

/// kubectl as one user.
struct Kubectl {
    config: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    fn new(dir: &Path, name: &str, config: &str) -> Self {
        let path = dir.join(name);
        std::fs::write(&path, config).unwrap();
        Self { config: path, home: dir.to_owned() }
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.config).args(arguments.split_whitespace());
        command.env("HOME", &self.home).output().unwrap()
    }

    #[track_caller]
    fn says(&self, arguments: &str, expected: &str) {
        let ran = self.run(arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert_eq!(said.trim_end(), expected, "kubectl {arguments}");
    }

    #[track_caller]
    fn prints(&self, arguments: &str) -> String {
        let ran = self.run(arguments);
        assert!(ran.status.success(), "kubectl {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim_end().to_owned()
    }
}

fn converse(dir: &Path, cluster: &Cluster) {
    let admin_config = kubeconfig(cluster, &certificate(cluster, "kubernetes-admin", "system:masters"));
    let admin = Kubectl::new(dir, "admin", &admin_config);
    let bob = Kubectl::new(dir, "bob", &kubeconfig(cluster, &certificate(cluster, "bob", "dev")));
    admin.says("auth can-i delete services", "yes");
    bob.says("auth can-i list pods", "no");
    assert!(!bob.run("auth can-i list pods").status.success());
    admin.says(
        "create role reader --verb=get,list --resource=pods,deployments.apps",
        "role.rbac.authorization.k8s.io/reader created",
    );
    admin.says(
        "create rolebinding bob-reads --role=reader --user=bob",
        "rolebinding.rbac.authorization.k8s.io/bob-reads created",
    );
    bob.says("auth can-i list pods", "yes");
    bob.says("auth can-i list pods -n kube-system", "no");
    bob.says("auth can-i get deployments.apps/web", "yes");
    bob.says("get pods", "No resources found in default namespace.");
    let rules = bob.prints("auth can-i --list --no-headers");
    assert!(rules.lines().any(|line| line.starts_with("deployments.apps ") && line.ends_with("[get list]")), "{rules}");
    bob.says(
        "get secrets",
        "Error from server (Forbidden): secrets is forbidden: User \"bob\" cannot list resource \"secrets\" in API group \
         \"\" in the namespace \"default\"",
    );
    let me: Value = serde_json::from_str(&bob.prints("auth whoami -o json")).unwrap();
    assert_eq!(me["status"]["userInfo"]["username"], "bob");
    assert_eq!(me["status"]["userInfo"]["groups"], json!(["dev", "system:authenticated"]));

    admin.says("create serviceaccount web", "serviceaccount/web created");
    let token = admin.prints("create token web --duration=10m");
    let web = Kubectl::new(dir, "web", &kubeconfig(cluster, &json!({ "token": token })));
    let me: Value = serde_json::from_str(&web.prints("auth whoami -o json")).unwrap();
    assert_eq!(me["status"]["userInfo"]["username"], "system:serviceaccount:default:web");
    admin.says(
        "create clusterrolebinding web-views --clusterrole=view --serviceaccount=default:web",
        "clusterrolebinding.rbac.authorization.k8s.io/web-views created",
    );
    // The rules of `view` are gathered after the start.
    let may = || web.run("auth can-i list services -n kube-system").status.success();
    testbed::wait_until(cluster::DEADLINE, "view has its rules", may).unwrap();
    web.says("auth can-i list secrets -n kube-system", "no");
    admin.says("auth can-i list services --as=system:serviceaccount:default:web", "yes");
    admin.says("auth can-i delete services --as=bob --as-group=dev", "no");
    web.says(
        "delete serviceaccount web",
        "Error from server (Forbidden): serviceaccounts \"web\" is forbidden: User \
         \"system:serviceaccount:default:web\" cannot delete resource \"serviceaccounts\" in API group \"\" in the \
         namespace \"default\"",
    );
    // Newer ones say from which namespace.
    assert!(admin.prints("delete serviceaccount web").starts_with("serviceaccount \"web\" deleted"));
    let refused = web.run("auth whoami");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Unauthorized"), "a token without its account");
}

#[test]
fn kubectl_auth() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        return testbed::privilege::skip("there is no kubectl");
    }
    let dir = tempfile::tempdir().unwrap();
    let namespace = Namespace::new("kubectl-auth").unwrap();
    let done = namespace.run(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listen = vec!["127.0.0.1:0".parse().unwrap()];
            let cluster = Cluster::start_with(tempfile::tempdir().unwrap(), |config| config.listen = listen).await;
            tokio::task::block_in_place(|| converse(dir.path(), &cluster));
            cluster.stop().await;
        });
    });
    done.unwrap();
}

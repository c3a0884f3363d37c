//! A server alone: what it costs, how its controllers write, its objects to a file and back, new keys for its Secrets;
//! and what is asked of one, written down.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::host::{Host, SOON, finish_with};

const KUBECONFIG: &str = "/tmp/data/kubeconfig";
const SECRETS: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  resources: [{group: '', resources: [secrets]}]
- level: None
";

/// A `portolan server`.
struct Server(Child);

impl Server {
    fn start(host: &Host, flags: &[&str]) -> Self {
        let here = ["server", "--data-dir", "/tmp/data", "--api-address", "127.0.0.1:6443"];
        let mut command = host.command(&[&here, flags].concat());
        let server = Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let ready = || host.run_kubectl(KUBECONFIG, &["get", "--raw", "/readyz"]).is_some_and(|said| said == "ok");
        testbed::wait_until(SOON, "the server is ready", ready).unwrap();
        server
    }

    /// Ends it as a service manager does.
    fn end(self) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let ended = finish_with(self.0, "the server ends");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}

fn data(host: &Host, kind: &str, name: &str) -> String {
    host.kubectl_of(KUBECONFIG, &["get", kind, name, "--ignore-not-found", "-o", "jsonpath={.data.a}"])
}

#[test]
fn controllers_write_as_kubernetes_own_do() {
    let Some(host) = Host::isolated() else { return };
    let server = Server::start(&host, &[]);
    host.kubectl_of(KUBECONFIG, &["create", "deployment", "web", "--image=x", "--replicas=0"]);
    let shown = || {
        let arguments = ["get", "deployment", "web", "-o", "json", "--show-managed-fields"];
        serde_json::from_str::<Value>(&host.kubectl_of(KUBECONFIG, &arguments)).unwrap()
    };
    let is_observed = || {
        let web = shown();
        web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
            && web["status"]["observedGeneration"] == 1
    };
    testbed::wait_until(SOON, "the Deployment has a revision", is_observed).unwrap();
    let web = shown();
    assert_eq!(web["metadata"]["generation"], 1, "{web}");
    let managers =
        web["metadata"]["managedFields"].as_array().unwrap().iter().map(|entry| entry["manager"].as_str().unwrap());
    let managers: BTreeSet<&str> = managers.collect();
    assert_eq!(managers, BTreeSet::from(["kube-controller-manager", "kubectl-create"]));
    server.end();
}

#[test]
fn objects_go_to_a_file_and_come_back() {
    let Some(host) = Host::isolated() else { return };
    let server = Server::start(&host, &[]);
    let metrics = host.kubectl_of(KUBECONFIG, &["get", "--raw", "/metrics"]);
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        assert_eq!(
            metrics.lines().filter(|line| line.starts_with(&format!("{name} "))).count(),
            1,
            "{name}:\n{metrics}"
        );
    }
    host.kubectl_of(KUBECONFIG, &["create", "configmap", "kept", "--from-literal=a=before"]);
    host.kubectl_of(KUBECONFIG, &["create", "secret", "generic", "sealed", "--from-literal=a=before"]);
    let sealed = data(&host, "secret", "sealed");

    let said = host.succeeds(&["server", "backup", "/tmp/backup", "--kubeconfig", KUBECONFIG]);
    assert_eq!(said, "all objects are in /tmp/backup");
    let backup = fs::read("/tmp/backup").unwrap();
    assert_eq!(fs::metadata("/tmp/backup").unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::exists("/tmp/backup.new").unwrap());
    assert!(!backup.windows(8).any(|bytes| bytes == b"YmVmb3Jl"), "a Secret is not sealed in the backup");

    host.kubectl_of(KUBECONFIG, &["patch", "configmap", "kept", "-p", r#"{"data":{"a":"after"}}"#]);
    host.kubectl_of(KUBECONFIG, &["delete", "secret", "sealed"]);
    host.kubectl_of(KUBECONFIG, &["create", "configmap", "later", "--from-literal=a=after"]);
    let said = host.succeeds(&["server", "rotate-secrets-key", "--kubeconfig", KUBECONFIG]);
    assert!(said.ends_with("Secrets are sealed with a new key"), "{said}");

    let said = host.succeeds(&["server", "restore", "/tmp/backup", "--kubeconfig", KUBECONFIG]);
    assert!(said.contains(" records written, ") && said.contains(" removed, "), "{said}");
    let brought_back = |host: &Host| {
        assert_eq!(data(host, "configmap", "kept"), "before");
        // Sealed with the key from before the rotation.
        assert_eq!(data(host, "secret", "sealed"), sealed);
        assert_eq!(data(host, "configmap", "later"), "");
    };
    brought_back(&host);
    server.end();
    let server = Server::start(&host, &[]);
    brought_back(&host);

    fs::write("/tmp/broken", &backup[..backup.len() / 2]).unwrap();
    let refused = host.run(&["server", "restore", "/tmp/broken", "--kubeconfig", KUBECONFIG]);
    assert!(!refused.status.success());
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert!(complaint.contains("the server refuses: "), "{complaint}");
    brought_back(&host);
    let nowhere = host.run(&["server", "backup", "/tmp/no/folder", "--kubeconfig", KUBECONFIG]);
    assert!(!nowhere.status.success());
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("cannot write the backup /tmp/no/folder"));
    server.end();
}

/// The URIs that an audit log tells of, as they were answered.
fn audited(log: &str) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let complete = events.filter(|event| event["stage"] == "ResponseComplete");
    complete.map(|event| event["requestURI"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_cluster_writes_down_what_its_policy_says() {
    let Some(host) = Host::isolated() else { return };
    fs::write("/tmp/policy.yaml", SECRETS).unwrap();
    // Relative paths are those of where `up` was run.
    let flags = ["--nodes", "1", "--detach", "--audit-policy-file", "policy.yaml", "--audit-log-path", "audit.log"];
    host.succeeds(&[&["up"], &flags[..]].concat());
    host.kubectl(&["create", "configmap", "m"]);
    host.kubectl(&["create", "secret", "generic", "s", "--from-literal=a=b"]);
    let told = || audited("/tmp/audit.log").iter().any(|uri| uri.starts_with("/api/v1/namespaces/default/secrets"));
    testbed::wait_until(SOON, "the Secret is told of", told).unwrap();
    assert!(audited("/tmp/audit.log").iter().all(|uri| uri.contains("/secrets")), "{:?}", audited("/tmp/audit.log"));
    host.succeeds(&["down"]);
    host.assert_clean("down");

    assert!(host.refused(&["up", "--audit-log-path", "audit.log"]).contains("--audit-policy-file"));
    fs::write("/tmp/policy.yaml", "kind: Nonsense").unwrap();
    assert!(host.refused(&[&["up"], &flags[..]].concat()).contains("policy.yaml"));
    host.assert_clean("a policy that is none");
}

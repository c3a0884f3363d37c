//! What gets refused: step 26.

use std::process::Command;

use serde_json::{Value, json};

use crate::cluster::Cluster;

/// How a request is made that should be refused.
struct Refused<'a> {
    name: &'a str,
    method: &'a str,
    path: &'a str,
    body: String,
    code: u64,
    message: &'a str,
}

fn credentials() -> Vec<String> {
    let yaml = std::fs::read_to_string("/var/lib/portolan/portolan/kubeconfig").unwrap();
    for (key, file) in [("client-certificate-data", "/tmp/tls.crt"), ("client-key-data", "/tmp/tls.key")] {
        let data = yaml.lines().find_map(|l| l.trim().strip_prefix(&format!("{key}: "))).unwrap();
        assert!(
            Command::new("sh").args(["-c", &format!("echo {data} | base64 -d > {file}")]).status().unwrap().success()
        );
    }
    ["--cert", "/tmp/tls.crt", "--key", "/tmp/tls.key"].map(str::to_owned).to_vec()
}

fn request(method: &str, path: &str, body: &str, flags: &[String]) -> (u64, Value) {
    std::fs::write("/tmp/body", body).unwrap();
    let mut command = Command::new("curl");
    command.args(["-sSk", "-w", "\n%{http_code}", "-X", method, "-H", "Content-Type: application/json"]).args(flags);
    if !body.is_empty() {
        command.args(["--data-binary", "@/tmp/body"]);
    }
    let output = command.arg(format!("https://127.0.0.1:6443{path}")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (answer, code) =
        text.rsplit_once('\n').unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (code.parse().unwrap(), serde_json::from_str(answer).unwrap_or(Value::Null))
}

fn service(name: &str, spec: Value) -> String {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec }).to_string()
}

#[test]
fn step_26_bad_requests_have_kubernetes_code_and_message_and_change_nothing() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    let admin = credentials();
    const SERVICES: &str = "/api/v1/namespaces/default/services";
    let port = |port: i64| json!({ "ports": [{ "port": port }] });
    let long = "a".repeat(64);
    let row = |name, method, path, body, code, message| Refused { name, method, path, body, code, message };
    let rows = [
        row(
            "malformed JSON",
            "POST",
            SERVICES,
            "{\"kind\":".to_owned(),
            400,
            "couldn't get version/kind; json parse error: unexpected end of JSON input",
        ),
        row(
            "a wrong kind",
            "POST",
            SERVICES,
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "x" } }).to_string(),
            400,
            "cannot be handled as a Service",
        ),
        row("a name too long", "POST", SERVICES, service(&long, port(80)), 422, "must be no more than 63"),
        row(
            "port 0",
            "POST",
            SERVICES,
            service("x", port(0)),
            422,
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        row(
            "port 70000",
            "POST",
            SERVICES,
            service("x", port(70000)),
            422,
            "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        row(
            "two ports of one number",
            "POST",
            SERVICES,
            service("x", json!({ "ports": [{ "name": "a", "port": 80 }, { "name": "b", "port": 80 }] })),
            422,
            "spec.ports[1]: Duplicate value",
        ),
        row(
            "a selector that is no map",
            "POST",
            SERVICES,
            service("x", json!({ "selector": ["a"], "ports": [{ "port": 80 }] })),
            400,
            "cannot unmarshal array into Go struct field",
        ),
        row(
            "a clusterIP that is no address",
            "POST",
            SERVICES,
            service("x", json!({ "clusterIP": "10.96.300.1", "ports": [{ "port": 80 }] })),
            422,
            "must be a valid IP address",
        ),
        row(
            "unknown fields",
            "POST",
            "/api/v1/namespaces/default/services?fieldValidation=Strict",
            service("x", json!({ "prots": [], "ports": [{ "port": 80 }] })),
            400,
            "strict decoding error: unknown field \"spec.prots\"",
        ),
        row(
            "a missing namespace",
            "POST",
            "/api/v1/namespaces/nowhere/services",
            service("x", port(80)),
            404,
            "namespaces \"nowhere\" not found",
        ),
    ];
    for Refused { name, method, path, body, code, message } in rows {
        let (got, status) = request(method, path, &body, &admin);
        assert_eq!(got, code, "{name}: {status}");
        assert_eq!(status["kind"], "Status", "{name}: {status}");
        assert!(status["message"].as_str().unwrap().contains(message), "{name}: {status}");
    }
    assert_eq!(cluster.kubectl(&["get", "services", "-o", "name"]), "service/kubernetes", "nothing was changed");
}

#[test]
fn step_26_stale_too_large_and_without_permission() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    let admin = credentials();
    cluster.apply_example("my-service.yaml");
    let mut stale = cluster.get(&["service", "my-service"]);
    cluster.kubectl(&["label", "service", "my-service", "a=b"]);
    stale["metadata"]["labels"] = json!({ "a": "c" });
    let path = "/api/v1/namespaces/default/services/my-service";
    let (code, status) = request("PUT", path, &stale.to_string(), &admin);
    assert_eq!(code, 409, "{status}");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("the object has been modified; please apply your changes to the latest version and try again"),
        "{status}"
    );

    let large = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "large" }, "data": { "x": "y".repeat(1_600_000) } });
    let (code, status) = request("POST", "/api/v1/namespaces/default/configmaps", &large.to_string(), &admin);
    assert!(code == 413 || code == 422, "{code} {status}");
    cluster.kubectl_fails(&["get", "configmap", "large"]);

    let (code, status) = request("GET", path, "", &[]);
    // As Kubernetes answers somebody who shows no credentials: anonymous, who may not.
    assert_eq!(code, 403, "{status}");
    assert!(
        status["message"].as_str().unwrap().contains("User \"system:anonymous\" cannot get resource \"services\""),
        "{status}"
    );
    let wrong = ["-H".to_owned(), "Authorization: Bearer nobody".to_owned()];
    let (code, status) = request("GET", path, "", &wrong);
    assert_eq!(code, 401, "{status}");
    assert_eq!(status["message"], "Unauthorized");
    // A node is somebody, but may not do this.
    let refused = Command::new("kubectl")
        .args([
            "--kubeconfig",
            "/run/portolan/portolan/nodes/node-1.kubeconfig",
            "--server",
            "https://172.30.0.1:6443",
            "create",
            "namespace",
            "mine",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("namespaces is forbidden: User \"system:node:node-1\" cannot create resource \"namespaces\" in API group \"\" at the cluster scope"), "{said}");
    let (code, _) = request("GET", "/readyz", "", &[]);
    assert_eq!(code, 200, "anonymous may ask for health");
}

#[test]
fn step_26_malformed_yaml_is_refused() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    std::fs::write("/tmp/bad.yaml", "apiVersion: v1\nkind: Service\n  metadata: {name: x}\n").unwrap();
    let said = cluster.kubectl_fails(&["create", "-f", "/tmp/bad.yaml"]);
    assert!(said.contains("error parsing"), "{said}");
    std::fs::write(
        "/tmp/strict.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 80}], slector: {a: b}}\n",
    )
    .unwrap();
    let said = cluster.kubectl_fails(&["create", "--validate=strict", "-f", "/tmp/strict.yaml"]);
    assert!(said.contains("unknown field \"spec.slector\""), "{said}");
}

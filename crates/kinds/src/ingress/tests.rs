use serde_json::{Value, json};

use super::KIND;

fn faults(spec: Value) -> Vec<String> {
    KIND.strategy.validate(&json!({ "spec": spec })).iter().map(ToString::to_string).collect()
}

fn backend(port: Value) -> Value {
    json!({ "service": { "name": "web", "port": port } })
}

fn rule(path: Value) -> Value {
    json!({ "rules": [{ "host": "a.example.com", "http": { "paths": [path] } }] })
}

#[test]
fn paths_and_backends() {
    let fine = backend(json!({ "number": 80 }));
    let path = |kind: &str, path: &str| rule(json!({ "pathType": kind, "path": path, "backend": fine }));
    let at = "spec.rules[0].http.paths[0]";
    assert!(faults(path("Prefix", "/a")).is_empty());
    assert!(faults(path("ImplementationSpecific", "")).is_empty());
    let table = [
        (path("Exact", "a"), format!("{at}.path: Invalid value: \"a\": must be an absolute path")),
        (path("Prefix", "/a//b"), format!("{at}.path: Invalid value: \"/a//b\": must not contain '//'")),
        (path("Prefix", "/a/.."), format!("{at}.path: Invalid value: \"/a/..\": cannot end with '/..'")),
        (
            path("Any", "/"),
            format!(
                "{at}.pathType: Unsupported value: \"Any\": supported values: \"Exact\", \"ImplementationSpecific\", \
                 \"Prefix\""
            ),
        ),
        (
            rule(json!({ "path": "/", "backend": fine })),
            format!("{at}.pathType: Required value: pathType must be specified"),
        ),
        (
            rule(json!({ "path": "/", "pathType": "Prefix", "backend": backend(json!({})) })),
            format!("{at}.backend: Required value: port name or number is required"),
        ),
        (
            rule(json!({ "path": "/", "pathType": "Prefix" })),
            format!("{at}.backend: Invalid value: \"\": resource or service backend is required"),
        ),
        (json!({}), "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified".to_owned()),
        (
            json!({ "defaultBackend": fine, "rules": [{ "host": "10.0.0.1" }] }),
            "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address".to_owned(),
        ),
    ];
    for (spec, expected) in table {
        assert_eq!(faults(spec), [expected]);
    }
}

#[test]
fn wildcards_are_first_labels() {
    let of = |host: &str| {
        faults(json!({ "defaultBackend": backend(json!({ "name": "http" })), "tls": [{ "hosts": [host] }] }))
    };
    assert!(of("*.example.com").is_empty());
    assert_eq!(of("a.*.com").len(), 1);
    assert!(of("a.*.com")[0].contains("a wildcard DNS-1123 subdomain must start with '*.'"), "{:?}", of("a.*.com"));
}

#[test]
fn what_a_table_shows() {
    let hosts: Vec<Value> = ["a", "b", "c", "d", "e"].iter().map(|h| json!({ "host": h })).collect();
    let ingress = json!({
        "metadata": { "name": "i" },
        "spec": { "rules": hosts, "tls": [{}], "ingressClassName": "nginx" },
        "status": { "loadBalancer": { "ingress": [{ "ip": "10.0.0.2" }, { "ip": "10.0.0.1" }, { "hostname": "h" }] } },
    });
    assert_eq!(
        json!(KIND.strategy.row(&ingress, 0)),
        json!(["i", "nginx", "a,b,c + 2 more...", "10.0.0.1,10.0.0.2,h", "80, 443", "<unknown>"])
    );
}

#[test]
fn an_old_annotation_is_warned_of() {
    let old = json!({ "metadata": { "annotations": { "kubernetes.io/ingress.class": "nginx" } }, "spec": {} });
    assert_eq!(
        KIND.strategy.warnings(&old, None),
        ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"]
    );
}

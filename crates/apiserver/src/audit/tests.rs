use super::*;
use http::Method;

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:node:n1"]
- level: Metadata
  resources:
  - {group: "", resources: ["secrets", "pods/log", "*/status", "nodes/*"]}
- level: RequestResponse
  verbs: [create, update]
  namespaces: [shop]
  omitStages: [ResponseStarted]
- level: Request
  resources:
  - {group: apps, resources: ["deployments"], resourceNames: ["web"]}
- level: Request
  userGroups: ["devs"]
  nonResourceURLs: ["/healthz*"]
- level: None
"#;

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = Policy::parse(POLICY).unwrap();
    let rows = [
        ("system:node:n1", "GET", "/api/v1/secrets", Level::None),
        ("ada", "GET", "/api/v1/secrets", Level::Metadata),
        ("ada", "GET", "/api/v1/namespaces/shop/pods/p/log", Level::Metadata),
        ("ada", "GET", "/api/v1/namespaces/shop/pods/p", Level::None),
        ("ada", "GET", "/api/v1/namespaces/shop/services/s/status", Level::Metadata),
        ("ada", "GET", "/api/v1/nodes/n1", Level::Metadata),
        ("ada", "GET", "/api/v1/nodes/n1/proxy", Level::Metadata),
        ("ada", "POST", "/api/v1/namespaces/shop/services", Level::RequestResponse),
        ("ada", "POST", "/api/v1/namespaces/other/services", Level::None),
        ("ada", "GET", "/apis/apps/v1/namespaces/other/deployments/web", Level::Request),
        ("ada", "GET", "/apis/apps/v1/namespaces/other/deployments/db", Level::None),
        ("ada", "GET", "/healthz/ping", Level::Request),
        ("eve", "GET", "/healthz/ping", Level::None),
    ];
    for (name, method, path, level) in rows {
        let groups = if name == "ada" { vec!["devs".to_owned()] } else { Vec::new() };
        let user = User::authenticated(name, groups);
        let info = RequestInfo::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path, false, None);
        assert_eq!(policy.judge(&user, &info).level, level, "{name} {method} {path}");
    }
    let info = RequestInfo::parse(&Method::POST, "/api/v1/namespaces/shop/services", false, None);
    let verdict = policy.judge(&User::anonymous(), &info);
    assert_eq!(verdict.omit_stages, [Stage::RequestReceived, Stage::ResponseStarted]);
}

#[test]
fn what_is_no_policy_is_refused() {
    let rows = [
        ("apiVersion: v1\nkind: Policy\nrules: [{level: None}]", "it is a Policy of v1"),
        ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []", "it has no rules"),
        ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]", "All"),
        ("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, user: [a]}]", "user"),
    ];
    for (text, why) in rows {
        let error = Policy::parse(text).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn old_files_are_put_aside_and_the_oldest_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    for round in 0..8 {
        log::put_aside(&path, &round.to_string()).unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(
        (read("audit.log"), read("audit.log.1"), read("audit.log.5")),
        ("7\n".into(), "6\n".into(), "2\n".into())
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 6);
}

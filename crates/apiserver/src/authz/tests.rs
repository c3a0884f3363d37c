use kinds::rules::Rule;
use serde_json::json;

use super::attributes::Attributes;
use super::bindings::{Bindings, Of, Visited};
use super::{defaults, rules};
use crate::identity::User;

fn list(words: &str) -> Vec<String> {
    words.split(' ').filter(|w| !w.is_empty()).map(|w| if w == "core" { "" } else { w }.to_owned()).collect()
}

fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
    Rule { verbs: list(verbs), groups: list(groups), resources: list(resources), names: list(names), paths: vec![] }
}

fn paths(verbs: &str, paths: &str) -> Rule {
    Rule { verbs: list(verbs), paths: list(paths), ..Rule::default() }
}

#[test]
fn rules_allow_what_they_say() {
    let get =
        |resource, subresource, name| Attributes { verb: "get", resource, subresource, name, ..Attributes::default() };
    let path = |path| Attributes { verb: "get", path, ..Attributes::default() };
    let table = [
        ("the Pods", rule("get list", "core", "pods", ""), get("pods", "", "p"), true),
        ("another verb", rule("list", "core", "pods", ""), get("pods", "", "p"), false),
        ("another group", rule("get", "apps", "pods", ""), get("pods", "", "p"), false),
        ("every group", rule("get", "*", "pods", ""), get("pods", "", "p"), true),
        ("every verb", rule("*", "core", "pods", ""), get("pods", "", "p"), true),
        ("every resource", rule("get", "core", "*", ""), get("pods", "log", "p"), true),
        ("the object is not its log", rule("get", "core", "pods", ""), get("pods", "log", "p"), false),
        ("the log is not the object", rule("get", "core", "pods/log", ""), get("pods", "", "p"), false),
        ("the log", rule("get", "core", "pods/log", ""), get("pods", "log", "p"), true),
        ("every scale", rule("get", "core", "*/scale", ""), get("pods", "scale", "p"), true),
        ("every scale is no log", rule("get", "core", "*/scale", ""), get("pods", "log", "p"), false),
        ("one name", rule("get", "core", "pods", "p q"), get("pods", "", "q"), true),
        ("another name", rule("get", "core", "pods", "p q"), get("pods", "", "r"), false),
        ("no name at all", rule("get", "core", "pods", "p"), get("pods", "", ""), false),
        ("a path", paths("get", "/livez"), path("/livez"), true),
        ("below a path", paths("get", "/livez"), path("/livez/ping"), false),
        ("all below a path", paths("get", "/livez/*"), path("/livez/ping"), true),
        ("every path", paths("get", "*"), path("/metrics"), true),
        ("a resource is no path", rule("*", "*", "*", ""), path("/metrics"), false),
        ("a path is no resource", paths("*", "*"), get("pods", "", ""), false),
    ];
    for (what, rule, wanted, expected) in table {
        assert_eq!(rules::allows(&rule, &wanted), expected, "{what}");
    }
}

#[test]
fn what_is_missing_is_told_in_order() {
    let owned =
        [rule("get list", "core", "pods */scale", ""), rule("get", "core", "secrets", "a"), paths("get", "/a/*")];
    let wanted = [
        rule("get", "core", "pods pods/scale", ""),
        rule("get delete create", "core", "services", ""),
        rule("get", "core", "secrets", "a b"),
        rule("get", "core", "secrets", ""),
        paths("get", "/a/b /c"),
    ];
    assert_eq!(
        rules::print_missing(&rules::missing(&owned, &wanted)),
        [
            "{APIGroups:[\"\"], Resources:[\"secrets\"], ResourceNames:[\"b\"], Verbs:[\"get\"]}",
            "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}",
            "{APIGroups:[\"\"], Resources:[\"services\"], Verbs:[\"get\" \"delete\" \"create\"]}",
            "{NonResourceURLs:[\"/c\"], Verbs:[\"get\"]}",
        ]
    );
    assert!(rules::missing(&[rule("*", "*", "*", ""), paths("*", "*")], &wanted).is_empty());
}

#[test]
fn field_selectors_are_read() {
    let of = |field_selector| Attributes { field_selector, ..Attributes::default() };
    assert!(of("spec.nodeName=n1").selects("spec.nodeName", "n1"));
    assert!(of("status.phase!=Failed,spec.nodeName==n1").selects("spec.nodeName", "n1"));
    assert!(!of("spec.nodeName!=n1").selects("spec.nodeName", "n1"));
    assert!(!of("").selects("spec.nodeName", "n1"));
}

fn allowed(bindings: &Bindings, user: &User, namespace: &str) -> Vec<String> {
    let mut found = Vec::new();
    bindings.visit(user, namespace, |visited| {
        found.push(match visited {
            Visited::Rule(binding, rule) => format!("{} {}", rule.verbs.join(","), binding.describe(user)),
            Visited::Unknown(words) => words,
        });
        false
    });
    found
}

#[test]
fn bindings_come_and_go() {
    let mut all = Bindings::default();
    let role = |verb: &str| json!({ "rules": [{ "verbs": [verb], "apiGroups": [""], "resources": ["pods"] }] });
    let bind = |kind: &str, name: &str, subjects: serde_json::Value| json!({ "roleRef": { "kind": kind, "name": name }, "subjects": subjects });
    let bob = || User::authenticated("bob", ["dev".to_owned()]);
    let web = || User::authenticated("system:serviceaccount:shop:web", []);
    all.set(Of::ClusterRole, "", "view", Some(&role("get")));
    all.set(Of::Role, "shop", "local", Some(&role("list")));
    let users = json!([{ "kind": "User", "name": "bob" }, { "kind": "Group", "name": "dev" }]);
    all.set(Of::ClusterRoleBinding, "", "b", Some(&bind("ClusterRole", "view", users)));
    let accounts = json!([{ "kind": "ServiceAccount", "name": "web" }]);
    all.set(Of::RoleBinding, "shop", "c", Some(&bind("Role", "local", accounts.clone())));
    all.set(Of::RoleBinding, "shop", "d", Some(&bind("Role", "none", accounts.clone())));
    all.set(Of::ClusterRoleBinding, "", "e", Some(&bind("ClusterRole", "view", accounts)));
    let of_bob = "get ClusterRoleBinding \"b\" of ClusterRole \"view\" to User \"bob\"";
    assert_eq!(allowed(&all, &bob(), "shop"), [of_bob]);
    assert_eq!(allowed(&all, &bob(), ""), [of_bob]);
    let of_web = "list RoleBinding \"c/shop\" of Role \"local\" to ServiceAccount \"web/shop\"";
    let unknown = "role.rbac.authorization.k8s.io \"none\" not found";
    assert_eq!(allowed(&all, &web(), "shop"), [of_web, unknown]);
    assert!(allowed(&all, &web(), "other").is_empty());
    all.set(Of::RoleBinding, "shop", "c", Some(&bind("Role", "local", json!([]))));
    all.set(Of::ClusterRole, "", "view", None);
    assert_eq!(allowed(&all, &web(), "shop"), [unknown]);
    assert_eq!(allowed(&all, &bob(), ""), ["clusterrole.rbac.authorization.k8s.io \"view\" not found"]);
    all.clear(Of::RoleBinding);
    assert!(allowed(&all, &web(), "shop").is_empty());
    assert_eq!(allowed(&all, &bob(), "").len(), 1);
    all.clear(Of::ClusterRoleBinding);
    assert!(allowed(&all, &bob(), "").is_empty());
}

#[test]
fn the_table_of_defaults_is_read_whole() {
    let all = defaults::all();
    let count = |plural: &str| all.iter().filter(|given| given.plural == plural).count();
    // What Kubernetes 1.36 begins with, and of our own one for the whole cluster and one in each of two namespaces.
    assert_eq!((count("clusterroles"), count("clusterrolebindings")), (70, 51));
    assert_eq!((count("roles"), count("rolebindings")), (7 + 2, 7 + 2));
    for given in &all {
        let kind = kinds::registry::by_plural("rbac.authorization.k8s.io", "v1", given.plural).unwrap();
        let mut document = given.document.clone();
        kind.strategy.default(&mut document);
        let faults = kind.strategy.validate(&document);
        assert!(faults.is_empty(), "{}: {faults:?}", given.name);
    }
    let nodes = all.iter().find(|given| {
        (given.namespace, given.plural) == ("kube-system", "roles") && given.name == "portolan:load-balancers"
    });
    let secrets = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["portolan-load-balancer-bgp"] });
    assert_eq!(nodes.unwrap().document["rules"][1], secrets, "nodes read the passwords of BGP, and no other Secret");
    let admin = all.iter().find(|given| given.name == "cluster-admin" && given.plural == "clusterroles").unwrap();
    assert_eq!(
        admin.document["rules"],
        json!([{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }, { "verbs": ["*"], "nonResourceURLs": ["*"] }])
    );
}

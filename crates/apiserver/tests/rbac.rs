//! Roles, bindings, and what nodes may.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use apiserver::User;
use cluster::{Cluster, read};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn as_user(cluster: &Cluster, user: User, method: &str, path: &str, body: &Value) -> cluster::Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(Full::from(body.to_string())).unwrap();
    read(cluster.handler.acting_as(user).handle(request).await).await
}

fn bob() -> User {
    User::authenticated("bob", [])
}

fn role(kind: &str, name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": name }, "rules": rules,
    })
}

fn binding(kind: &str, name: &str, role: (&str, &str), user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1 },
        "subjects": [{ "kind": "User", "name": user }],
    })
}

#[tokio::test]
async fn a_role_counts_from_the_answer_on_and_until_it_is_gone() {
    let cluster = Cluster::start().await;
    let get = || as_user(&cluster, bob(), "GET", PODS, &Value::Null);
    assert_eq!(get().await.code, 403);
    let roles = format!("{RBAC}/namespaces/default/roles");
    let reads = json!([{ "verbs": ["list"], "apiGroups": [""], "resources": ["pods"] }]);
    cluster.post(&roles, &role("Role", "reader", &reads)).await.with(201);
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    cluster.post(&bindings, &binding("RoleBinding", "b", ("Role", "reader"), "bob")).await.with(201);
    assert_eq!(get().await.code, 200);
    assert_eq!(as_user(&cluster, bob(), "GET", "/api/v1/namespaces/kube-system/pods", &Value::Null).await.code, 403);
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "verb": "list", "resource": "pods", "namespace": "default" } },
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(
        as_user(&cluster, bob(), "POST", path, &review).await.with(201)["status"],
        json!({
            "allowed": true,
            "reason": "RBAC: allowed by RoleBinding \"b/default\" of Role \"reader\" to User \"bob\"",
        })
    );
    let rules = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": { "namespace": "default" },
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let mine = as_user(&cluster, bob(), "POST", path, &rules).await.with(201);
    assert!(mine["status"]["resourceRules"].as_array().unwrap().contains(&reads[0]), "{mine}");
    cluster.delete(&format!("{roles}/reader")).await.with(200);
    assert_eq!(
        get().await.message(),
        "pods is forbidden: User \"bob\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\": RBAC: \
         role.rbac.authorization.k8s.io \"reader\" not found"
    );
}

#[tokio::test]
async fn nobody_gives_away_more_than_they_have() {
    let cluster = Cluster::start().await;
    let roles = format!("{RBAC}/namespaces/default/roles");
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let writes = json!([
        { "verbs": ["create", "update"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"] },
        { "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] },
    ]);
    cluster.post(&roles, &role("Role", "writer", &writes)).await.with(201);
    cluster.post(&bindings, &binding("RoleBinding", "b", ("Role", "writer"), "bob")).await.with(201);
    let own = json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }]);
    as_user(&cluster, bob(), "POST", &roles, &role("Role", "own", &own)).await.with(201);
    let more = json!([{ "verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods", "secrets"] }]);
    let refused = as_user(&cluster, bob(), "POST", &roles, &role("Role", "more", &more)).await;
    assert_eq!(
        (refused.code, refused.message()),
        (
            403,
            "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"bob\" (groups=[\"system:authenticated\"]) is \
             attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}\n\
             {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"delete\"]}"
        )
    );
    let admin = binding("RoleBinding", "admin", ("ClusterRole", "cluster-admin"), "bob");
    assert_eq!(as_user(&cluster, bob(), "POST", &bindings, &admin).await.code, 403);
    let nothing = binding("RoleBinding", "n", ("ClusterRole", "none"), "bob");
    let refused = as_user(&cluster, bob(), "POST", &bindings, &nothing).await;
    assert_eq!((refused.code, refused.message()), (404, "clusterrole.rbac.authorization.k8s.io \"none\" not found"));
    let may_bind = json!([{
        "verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"],
        "resourceNames": ["cluster-admin"],
    }]);
    cluster.post(&roles, &role("Role", "binder", &may_bind)).await.with(201);
    cluster.post(&bindings, &binding("RoleBinding", "c", ("Role", "binder"), "bob")).await.with(201);
    as_user(&cluster, bob(), "POST", &bindings, &admin).await.with(201);
    assert_eq!(as_user(&cluster, bob(), "GET", "/api/v1/namespaces/default/secrets", &Value::Null).await.code, 200);
}

#[tokio::test]
async fn a_cluster_begins_with_kubernetes_roles_and_has_them_again_after_a_restart() {
    let cluster = Cluster::start().await;
    let view = cluster.get(&format!("{RBAC}/clusterroles/view")).await.with(200);
    let part = cluster.get(&format!("{RBAC}/clusterroles/system:aggregate-to-view")).await.with(200);
    assert_eq!(view["rules"], part["rules"], "gathered before anybody asks");
    assert_eq!(view["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
    cluster.delete(&format!("{RBAC}/clusterroles/system:discovery")).await.with(200);
    let mut admin = cluster.get(&format!("{RBAC}/clusterroles/cluster-admin")).await.with(200);
    admin["rules"] = json!([]);
    cluster.put(&format!("{RBAC}/clusterroles/cluster-admin"), &admin).await.with(200);
    let cluster = cluster.restart().await;
    cluster.get(&format!("{RBAC}/clusterroles/system:discovery")).await.with(200);
    let admin = cluster.get(&format!("{RBAC}/clusterroles/cluster-admin")).await.with(200);
    assert_eq!(admin["rules"][0], json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }));
}

fn node(name: &str) -> User {
    User::authenticated(format!("system:node:{name}"), ["system:nodes".to_owned()])
}

async fn make_pod(cluster: &Cluster, name: &str, node: &str) -> Value {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "nodeName": node,
            "containers": [{ "name": "c", "image": "x", "envFrom": [{ "secretRef": { "name": "needed" } }] }],
        },
    });
    cluster.post(PODS, &pod).await.with(201)
}

#[tokio::test]
async fn a_node_sees_what_its_pods_need() {
    let cluster = Cluster::start().await;
    cluster.have_default_account().await;
    for name in ["needed", "other"] {
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } });
        cluster.post("/api/v1/namespaces/default/secrets", &secret).await.with(201);
    }
    let code = |who: User, path: &'static str| {
        let cluster = &cluster;
        async move { as_user(cluster, who, "GET", path, &Value::Null).await.code }
    };
    assert_eq!(code(node("n1"), "/api/v1/namespaces/default/secrets/needed").await, 403);
    make_pod(&cluster, "p", "n1").await;
    assert_eq!(code(node("n1"), "/api/v1/namespaces/default/secrets/needed").await, 200);
    assert_eq!(code(node("n1"), "/api/v1/namespaces/default/secrets/other").await, 403);
    assert_eq!(code(node("n2"), "/api/v1/namespaces/default/secrets/needed").await, 403);
    assert_eq!(code(node("n1"), "/api/v1/namespaces/default/secrets").await, 403);
    assert_eq!(code(node("n1"), "/api/v1/namespaces/default/pods/p").await, 200);
    assert_eq!(code(node("n2"), "/api/v1/namespaces/default/pods/p").await, 403);
    let refused = as_user(&cluster, node("n2"), "GET", "/api/v1/namespaces/default/secrets/needed", &Value::Null).await;
    assert_eq!(
        refused.message(),
        "secrets \"needed\" is forbidden: User \"system:node:n2\" cannot get resource \"secrets\" in API group \"\" in the \
         namespace \"default\": no relationship found between node 'n2' and this object"
    );
}

#[tokio::test]
async fn a_node_writes_what_is_its_own() {
    let cluster = Cluster::start().await;
    cluster.have_default_account().await;
    let pod = make_pod(&cluster, "p", "n1").await;
    let status = json!({ "status": { "phase": "Running" } });
    let patch = |who: User, path: &str, patch: Value| {
        let cluster = &cluster;
        let request = Request::patch(path).header("content-type", "application/merge-patch+json");
        let request = request.body(Full::from(patch.to_string())).unwrap();
        async move { read(cluster.handler.acting_as(who).handle(request).await).await }
    };
    let path = "/api/v1/namespaces/default/pods/p/status";
    assert_eq!(
        patch(node("n2"), path, status.clone()).await.message(),
        "pods \"p\" is forbidden: node \"n2\" can only update pod status for pods with spec.nodeName set to itself"
    );
    patch(node("n1"), path, status).await.with(200);
    let own = |name: &str, labels: Value| json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels } });
    let fine = own("n1", json!({ "kubernetes.io/hostname": "n1", "acme.com/rack": "7" }));
    as_user(&cluster, node("n1"), "POST", "/api/v1/nodes", &fine).await.with(201);
    assert_eq!(
        as_user(&cluster, node("n1"), "POST", "/api/v1/nodes", &own("n3", json!({}))).await.message(),
        "nodes \"n3\" is forbidden: node \"n1\" is not allowed to modify node \"n3\""
    );
    let steering = own("n2", json!({ "node-role.kubernetes.io/control-plane": "" }));
    assert_eq!(
        as_user(&cluster, node("n2"), "POST", "/api/v1/nodes", &steering).await.message(),
        "nodes \"n2\" is forbidden: node \"n2\" is not allowed to set the following labels: \
         node-role.kubernetes.io/control-plane"
    );
    assert_eq!(
        patch(
            node("n1"),
            "/api/v1/nodes/n1",
            json!({ "spec": { "taints": [{ "key": "a", "effect": "NoSchedule" }] } })
        )
        .await
        .message(),
        "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints"
    );
    let lease = |name: &str| json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name }, "spec": {} });
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    as_user(&cluster, node("n1"), "POST", leases, &lease("n1")).await.with(201);
    as_user(&cluster, node("n1"), "POST", leases, &lease("portolan.n1")).await.with(201);
    assert_eq!(as_user(&cluster, node("n1"), "POST", leases, &lease("n2")).await.code, 403);
    // Those by which nodes share load balancers' addresses: another's sign of life may be ended, and nothing else of it.
    for (who, name) in [("n1", "portolan-lb-life.n1"), ("n1", "portolan-lb-claims.n1"), ("n1", "portolan-lb-report.n1")]
    {
        as_user(&cluster, node(who), "POST", leases, &lease(name)).await.with(201);
    }
    assert_eq!(as_user(&cluster, node("n1"), "POST", leases, &lease("portolan-lb-life.n2")).await.code, 403);
    let ended = json!({ "spec": { "holderIdentity": null } });
    for (name, code) in [("portolan-lb-life.n1", 200), ("portolan-lb-claims.n1", 403), ("portolan.n1", 403)] {
        let path = format!("{leases}/{name}");
        assert_eq!(patch(node("n2"), &path, ended.clone()).await.code, code, "{name}");
    }
    let token = |uid: &Value| {
        let bound = json!({ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid });
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "boundObjectRef": bound },
        })
    };
    let tokens = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let made = as_user(&cluster, node("n1"), "POST", tokens, &token(&pod["metadata"]["uid"])).await;
    // The Pod's own volume asks for a token for the API server.
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(as_user(&cluster, node("n2"), "POST", tokens, &token(&pod["metadata"]["uid"])).await.code, 403);
    let unbound = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    assert_eq!(
        as_user(&cluster, node("n1"), "POST", tokens, &unbound).await.message(),
        "serviceaccounts \"default\" is forbidden: node requested token not bound to a pod"
    );
    assert_eq!(as_user(&cluster, node("n2"), "DELETE", &format!("{PODS}/p"), &json!({})).await.code, 403);
    assert!(as_user(&cluster, node("n1"), "DELETE", &format!("{PODS}/p"), &json!({})).await.code < 300);
}

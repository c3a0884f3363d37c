//! Who may do what.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use apiserver::User;
use cluster::{CONFIG_MAPS, Cluster, read};
use http::Request;
use http_body_util::Full;
use serde_json::json;

async fn as_user(cluster: &Cluster, user: User, method: &str, path: &str, body: &str) -> cluster::Answer {
    let request = Request::builder().method(method).uri(path).body(Full::from(body.to_owned())).unwrap();
    read(cluster.handler.acting_as(user).handle(request).await).await
}

#[tokio::test]
async fn the_unknown_see_health_and_version_only() {
    let cluster = Cluster::start().await;
    for path in ["/livez", "/readyz", "/livez/ping", "/version"] {
        assert_eq!(as_user(&cluster, User::anonymous(), "GET", path, "").await.code, 200, "{path}");
    }
    let refused = as_user(&cluster, User::anonymous(), "GET", "/apis", "").await;
    assert_eq!(
        (refused.code, refused.message()),
        (403, "forbidden: User \"system:anonymous\" cannot get path \"/apis\"")
    );
    let refused = as_user(&cluster, User::anonymous(), "GET", "/api/v1/nodes/n", "").await;
    assert_eq!(
        refused.message(),
        "nodes \"n\" is forbidden: User \"system:anonymous\" cannot get resource \"nodes\" in API group \"\" at the cluster scope"
    );
}

#[tokio::test]
async fn a_known_user_without_rights_discovers_and_asks() {
    let cluster = Cluster::start().await;
    let bob = || User::authenticated("bob", []);
    for path in ["/api", "/apis", "/api/v1", "/apis/apps/v1"] {
        assert_ne!(as_user(&cluster, bob(), "GET", path, "").await.code, 403, "{path}");
    }
    let refused = as_user(&cluster, bob(), "GET", &format!("{CONFIG_MAPS}/c"), "").await;
    assert_eq!(
        refused.message(),
        "configmaps \"c\" is forbidden: User \"bob\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    assert_eq!(refused.body["details"], json!({ "name": "c", "kind": "configmaps" }));
    let refused = as_user(&cluster, bob(), "PUT", "/apis/apps/v1/namespaces/x/deployments/d/scale", "{}").await;
    assert_eq!(
        refused.message(),
        "deployments.apps \"d\" is forbidden: User \"bob\" cannot update resource \"deployments/scale\" in API group \
         \"apps\" in the namespace \"x\""
    );
}

#[tokio::test]
async fn nodes_do_what_nodes_do() {
    let cluster = Cluster::start().await;
    let node = || User::authenticated("system:node:n1", ["system:nodes".to_owned()]);
    let code = |method: &'static str, path: &'static str| {
        let cluster = &cluster;
        async move { as_user(cluster, node(), method, path, "{}").await.code }
    };
    assert_eq!(code("GET", "/api/v1/services").await, 200);
    assert_eq!(code("GET", "/apis/discovery.k8s.io/v1/endpointslices").await, 200);
    assert_eq!(code("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases").await, 200);
    assert_eq!(code("GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases").await, 403);
    assert_eq!(code("DELETE", "/api/v1/namespaces/default/services/kubernetes").await, 403);
    assert_eq!(code("POST", "/api/v1/namespaces/default/configmaps").await, 403);
}

#[tokio::test]
async fn access_reviews_say_what_would_be_allowed() {
    let cluster = Cluster::start().await;
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "verb": "list", "resource": "services", "namespace": "default" } },
    });
    let bob = as_user(&cluster, User::authenticated("bob", []), "POST", path, &review.to_string()).await.with(201);
    assert_eq!(bob["status"], json!({ "allowed": false }));
    assert_eq!(cluster.post(path, &review).await.with(201)["status"], json!({ "allowed": true }));
    let neither = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {} });
    assert_eq!(
        cluster.post(path, &neither).await.message(),
        "SelfSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: null: \
         exactly one of nonResourceAttributes or resourceAttributes must be specified"
    );
    let of_another = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": "system:node:n1", "groups": ["system:nodes"],
            "resourceAttributes": { "verb": "patch", "resource": "nodes", "subresource": "status", "name": "n1" },
        },
    });
    let answer = cluster.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &of_another).await.with(201);
    assert_eq!(answer["status"], json!({ "allowed": true }));
}

#[tokio::test]
async fn acting_as_somebody_else_takes_a_right() {
    let cluster = Cluster::start().await;
    let headers = [("impersonate-user", "bob"), ("impersonate-group", "system:nodes")];
    assert_eq!(cluster.send("GET", "/api/v1/services", &headers, "").await.code, 200);
    assert_eq!(cluster.send("GET", "/api/v1/services", &headers[..1], "").await.code, 403);
    let request = Request::get("/version").header("impersonate-user", "admin").body(Full::default()).unwrap();
    let bob = cluster.handler.acting_as(User::authenticated("bob", []));
    let refused: cluster::Answer = read(bob.handle::<Full<bytes::Bytes>>(request).await).await;
    assert_eq!(
        (refused.code, refused.message()),
        (
            403,
            "users \"admin\" is forbidden: User \"bob\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
        )
    );
}

#[tokio::test]
async fn tokens_are_issued_for_accounts_and_their_pods() {
    let cluster = Cluster::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "web" } });
    cluster.post(accounts, &account).await.with(201);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "serviceAccountName": "web", "containers": [{ "name": "c", "image": "x" }] },
    });
    let pod = cluster.post("/api/v1/namespaces/default/pods", &pod).await.with(201);
    let path = format!("{accounts}/web/token");
    let request = |spec: serde_json::Value| {
        let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
        let (cluster, path) = (&cluster, &path);
        async move { cluster.post(path, &request).await }
    };
    let bound = json!({ "kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"] });
    let made = request(json!({ "expirationSeconds": 3607, "boundObjectRef": bound })).await.with(201);
    assert_eq!(made["spec"]["audiences"], json!(["https://kubernetes.default.svc.cluster.local"]));
    assert_eq!(made["status"]["token"].as_str().unwrap().split('.').count(), 3);
    assert!(made["status"]["expirationTimestamp"].is_string());
    let short = request(json!({ "expirationSeconds": 5 })).await;
    assert_eq!(
        short.message(),
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a \
         duration less than 10 minutes"
    );
    let gone = json!({ "kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "another" });
    assert_eq!(request(json!({ "boundObjectRef": gone })).await.code, 409);
    let nowhere = json!({ "kind": "Pod", "apiVersion": "v1", "name": "q" });
    assert_eq!(request(json!({ "boundObjectRef": nowhere })).await.code, 404);
}

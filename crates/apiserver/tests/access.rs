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
    for path in ["/livez", "/readyz", "/version", "/version/"] {
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
    assert_eq!(code("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1").await, 404);
    assert_eq!(code("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/portolan.n1").await, 404);
    assert_eq!(code("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2").await, 403);
    assert_eq!(code("GET", "/apis/coordination.k8s.io/v1/namespaces/default/leases/n1").await, 403);
    assert_eq!(code("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await, 200);
    assert_eq!(code("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2").await, 403);
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
    let local = |namespace: &str| {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "LocalSubjectAccessReview",
            "spec": { "user": "bob", "resourceAttributes": { "verb": "get", "resource": "pods", "namespace": namespace } },
        })
    };
    let path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    assert_eq!(cluster.post(path, &local("default")).await.with(201)["status"], json!({ "allowed": false }));
    assert_eq!(
        cluster.post(path, &local("other")).await.message(),
        "LocalSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes.namespace: Invalid value: \
         \"other\": must match metadata.namespace"
    );
}

#[tokio::test]
async fn acting_as_somebody_else_takes_a_right() {
    let cluster = Cluster::start().await;
    let headers = [
        ("impersonate-user", "bob"),
        ("impersonate-group", "system:nodes"),
        ("impersonate-uid", "u1"),
        ("impersonate-extra-acme.com%2fproject", "some"),
    ];
    assert_eq!(cluster.send("GET", "/api/v1/services", &headers, "").await.code, 200);
    assert_eq!(cluster.send("GET", "/api/v1/services", &headers[..1], "").await.code, 403);
    assert_eq!(cluster.send("GET", "/api/v1/services", &headers[1..], "").await.code, 400);
    let whoami = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" }).to_string();
    let mut json_headers = headers.to_vec();
    json_headers.push(("content-type", "application/json"));
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let bob = cluster.send("POST", path, &json_headers, whoami).await.with(201);
    assert_eq!(
        bob["status"]["userInfo"],
        json!({
            "username": "bob", "uid": "u1", "groups": ["system:nodes", "system:authenticated"],
            "extra": { "acme.com/project": ["some"] },
        })
    );
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
    let of_web = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": { "serviceAccountName": "web", "containers": [{ "name": "c", "image": "x" }] },
        })
    };
    let pod = cluster.post("/api/v1/namespaces/default/pods", &of_web("p")).await.with(201);
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
    let token = made["status"]["token"].as_str().unwrap();
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = |token: &str, audiences: serde_json::Value| {
        let spec = json!({ "token": token, "audiences": audiences });
        let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec });
        let cluster = &cluster;
        async move { cluster.post(reviews, &review).await.with(201)["status"].clone() }
    };
    let status = review(token, json!([])).await;
    assert_eq!(status["authenticated"], true);
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:web");
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert_eq!(status["audiences"], json!(["https://kubernetes.default.svc.cluster.local"]));
    let status = review(token, json!(["vault"])).await;
    assert_eq!((status.get("authenticated"), status["user"].clone()), (None, json!({})));
    assert_eq!(
        status["error"],
        "[invalid bearer token, token audiences [\"https://kubernetes.default.svc.cluster.local\"] is invalid for the \
         target audiences [\"vault\"]]"
    );
    assert_eq!(review("nonsense", json!([])).await["error"], "invalid bearer token");
    cluster.delete_with("/api/v1/namespaces/default/pods/p", &json!({ "gracePeriodSeconds": 0 })).await.with(200);
    assert_eq!(
        review(token, json!([])).await["error"],
        "[invalid bearer token, service account token has been invalidated]"
    );
    cluster.post("/api/v1/namespaces/default/pods", &of_web("p")).await.with(201);
    let gone = json!({ "kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "another" });
    assert_eq!(request(json!({ "boundObjectRef": gone })).await.code, 409);
    let nowhere = json!({ "kind": "Pod", "apiVersion": "v1", "name": "q" });
    assert_eq!(request(json!({ "boundObjectRef": nowhere })).await.code, 404);
}

use super::*;

#[test]
fn paths_and_methods_say_what_is_asked() {
    // Method, path, watch, then: verb, group, version, namespace, resource, name, subresource.
    let cases = [
        ("GET", "/api/v1/pods", false, ["list", "", "v1", "", "pods", "", ""]),
        ("GET", "/api/v1/namespaces/a/pods", false, ["list", "", "v1", "a", "pods", "", ""]),
        ("GET", "/api/v1/namespaces/a/pods", true, ["watch", "", "v1", "a", "pods", "", ""]),
        ("GET", "/api/v1/namespaces/a/pods/p", false, ["get", "", "v1", "a", "pods", "p", ""]),
        ("GET", "/api/v1/namespaces/a/pods/p", true, ["get", "", "v1", "a", "pods", "p", ""]),
        ("GET", "/api/v1/watch/namespaces/a/pods/p", false, ["watch", "", "v1", "a", "pods", "p", ""]),
        ("GET", "/api/v1/watch/nodes", false, ["watch", "", "v1", "", "nodes", "", ""]),
        ("HEAD", "/api/v1/nodes/n", false, ["get", "", "v1", "", "nodes", "n", ""]),
        ("GET", "/api/v1/namespaces", false, ["list", "", "v1", "", "namespaces", "", ""]),
        ("GET", "/api/v1/namespaces/a", false, ["get", "", "v1", "a", "namespaces", "a", ""]),
        ("PUT", "/api/v1/namespaces/a/finalize", false, ["update", "", "v1", "a", "namespaces", "a", "finalize"]),
        ("PATCH", "/api/v1/namespaces/a/status", false, ["patch", "", "v1", "a", "namespaces", "a", "status"]),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", false, ["create", "apps", "v1", "a", "deployments", "", ""]),
        (
            "GET",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            false,
            ["get", "apps", "v1", "a", "deployments", "d", "scale"],
        ),
        ("DELETE", "/api/v1/namespaces/a/services", false, ["deletecollection", "", "v1", "a", "services", "", ""]),
        ("DELETE", "/api/v1/namespaces/a/services/s%2Ft", false, ["delete", "", "v1", "a", "services", "s/t", ""]),
    ];
    for (method, path, watch, want) in cases {
        let info = RequestInfo::parse(&method.parse().unwrap(), path, watch, None);
        assert!(info.is_resource, "{path}");
        let got =
            [info.verb, &info.group, &info.version, &info.namespace, &info.resource, &info.name, &info.subresource];
        assert_eq!(got, want, "{method} {path}");
    }
}

#[test]
fn other_paths_are_no_resources() {
    for path in ["/", "/api", "/api/v1", "/apis/apps/v1", "/version", "/openapi/v3/apis/apps/v1/x"] {
        let info = RequestInfo::parse(&Method::GET, path, true, None);
        assert_eq!((info.is_resource, info.verb, info.path.as_str()), (false, "get", path));
    }
}

#[test]
fn a_list_of_one_name_is_about_that_name() {
    let info = RequestInfo::parse(&Method::GET, "/api/v1/nodes", true, Some("n"));
    assert_eq!((info.verb, info.name.as_str()), ("watch", "n"));
}

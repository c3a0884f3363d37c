use http::{HeaderValue, Method};

use super::*;

fn request(method: &Method, path: &str, query: &str) -> Request {
    request_of(method, path, query, "application/merge-patch+json")
}

fn request_of(method: &Method, path: &str, query: &str, content_type: &'static str) -> Request {
    let query = Query::parse(Some(query));
    let info = RequestInfo::parse(method, path, query.flag("watch").unwrap_or_default(), None);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    Request::of(&info, &query, &headers)
}

#[test]
fn an_apply_is_told_by_the_type_of_its_body() {
    let verb = |query, content_type| request_of(&Method::PATCH, "/api/v1/nodes/n", query, content_type).verb;
    for apply in ["application/apply-patch+yaml", "application/apply-patch+yaml; charset=utf-8"] {
        assert_eq!((verb("fieldManager=m", apply), verb("force=true", apply)), ("APPLY", "APPLY"));
    }
    for patch in ["application/json-patch+json", "application/strategic-merge-patch+json"] {
        assert_eq!((verb("", patch), verb("force=true", patch)), ("PATCH", "PATCH"));
    }
}

#[test]
fn requests_have_kubernetes_labels_and_none_of_a_clients_choosing() {
    let get = Method::GET;
    let rows = [
        (&get, "/api/v1/namespaces/a/services/b", "", ["GET", "", "services", "", "resource"]),
        (&get, "/api/v1/namespaces/a/services", "watch=1", ["WATCH", "", "services", "", "namespace"]),
        (
            &get,
            "/apis/discovery.k8s.io/v1/endpointslices",
            "",
            ["LIST", "discovery.k8s.io", "endpointslices", "", "cluster"],
        ),
        (&Method::PATCH, "/api/v1/nodes/n/status", "", ["PATCH", "", "nodes", "status", "resource"]),
        (&Method::POST, "/api/v1/namespaces/a/pods/p/made-up", "", ["POST", "", "pods", "", "resource"]),
        (&get, "/apis/made.up/v1/things", "", ["LIST", "", "", "", ""]),
        (&get, "/made/up", "", ["GET", "", "", "", ""]),
    ];
    for (method, path, query, want) in rows {
        let r = request(method, path, query);
        assert_eq!([r.verb, r.group, r.resource, r.subresource, r.scope], want, "{method} {path}");
    }
}

#[test]
fn counters_are_called_what_their_values_are_called() {
    let metrics = Metrics::new();
    metrics.answered(&request(&Method::GET, "/api/v1/namespaces/a/services/b", ""), 404, Duration::from_millis(7));
    let working = metrics.working("create");
    let mut encoded = String::new();
    text::encode(&mut encoded, &metrics.registry.lock()).unwrap();
    let text = classic(&encoded);
    assert!(text.contains("# TYPE apiserver_request_total counter\n"), "{text}");
    let labels = r#"{code="404",verb="GET",group="",version="v1",resource="services",subresource="",scope="resource",component="apiserver",dry_run=""} 1"#;
    assert!(text.contains(&format!("apiserver_request_total{labels}\n")), "{text}");
    assert!(text.contains("apiserver_request_duration_seconds_bucket{le=\"0.025\""), "{text}");
    assert!(text.contains("apiserver_current_inflight_requests{request_kind=\"mutating\"} 1\n"), "{text}");
    assert!(!text.contains("EOF"));
    drop(working);
    encoded.clear();
    text::encode(&mut encoded, &metrics.registry.lock()).unwrap();
    assert!(encoded.contains("apiserver_current_inflight_requests{request_kind=\"mutating\"} 0\n"), "{encoded}");
}

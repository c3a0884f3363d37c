use super::*;

#[test]
fn the_answer_is_kube_proxys_to_the_byte() {
    let service = NamespacedName::new("shop", "web");
    let body = |answer: Answer| {
        use http_body_util::BodyExt as _;
        let bytes = answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let good = answer(&service, 3, true);
    assert_eq!(good.status(), StatusCode::OK);
    assert_eq!(good.headers()["content-type"], "application/json");
    assert_eq!(good.headers()["x-content-type-options"], "nosniff");
    assert_eq!(good.headers()["x-load-balancing-endpoint-weight"], "3");
    let golden = "{\n\t\"service\": {\n\t\t\"namespace\": \"shop\",\n\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 3,\n\t\"serviceProxyHealthy\": true\n}";
    assert_eq!(body(good), golden);
    for (endpoints, healthy) in [(0, true), (3, false), (0, false)] {
        let bad = answer(&service, endpoints, healthy);
        assert_eq!(bad.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(bad.headers()["x-load-balancing-endpoint-weight"], endpoints.to_string());
        let (old, new) = (r#""localEndpoints": 3"#, format!(r#""localEndpoints": {endpoints}"#));
        let (was, is) = (r#""serviceProxyHealthy": true"#, format!(r#""serviceProxyHealthy": {healthy}"#));
        assert_eq!(body(bad), golden.replace(old, &new).replace(was, &is));
    }
}

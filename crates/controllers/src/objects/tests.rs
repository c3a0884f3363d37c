use serde_json::json;

use super::*;

#[test]
fn a_quantity_reads_as_kubernetes_reads_it() {
    let rows: &[(&str, Option<i64>, Option<i64>)] = &[
        ("1", Some(1000), Some(1)),
        ("500m", Some(500), Some(1)),
        ("0.5", Some(500), Some(1)),
        ("1.5Gi", Some(1_610_612_736_000), Some(1_610_612_736)),
        ("128974848", Some(128_974_848_000), Some(128_974_848)),
        ("129e6", Some(129_000_000_000), Some(129_000_000)),
        ("129M", Some(129_000_000_000), Some(129_000_000)),
        ("123Mi", Some(128_974_848_000), Some(128_974_848)),
        ("100n", Some(1), Some(1)),
        ("0", Some(0), Some(0)),
        ("-1", Some(-1000), Some(-1)),
        ("+2k", Some(2_000_000), Some(2_000)),
        (".5", Some(500), Some(1)),
        ("8Ei", Some(i64::MAX), Some(i64::MAX)),
        ("4Ei", Some(i64::MAX), Some(4 << 60)),
        ("999999999999999999999999999999999999999999", Some(i64::MAX), Some(i64::MAX)),
        ("1e99", Some(i64::MAX), Some(i64::MAX)),
        ("", None, None),
        ("Gi", None, None),
        ("1Zi", None, None),
        ("1.2.3", None, None),
        ("1e", None, None),
        ("--1", None, None),
    ];
    for (text, milli, units) in rows {
        assert_eq!(quantity::milli(text), *milli, "milli of {text:?}");
        assert_eq!(quantity::units(text), *units, "units of {text:?}");
    }
}

#[test]
fn equal_documents_have_equal_text() {
    let a = Document::new(&json!({"b": [1, {"y": null, "x": "é\n"}], "a": {}, "n": null}));
    let b: Document = serde_json::from_str(r#"{"a":{},"b":[1,{"x":"é\u000a"}]}"#).unwrap();
    assert_eq!(a, b);
    assert_eq!(a.text(), r#"{"a":{},"b":[1,{"x":"é\n"}]}"#);
    assert_eq!(a.value(), json!({"a": {}, "b": [1, {"x": "é\n"}]}));
}

#[test]
fn a_template_is_equal_to_itself_with_the_hash() {
    let plain = Template::new(json!({"metadata": {"labels": {"app": "web"}}, "spec": {"unknown": 1}}));
    let hashed = Template::new(
        json!({"spec": {"unknown": 1}, "metadata": {"labels": {"app": "web", "pod-template-hash": "x"}}}),
    );
    assert_eq!(plain.document, hashed.document);
    assert_eq!(hashed.hash.as_deref(), Some("x"));
    assert_eq!(hashed.value()["metadata"]["labels"]["pod-template-hash"], "x");
    assert_eq!(hashed.labels().len(), 2);
}

use workload::Template;

#[test]
fn a_pod_is_read_with_what_it_asks_for_in_all() {
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "shop", "annotations": {
            "controller.kubernetes.io/pod-deletion-cost": "5", "other": "x"}},
        "spec": {
            "nodeName": "", "subdomain": "web", "hostname": "web-0", "tolerations": null,
            "overhead": {"cpu": "10m"},
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}},
                 "ports": [{"name": "metrics", "containerPort": 9090}]},
                {"name": "init", "resources": {"requests": {"cpu": "2", "memory": "1Mi"}},
                 "ports": [{"name": "never", "containerPort": 1}]}],
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi", "cpu": "1"}},
                 "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP", "hostPort": 8080}]},
                {"name": "b", "ports": [{"containerPort": 53, "protocol": "UDP"}]}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "containerStatuses": [{"restartCount": 2}, {"restartCount": 1}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }))
    .unwrap();
    let mut pod = pod;
    pod::slim(&mut pod);
    assert_eq!(pod.metadata.annotations.as_ref().unwrap().len(), 1);
    assert_eq!(pod.spec.requests.milli_cpu, 2110);
    assert_eq!(pod.spec.requests.memory, 1 << 30);
    assert_eq!(pod.spec.requests.pods, 1);
    let ports: Vec<_> = pod.spec.ports.iter().map(|p| (&*p.name, p.number, p.host_port)).collect();
    assert_eq!(ports, [("http", 80, Some(8080)), ("", 53, None), ("metrics", 9090, None)]);
    assert_eq!(pod.status.ips, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
    assert!(pod.ready() && pod.active() && pod.node_name().is_none() && pod.spec.scheduling.is_some());
    assert_eq!(pod.status.restarts, 2);
    let now = "2026-01-01T00:00:10Z".parse().unwrap();
    assert!(pod.available(10, now) && !pod.available(11, now));
}

#[test]
fn an_object_with_nothing_but_a_name_is_read() {
    let value = json!({"metadata": {"name": "x"}});
    serde_json::from_value::<Pod>(value.clone()).unwrap();
    serde_json::from_value::<Lease>(value.clone()).unwrap();
    let node: Node = serde_json::from_value(value).unwrap();
    assert!(node.ready().is_none() && node.zone().is_none());
}

#[test]
fn the_views_have_the_names_of_their_kinds() {
    use kube::Resource;
    assert_eq!(Pod::url_path(&(), Some("shop")), "/api/v1/namespaces/shop/pods");
    assert_eq!(ReplicaSet::url_path(&(), None), "/apis/apps/v1/replicasets");
    assert_eq!(Lease::url_path(&(), None), "/apis/coordination.k8s.io/v1/leases");
}

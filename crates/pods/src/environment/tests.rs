use serde_json::json;

use super::*;
use crate::sources::ServicePort;

fn facts() -> Facts {
    Facts {
        pod_ip: "10.244.1.7".into(),
        host_ip: "172.30.0.2".into(),
        node_name: "node-1".into(),
        cpus: 2,
        memory: 8 << 30,
    }
}

fn service(namespace: &str, name: &str, ip: &str, ports: &[(&str, &str, u16)]) -> ServiceAddress {
    let port = |(name, protocol, port): &(&str, &str, u16)| ServicePort {
        name: (*name).into(),
        protocol: (*protocol).into(),
        port: *port,
    };
    let ports = ports.iter().map(port).collect();
    ServiceAddress { namespace: namespace.into(), name: name.into(), cluster_ip: ip.parse().unwrap(), ports }
}

fn services() -> Vec<ServiceAddress> {
    vec![
        service("shop", "my-web", "10.96.1.1", &[("http", "TCP", 80), ("dns", "UDP", 53)]),
        service("default", "kubernetes", "10.96.0.1", &[("https", "TCP", 443)]),
        service("default", "other", "10.96.1.2", &[("", "TCP", 1)]),
    ]
}

fn pod(links: bool, container: serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "web-0", "namespace": "shop", "uid": "u1",
            "labels": {"app": "web", "a": "q\"uote\n"}, "annotations": {"x/y": "z"}
        },
        "spec": {"enableServiceLinks": links, "serviceAccountName": "default", "containers": [container]}
    }))
    .unwrap()
}

fn objects() -> Objects {
    let config = serde_json::from_value(json!({"metadata": {"name": "cm"}, "data": {"k": "v", "a=b": "no"}})).unwrap();
    let secret = serde_json::from_value(json!({"metadata": {"name": "s"}, "data": {"p": "aHVudGVy", "b": "/w=="}}));
    Objects::of("shop", vec![config], vec![secret.unwrap()])
}

fn run(links: bool, container: serde_json::Value) -> Result<Vec<(String, String)>, EnvironmentError> {
    let pod = pod(links, container);
    of(&pod.spec.as_ref().unwrap().containers[0], &pod, &facts(), &objects(), &services())
}

fn get<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

#[test]
fn values_in_order_with_references() {
    let env = run(false, json!({"name": "c",
        "envFrom": [{"configMapRef": {"name": "cm"}, "prefix": "P_"}, {"secretRef": {"name": "gone", "optional": true}}],
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(P_k)-$(NOPE)-$(KUBERNETES_SERVICE_HOST)"},
            {"name": "A", "value": "2"},
            {"name": "EMPTY"},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
            {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "x", "optional": true}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}}
        ],
        "resources": {"limits": {"memory": "64Mi"}}
    }))
    .unwrap();
    let want = [
        ("P_k", Some("v")),
        ("P_a=b", None),
        ("A", Some("2")),
        ("B", Some("1-v-$(NOPE)-10.96.0.1")),
        ("EMPTY", Some("")),
        ("SECRET", Some("hunter")),
        ("GONE", None),
        ("IP", Some("10.244.1.7")),
        ("APP", Some("web")),
        ("CPU", Some("2000")),
        ("MEM", Some("64")),
    ];
    for (name, value) in want {
        assert_eq!(get(&env, name), value, "{name}");
    }
    assert_eq!(env[0].0, "P_k");
    assert_eq!(env[1].0, "A");
}

#[test]
fn services_as_variables() {
    let env = run(true, json!({"name": "c", "env": [{"name": "MY_WEB_SERVICE_PORT", "value": "mine"}]})).unwrap();
    let want = [
        ("MY_WEB_SERVICE_HOST", Some("10.96.1.1")),
        ("MY_WEB_SERVICE_PORT", Some("mine")),
        ("MY_WEB_SERVICE_PORT_HTTP", Some("80")),
        ("MY_WEB_SERVICE_PORT_DNS", Some("53")),
        ("MY_WEB_PORT", Some("tcp://10.96.1.1:80")),
        ("MY_WEB_PORT_53_UDP", Some("udp://10.96.1.1:53")),
        ("MY_WEB_PORT_80_TCP_PROTO", Some("tcp")),
        ("MY_WEB_PORT_80_TCP_PORT", Some("80")),
        ("MY_WEB_PORT_80_TCP_ADDR", Some("10.96.1.1")),
        ("KUBERNETES_SERVICE_PORT", Some("443")),
        ("OTHER_SERVICE_HOST", None),
    ];
    for (name, value) in want {
        assert_eq!(get(&env, name), value, "{name}");
    }
    let without = run(false, json!({"name": "c"})).unwrap();
    assert_eq!(get(&without, "MY_WEB_SERVICE_HOST"), None);
    assert_eq!(get(&without, "KUBERNETES_SERVICE_HOST"), Some("10.96.0.1"));
}

#[test]
fn what_has_to_be_there() {
    let key = |kind: &str, name: &str, key: &str| json!({"name": "c", "env": [{"name": "A", "valueFrom": {kind: {"name": name, "key": key}}}]});
    let field =
        |path: &str| json!({"name": "c", "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}]});
    let cases = [
        (key("configMapKeyRef", "nope", "k"), "configmap \"nope\" not found"),
        (key("configMapKeyRef", "cm", "nope"), "couldn't find key nope in ConfigMap shop/cm"),
        (key("secretKeyRef", "nope", "k"), "secret \"nope\" not found"),
        (key("secretKeyRef", "s", "b"), "the value of b is not UTF-8"),
        (json!({"name": "c", "envFrom": [{"secretRef": {"name": "nope"}}]}), "secret \"nope\" not found"),
        (field("spec.containers"), "unsupported field \"spec.containers\""),
    ];
    for (container, message) in cases {
        assert_eq!(run(true, container).unwrap_err().to_string(), message);
    }
}

#[test]
fn labels_as_a_file_has_them() {
    let pod = pod(true, json!({"name": "c"}));
    assert_eq!(fields::of_pod(&pod, &facts(), "metadata.labels").unwrap(), "a=\"q\\\"uote\\n\"\napp=\"web\"");
    assert_eq!(fields::of_pod(&pod, &facts(), "metadata.annotations['x/y']").unwrap(), "z");
    assert_eq!(fields::of_pod(&pod, &facts(), "metadata.owner['x']"), None);
}

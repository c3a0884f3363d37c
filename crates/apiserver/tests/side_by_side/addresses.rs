//! ServiceCIDRs and IPAddresses, and what of them Services are given.

use serde_json::{Value, json};

use crate::case::{Case, SERVICES, merged, path, service};

const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const IPS: &str = "/apis/networking.k8s.io/v1/ipaddresses";

fn cidr(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": { "name": name }, "spec": spec,
    })
}

fn ip(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": { "name": name }, "spec": spec })
}

fn ranges() -> Vec<Case> {
    let specs = [
        json!({}),
        json!(null),
        json!({ "cidrs": [] }),
        json!({ "cidrs": ["192.168.0.0/24"] }),
        json!({ "cidrs": ["192.168.0.0/24", "2001:db8::/64"] }),
        json!({ "cidrs": ["2001:db8::/64", "192.168.0.0/24"] }),
        json!({ "cidrs": ["192.168.0.0/24", "192.168.1.0/24"] }),
        json!({ "cidrs": ["2001:db8::/64", "2001:db8:1::/64"] }),
        json!({ "cidrs": ["192.168.0.0/24", "2001:db8::/64", "192.168.1.0/24"] }),
        json!({ "cidrs": ["192.168.0.1/24"] }),
        json!({ "cidrs": ["192.168.000.0/24"] }),
        json!({ "cidrs": ["192.168.0.0"] }),
        json!({ "cidrs": ["192.168.0.0/33"] }),
        json!({ "cidrs": ["192.168.0.0/30"] }),
        json!({ "cidrs": ["192.168.0.0/31"] }),
        json!({ "cidrs": ["192.168.0.0/32"] }),
        json!({ "cidrs": ["2001:db8::/48"] }),
        json!({ "cidrs": ["2001:db8::/63"] }),
        json!({ "cidrs": ["2001:db8::/128"] }),
        json!({ "cidrs": ["2001:DB8::/64"] }),
        json!({ "cidrs": ["2001:db8:0::/64"] }),
        json!({ "cidrs": ["::ffff:192.168.0.0/120"] }),
        json!({ "cidrs": ["0.0.0.0/0"] }),
        json!({ "cidrs": ["127.0.0.0/8"] }),
        json!({ "cidrs": [""] }),
        json!({ "cidrs": ["192.168.0.0/24", ""] }),
        json!({ "cidrs": "192.168.0.0/24" }),
    ];
    let mut cases = Vec::new();
    for spec in &specs {
        cases.push(Case::new(format!("range {spec}")).post(CIDRS, &cidr("r", spec)).get(format!("{CIDRS}/r")));
        for first in [json!({ "cidrs": ["192.168.0.0/24"] }), json!({ "cidrs": ["192.168.0.0/24", "2001:db8::/64"] })] {
            // Of a list without elements and of none, only Kubernetes' words differ.
            if *spec == json!({ "cidrs": [] }) {
                continue;
            }
            let case = Case::new(format!("range {first} then {spec}")).post(CIDRS, &cidr("r", &first));
            cases.push(match cases.len() % 2 {
                0 => case.put(format!("{CIDRS}/r"), &cidr("r", spec)),
                _ => case.merge(format!("{CIDRS}/r"), &json!({ "spec": spec })),
            });
        }
    }
    let condition = json!({ "type": "Ready", "status": "False", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z" });
    for conditions in [
        json!([condition]),
        json!([condition, condition]),
        json!([merged([&condition, &json!({ "status": "Maybe" })])]),
        json!([merged([&condition, &json!({ "type": "" })])]),
        json!([merged([&condition, &json!({ "reason": "not good" })])]),
    ] {
        cases.push(
            Case::new(format!("conditions of a range {conditions}"))
                .post(CIDRS, &cidr("r", &json!({ "cidrs": ["192.168.0.0/24"] })))
                .merge(format!("{CIDRS}/r/status"), &json!({ "status": { "conditions": conditions } }))
                .get(format!("{CIDRS}/r")),
        );
    }
    for name in ["Not Good", "", "a.b"] {
        let spec = json!({ "cidrs": ["192.168.0.0/24"] });
        cases.push(Case::new(format!("range named {name:?}")).post(CIDRS, &cidr(name, &spec)));
    }
    cases
}

fn addresses() -> Vec<Case> {
    let parent = json!({ "resource": "services", "namespace": "default", "name": "x" });
    let good = json!({ "parentRef": parent });
    let mut cases = Vec::new();
    for name in [
        "192.168.3.1",
        "2001:db8::7",
        "2001:DB8::7",
        "2001:db8:0::7",
        "010.0.0.1",
        "::ffff:10.0.0.1",
        "host",
        "10.96.0.77",
        "fd00:96::77",
        "",
    ] {
        cases.push(Case::new(format!("address {name:?}")).post(IPS, &ip(name, &good)));
    }
    let parents = [
        json!({}),
        json!(null),
        json!({ "parentRef": null }),
        json!({ "parentRef": {} }),
        json!({ "parentRef": { "resource": "services" } }),
        json!({ "parentRef": { "name": "x" } }),
        json!({ "parentRef": { "resource": "a/b", "name": "%", "namespace": "..", "group": "Not Good" } }),
        json!({ "parentRef": { "resource": "gateways", "name": "x", "group": "example.com" } }),
    ];
    for spec in &parents {
        cases.push(Case::new(format!("address of {spec}")).post(IPS, &ip("192.168.3.1", spec)));
        cases.push(
            Case::new(format!("address then of {spec}"))
                .post(IPS, &ip("192.168.3.1", &good))
                .put(format!("{IPS}/192.168.3.1"), &ip("192.168.3.1", spec))
                .merge(format!("{IPS}/192.168.3.1"), &json!({ "spec": spec }))
                .merge(format!("{IPS}/192.168.3.1"), &json!({ "metadata": { "labels": { "a": "b" } } })),
        );
    }
    cases
}

/// What goes with a Service, and what the cluster has of its own. Of the `IPAddress` objects that a Service takes and gives
/// back there is nothing to compare: Kubernetes writes them one by one, leaves one behind when the second is refused, and
/// its repair loop mends that some time later.
fn given() -> Vec<Case> {
    vec![
        Case::new("endpoints go with their Service")
            .post(SERVICES, &service(&json!({})))
            .post(
                "/api/v1/namespaces/default/endpoints",
                &json!({ "apiVersion": "v1", "kind": "Endpoints", "metadata": { "name": "s" } }),
            )
            .delete(path())
            .get("/api/v1/namespaces/default/endpoints/s"),
        Case::new("the Service of the API").get(format!("{SERVICES}/kubernetes")),
    ]
}

pub fn all() -> Vec<Case> {
    ranges().into_iter().chain(addresses()).chain(given()).collect()
}

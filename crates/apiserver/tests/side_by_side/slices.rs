//! EndpointSlices and Endpoints: addresses, ports, hints, conditions, changes.

use serde_json::{Value, json};

use crate::case::{Case, merged};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints";

fn slice(parts: &[&Value]) -> Value {
    let base = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": { "name": "e" }, "addressType": "IPv4",
        "endpoints": [], "ports": [],
    });
    merged([&base].into_iter().chain(parts.iter().copied()))
}

fn endpoints_lists() -> Vec<Value> {
    let one = |endpoint: Value| json!({ "endpoints": [endpoint] });
    let address = |address: &str| one(json!({ "addresses": [address] }));
    let mut all: Vec<Value> = [
        "10.0.0.1",
        "2001:db8::1",
        "2001:DB8::1",
        "example.com",
        "Example",
        "010.0.0.1",
        "::ffff:10.0.0.1",
        "127.0.0.1",
        "::1",
        "169.254.1.1",
        "224.0.0.1",
        "0.0.0.0",
        "",
        "a..b",
        "fe80::1",
    ]
    .map(address)
    .into();
    let with = |part: Value| one(merged([&json!({ "addresses": ["10.0.0.1"] }), &part]));
    all.extend([
        one(json!({})),
        one(json!({ "addresses": [] })),
        one(json!({ "addresses": (0..101).map(|i| format!("10.0.0.{i}")).collect::<Vec<_>>() })),
        json!({ "endpoints": (0..1001).map(|i| json!({ "addresses": [format!("10.0.{}.{}", i / 250, i % 250 + 1)] })).collect::<Vec<_>>() }),
        json!({ "endpoints": null }),
        json!({ "endpoints": [{ "addresses": ["10.0.0.1"] }, { "addresses": ["10.0.0.1"] }] }),
        with(json!({ "nodeName": "Node" })),
        with(json!({ "nodeName": "n1", "zone": "z", "hostname": "h" })),
        with(json!({ "hostname": "Not.Good" })),
        with(json!({ "zone": "not good" })),
        with(json!({ "conditions": { "ready": true, "serving": false, "terminating": true } })),
        with(json!({ "conditions": { "ready": null } })),
        with(json!({ "conditions": { "ready": "yes" } })),
        with(json!({ "deprecatedTopology": { "a": "b" } })),
        with(json!({ "targetRef": { "kind": "Pod", "name": "p", "namespace": "default" } })),
        with(json!({ "hints": { "forZones": [{ "name": "z" }] } })),
        with(json!({ "hints": { "forZones": [{ "name": "z" }, { "name": "z" }] } })),
        with(json!({ "hints": { "forZones": [{ "name": "not good" }] } })),
        with(json!({ "hints": { "forZones": [{ "name": "" }] } })),
        with(json!({ "hints": { "forNodes": [{ "name": "Node" }] } })),
        with(json!({ "hints": { "forNodes": [{ "name": "n" }, { "name": "n" }], "forZones": [{ "name": "z" }] } })),
        with(json!({ "hints": { "forZones": (0..9).map(|i| json!({ "name": format!("z{i}") })).collect::<Vec<_>>() } })),
        with(json!({ "hints": {} })),
    ]);
    all
}

fn ports() -> Vec<Value> {
    let one = |port: Value| json!({ "ports": [port] });
    vec![
        json!({ "ports": null }),
        one(json!({})),
        one(json!({ "port": 80 })),
        one(json!({ "name": "", "port": 0, "protocol": "" })),
        one(json!({ "name": "Http", "port": 80 })),
        one(json!({ "name": "a", "port": 70_000 })),
        one(json!({ "name": "a", "port": -1 })),
        one(json!({ "name": "a", "port": 80, "protocol": "ICMP" })),
        one(json!({ "name": "a", "port": 80, "appProtocol": "x/y/z" })),
        one(json!({ "name": "a", "port": 80, "appProtocol": "" })),
        json!({ "ports": [{ "name": "a", "port": 80 }, { "name": "a", "port": 81 }] }),
        json!({ "ports": [{ "port": 80 }, { "port": 81 }] }),
        json!({ "ports": [{ "name": "a", "port": 80 }, { "name": "b", "port": 80 }] }),
    ]
}

fn new_slices() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in ["IPv4", "IPv6", "FQDN", "IP", ""] {
        let kind = json!({ "addressType": kind });
        for part in endpoints_lists().iter().chain(&ports()) {
            let object = slice(&[&kind, part]);
            let mut name = part.to_string();
            name.truncate(200);
            cases.push(Case::new(format!("slice {kind} {name}")).post(SLICES, &object));
        }
    }
    for metadata in [
        json!({ "name": "e", "labels": { "kubernetes.io/service-name": "Not Good" } }),
        json!({ "name": "e", "labels": { "endpointslice.kubernetes.io/managed-by": "me" } }),
        json!({ "name": "Not.Good" }),
        json!({ "generateName": "" }),
        json!({ "name": "e.f" }),
    ] {
        cases.push(Case::new(format!("slice {metadata}")).post(SLICES, &slice(&[&json!({ "metadata": metadata })])));
    }
    cases
}

fn changed_slices() -> Vec<Case> {
    let path = || format!("{SLICES}/e");
    let full = slice(&[&json!({
        "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": { "ready": true }, "nodeName": "n" }],
        "ports": [{ "name": "a", "port": 80 }],
    })]);
    let mut cases = Vec::new();
    let mut changes = endpoints_lists();
    changes.extend(ports());
    changes.extend([
        json!({ "addressType": "IPv6" }),
        json!({ "addressType": null }),
        json!({ "metadata": { "labels": { "a": "b" } } }),
        json!({ "metadata": { "annotations": { "a": "b" } } }),
    ]);
    for change in changes {
        let mut name = change.to_string();
        name.truncate(200);
        let case = Case::new(format!("slice then {name}")).post(SLICES, &full);
        cases.push(match cases.len() % 3 {
            0 => case.merge(path(), &change).get(path()),
            1 => case.strategic(path(), &change).merge(path(), &json!({ "endpoints": [] })),
            _ => {
                let mut sent = merged([&full, &change]);
                sent["metadata"]["name"] = "e".into();
                case.put(path(), &sent)
            }
        });
    }
    let applied = |name: &str| format!("{SLICES}/e?fieldManager={name}");
    for other in [json!([{ "addresses": ["10.0.0.2"] }]), json!([{ "addresses": ["10.0.0.1"], "nodeName": "m" }])] {
        let second = slice(&[&json!({ "endpoints": other, "ports": [{ "name": "a", "port": 81 }] })]);
        cases.push(
            Case::new(format!("slice applied over {other}"))
                .apply(applied("one"), &full)
                .apply(applied("two"), &second)
                .apply(format!("{}&force=true", applied("two")), &second)
                .get(path()),
        );
    }
    cases
}

fn endpoints() -> Vec<Case> {
    let object = |subsets: &Value| json!({ "apiVersion": "v1", "kind": "Endpoints", "metadata": { "name": "e" }, "subsets": subsets });
    let path = || format!("{ENDPOINTS}/e");
    let address = |address: &str| json!([{ "addresses": [{ "ip": address }], "ports": [{ "port": 80 }] }]);
    let mut all: Vec<Value> = [
        "10.0.0.1",
        "2001:db8::1",
        "2001:DB8::1",
        "example.com",
        "010.0.0.1",
        "::ffff:10.0.0.1",
        "127.0.0.1",
        "::1",
        "169.254.1.1",
        "224.0.0.1",
        "0.0.0.0",
        "",
    ]
    .map(address)
    .into();
    let with = |ports: Value| json!([{ "addresses": [{ "ip": "10.0.0.1" }], "ports": ports }]);
    let of = |address: Value| json!([{ "addresses": [merged([&json!({ "ip": "10.0.0.1" }), &address])] }]);
    all.extend([
        json!([]),
        json!(null),
        json!([{}]),
        json!([{ "addresses": [], "notReadyAddresses": [] }]),
        json!([{ "notReadyAddresses": [{ "ip": "10.0.0.1" }] }]),
        json!([{ "addresses": [{ "ip": "10.0.0.2" }, { "ip": "10.0.0.1" }], "ports": [{ "name": "b", "port": 2 }, { "name": "a", "port": 1 }] }]),
        json!([{ "addresses": [{ "ip": "10.0.0.1" }] }, { "addresses": [{ "ip": "10.0.0.1" }] }]),
        with(json!([])),
        with(json!([{}])),
        with(json!([{ "port": 0 }])),
        with(json!([{ "port": 70_000 }])),
        with(json!([{ "port": 80, "protocol": "icmp" }])),
        with(json!([{ "port": 80, "protocol": "" }])),
        with(json!([{ "port": 80, "name": "Not.Good" }])),
        with(json!([{ "port": 80 }, { "port": 81 }])),
        with(json!([{ "port": 80, "appProtocol": "a/b/c" }])),
        of(json!({ "hostname": "Not.Good" })),
        of(json!({ "nodeName": "Not Good" })),
        of(json!({ "hostname": "h", "nodeName": "n" })),
    ]);
    let mut cases = Vec::new();
    for subsets in &all {
        cases.push(Case::new(format!("endpoints {subsets}")).post(ENDPOINTS, &object(subsets)).get(path()));
        let case = Case::new(format!("endpoints then {subsets}")).post(ENDPOINTS, &object(&all[0]));
        cases.push(match cases.len() % 4 {
            1 => case.put(path(), &object(subsets)),
            _ => case.merge(path(), &json!({ "subsets": subsets })),
        });
    }
    cases
}

pub fn all() -> Vec<Case> {
    new_slices().into_iter().chain(changed_slices()).chain(endpoints()).collect()
}

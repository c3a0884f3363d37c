//! The other rules of a Service: ports, policies, affinity, load balancers, metadata; changes, patches and apply.

use serde_json::{Value, json};

use crate::case::{Case, SERVICES, merged, path, service};

/// The types, each as little as it can be.
fn types() -> Vec<Value> {
    vec![
        json!({}),
        json!({ "type": "NodePort" }),
        json!({ "type": "LoadBalancer" }),
        json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" }),
        json!({ "type": "ExternalName", "externalName": "example.com" }),
        json!({ "clusterIP": "None" }),
        json!({ "externalIPs": ["192.0.2.7"] }),
    ]
}

fn ports() -> Vec<Value> {
    let one = |port: Value| json!({ "ports": [port] });
    let two = |a: Value, b: Value| json!({ "ports": [a, b] });
    vec![
        json!({ "ports": [] }),
        json!({ "ports": null }),
        one(json!({})),
        one(json!({ "port": 0 })),
        one(json!({ "port": 65_536 })),
        one(json!({ "port": -1 })),
        one(json!({ "port": "80" })),
        one(json!({ "port": 80.5 })),
        one(json!({ "port": 80, "protocol": "udp" })),
        one(json!({ "port": 80, "protocol": "SCTP" })),
        one(json!({ "port": 80, "protocol": "" })),
        one(json!({ "port": 80, "name": "Web" })),
        one(json!({ "port": 80, "name": "web", "targetPort": "http" })),
        one(json!({ "port": 80, "targetPort": "a-name-that-is-too-long" })),
        one(json!({ "port": 80, "targetPort": "a--b" })),
        one(json!({ "port": 80, "targetPort": "8080" })),
        one(json!({ "port": 80, "targetPort": "" })),
        one(json!({ "port": 80, "targetPort": 0 })),
        one(json!({ "port": 80, "targetPort": 70_000 })),
        one(json!({ "port": 80, "targetPort": -1 })),
        one(json!({ "port": 80, "appProtocol": "kubernetes.io/h2c" })),
        one(json!({ "port": 80, "appProtocol": "no good/one/" })),
        one(json!({ "port": 80, "appProtocol": "" })),
        one(json!({ "port": 80, "nodePort": 30_001 })),
        one(json!({ "port": 80, "nodePort": 80 })),
        one(json!({ "port": 80, "nodePort": 29_999 })),
        one(json!({ "port": 80, "nodePort": 32_768 })),
        one(json!({ "port": 80, "nodePort": -1 })),
        one(json!({ "port": 80, "nodePort": 70_000 })),
        two(json!({ "port": 80 }), json!({ "port": 81 })),
        two(json!({ "port": 80, "name": "a" }), json!({ "port": 81, "name": "a" })),
        two(json!({ "port": 80, "name": "a" }), json!({ "port": 80, "name": "b" })),
        two(json!({ "port": 80, "name": "a" }), json!({ "port": 80, "name": "b", "protocol": "UDP" })),
        two(
            json!({ "port": 80, "name": "a", "nodePort": 30_001 }),
            json!({ "port": 80, "name": "b", "protocol": "UDP" }),
        ),
        two(
            json!({ "port": 80, "name": "a" }),
            json!({ "port": 80, "name": "b", "protocol": "UDP", "nodePort": 30_001 }),
        ),
        two(
            json!({ "port": 80, "name": "a", "nodePort": 30_001 }),
            json!({ "port": 80, "name": "b", "protocol": "UDP", "nodePort": 30_002 }),
        ),
        two(
            json!({ "port": 80, "name": "a", "nodePort": 30_001 }),
            json!({ "port": 81, "name": "b", "protocol": "UDP", "nodePort": 30_001 }),
        ),
        two(
            json!({ "port": 80, "name": "a", "nodePort": 30_001 }),
            json!({ "port": 81, "name": "b", "nodePort": 30_001 }),
        ),
        two(
            json!({ "port": 80, "name": "a", "nodePort": 30_001 }),
            json!({ "port": 80, "name": "b", "protocol": "UDP", "nodePort": 30_001 }),
        ),
    ]
}

fn affinity() -> Vec<Value> {
    let with = |config: Value| json!({ "sessionAffinity": "ClientIP", "sessionAffinityConfig": config });
    vec![
        json!({ "sessionAffinity": "ClientIP" }),
        json!({ "sessionAffinity": "Cookie" }),
        json!({ "sessionAffinity": "" }),
        json!({ "sessionAffinity": "None", "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 7 } } }),
        json!({ "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 7 } } }),
        with(json!({})),
        with(json!({ "clientIP": {} })),
        with(json!({ "clientIP": { "timeoutSeconds": 0 } })),
        with(json!({ "clientIP": { "timeoutSeconds": -1 } })),
        with(json!({ "clientIP": { "timeoutSeconds": 86_400 } })),
        with(json!({ "clientIP": { "timeoutSeconds": 86_401 } })),
        json!({ "sessionAffinity": "Cookie", "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 0 } } }),
    ]
}

fn policies() -> Vec<Value> {
    let mut all = Vec::new();
    for field in ["externalTrafficPolicy", "internalTrafficPolicy"] {
        all.extend(["Cluster", "Local", "Global", ""].map(|policy| json!({ (field): policy })));
    }
    let distributions = ["PreferClose", "PreferSameZone", "PreferSameNode", "Auto", ""];
    all.extend(distributions.map(|distribution| json!({ "trafficDistribution": distribution })));
    all.extend([
        json!({ "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local" }),
        json!({ "healthCheckNodePort": 30_002 }),
        json!({ "healthCheckNodePort": 80 }),
        json!({ "healthCheckNodePort": -1 }),
        json!({ "healthCheckNodePort": 70_000 }),
        json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": 30_002 }),
        json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": 30_002,
            "ports": [{ "port": 80, "nodePort": 30_002 }] }),
        json!({ "publishNotReadyAddresses": true }),
        json!({ "publishNotReadyAddresses": "yes" }),
    ]);
    all
}

fn load_balancers() -> Vec<Value> {
    vec![
        json!({ "allocateLoadBalancerNodePorts": false }),
        json!({ "allocateLoadBalancerNodePorts": true }),
        json!({ "allocateLoadBalancerNodePorts": null }),
        json!({ "allocateLoadBalancerNodePorts": false, "ports": [{ "port": 80, "nodePort": 30_001 }] }),
        json!({ "loadBalancerClass": "example.com/lb" }),
        json!({ "loadBalancerClass": "a/b/c" }),
        json!({ "loadBalancerClass": "" }),
        json!({ "loadBalancerIP": "192.0.2.1" }),
        json!({ "loadBalancerIP": "nowhere" }),
        json!({ "loadBalancerIP": "010.0.0.1" }),
        json!({ "loadBalancerSourceRanges": ["10.0.0.0/8"] }),
        json!({ "loadBalancerSourceRanges": [" 10.0.0.0/8 ", "fd00::/64"] }),
        json!({ "loadBalancerSourceRanges": ["10.0.0.1/8"] }),
        json!({ "loadBalancerSourceRanges": ["010.0.0.0/8"] }),
        json!({ "loadBalancerSourceRanges": ["10.0.0.0/33"] }),
        json!({ "loadBalancerSourceRanges": ["10.0.0.0"] }),
        json!({ "loadBalancerSourceRanges": [""] }),
        json!({ "loadBalancerSourceRanges": ["::ffff:10.0.0.0/104"] }),
        json!({ "loadBalancerSourceRanges": [] }),
    ]
}

fn names_and_addresses() -> Vec<Value> {
    let mut all: Vec<Value> = [
        "192.0.2.9",
        "2001:db8::9",
        "127.0.0.1",
        "169.254.0.1",
        "224.0.0.1",
        "0.0.0.0",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "10.96.0.1",
        "010.0.0.1",
        "::ffff:192.0.2.9",
        "2001:DB8::9",
        "host.example.com",
        "",
    ]
    .map(|address| json!({ "externalIPs": [address] }))
    .into();
    all.push(json!({ "externalIPs": ["192.0.2.9", "192.0.2.9"] }));
    all.push(json!({ "externalIPs": [] }));
    let names =
        ["example.com", "example.com.", "example.com..", ".", "", "Example.com", "192.0.2.1", "a_b.example.com", "a b"];
    all.extend(names.map(|name| json!({ "externalName": name })));
    all.extend([
        json!({ "selector": { "a": "b" } }),
        json!({ "selector": { "a": "not good" } }),
        json!({ "selector": { "not good": "b" } }),
        json!({ "selector": { "a/b/c": "b" } }),
        json!({ "selector": {} }),
        json!({ "selector": { "a": 1 } }),
        json!({ "type": "Cluster" }),
        json!({ "type": "" }),
        json!({ "unknown": 1 }),
    ]);
    all
}

fn specs() -> Vec<Value> {
    [ports(), affinity(), policies(), load_balancers(), names_and_addresses()].concat()
}

/// Each field good and bad, in each type.
pub fn creates() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in types() {
        for spec in specs() {
            let spec = merged([&kind, &spec]);
            cases.push(Case::new(format!("create {spec}")).post(SERVICES, &service(&spec)));
        }
    }
    cases.extend(metadata());
    cases
}

fn metadata() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = "a".repeat(64);
    for name in ["", "1st", "Web", "web.a", "-web", "web-", &long, "a_b", "a/b", ".."] {
        let mut object = service(&json!({}));
        object["metadata"]["name"] = name.into();
        cases.push(Case::new(format!("named {name:?}")).post(SERVICES, &object));
    }
    let labels = [
        json!({ "labels": { "not good": "x" } }),
        json!({ "labels": { "a": "not good" } }),
        json!({ "labels": { "service.kubernetes.io/headless": "" } }),
        json!({ "annotations": { "not good": "x" } }),
        json!({ "annotations": { "service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, 10.1.0.1/8" } }),
        json!({ "annotations": { "service.beta.kubernetes.io/load-balancer-source-ranges": "" } }),
        json!({ "annotations": { "service.kubernetes.io/topology-mode": "Auto" } }),
        json!({ "annotations": {
            "service.kubernetes.io/topology-mode": "Auto", "service.kubernetes.io/topology-aware-hints": "auto",
        } }),
        json!({ "finalizers": ["service.kubernetes.io/load-balancer-cleanup"] }),
        json!({ "finalizers": ["unqualified"] }),
        json!({ "finalizers": ["a/b/c"] }),
        json!({ "finalizers": ["orphan", "foregroundDeletion"] }),
        json!({ "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p" }] }),
        json!({ "ownerReferences": [{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": true },
            { "apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "2", "controller": true }] }),
        json!({ "namespace": "other" }),
        json!({ "generateName": "x" }),
        json!({ "resourceVersion": "7" }),
        json!({ "generation": 7 }),
        json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" }),
        json!({ "managedFields": [{ "manager": "x" }] }),
    ];
    for part in labels {
        for kind in [json!({}), json!({ "type": "LoadBalancer" })] {
            let mut object = service(&kind);
            object["metadata"] = merged([&json!({ "name": "s" }), &part]);
            cases.push(
                Case::new(format!("{part} of {kind}"))
                    .post(SERVICES, &object)
                    .delete(path())
                    .merge(path(), &json!({ "metadata": { "finalizers": null } })),
            );
        }
    }
    cases
}

/// From each type by each change.
pub fn updates() -> Vec<Case> {
    let mut changes = specs();
    changes.extend([
        json!({ "type": "ClusterIP" }),
        json!({ "type": "NodePort" }),
        json!({ "type": "LoadBalancer" }),
        json!({ "type": "ExternalName", "externalName": "example.com" }),
        json!({ "type": "ClusterIP", "externalTrafficPolicy": null, "healthCheckNodePort": null }),
        json!({ "type": "ClusterIP", "allocateLoadBalancerNodePorts": null }),
        json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" }),
        json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30_003 }),
        json!({ "externalTrafficPolicy": null }),
        json!({ "externalTrafficPolicy": null, "externalIPs": null }),
        json!({ "internalTrafficPolicy": null }),
        json!({ "healthCheckNodePort": 0 }),
        json!({ "loadBalancerClass": null }),
        json!({ "ports": [{ "port": 80, "nodePort": 0 }] }),
    ]);
    let states = [
        json!({}),
        json!({ "type": "NodePort", "ports": [{ "name": "a", "port": 80, "nodePort": 30_010 }] }),
        json!({ "type": "LoadBalancer", "loadBalancerClass": "example.com/a" }),
        json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30_011 }),
        json!({ "type": "ExternalName", "externalName": "example.com" }),
        json!({ "clusterIP": "None", "selector": { "a": "b" } }),
    ];
    let mut cases = Vec::new();
    for state in &states {
        // Who owned what Kubernetes does not show of an ExternalName is another there.
        let hidden = |change: &Value| state["type"] == "ExternalName" && change["internalTrafficPolicy"].is_string();
        for change in changes.iter().filter(|change| !hidden(change)) {
            let made = service(state);
            let case = Case::new(format!("{state} then {change}")).post(SERVICES, &made);
            let patch = json!({ "spec": change });
            cases.push(match cases.len() % 3 {
                0 => case.merge(path(), &patch).put(path(), &made),
                1 => case.strategic(path(), &patch).get(path()),
                _ => case.put(path(), &service(&merged([state, change]))).merge(path(), &json!({ "spec": state })),
            });
        }
    }
    cases.extend(statuses());
    cases.extend(patches());
    cases
}

fn statuses() -> Vec<Case> {
    let status = || format!("{}/status", path());
    let points = [
        json!({ "ip": "192.0.2.1" }),
        json!({ "ip": "192.0.2.1", "ipMode": "Proxy" }),
        json!({ "ip": "192.0.2.1", "ipMode": "None" }),
        json!({ "ip": "nowhere" }),
        json!({ "hostname": "lb.example.com" }),
        json!({ "hostname": "192.0.2.1" }),
        json!({ "hostname": "Lb" }),
        json!({ "hostname": "lb", "ipMode": "VIP" }),
        json!({ "ip": "192.0.2.1", "ports": [{ "port": 80, "protocol": "TCP" }] }),
        json!({ "ip": "192.0.2.1", "ports": [{ "port": 80, "protocol": "TCP", "error": "no good" }] }),
        json!({ "ip": "192.0.2.1", "ports": [{ "port": 80 }] }),
    ];
    let mut cases = Vec::new();
    for kind in [json!({}), json!({ "type": "LoadBalancer" })] {
        for point in &points {
            let body = json!({ "status": { "loadBalancer": { "ingress": [point] } } });
            cases.push(
                Case::new(format!("status {point} of {kind}"))
                    .post(SERVICES, &service(&kind))
                    .merge(status(), &body)
                    .merge(path(), &json!({ "spec": { "type": "ClusterIP" } })),
            );
        }
        let condition = json!({ "type": "a/B", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        for conditions in [
            json!([condition]),
            json!([condition, condition]),
            json!([{ "type": "B", "status": "Yes" }]),
            json!([merged([&condition, &json!({ "reason": "" })])]),
            json!([merged([&condition, &json!({ "type": "" })])]),
        ] {
            let body = json!({ "status": { "conditions": conditions } });
            let case = Case::new(format!("conditions {conditions}")).post(SERVICES, &service(&kind));
            cases.push(case.merge(status(), &body).strategic(status(), &body));
        }
    }
    cases
}

/// Kinds of patches, and owners of fields.
fn patches() -> Vec<Case> {
    let two =
        || service(&json!({ "ports": [{ "name": "a", "port": 80 }, { "name": "b", "port": 81, "protocol": "UDP" }] }));
    let applied = |name: &str, force: bool| format!("{}?fieldManager={name}&force={force}", path());
    let mut cases = Vec::new();
    let strategic = [
        json!({ "spec": { "ports": [{ "port": 80, "name": "z" }] } }),
        json!({ "spec": { "ports": [{ "port": 82, "name": "c" }] } }),
        json!({ "spec": { "ports": [{ "port": 80, "$patch": "delete" }] } }),
        json!({ "spec": { "ports": [{ "$patch": "replace" }, { "port": 90 }] } }),
        json!({ "spec": { "$setElementOrder/ports": [{ "port": 81 }, { "port": 80 }], "ports": [{ "port": 81, "targetPort": 9 }] } }),
        json!({ "spec": { "ports": [{ "name": "no port" }] } }),
        json!({ "spec": { "selector": { "$patch": "replace", "x": "y" } } }),
        json!({ "spec": { "$retainKeys": ["ports"], "ports": [] } }),
        json!({ "metadata": { "labels": { "a": null, "b": "c" } } }),
        json!({ "metadata": { "finalizers": ["a/b"], "$setElementOrder/finalizers": ["a/b"] } }),
        json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a/b"] } }),
        json!({ "spec": "none" }),
        json!([]),
    ];
    for patch in strategic {
        cases.push(Case::new(format!("strategic {patch}")).post(SERVICES, &two()).strategic(path(), &patch));
        let case = Case::new(format!("merge {patch}")).post(SERVICES, &two());
        cases.push(case.merge(path(), &patch));
    }
    let json_patches = [
        json!([{ "op": "replace", "path": "/spec/ports/0/port", "value": 8080 }]),
        json!([{ "op": "remove", "path": "/spec/ports/1" }]),
        json!([{ "op": "remove", "path": "/spec/ports/7" }]),
        json!([{ "op": "add", "path": "/spec/ports/-", "value": { "name": "c", "port": 82 } }]),
        json!([{ "op": "test", "path": "/spec/type", "value": "NodePort" }]),
        json!([{ "op": "move", "from": "/spec/ports/0", "path": "/spec/ports/1" }]),
        json!([{ "op": "copy", "from": "/spec/ports/0", "path": "/spec/ports/-" }]),
        json!([{ "op": "replace", "path": "/metadata/name", "value": "t" }]),
        json!([{ "op": "replace", "path": "/metadata/uid", "value": "t" }]),
        json!([{ "op": "replace", "path": "/kind", "value": "Pod" }]),
        json!([{ "op": "nonsense", "path": "/spec" }]),
        json!([{ "op": "remove", "path": "/spec/sessionAffinity" }]),
        json!({ "op": "remove" }),
    ];
    for patch in json_patches {
        cases.push(Case::new(format!("patch {patch}")).post(SERVICES, &two()).json_patch(path(), &patch));
    }
    let with =
        |spec: Value| json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" }, "spec": spec });
    let second = [
        with(json!({ "ports": [{ "port": 80, "protocol": "TCP", "name": "other" }] })),
        with(json!({ "ports": [{ "port": 81, "protocol": "TCP", "name": "other" }] })),
        with(json!({ "ports": [{ "port": 80, "protocol": "TCP", "name": "a", "targetPort": 9 }] })),
        with(json!({ "selector": { "x": "z" } })),
        with(json!({ "selector": { "x": "y" } })),
        with(json!({ "type": "NodePort" })),
        with(json!({ "clusterIP": "10.96.0.40" })),
        with(json!({ "clusterIP": "None" })),
        with(json!({ "ports": [{ "name": "no port" }] })),
        with(json!({ "ports": [{ "port": 80 }, { "port": 80 }] })),
        with(json!({ "unknown": 1 })),
        with(json!({ "ipFamilyPolicy": "RequireDualStack" })),
        with(json!({})),
    ];
    for body in second {
        let first =
            with(json!({ "ports": [{ "port": 80, "protocol": "TCP", "name": "a" }], "selector": { "x": "y" } }));
        cases.push(
            Case::new(format!("applied over by {body}"))
                .apply(applied("one", false), &first)
                .apply(applied("two", false), &body)
                .apply(applied("two", true), &body)
                .apply(applied("one", false), &with(json!({ "ports": [{ "port": 80, "protocol": "TCP" }] })))
                .merge(path(), &json!({ "spec": { "selector": { "q": "r" } } }))
                .get(path()),
        );
        let case = Case::new(format!("updated, then applied {body}")).post(SERVICES, &two());
        cases.push(case.apply(applied("one", false), &body).apply(applied("one", true), &body));
    }
    cases
}

/// Who has a port or an address already, and what a Service that is gone gives back.
pub fn taken() -> Vec<Case> {
    let other = |spec: Value| {
        let mut object = service(&spec);
        object["metadata"]["name"] = "t".into();
        object
    };
    let port = json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30_020 }] });
    let udp = json!({ "type": "NodePort", "ports": [{ "port": 80, "protocol": "UDP", "nodePort": 30_020 }] });
    let address = json!({ "clusterIP": "10.96.0.50" });
    let check = json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30_020 });
    let both = json!({ "clusterIP": "10.96.0.50", "type": "NodePort", "ports": [{ "port": 80, "nodePort": 30_020 }] });
    let all = [port, udp, address, check, both];
    let mut cases = Vec::new();
    for first in &all {
        for second in &all {
            cases.push(
                Case::new(format!("{first} before {second}"))
                    .post(SERVICES, &service(first))
                    .post(SERVICES, &other(second.clone()))
                    .post(format!("{SERVICES}?dryRun=All"), &other(second.clone()))
                    .post(SERVICES, &other(json!({})))
                    .put(format!("{SERVICES}/t"), &other(second.clone()))
                    .delete(path())
                    .put(format!("{SERVICES}/t"), &other(second.clone())),
            );
        }
    }
    cases
}

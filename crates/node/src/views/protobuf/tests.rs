use serde_json::{Value, json};

use super::*;
use crate::protobuf::encode::encode;

/// What is read of both formats is the same; and of no part of a message is more read than stands there.
fn same<K: FromProtobuf + serde::de::DeserializeOwned + std::fmt::Debug>(kind: &str, document: Value) {
    let message = encode(kind, &document);
    let read = K::from_protobuf(Fields(&message)).unwrap();
    let wanted: K = serde_json::from_value(document).unwrap();
    assert_eq!(format!("{read:#?}"), format!("{wanted:#?}"));
    for len in 0..message.len() {
        drop(K::from_protobuf(Fields(&message[..len])));
    }
}

#[test]
fn a_service_says_the_same_in_both_formats() {
    same::<Service>(
        "c.Service",
        json!({
            "metadata": {
                "name": "web", "namespace": "shop", "resourceVersion": "4711",
                "labels": { "service.kubernetes.io/headless": "", "app": "web" },
                "annotations": { "portolan.dev/reset-departed": "false" },
            },
            "spec": {
                "type": "LoadBalancer", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"],
                "externalIPs": ["192.0.2.1"], "externalName": "example.org", "selector": { "app": "web" },
                "ports": [
                    { "name": "http", "protocol": "TCP", "port": 80, "targetPort": "web", "nodePort": 30080 },
                    { "protocol": "UDP", "port": 65535, "targetPort": 5353 },
                ],
                "sessionAffinity": "ClientIP", "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 7 } },
                "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local",
                "trafficDistribution": "PreferSameZone", "loadBalancerSourceRanges": ["192.0.2.0/24", "::/0"],
                "healthCheckNodePort": 31000, "publishNotReadyAddresses": true,
            },
            "status": { "loadBalancer": { "ingress": [
                { "ip": "198.51.100.1", "ipMode": "Proxy" }, { "hostname": "balancer.example.org" },
            ] } },
        }),
    );
}

#[test]
fn a_slice_says_the_same_in_both_formats() {
    same::<EndpointSlice>(
        "disc.EndpointSlice",
        json!({
            "metadata": {
                "name": "web-x7k2p", "namespace": "shop", "resourceVersion": "4712",
                "labels": { "kubernetes.io/service-name": "web" },
            },
            "addressType": "IPv4",
            "endpoints": [
                {
                    "addresses": ["10.244.1.7"], "conditions": { "ready": true, "serving": true, "terminating": false },
                    "hostname": "web-0", "nodeName": "node-1", "zone": "a",
                    "hints": { "forZones": [{ "name": "a" }, { "name": "b" }], "forNodes": [{ "name": "node-1" }] },
                    "targetRef": { "kind": "Pod", "name": "web-0", "namespace": "shop" },
                },
                { "addresses": ["10.244.1.8"], "conditions": { "ready": false } },
                { "addresses": ["10.244.1.9"], "conditions": {} },
                { "addresses": [] },
            ],
            "ports": [{ "name": "http", "protocol": "TCP", "port": 8080 }, { "port": -1 }, {}],
        }),
    );
}

#[test]
fn what_go_writes_where_nothing_is_said_is_nothing() {
    let document = json!({
        "metadata": { "name": "", "namespace": "" },
        "spec": {
            "sessionAffinity": "", "externalName": "", "externalTrafficPolicy": "", "healthCheckNodePort": 0,
            "ports": [{ "name": "", "protocol": "", "port": 80, "nodePort": 0 }],
        },
    });
    let Service { metadata, spec, .. } = Service::from_protobuf(Fields(&encode("c.Service", &document))).unwrap();
    assert_eq!(metadata.name, None);
    assert_eq!((spec.session_affinity, spec.external_name, spec.external_traffic_policy), (None, None, None));
    assert_eq!((spec.health_check_node_port, spec.ports[0].node_port), (None, None));
    assert_eq!((&spec.ports[0].name, &spec.ports[0].protocol), (&None, &None));
}

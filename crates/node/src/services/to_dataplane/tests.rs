use serde_json::json;

use super::*;

fn told(spec: serde_json::Value) -> Option<model::Service> {
    let object = json!({ "metadata": { "name": "web", "namespace": "shop" }, "spec": spec });
    service(&serde_json::from_value(object).unwrap())
}

#[test]
fn an_external_name_is_not_told() {
    assert!(told(json!({ "type": "ExternalName", "externalName": "example.org" })).is_none());
}

#[test]
fn a_headless_service_has_no_address_and_so_no_rules() {
    let service = told(json!({ "type": "ClusterIP", "clusterIPs": ["None"], "ports": [{ "port": 80 }] })).unwrap();
    assert!(!service.is_proxied());
}

#[test]
fn protocol_and_affinity_timeout_have_kubernetes_defaults() {
    let service = told(json!({
        "type": "ClusterIP", "clusterIPs": ["10.96.0.7"], "sessionAffinity": "ClientIP", "ports": [{ "port": 80 }]
    }))
    .unwrap();
    assert_eq!(service.ports[0].protocol, Protocol::Tcp);
    assert_eq!(service.affinity, Some(10_800));
}

#[test]
fn only_the_word_false_keeps_connections_to_departed_endpoints() {
    for (annotations, kept) in [
        (json!({ "portolan.dev/reset-departed": "false" }), true),
        (json!({ "portolan.dev/reset-departed": "true" }), false),
        (json!({ "portolan.dev/reset-departed": "" }), false),
        (json!({ "example.org/other": "false" }), false),
        (json!(null), false),
    ] {
        let object = json!({
            "metadata": { "name": "web", "annotations": annotations },
            "spec": { "type": "ClusterIP", "clusterIPs": ["10.96.0.7"], "ports": [{ "port": 80 }] }
        });
        assert_eq!(service(&serde_json::from_value(object).unwrap()).unwrap().keep_departed, kept, "{annotations}");
    }
}

#[test]
fn only_the_word_maglev_has_nodes_choose_alike() {
    for (value, consistent) in [("maglev", true), ("true", false), ("", false)] {
        let object = json!({
            "metadata": { "name": "web", "annotations": { "portolan.dev/consistent": value } },
            "spec": { "type": "LoadBalancer", "clusterIPs": ["10.96.0.7"], "ports": [{ "port": 80 }] }
        });
        assert_eq!(service(&serde_json::from_value(object).unwrap()).unwrap().consistent, consistent, "{value}");
    }
}

#[test]
fn what_cannot_be_read_is_left_out_and_the_rest_stays() {
    let service = told(json!({
        "type": "ClusterIP", "clusterIPs": ["10.96.0.7", "no address"],
        "ports": [{ "port": 0 }, { "port": 70000 }, { "port": 80, "protocol": "ICMP" }, { "port": 81 }]
    }))
    .unwrap();
    assert_eq!(service.cluster_ips.len(), 1);
    assert_eq!(service.ports.iter().map(|p| p.port.get()).collect::<Vec<_>>(), [81]);
    let faults: Vec<String> = service.faults.iter().map(|f| format!("{}: {}", f.reason, f.message)).collect();
    assert_eq!(
        faults,
        [
            "InvalidAddress: clusterIPs: \"no address\" is no address",
            "InvalidPort: ports: 0 is no port",
            "InvalidPort: ports: 70000 is no port",
            "InvalidProtocol: ports: \"ICMP\" is no protocol of Services",
        ]
    );
}

#[test]
fn a_service_that_says_nothing_wrong_has_no_fault() {
    let object = json!({
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": {
            "type": "LoadBalancer", "clusterIPs": ["10.96.0.7"], "externalIPs": ["203.0.113.1"],
            "ports": [{ "port": 80, "nodePort": 0 }], "healthCheckNodePort": 0,
            "loadBalancerSourceRanges": [" 192.0.2.0/24 "]
        },
        "status": { "loadBalancer": { "ingress": [{ "hostname": "a.example" }, { "ip": "", "hostname": "b.example" }] } }
    });
    let read = service(&serde_json::from_value(object).unwrap()).unwrap();
    assert_eq!((read.faults, read.source_ranges.len()), (vec![], 1));
    let headless = told(json!({ "type": "ClusterIP", "clusterIPs": ["None"], "ports": [{ "port": 80 }] })).unwrap();
    assert_eq!(headless.faults, []);
}

#[test]
fn a_slices_faults_name_it_and_are_not_without_number() {
    let mut endpoints = vec![json!({ "addresses": ["fd00::1"] })];
    endpoints.extend((0..100).map(|n| json!({ "addresses": [format!("10.244.0.{n}")] })));
    let object = json!({
        "metadata": { "name": "web-x", "namespace": "shop", "labels": { SERVICE_NAME: "web" } },
        "addressType": "IPv6", "ports": [{ "port": 99999 }, { "port": 80 }],
        "endpoints": endpoints
    });
    let slice = slice(&serde_json::from_value(object).unwrap()).unwrap();
    assert_eq!((slice.endpoints.len(), slice.ports.len(), slice.faults.len()), (1, 1, MOST_FAULTS));
    assert_eq!(slice.faults[0], Fault::new(Reason::InvalidPort, "ports of the slice web-x: 99999 is no port"));
    let message = "the slice web-x is of IPv6, and 10.244.0.0 is not";
    assert_eq!(slice.faults[1], Fault::new(Reason::AddressFamilyMismatch, message));
}

#[test]
fn a_proxied_load_balancer_address_keeps_its_mode() {
    let object = json!({
        "metadata": {},
        "spec": { "type": "LoadBalancer" },
        "status": { "loadBalancer": { "ingress": [{ "ip": "1.2.3.4", "ipMode": "Proxy" }, { "hostname": "a.example" }] } }
    });
    let service = service(&serde_json::from_value(object).unwrap()).unwrap();
    assert_eq!(service.load_balancer.len(), 1);
    assert_eq!(service.load_balancer[0].mode, IpMode::Proxy);
}

#[test]
fn a_slice_without_a_service_is_not_told() {
    let orphan = json!({ "metadata": { "name": "x", "namespace": "shop" }, "addressType": "IPv4" });
    assert!(slice(&serde_json::from_value(orphan).unwrap()).is_none());
}

#[test]
fn absent_conditions_mean_ready_and_null_lists_mean_empty() {
    let object = json!({
        "metadata": { "name": "x", "namespace": "shop", "labels": { SERVICE_NAME: "web" } },
        "addressType": "IPv4", "ports": null,
        "endpoints": [{ "addresses": ["10.244.0.7"] }, { "addresses": [] }]
    });
    let slice = slice(&serde_json::from_value(object).unwrap()).unwrap();
    assert!(slice.ports.is_empty());
    assert_eq!(slice.endpoints.len(), 1);
    assert!(slice.endpoints[0].conditions.ready);
}

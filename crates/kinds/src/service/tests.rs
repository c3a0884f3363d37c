use serde_json::{Value, json};

use super::*;
use crate::addresses::Family;

const ONE_FAMILY: &[Family] = &[Family::V4];
const TWO_FAMILIES: &[Family] = &[Family::V4, Family::V6];

fn service(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "ns"}, "spec": spec})
}

fn texts_of(faults: Vec<field::Error>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// Gives the addresses and ports that the API server would give.
fn allocate(object: &mut Value) {
    if is_external_name(object) || is_headless(object) {
        return;
    }
    let wants_ports = wants_node_ports(object);
    let wants_health_check = needs_health_check(object);
    let spec = &mut object["spec"];
    let families = spec["ipFamilies"].as_array().cloned().unwrap_or_default();
    let mut addresses = spec["clusterIPs"].as_array().cloned().unwrap_or_default();
    for family in families.iter().skip(addresses.len()) {
        addresses.push(if family == "IPv4" { json!("10.96.0.9") } else { json!("fd00::9") });
    }
    spec["clusterIP"] = addresses[0].clone();
    spec["clusterIPs"] = addresses.into();
    if wants_ports {
        for (i, port) in spec["ports"].as_array_mut().unwrap().iter_mut().enumerate() {
            if port.get("nodePort").is_none() {
                port["nodePort"] = json!(30_000 + i);
            }
        }
    }
    if wants_health_check && spec.get("healthCheckNodePort").is_none() {
        spec["healthCheckNodePort"] = json!(30_900);
    }
}

/// A new Service on its way into the store, as the API server takes it.
fn create_in(spec: Value, configured: &[Family]) -> Result<Value, Vec<String>> {
    let mut object = service(spec);
    Service.default(&mut object);
    sync_cluster_ips(&mut object, None);
    choose_families(&mut object, None, configured).map_err(texts_of)?;
    allocate(&mut object);
    Service.prepare_for_create(&mut object);
    let faults = texts_of(Service.validate(&object));
    if !faults.is_empty() {
        return Err(faults);
    }
    Service.canonicalize(&mut object);
    Ok(object)
}

fn create(spec: Value) -> Result<Value, Vec<String>> {
    create_in(spec, ONE_FAMILY)
}

/// A changed Service on its way into the store; the change is a merge patch.
fn update_in(old: &Value, patch: Value, configured: &[Family]) -> Result<Value, Vec<String>> {
    let mut new = old.clone();
    merge(&mut new["spec"], patch);
    Service.default(&mut new);
    keep_allocated(&mut new, old);
    sync_cluster_ips(&mut new, Some(old));
    choose_families(&mut new, Some(old), configured).map_err(texts_of)?;
    allocate(&mut new);
    Service.prepare_for_update(&mut new, old);
    let faults = texts_of(Service.validate_update(&new, old));
    if !faults.is_empty() {
        return Err(faults);
    }
    Service.canonicalize(&mut new);
    Ok(new)
}

fn merge(into: &mut Value, patch: Value) {
    for (field, value) in patch.as_object().unwrap() {
        match value {
            Value::Null => into.as_object_mut().unwrap().remove(field),
            value => into.as_object_mut().unwrap().insert(field.clone(), value.clone()),
        };
    }
}

#[test]
fn defaults_by_type() {
    let port = |extra: Value| {
        let mut port = json!({"port": 80, "protocol": "TCP", "targetPort": 80});
        merge(&mut port, extra);
        port
    };
    let given = json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "ports": [port(json!({}))], "sessionAffinity": "None", "type": "ClusterIP"});
    let rows = [
        ("plain", json!({"ports": [{"port": 80}]}), json!({})),
        ("target port zero", json!({"ports": [{"port": 80, "targetPort": 0}]}), json!({})),
        ("target port empty", json!({"ports": [{"port": 80, "targetPort": ""}]}), json!({})),
        (
            "target port by name",
            json!({"ports": [{"port": 80, "targetPort": "http"}]}),
            json!({"ports": [port(json!({"targetPort": "http"}))]}),
        ),
        (
            "node port",
            json!({"ports": [{"port": 80}], "type": "NodePort"}),
            json!({"type": "NodePort", "externalTrafficPolicy": "Cluster", "ports": [port(json!({"nodePort": 30000}))]}),
        ),
        (
            "load balancer without node ports",
            json!({"ports": [{"port": 80}], "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false}),
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": false}),
        ),
        (
            "load balancer with local traffic",
            json!({"ports": [{"port": 80}], "type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "allocateLoadBalancerNodePorts": true,
                "healthCheckNodePort": 30900, "ports": [port(json!({"nodePort": 30000}))]}),
        ),
        (
            "headless",
            json!({"ports": [{"port": 80}], "clusterIP": "None", "selector": {"a": "b"}}),
            json!({"clusterIP": "None", "clusterIPs": ["None"], "selector": {"a": "b"}}),
        ),
        (
            "headless without selector",
            json!({"clusterIP": "None"}),
            json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": null, "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack"}),
        ),
        (
            "affinity",
            json!({"ports": [{"port": 80}], "sessionAffinity": "ClientIP"}),
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}),
        ),
        (
            "configuration without affinity goes",
            json!({"ports": [{"port": 80}], "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}),
            json!({}),
        ),
        (
            "external addresses",
            json!({"ports": [{"port": 80}], "externalIPs": ["203.0.113.7"]}),
            json!({"externalIPs": ["203.0.113.7"], "externalTrafficPolicy": "Cluster"}),
        ),
    ];
    for (name, spec, changes) in rows {
        let mut want = given.clone();
        merge(&mut want, changes);
        let got = create(spec).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        assert_eq!(got["spec"], want, "{name}");
        assert_eq!(got["status"], json!({"loadBalancer": {}}), "{name}");
    }
}

#[test]
fn an_external_name_has_no_addresses() {
    let spec =
        json!({"type": "ExternalName", "externalName": "foo.bar.example.com.", "internalTrafficPolicy": "Local"});
    let want = json!({"type": "ExternalName", "externalName": "foo.bar.example.com.", "sessionAffinity": "None"});
    assert_eq!(create(spec).unwrap()["spec"], want);
}

#[test]
fn ingress_addresses_get_a_mode() {
    let mut object = service(json!({"type": "LoadBalancer", "ports": [{"port": 80}]}));
    object["status"] = json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "a.b"}]}});
    Service.default(&mut object);
    assert_eq!(
        object["status"]["loadBalancer"]["ingress"],
        json!([{"ip": "1.2.3.4", "ipMode": "VIP"}, {"hostname": "a.b"}])
    );
}

/// One fault each: what is created, and what is said of it.
#[test]
fn refused_when_created() {
    const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let with = |extra: Value| {
        let mut spec = json!({"ports": [{"port": 80}]});
        merge(&mut spec, extra);
        spec
    };
    let rows = [
        (json!({"selector": {"a": "b"}}), "spec.ports: Required value".to_owned()),
        (
            json!({"ports": [{"port": 80, "targetPort": 70000}]}),
            "spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive".into(),
        ),
        (
            json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}),
            r#"spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}"#.into(),
        ),
        (json!({"ports": [{"name": "A_b", "port": 80}]}), format!("spec.ports[0].name: Invalid value: \"A_b\": {LABEL}")),
        (
            json!({"ports": [{"port": 80, "protocol": "tcp"}]}),
            r#"spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP""#.into(),
        ),
        (
            with(json!({"type": "Foo"})),
            r#"spec.type: Unsupported value: "Foo": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#.into(),
        ),
        (
            with(json!({"clusterIP": "foo"})),
            r#"spec.clusterIPs[0]: Invalid value: "foo": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#.into(),
        ),
        (
            with(json!({"clusterIP": "fd00::1"})),
            r#"spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster"#.into(),
        ),
        (
            with(json!({"clusterIP": "010.096.000.050"})),
            r#"spec.clusterIPs[0]: Invalid value: "010.096.000.050": must not have leading 0s"#.into(),
        ),
        (
            with(json!({"clusterIPs": ["10.96.3.250"]})),
            r#"spec.clusterIPs: Invalid value: ["10.96.3.250"]: must be empty when `clusterIP` is not specified"#.into(),
        ),
        (
            with(json!({"clusterIP": "10.96.3.1", "clusterIPs": ["10.96.3.250"]})),
            r#"spec.clusterIPs: Invalid value: ["10.96.3.250"]: first value must match `clusterIP`"#.into(),
        ),
        (
            with(json!({"clusterIP": "None", "clusterIPs": ["None", "10.96.3.250"]})),
            r#"spec.clusterIPs: Invalid value: ["None","10.96.3.250"]: 'None' must be the first and only value"#.into(),
        ),
        (
            with(json!({"clusterIP": "None", "type": "LoadBalancer"})),
            r#"spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for LoadBalancer services"#.into(),
        ),
        (
            with(json!({"clusterIP": "None", "type": "NodePort"})),
            r#"spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services"#.into(),
        ),
        (
            with(json!({"ipFamilyPolicy": "RequireDualStack"})),
            r#"spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#.into(),
        ),
        (
            with(json!({"ipFamilies": ["IPv6"]})),
            r#"spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster"#.into(),
        ),
        (
            with(json!({"ipFamilies": ["IPv5"]})),
            r#"spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6""#.into(),
        ),
        (
            with(json!({"sessionAffinity": "Cookie"})),
            r#"spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None""#.into(),
        ),
        (
            with(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}})),
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400".into(),
        ),
        (
            with(json!({"externalTrafficPolicy": "Local"})),
            r#"spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services"#.into(),
        ),
        (
            with(json!({"externalTrafficPolicy": "Near", "type": "NodePort"})),
            r#"spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local""#.into(),
        ),
        (
            with(json!({"internalTrafficPolicy": "Near"})),
            r#"spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local""#.into(),
        ),
        (
            with(json!({"trafficDistribution": "Near"})),
            r#"spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameZone", "PreferSameNode""#.into(),
        ),
        (
            with(json!({"healthCheckNodePort": 31000})),
            "spec.healthCheckNodePort: Invalid value: 31000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'".into(),
        ),
        (
            with(json!({"allocateLoadBalancerNodePorts": false, "type": "NodePort"})),
            "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'".into(),
        ),
        (
            with(json!({"loadBalancerClass": "a.b/c"})),
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'".into(),
        ),
        (
            with(json!({"loadBalancerClass": "a b", "type": "LoadBalancer"})),
            format!("spec.loadBalancerClass: Invalid value: \"a b\": {KEY}"),
        ),
        (
            with(json!({"loadBalancerSourceRanges": ["10.0.0.0/33"], "type": "LoadBalancer"})),
            r#"spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.0/33": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"#.into(),
        ),
        (
            with(json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]})),
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'".into(),
        ),
        (
            with(json!({"externalIPs": ["127.0.0.1"]})),
            r#"spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#.into(),
        ),
        (
            with(json!({"externalIPs": ["0.0.0.0"]})),
            r#"spec.externalIPs[0]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)"#.into(),
        ),
        (json!({"type": "ExternalName"}), "spec.externalName: Required value".into()),
        (
            json!({"type": "ExternalName", "externalName": "foo.com", "clusterIP": "None"}),
            "spec.clusterIPs: Forbidden: may not be set for ExternalName services".into(),
        ),
        (
            json!({"type": "ExternalName", "externalName": "foo.com", "ipFamilies": ["IPv4"]}),
            "spec.ipFamilies: Forbidden: may not be set for ExternalName services".into(),
        ),
        (json!({"ports": [{"port": 80, "nodePort": 31000}]}), "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'".into()),
        (
            json!({"ports": [{"port": 80, "appProtocol": "a b"}]}),
            format!("spec.ports[0].appProtocol: Invalid value: \"a b\": {KEY}"),
        ),
        (with(json!({"selector": {"a b": "c"}})), format!("spec.selector: Invalid value: \"a b\": {KEY}")),
        (with(json!({"selector": {"a": "c d"}})), format!("spec.selector: Invalid value: \"c d\": {VALUE}")),
    ];
    for (spec, want) in rows {
        assert_eq!(create(spec.clone()), Err(vec![want]), "{spec}");
    }
}

/// Several faults at once come in Kubernetes' order.
#[test]
fn many_faults() {
    let rows: Vec<(Value, &[&str])> = vec![
        (
            json!({"ports": [{"port": 0}]}),
            &[
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            json!({"ports": [{"port": 80}, {"port": 81}]}),
            &["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            json!({"ports": [{"name": "a", "port": 1, "nodePort": 7}, {"name": "a", "port": 2, "nodePort": 7}], "type": "NodePort"}),
            &["spec.ports[1].name: Duplicate value: \"a\"", "spec.ports[1].nodePort: Duplicate value: 7"],
        ),
        (
            json!({"ports": [{"port": 80}], "clusterIP": "10.96.3.250", "clusterIPs": ["10.96.3.250", "10.96.3.251", "10.96.3.252"]}),
            &[
                r#"spec.clusterIPs: Invalid value: ["10.96.3.250","10.96.3.251","10.96.3.252"]: may only hold up to 2 values"#,
                r#"spec.clusterIPs: Invalid value: ["10.96.3.250","10.96.3.251","10.96.3.252"]: may specify no more than one IP for each IP family"#,
            ],
        ),
    ];
    for (spec, want) in rows {
        assert_eq!(create(spec.clone()).unwrap_err(), want, "{spec}");
    }
    let mut object = service(
        json!({"ports": [{"port": 0, "protocol": "X"}], "sessionAffinity": "Q", "type": "Z", "externalIPs": ["x"]}),
    );
    Service.default(&mut object);
    assert_eq!(
        Service.validate(&object).iter().map(|fault| fault.path.to_string()).collect::<Vec<_>>(),
        [
            "spec.ports[0].port",
            "spec.ports[0].protocol",
            "spec.ports[0].targetPort",
            "spec.sessionAffinity",
            "spec.externalIPs[0]",
            "spec.type"
        ]
    );
}

#[test]
fn annotations_that_were_fields_once() {
    let mut object = create(json!({"ports": [{"port": 80}]})).unwrap();
    object["metadata"]["annotations"] = json!({
        "service.kubernetes.io/topology-aware-hints": "auto",
        "service.kubernetes.io/topology-mode": "Auto",
        "service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, x",
    });
    assert_eq!(
        texts_of(Service.validate(&object)),
        [
            "metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: \"Auto\": must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified",
            "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Forbidden: may only be used when `type` is 'LoadBalancer'",
            "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ]
    );
}

#[test]
fn two_families() {
    let spec = |extra: Value| {
        let mut spec = json!({"ports": [{"port": 80}]});
        merge(&mut spec, extra);
        spec
    };
    let families = |object: &Value| object["spec"]["ipFamilies"].clone();
    let single = create_in(spec(json!({})), TWO_FAMILIES).unwrap();
    assert_eq!(families(&single), json!(["IPv4"]));
    let double = create_in(spec(json!({"ipFamilyPolicy": "PreferDualStack"})), TWO_FAMILIES).unwrap();
    assert_eq!(families(&double), json!(["IPv4", "IPv6"]));
    let by_address = create_in(spec(json!({"clusterIP": "fd00::1"})), TWO_FAMILIES).unwrap();
    assert_eq!(families(&by_address), json!(["IPv6"]));
    assert_eq!(
        create_in(spec(json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack"})), TWO_FAMILIES),
        Err(vec![
            r#"spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"#.into()
        ])
    );
    assert_eq!(
        create_in(spec(json!({"clusterIP": "fd00::1", "ipFamilies": ["IPv4"]})), TWO_FAMILIES),
        Err(vec![
            r#"spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`"#
                .into()
        ])
    );

    let downgraded = update_in(&double, json!({"ipFamilyPolicy": "SingleStack"}), TWO_FAMILIES).unwrap();
    assert_eq!(downgraded["spec"]["clusterIPs"], json!(["10.96.0.9"]));
    assert_eq!(
        update_in(&double, json!({"clusterIPs": ["10.96.0.9"]}), TWO_FAMILIES),
        Err(vec![
            r#"spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be 'SingleStack' to release the secondary cluster IP"#.into()
        ])
    );
    let upgraded = update_in(&single, json!({"ipFamilyPolicy": "RequireDualStack"}), TWO_FAMILIES).unwrap();
    assert_eq!(upgraded["spec"]["clusterIPs"], json!(["10.96.0.9", "fd00::9"]));
    // One that prefers two is left alone when the cluster's families change.
    let kept = update_in(&double, json!({"selector": {"a": "b"}}), ONE_FAMILY).unwrap();
    assert_eq!(families(&kept), json!(["IPv4", "IPv6"]));
}

#[test]
fn refused_when_changed() {
    let plain = create(json!({"ports": [{"port": 80}]})).unwrap();
    let balanced =
        create(json!({"ports": [{"port": 80}], "type": "LoadBalancer", "loadBalancerClass": "example.com/x",
        "externalTrafficPolicy": "Local", "healthCheckNodePort": 31015}))
        .unwrap();
    let external = create(json!({"type": "ExternalName", "externalName": "a.example.com"})).unwrap();
    let rows = [
        (
            &plain,
            json!({"clusterIP": "10.96.3.249"}),
            r#"spec.clusterIPs[0]: Invalid value: ["10.96.3.249"]: may not change once set"#,
        ),
        (
            &balanced,
            json!({"loadBalancerClass": "example.com/y"}),
            r#"spec.loadBalancerClass: Invalid value: "example.com/y": may not change once set"#,
        ),
        (
            &balanced,
            json!({"loadBalancerClass": null}),
            "spec.loadBalancerClass: Invalid value: null: may not change once set",
        ),
        (&balanced, json!({"healthCheckNodePort": 31998}), "spec.healthCheckNodePort: Forbidden: field is immutable"),
        (&external, json!({"type": "ClusterIP", "externalName": null}), "spec.ports: Required value"),
        (&plain, json!({"ports": null}), "spec.ports: Required value"),
    ];
    for (old, patch, want) in rows {
        assert_eq!(update_in(old, patch.clone(), ONE_FAMILY), Err(vec![want.to_owned()]), "{patch}");
    }
}

#[test]
fn type_changes_clean_up() {
    let plain = create(json!({"ports": [{"port": 80}]})).unwrap();
    let mut balanced = create(json!({"ports": [{"port": 80, "nodePort": 31013}], "type": "LoadBalancer",
        "externalTrafficPolicy": "Local", "loadBalancerClass": "example.com/x"}))
    .unwrap();
    balanced["status"]["loadBalancer"] = json!({"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]});
    let external = create(json!({"type": "ExternalName", "externalName": "a.example.com"})).unwrap();

    let down = update_in(&balanced, json!({"type": "ClusterIP"}), ONE_FAMILY).unwrap();
    assert_eq!(down["spec"], plain["spec"]);
    assert_eq!(down["status"], json!({"loadBalancer": {}}));

    let node_port = update_in(&balanced, json!({"type": "NodePort"}), ONE_FAMILY).unwrap();
    assert_eq!(node_port["spec"]["ports"][0]["nodePort"], 31013);
    assert_eq!(node_port["spec"]["externalTrafficPolicy"], "Local");
    for gone in ["healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        assert!(node_port["spec"].get(gone).is_none(), "{gone}");
    }

    let renamed =
        update_in(&plain, json!({"type": "ExternalName", "externalName": "a.example.com", "ports": null}), ONE_FAMILY);
    assert_eq!(renamed.unwrap()["spec"]["clusterIPs"], Value::Null);

    let named =
        update_in(&external, json!({"type": "ClusterIP", "externalName": null, "ports": [{"port": 80}]}), ONE_FAMILY);
    assert_eq!(named.unwrap()["spec"], plain["spec"]);
}

#[test]
fn what_was_given_is_kept() {
    let old = create(json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}], "type": "LoadBalancer",
        "externalTrafficPolicy": "Local"}))
    .unwrap();
    // The manifest again, without what was given; the ports swapped and one more that takes b's node port.
    let mut new = service(
        json!({"ports": [{"name": "b", "port": 81}, {"name": "a", "port": 80}, {"name": "c", "port": 82, "nodePort": 30001}],
        "type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
    );
    Service.default(&mut new);
    keep_allocated(&mut new, &old);
    assert_eq!(new["spec"]["clusterIPs"], json!(["10.96.0.9"]));
    assert_eq!(new["spec"]["healthCheckNodePort"], 30900);
    let ports: Vec<_> =
        new["spec"]["ports"].as_array().unwrap().iter().map(|port| port.get("nodePort").cloned()).collect();
    assert_eq!(ports, [None, Some(json!(30000)), Some(json!(30001))]);
    // Taking back both addresses gives them again.
    let cleared = update_in(&old, json!({"clusterIP": null, "clusterIPs": null}), ONE_FAMILY).unwrap();
    assert_eq!(cleared["spec"]["clusterIPs"], json!(["10.96.0.9"]));
    // The status does not come in by the main resource.
    let mut new = old.clone();
    new["status"] = json!({"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}]}});
    Service.prepare_for_update(&mut new, &old);
    assert_eq!(new["status"], old["status"]);
}

#[test]
fn status() {
    let plain = create(json!({"ports": [{"port": 80}]})).unwrap();
    let balanced = create(json!({"ports": [{"port": 80}], "type": "LoadBalancer"})).unwrap();
    let judged = |service: &Value, ingress: Value| {
        let mut new = service.clone();
        new["status"] = json!({"loadBalancer": {"ingress": [ingress]}});
        new["spec"]["selector"] = json!({"not": "changed"});
        Service.prepare_for_status_update(&mut new, service);
        assert_eq!(new["spec"], service["spec"]);
        texts_of(Service.validate_status_update(&new, service))
    };
    assert_eq!(
        judged(&plain, json!({"ip": "203.0.113.9", "ipMode": "VIP"})),
        ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]
    );
    let rows: Vec<(Value, &[&str])> = vec![
        (json!({"ip": "203.0.113.9", "ipMode": "VIP"}), &[]),
        (
            json!({"ip": "x", "ipMode": "VIP"}),
            &[
                r#"status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
            ],
        ),
        (
            json!({"ip": "1.2.3.4"}),
            &["status.loadBalancer.ingress[0].ipMode: Required value: must be specified when `ip` is set"],
        ),
        (
            json!({"hostname": "a.b", "ipMode": "VIP"}),
            &["status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set"],
        ),
        (
            json!({"ip": "1.2.3.4", "ipMode": "Q"}),
            &[r#"status.loadBalancer.ingress[0].ipMode: Unsupported value: "Q": supported values: "Proxy", "VIP""#],
        ),
        (
            json!({"hostname": "1.2.3.4"}),
            &[
                r#"status.loadBalancer.ingress[0].hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address"#,
            ],
        ),
    ];
    for (ingress, want) in rows {
        assert_eq!(judged(&balanced, ingress.clone()), want, "{ingress}");
    }
}

#[test]
fn warnings() {
    let rows: Vec<(Value, &[&str])> = vec![
        (json!({"ports": [{"port": 80}]}), &[]),
        (
            json!({"ports": [{"port": 80}], "externalIPs": ["203.0.113.7"], "externalName": "x.y"}),
            &[
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
                "spec.externalName is ignored when spec.type is not \"ExternalName\"",
            ],
        ),
        (
            json!({"ports": [{"port": 80}], "trafficDistribution": "PreferClose"}),
            &["spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""],
        ),
        (
            json!({"clusterIP": "None", "loadBalancerIP": "1.2.3.4", "externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP"}),
            &[
                "spec.loadBalancerIP is ignored for headless services",
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
            ],
        ),
    ];
    for (spec, want) in rows {
        let object = create(spec.clone()).unwrap();
        assert_eq!(Service.warnings(&object, None), want, "{spec}");
    }
}

#[test]
fn table() {
    let names: Vec<_> = Service.columns().iter().map(|column| (column.name, column.priority)).collect();
    assert_eq!(
        names,
        [("Name", 0), ("Type", 0), ("Cluster-IP", 0), ("External-IP", 0), ("Port(s)", 0), ("Age", 0), ("Selector", 1)]
    );
    assert!(Service.columns().iter().all(|column| column.description.len() > 50), "described by k8s-openapi");
    let row = |spec: Value, ingress: Value| {
        let mut object = create(spec).unwrap();
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["status"]["loadBalancer"]["ingress"] = ingress;
        Service.row(&object, 1_767_225_600 + 125)
    };
    assert_eq!(
        row(json!({"ports": [{"port": 80}], "selector": {"b": "2", "a": "1"}}), json!(null)),
        [
            json!("s"),
            json!("ClusterIP"),
            json!("10.96.0.9"),
            json!("<none>"),
            json!("80/TCP"),
            json!("2m5s"),
            json!("a=1,b=2")
        ]
    );
    let cells = |spec: Value, ingress: Value| {
        let row = row(spec, ingress);
        format!("{} {} {} {}", row[1], row[2], row[3], row[4]).replace('"', "")
    };
    let balanced =
        json!({"ports": [{"port": 80}, {"port": 81, "name": "b", "protocol": "UDP"}], "type": "LoadBalancer"});
    let mut balanced = balanced;
    balanced["ports"][0]["name"] = json!("a");
    assert_eq!(cells(balanced.clone(), json!(null)), "LoadBalancer 10.96.0.9 <pending> 80:30000/TCP,81:30001/UDP");
    assert_eq!(
        cells(balanced, json!([{"ip": "9.9.9.9"}, {"hostname": "a.b"}, {"ip": "1.1.1.1"}])),
        "LoadBalancer 10.96.0.9 1.1.1.1,9.9.9.9,a.b 80:30000/TCP,81:30001/UDP"
    );
    assert_eq!(
        cells(json!({"type": "ExternalName", "externalName": "a.b"}), json!(null)),
        "ExternalName <none> a.b <none>"
    );
    assert_eq!(
        cells(json!({"ports": [{"port": 80}], "externalIPs": ["1.2.3.4", "1.2.3.5"]}), json!(null)),
        "ClusterIP 10.96.0.9 1.2.3.4,1.2.3.5 80/TCP"
    );
}

#[test]
fn names_and_fields() {
    assert_eq!(Service.validate_name("a.b", false), ["must not contain dots"]);
    assert!(Service.validate_name("1a", false).is_empty());
    assert!(Service.validate_name("web-", true).is_empty());
    let object = create(json!({"ports": [{"port": 80}]})).unwrap();
    let fields = Service.fields(&object);
    assert_eq!(fields, [("spec.clusterIP", "10.96.0.9".to_owned()), ("spec.type", "ClusterIP".to_owned())]);
    assert!(fields.iter().map(|(name, _)| name).eq(Service.field_names()));
}

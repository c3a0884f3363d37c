use serde_json::json;

use super::*;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

fn slice(address_type: &str, endpoints: Value, ports: Value) -> Value {
    let mut slice =
        json!({"metadata": {"name": "e"}, "addressType": address_type, "endpoints": endpoints, "ports": ports});
    EndpointSlice.default(&mut slice);
    EndpointSlice.prepare_for_create(&mut slice);
    slice
}

fn endpoint(extra: Value) -> Value {
    let mut endpoint = json!({"addresses": ["10.1.2.3"]});
    endpoint.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!([endpoint])
}

fn texts_of(faults: Vec<Error>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn refused_when_created() {
    let good = || json!([{"addresses": ["10.1.2.3"]}]);
    let none = || json!(null);
    let many = |count: usize| Value::from((0..count).map(|i| json!({"name": format!("z{i}")})).collect::<Vec<_>>());
    let rows: Vec<(&str, Value, Value, Vec<String>)> = vec![
        ("IPv4", good(), json!([{"port": 80}]), vec![]),
        // The number of a port is nobody's business here, as in Kubernetes.
        ("IPv4", good(), json!([{"name": "a", "port": 70000}]), vec![]),
        ("FQDN", json!([{"addresses": ["a.example.com"]}]), none(), vec![]),
        ("", none(), none(), vec!["addressType: Required value".into()]),
        (
            "Foo",
            good(),
            none(),
            vec![r#"addressType: Unsupported value: "Foo": supported values: "FQDN", "IPv4", "IPv6""#.into()],
        ),
        ("IPv6", good(), none(), vec![r#"endpoints[0].addresses: Invalid value: "10.1.2.3": must be an IPv6 address"#.into()]),
        (
            "IPv6",
            json!([{"addresses": ["FD00::2"]}]),
            none(),
            vec![r#"endpoints[0].addresses[0]: Invalid value: "FD00::2": must be in canonical form ("fd00::2")"#.into()],
        ),
        (
            "IPv4",
            json!([{"addresses": ["fd00::1", "169.254.0.1", "x"]}]),
            none(),
            vec![
                r#"endpoints[0].addresses: Invalid value: "fd00::1": must be an IPv4 address"#.into(),
                r#"endpoints[0].addresses[1]: Invalid value: "169.254.0.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)"#.into(),
                r#"endpoints[0].addresses[2]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#.into(),
            ],
        ),
        (
            "FQDN",
            json!([{"addresses": ["a", ""]}]),
            none(),
            vec![
                r#"endpoints[0].addresses[0]: Invalid value: "a": should be a domain with at least two segments separated by dots"#.into(),
                "endpoints[0].addresses[1]: Required value".into(),
            ],
        ),
        (
            "IPv4",
            json!([{"addresses": []}, {"addresses": vec!["10.0.0.1"; 101]}]),
            none(),
            vec![
                "endpoints[0].addresses: Required value: must contain at least 1 address".into(),
                "endpoints[1].addresses: Too many: 101: must have at most 100 items".into(),
            ],
        ),
        ("IPv4", json!(vec![json!({}); 1001]), none(), vec!["endpoints: Too many: 1001: must have at most 1000 items".into()]),
        (
            "IPv4",
            endpoint(json!({"nodeName": "A_b", "hostname": "A b"})),
            none(),
            vec![
                format!("endpoints[0].nodeName: Invalid value: \"A_b\": {SUBDOMAIN}"),
                format!("endpoints[0].hostname: Invalid value: \"A b\": {LABEL}"),
            ],
        ),
        (
            "IPv4",
            endpoint(json!({"hints": {"forZones": many(9)}})),
            none(),
            vec!["endpoints[0].hints.forZones: Too many: 9: must have at most 8 items".into()],
        ),
        (
            "IPv4",
            endpoint(json!({"hints": {"forZones": [{"name": "z"}, {"name": "z"}], "forNodes": many(9)}})),
            none(),
            vec![
                r#"endpoints[0].hints.forZones[1].name: Duplicate value: "z""#.into(),
                "endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items".into(),
            ],
        ),
        (
            "IPv4",
            good(),
            json!([{"name": "a"}, {"name": "a", "protocol": "X"}, {"name": "A_b", "port": 1}]),
            vec![
                r#"ports[1].name: Duplicate value: "a""#.into(),
                r#"ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP""#.into(),
                format!("ports[2].name: Invalid value: \"A_b\": {LABEL}"),
            ],
        ),
    ];
    for (address_type, endpoints, ports, want) in rows {
        let object = slice(address_type, endpoints, ports);
        assert_eq!(texts_of(EndpointSlice.validate(&object)), want, "{object}");
    }
}

#[test]
fn defaults_and_what_is_dropped() {
    let mut object = slice("IPv4", endpoint(json!({"deprecatedTopology": {"a": "b"}})), json!([{"port": 80}]));
    assert_eq!(object["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
    assert_eq!(object["endpoints"], json!([{"addresses": ["10.1.2.3"]}]));
    object["endpoints"] = json!([]);
    EndpointSlice.canonicalize(&mut object);
    assert_eq!(object["endpoints"], Value::Null);
}

#[test]
fn changes() {
    let old = slice("IPv4", json!([{"addresses": ["10.1.2.3"]}]), json!([{"port": 80}]));
    let mut new = slice("IPv6", json!([{"addresses": ["fd00::1"]}]), json!([{"port": 80}]));
    assert_eq!(
        texts_of(EndpointSlice.validate_update(&new, &old)),
        ["addressType: Invalid value: \"IPv6\": field is immutable"]
    );
    assert_eq!(EndpointSlice.generation_changes(&new, &old), Some(true));
    new = old.clone();
    new["metadata"]["annotations"] = json!({"a": "b"});
    assert_eq!(EndpointSlice.generation_changes(&new, &old), Some(false));
    new["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(EndpointSlice.generation_changes(&new, &old), Some(true));
    // What an older version let in stays as long as nobody touches it.
    let stored = slice("IPv4", json!([{"addresses": ["010.1.2.3"]}]), json!([]));
    assert!(EndpointSlice.validate_update(&stored, &stored).is_empty());
}

#[test]
fn warnings() {
    let named = slice("FQDN", json!([{"addresses": ["a.example.com"]}]), json!([]));
    assert_eq!(EndpointSlice.warnings(&named, None), ["spec.addressType: FQDN endpoints are deprecated"]);
    assert!(EndpointSlice.warnings(&named, Some(&named)).is_empty());
    let mut odd = slice("IPv6", json!([{"addresses": ["FD00::1"]}]), json!([]));
    assert_eq!(
        EndpointSlice.warnings(&odd, None),
        ["endpoints[0].addresses[0]: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")"]
    );
    odd["metadata"]["labels"] = json!({"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"});
    assert!(EndpointSlice.warnings(&odd, None).is_empty());
}

#[test]
fn rows() {
    let five: Vec<_> = (1..=5).map(|i| json!({"addresses": [format!("10.1.2.{i}")]})).collect();
    let rows = [
        (json!(five), json!([{"port": 80}]), "80", "10.1.2.1,10.1.2.2,10.1.2.3 + 2 more..."),
        (json!([]), json!([]), "<unset>", "<unset>"),
        (json!([{"addresses": ["a"]}]), json!([{"name": "x"}, {"port": 1}]), "x,1", "a"),
        (json!([{"addresses": ["a", "b"]}]), json!([{}]), "<unset>", "a,b"),
    ];
    for (endpoints, ports, port_cell, endpoint_cell) in rows {
        let row = EndpointSlice.row(&slice("IPv4", endpoints, ports), 0);
        assert_eq!(row[..4], [json!("e"), json!("IPv4"), json!(port_cell), json!(endpoint_cell)]);
    }
}

use serde_json::json;

use super::*;

fn endpoints(subsets: Value) -> Value {
    let mut object = json!({"metadata": {"name": "s"}, "subsets": subsets});
    Endpoints.default(&mut object);
    object
}

fn faults(subsets: Value) -> Vec<String> {
    Endpoints.validate(&endpoints(subsets)).iter().map(ToString::to_string).collect()
}

#[test]
fn subsets_stay_as_they_are_sent() {
    let object = endpoints(json!([
        {"addresses": [{"ip": "10.1.1.2"}], "ports": [{"port": 80}]},
        {"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 80}]},
    ]));
    assert_eq!(
        object["subsets"],
        json!([
            {"addresses": [{"ip": "10.1.1.2"}], "ports": [{"port": 80, "protocol": "TCP"}]},
            {"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 80, "protocol": "TCP"}]},
        ])
    );
    assert!(Endpoints.validate(&object).is_empty());
}

#[test]
fn refused() {
    assert_eq!(faults(json!([{}])), ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]);
    assert_eq!(
        faults(json!([{"addresses": [{"ip": "x"}], "ports": [{"port": 9376}]}])),
        [
            "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address",
        ]
    );
    assert_eq!(
        faults(json!([{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 1}, {"port": 2}]}])),
        ["subsets[0].ports[0].name: Required value", "subsets[0].ports[1].name: Required value"]
    );
    let got = faults(json!([{"notReadyAddresses": [{"ip": "127.0.0.1", "hostname": "A b", "nodeName": "N"}],
        "ports": [{"port": 0, "protocol": "tcp", "appProtocol": "a b"}]}]));
    let paths: Vec<_> = got.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "subsets[0].notReadyAddresses[0].hostname",
            "subsets[0].notReadyAddresses[0].nodeName",
            "subsets[0].notReadyAddresses[0].ip",
            "subsets[0].ports[0].port",
            "subsets[0].ports[0].protocol",
            "subsets[0].ports[0].appProtocol",
        ]
    );
    // What is stored may stay.
    let stored = endpoints(json!([{}]));
    assert!(Endpoints.validate_update(&stored, &stored).is_empty());
}

#[test]
fn warnings() {
    assert!(Endpoints.deprecation().is_some());
    let mut object = endpoints(json!([{"addresses": [{"ip": "FD00::1"}]}]));
    assert_eq!(
        Endpoints.warnings(&object, None),
        ["subsets[0].addresses[0].ip: IPv6 address \"FD00::1\" should be in RFC 5952 canonical format (\"fd00::1\")"]
    );
    object["metadata"]["labels"] = json!({"endpoints.kubernetes.io/managed-by": "endpoint-controller"});
    assert!(Endpoints.warnings(&object, None).is_empty());
}

#[test]
fn rows() {
    let addresses = |count: usize| (1..=count).map(|i| json!({"ip": format!("1.2.3.{i}")})).collect::<Vec<_>>();
    for (subsets, want) in [
        (json!([]), "<none>"),
        (
            json!([{"addresses": addresses(5), "ports": [{"port": 9376}]}]),
            "1.2.3.1:9376,1.2.3.2:9376,1.2.3.3:9376 + 2 more...",
        ),
        (json!([{"addresses": addresses(2)}]), "1.2.3.1,1.2.3.2"),
        (
            json!([{"addresses": addresses(1), "ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]}]),
            "1.2.3.1:1,1.2.3.1:2",
        ),
        (json!([{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 1}]}]), "[fd00::1]:1"),
        (json!([{"notReadyAddresses": addresses(2), "ports": [{"port": 1}]}]), ""),
    ] {
        assert_eq!(Endpoints.row(&endpoints(subsets), 0)[1], want);
    }
}

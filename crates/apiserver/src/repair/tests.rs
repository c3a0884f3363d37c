use std::net::IpAddr;

use serde_json::{Value, json};

use super::plan::{Finding, Mend, Ports, View, addresses_of, of_address};

fn service(name: &str, spec: Value) -> Value {
    json!({ "metadata": { "namespace": "n", "name": name }, "spec": spec })
}

fn address(name: &str, owner: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                "ipaddress.kubernetes.io/ip-family": if name.contains(':') { "IPv6" } else { "IPv4" },
            },
        },
        "spec": { "parentRef": { "resource": "services", "namespace": "n", "name": owner } },
    })
}

/// Looks with these objects in the cluster, two minutes after the addresses were made.
fn look<T>(services: &[Value], addresses: &[Value], taken: &[u16], look: impl FnOnce(&View<'_>) -> T) -> T {
    let named = |objects: &[Value], name: &str| objects.iter().find(|o| o["metadata"]["name"] == name).cloned();
    look(&View {
        in_range: &|ip| matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 10) || ip.is_ipv6(),
        address: &|name| named(addresses, name),
        service: &|_, name| named(services, name),
        is_taken: &|port| taken.contains(&port),
        ports: 30_000..=30_009,
        now: "2026-01-01T00:02:00Z".parse::<jiff::Timestamp>().unwrap().as_second(),
    })
}

fn told(findings: &[Finding]) -> Vec<(&str, &str, Mend)> {
    findings.iter().map(|f| (f.reason, &*f.note, f.mend)).collect()
}

#[test]
fn a_service_that_has_what_is_taken_for_it_is_fine() {
    let s = service("s", json!({ "clusterIPs": ["10.0.0.1", "FD00::1"], "ports": [{ "nodePort": 30_001 }] }));
    let addresses = [address("10.0.0.1", "s"), address("fd00::1", "s")];
    look(std::slice::from_ref(&s), &addresses, &[30_001], |view| {
        assert_eq!(addresses_of(&s, view), []);
        assert_eq!(Ports::default().of_service(&s, view), []);
        assert!(addresses.iter().all(|address| of_address(address, view).is_none()));
    });
}

#[test]
fn an_address_that_is_not_taken_is_taken_again() {
    let s = service("s", json!({ "clusterIPs": ["10.0.0.1"] }));
    let ip = "10.0.0.1".parse().unwrap();
    look(std::slice::from_ref(&s), &[], &[], |view| {
        let note = "Cluster IP [IPv4]: 10.0.0.1 is not allocated; repairing";
        assert_eq!(told(&addresses_of(&s, view)), [("ClusterIPNotAllocated", note, Mend::Take(ip))]);
    });
    // Another Service is said to have it, and has not.
    look(std::slice::from_ref(&s), &[address("10.0.0.1", "gone")], &[], |view| {
        let note = "the ClusterIP [IPv4]: 10.0.0.1 for Service n/s has a wrong reference; repairing";
        assert_eq!(told(&addresses_of(&s, view)), [("ClusterIPNotAllocated", note, Mend::Take(ip))]);
    });
}

#[test]
fn of_two_services_with_one_address_the_other_is_told() {
    let two = ["s", "t"].map(|name| service(name, json!({ "clusterIPs": ["10.0.0.1"] })));
    look(&two, &[address("10.0.0.1", "s")], &[], |view| {
        assert_eq!(addresses_of(&two[0], view), []);
        let note = "Cluster IP [IPv4]:10.0.0.1 was assigned to multiple services; please recreate service";
        assert_eq!(told(&addresses_of(&two[1], view)), [("ClusterIPAlreadyAllocated", note, Mend::Nothing)]);
    });
}

#[test]
fn addresses_outside_of_all_ranges_and_none_at_all_are_told() {
    let s = service("s", json!({ "clusterIPs": ["192.0.2.1", "what"] }));
    look(std::slice::from_ref(&s), &[], &[], |view| {
        let reasons: Vec<_> = addresses_of(&s, view).iter().map(|f| (f.reason, f.mend)).collect();
        assert_eq!(reasons, [("ClusterIPOutOfRange", Mend::Nothing), ("ClusterIPNotValid", Mend::Nothing)]);
    });
}

#[test]
fn labels_are_mended_without_a_word() {
    let s = service("s", json!({ "clusterIPs": ["10.0.0.1"] }));
    let mut unlabelled = address("10.0.0.1", "s");
    unlabelled["metadata"]["labels"] = json!({});
    look(std::slice::from_ref(&s), &[unlabelled], &[], |view| {
        assert_eq!(told(&addresses_of(&s, view)), [("", "", Mend::Take("10.0.0.1".parse().unwrap()))]);
    });
}

#[test]
fn an_address_that_nobody_has_is_given_back_when_it_is_not_young() {
    let s = service("s", json!({ "clusterIPs": ["10.0.0.1"] }));
    let leaked = address("10.0.0.2", "gone");
    let wrong = address("10.0.0.3", "s");
    let mut young = address("10.0.0.4", "gone");
    young["metadata"]["creationTimestamp"] = "2026-01-01T00:01:30Z".into();
    let mut foreign = address("10.0.0.5", "x");
    foreign["spec"]["parentRef"]["resource"] = "gateways".into();
    let mut by_hand = address("10.0.0.6", "gone");
    by_hand["metadata"]["labels"] = json!({});
    look(&[s], &[], &[], |view| {
        let reason = |address: &Value| of_address(address, view).map(|f| (f.reason, f.mend));
        assert_eq!(reason(&leaked), Some(("IPAddressNotAllocated", Mend::GiveBack)));
        assert_eq!(reason(&wrong), Some(("IPAddressWrongReference", Mend::GiveBack)));
        assert_eq!(reason(&foreign), Some(("IPAddressNotAllocated", Mend::GiveBack)));
        assert_eq!((reason(&young), reason(&by_hand)), (None, None));
    });
}

#[test]
fn ports_are_one_services_and_in_the_range() {
    let s = service(
        "s",
        json!({ "ports": [{ "nodePort": 30_001 }, { "nodePort": 30_001 }], "healthCheckNodePort": 30_002 }),
    );
    let t = service("t", json!({ "ports": [{ "nodePort": 30_001 }, { "nodePort": 40_000 }] }));
    look(&[], &[], &[30_001], |view| {
        let mut ports = Ports::default();
        let note = "Port 30002 is not allocated; repairing";
        assert_eq!(told(&ports.of_service(&s, view)), [("PortNotAllocated", note, Mend::TakePort(30_002))]);
        let (two, outside) = (
            "Port 30001 was assigned to multiple services; please recreate service",
            "Port 40000 is not within the port range 30000-30009; please recreate service",
        );
        let want = [("PortAlreadyAllocated", two, Mend::Nothing), ("PortOutOfRange", outside, Mend::Nothing)];
        assert_eq!(told(&ports.of_service(&t, view)), want);
    });
}

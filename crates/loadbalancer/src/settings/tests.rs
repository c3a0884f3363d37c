use super::*;

#[test]
fn everything_that_can_be_said_is_read() {
    let text = r#"
default: false
pools:
  - name: public
    addresses: [198.51.100.0/24, 203.0.113.10-203.0.113.20, "2001:db8::/120"]
    autoAssign: false
    avoidBuggyIPs: true
    namespaces: [shop]
    namespaceSelector: {matchLabels: {team: web}}
    serviceSelector: {matchExpressions: [{key: expose, operator: In, values: ["yes", "true"]}]}
  - name: rest
    addresses: [10.0.0.7]
announce:
  nodeSelector: {matchLabels: {role: edge}}
  interfaces: [eth0, eth1]
  leaseMilliseconds: 2500
"#;
    let settings = Settings::parse(text).unwrap();
    let [public, rest] = &settings.pools[..] else { panic!("{settings:?}") };
    assert_eq!(
        public.addresses.to_string(),
        "198.51.100.0-198.51.100.255,203.0.113.10-203.0.113.20,2001:db8::-2001:db8::ff"
    );
    assert!(!public.auto_assign && public.avoid_buggy && rest.auto_assign && !rest.avoid_buggy);
    assert_eq!(settings.announce.interfaces, ["eth0", "eth1"]);
    assert_eq!(settings.announce.lease, Duration::from_millis(2500));
    let labels = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
    assert!(settings.announce.node_selector.unwrap().matches(&labels("role", "edge")));
    // (namespace, its labels, the Service's labels, whether the first pool is for it)
    let (web, exposed, none) = (labels("team", "web"), labels("expose", "true"), Labels::new());
    let rows = [
        ("shop", &none, &exposed, true),
        ("elsewhere", &web, &exposed, true),
        ("elsewhere", &none, &exposed, false),
        ("shop", &web, &none, false),
    ];
    for (namespace, namespace_labels, service, wanted) in rows {
        assert_eq!(public.admits(namespace, namespace_labels, service), wanted, "{namespace} {service:?}");
        assert!(rest.admits(namespace, namespace_labels, service));
    }
}

#[test]
fn each_mistake_has_its_message() {
    let text = r#"
pools:
  - {name: one, addresses: [10.0.0.0/24]}
  - {name: one, addresses: [10.1.0.0/24]}
  - {name: "a b", addresses: [10.2.0.0/24]}
  - {name: three, addresses: [10.3.0.9-10.3.0.1]}
  - {name: four, addresses: [10.0.0.255]}
  - {name: five, addresses: []}
  - {name: six, addresses: [10.6.0.0/24], serviceSelector: {matchExpressions: [{key: a, operator: In}]}}
announce: {leaseMilliseconds: 299, interfaces: [an-interface-of-long-name], nodeSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}
"#;
    let Err(SettingsError::Mistakes(found)) = Settings::parse(text) else { panic!() };
    let wanted = [
        "\"a b\" is no name of a pool",
        "pool three: \"10.3.0.9-10.3.0.1\" ends before it begins",
        "pool five: a pool needs at least one address",
        "pool six: serviceSelector: a In needs values",
        "two pools are called one",
        "the pools one and four both have 10.0.0.255",
        "announce: nodeSelector: a Exists takes no values",
        "announce: \"an-interface-of-long-name\" is no name of an interface",
        "announce: leaseMilliseconds is at least 300 and at most 60000",
    ];
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.starts_with(wanted), "{found:?} for {wanted:?}");
    }
    for text in ["pools: 7", "pool: []", "pools: [{name: x}]", "pools: [", "announce: {interface: [eth0]}"] {
        assert!(matches!(Settings::parse(text), Err(SettingsError::Shape(_))), "{text}");
    }
}

#[test]
fn what_is_left_out_has_defaults() {
    let settings = Settings::parse("{}").unwrap();
    assert!(settings.default && settings.pools.is_empty() && settings.announce == Announce::default());
    assert!(settings.is_ours(None) && settings.is_ours(Some(CLASS)) && !settings.is_ours(Some("example.com/other")));
    let not_default = Settings { default: false, ..settings };
    assert!(!not_default.is_ours(None) && not_default.is_ours(Some(CLASS)));
}

#[test]
fn routers_are_read_and_their_mistakes_told() {
    let text = r#"
bgp:
  as: 4200000001
  aggregationLength: 24
  peers:
    - {address: 192.0.2.1, as: 64500, communities: ["64512:100"], gracefulRestart: 120, hops: 3, password: secret}
    - {address: "fd00::1", as: 64500, port: 1179, holdTime: 9, bfd: {multiplier: 5}, passwordSecret: {name: bgp}, nodeSelector: {matchLabels: {rack: a}}}
"#;
    let bgp = Settings::parse(text).unwrap().bgp.unwrap();
    assert_eq!((bgp.asn, bgp.aggregation), (4_200_000_001, (24, 128)));
    let [one, other] = &bgp.peers[..] else { panic!() };
    assert_eq!((one.address.port(), one.hold.as_secs(), one.restart, one.hops), (179, 90, Some(120), 3));
    assert_eq!(one.communities, [64_512 << 16 | 100]);
    assert_eq!(other.address, "[fd00::1]:1179".parse().unwrap());
    assert_eq!(other.password_secret, Some(("bgp".to_owned(), "password".to_owned())));
    let (bfd, often) = (other.bfd.unwrap(), Duration::from_millis(100));
    assert_eq!((one.bfd, bfd.transmit, bfd.receive, bfd.multiplier), (None, often, often, 5));
    let text = r#"
bgp:
  as: 0
  aggregationLength: 33
  peers:
    - {address: 192.0.2.1, as: 0, communities: ["1", "70000:1"], gracefulRestart: 5000, hops: 0, password: "", holdTime: 2}
    - {address: 192.0.2.1, as: 64500, bfd: {multiplier: 0, transmitMilliseconds: 9}, passive: true, port: 1179}
    - {address: 192.0.2.3, as: 64500, password: a, passwordSecret: {name: b}}
"#;
    let Err(SettingsError::Mistakes(found)) = Settings::parse(text) else { panic!() };
    assert_eq!(found.len(), 13, "{found:#?}");
    assert!(found.iter().all(|mistake| mistake.starts_with("bgp: ")));
}

#[test]
fn providers_are_read_and_their_mistakes_told() {
    let text = r#"
providers:
  - {class: example.com/one, url: "https://192.0.2.9:8443/api/", tokenSecret: {name: one}, timeoutSeconds: 5}
  - {class: example.com/other, url: "http://192.0.2.9"}
"#;
    let settings = Settings::parse(text).unwrap();
    let one = settings.provider("example.com/one").unwrap();
    assert_eq!((one.url.as_str(), one.timeout.as_secs()), ("https://192.0.2.9:8443/api", 5));
    assert_eq!(one.token, Some(("one".to_owned(), "token".to_owned())));
    assert!(settings.provider("example.com/none").is_none() && !settings.is_ours(Some("example.com/one")));
    let text = r#"
providers:
  - {class: portolan.dev/lb, url: "https://a"}
  - {class: one, url: "ftp://a"}
  - {class: example.com/one, url: "http://a", tokenSecret: {name: a}, ca: none, timeoutSeconds: 0}
  - {class: example.com/one, url: "https://"}
"#;
    let Err(SettingsError::Mistakes(found)) = Settings::parse(text) else { panic!() };
    assert_eq!(found.len(), 8, "{found:#?}");
    assert!(found.iter().all(|mistake| mistake.starts_with("provider ") || mistake.starts_with("two providers")));
}

use super::*;

#[test]
fn durations_are_gos() {
    let seconds = |text: &str| parse_duration(text).map(|d| d.as_secs_f64());
    assert_eq!(seconds("24h0m0s"), Ok(86_400.0));
    assert_eq!(seconds("1.5h"), Ok(5400.0));
    assert_eq!(seconds("250ms"), Ok(0.25));
    assert_eq!(seconds("0"), Ok(0.0));
    assert_eq!(seconds("0s"), Ok(0.0));
    for wrong in ["", "5", "-1s", "h", "1 s", "1d", "1..5s", "9999999999999999999999h"] {
        assert!(parse_duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn addresses_have_a_port_or_get_one() {
    for (text, address) in [
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("0.0.0.0", "0.0.0.0:10256"),
        ("::1", "[::1]:10256"),
        ("[::1]", "[::1]:10256"),
        ("[::]:1", "[::]:1"),
    ] {
        assert_eq!(parse_bind(text, 10256), Ok(address.parse().unwrap()));
    }
    for wrong in ["", ":80", "localhost:80", "0.0.0.0:0", "0.0.0.0:66000"] {
        assert!(parse_bind(wrong, 10256).is_err(), "{wrong}");
    }
}

#[test]
fn node_ports_know_kube_proxys_words() {
    assert_eq!(parse_node_ports(["primary", "localhost"]), Ok(NodePorts::primary()));
    let all = NodePorts { primary: false, ranges: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()] };
    assert_eq!(parse_node_ports(["all"]), Ok(all));
    assert!(parse_node_ports(["localhost"]).is_err(), "that would be none that others can reach");
}

#[test]
fn a_server_is_switched_off_and_a_range_of_pods_needs_no_mode() {
    let options = Options {
        metrics: Some(Bind::Off),
        cluster_cidrs: Some(vec!["10.244.0.0/16".parse().unwrap()]),
        ..Options::default()
    };
    let config = options.settle("node-1".to_owned()).unwrap();
    assert_eq!(config.metrics_address, None);
    assert_eq!(config.pods, Pods::Ranges(vec!["10.244.0.0/16".parse().unwrap()]));
}

#[test]
fn pods_are_told_by_their_interface_if_it_is_said_which() {
    let name = |text| InterfaceName::new(text).unwrap();
    let options = |mode| Options {
        local_mode: Some(parse_local_mode(mode).unwrap()),
        cluster_cidrs: Some(vec!["10.244.0.0/16".parse().unwrap()]),
        ..Options::default()
    };
    let pods = |options: Options| options.settle("node-1".to_owned()).map(|config| config.pods);
    let bridge = Options { bridge_interface: Some(name("cni0")), ..options("BridgeInterface") };
    assert_eq!(pods(bridge), Ok(Pods::Interface(PodInterface::Named(name("cni0")))));
    let prefix = Options { interface_name_prefix: Some(name("veth")), ..options("InterfaceNamePrefix") };
    assert_eq!(pods(prefix), Ok(Pods::Interface(PodInterface::Prefixed(name("veth")))));
    for mode in ["BridgeInterface", "InterfaceNamePrefix"] {
        let refused = pods(options(mode)).unwrap_err();
        assert!(refused.contains(mode) && refused.contains("give it as detectLocal."), "{refused}");
    }
    for wrong in ["", ".", "a/b", "a b", "sixteen-bytes-it", "ethé"] {
        assert!(parse_interface(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn conntrack_is_told_what_kube_proxy_tells_it() {
    let chosen = ConntrackOptions::default().settle_on(8);
    assert_eq!(
        chosen.settings(),
        [
            ("net/netfilter/nf_conntrack_max", 262_144),
            ("net/netfilter/nf_conntrack_tcp_timeout_established", 86_400),
            ("net/netfilter/nf_conntrack_tcp_timeout_close_wait", 3600),
            ("net/netfilter/nf_conntrack_tcp_be_liberal", 1),
        ]
    );
    assert_eq!(ConntrackOptions::default().settle_on(2).max, Some(131_072), "at least");
    let zero = Some(Duration::ZERO);
    let nothing = ConntrackOptions {
        max_per_core: Some(0),
        tcp_established: zero,
        tcp_close_wait: zero,
        tcp_be_liberal: Some(false),
        ..ConntrackOptions::default()
    };
    assert!(nothing.settle_on(8).settings().is_empty(), "zero leaves what is");
}

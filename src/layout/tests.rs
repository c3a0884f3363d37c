use super::*;

fn wishes() -> Wishes {
    Wishes {
        name: "portolan".to_owned(),
        mark: 0x0a0b_0c0d,
        nodes: 3,
        zones: Vec::new(),
        data_dir: None,
        kubeconfig: None,
        api_address: "127.0.0.1:6443".parse().unwrap(),
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        node_cidr: "172.30.0.0/24".parse().unwrap(),
        node_port_range: (30000, 32767),
        load_balancer_pool: None,
    }
}

fn refusal(change: impl FnOnce(&mut Wishes)) -> String {
    let mut w = wishes();
    change(&mut w);
    Layout::plan(&w).expect_err("it should be refused").to_string()
}

#[test]
fn the_defaults_give_three_nodes_in_three_zones_after_the_bridge() {
    let layout = Layout::plan(&wishes()).unwrap();
    assert_eq!(layout.gateway.to_string(), "172.30.0.1");
    let nodes: Vec<String> =
        layout.nodes.iter().map(|n| format!("{} {} {} {} {}", n.name, n.zone, n.address, n.netns, n.link)).collect();
    assert_eq!(
        nodes,
        [
            "node-1 a 172.30.0.2 portolan-node-1 portolan-1",
            "node-2 b 172.30.0.3 portolan-node-2 portolan-2",
            "node-3 c 172.30.0.4 portolan-node-3 portolan-3",
        ]
    );
    assert_eq!(layout.cluster_dns().to_string(), "10.96.0.10");
    assert_eq!(layout.api_for_nodes().to_string(), "172.30.0.1:6443");
    assert_eq!(layout.kubeconfig, Path::new("/var/lib/portolan/portolan/kubeconfig"));
    assert_eq!(layout.load_balancer_pool, "172.30.0.200-172.30.0.250");
}

#[test]
fn what_a_run_makes_bears_its_mark() {
    let layout = Layout::plan(&wishes()).unwrap();
    assert_eq!(layout.bridge_mac, [0x02, 0x0a, 0x0b, 0x0c, 0x0d, 0]);
    assert_eq!(layout.nodes[2].link_mac, [0x02, 0x0a, 0x0b, 0x0c, 0x0d, 3]);
    assert_eq!(layout.cgroup("node-1"), Path::new("portolan/portolan.0a0b0c0d/node-1"));
}

#[test]
fn the_pool_goes_with_the_node_range() {
    let pool = |node_cidr: &str| {
        let mut w = wishes();
        w.node_cidr = node_cidr.parse().unwrap();
        w.nodes = 1;
        Layout::plan(&w).unwrap().load_balancer_pool
    };
    assert_eq!(pool("172.31.4.0/24"), "172.31.4.200-172.31.4.250");
    assert_eq!(pool("172.20.0.0/16"), "172.20.0.200-172.20.0.250");
    assert_eq!(pool("172.31.4.0/28"), "172.31.4.12-172.31.4.14");
}

#[test]
fn clients_go_to_an_address_and_not_to_all() {
    let at = |address: &str| {
        let mut w = wishes();
        w.api_address = address.parse().unwrap();
        Layout::plan(&w).unwrap().api_for_clients().to_string()
    };
    assert_eq!(at("0.0.0.0:6443"), "127.0.0.1:6443");
    assert_eq!(at("[::]:6443"), "[::1]:6443");
    assert_eq!(at("10.0.0.7:6443"), "10.0.0.7:6443");
}

#[test]
fn zones_are_dealt_out_in_turn() {
    let mut w = wishes();
    w.nodes = 5;
    w.zones = vec!["x".to_owned(), "y".to_owned()];
    let zones: Vec<String> = Layout::plan(&w).unwrap().nodes.into_iter().map(|n| n.zone).collect();
    assert_eq!(zones, ["x", "y", "x", "y", "x"]);
}

#[test]
fn link_names_fit_the_kernel_and_differ_for_long_names_that_begin_alike() {
    let named = |name: &str| {
        let mut w = wishes();
        w.name = name.to_owned();
        w.nodes = 99;
        Layout::plan(&w).unwrap()
    };
    let (one, two) = (named("a-very-long-cluster-name-one"), named("a-very-long-cluster-name-two"));
    for link in one.nodes.iter().map(|n| &n.link).chain([&one.bridge]) {
        assert!(link.len() <= 15, "{link}");
    }
    assert_ne!(one.bridge, two.bridge);
}

#[test]
fn what_contradicts_itself_is_refused_with_its_cure() {
    let rows: Vec<(&str, String, &str)> = vec![
        ("no node", refusal(|w| w.nodes = 0), "--nodes 0: give a number from 1 to 100"),
        ("name with a slash", refusal(|w| w.name = "../x".to_owned()), "give at most 40 of a-z, 0-9 and '-'"),
        (
            "pods in the Service range",
            refusal(|w| w.pod_cidr = "10.96.128.0/17".parse().unwrap()),
            "--service-cidr 10.96.0.0/16 overlaps --pod-cidr 10.96.128.0/17",
        ),
        ("host bits", refusal(|w| w.node_cidr = "172.30.0.1/24".parse().unwrap()), "say 172.30.0.0/24"),
        ("node range too small", refusal(|w| w.node_cidr = "172.30.0.0/30".parse().unwrap()), "too small for 3 nodes"),
        ("pod range too small", refusal(|w| w.pod_cidr = "10.244.0.0/23".parse().unwrap()), "needs a /24"),
        (
            "Service range too small",
            refusal(|w| w.service_cidr = "10.96.0.0/29".parse().unwrap()),
            "a /28 is the least",
        ),
        (
            "multicast",
            refusal(|w| w.pod_cidr = "224.0.0.0/16".parse().unwrap()),
            "hosts cannot have these addresses; choose a range of 10.0.0.0/8",
        ),
        ("loopback", refusal(|w| w.service_cidr = "127.1.0.0/16".parse().unwrap()), "hosts cannot have"),
        ("everything", refusal(|w| w.service_cidr = "0.0.0.0/0".parse().unwrap()), "hosts cannot have"),
        (
            "a zone without a name",
            refusal(|w| w.zones = vec!["a".to_owned(), String::new()]),
            "give names such as a,b,c",
        ),
        (
            "a folder that overlayfs does not take",
            refusal(|w| w.data_dir = Some("/tmp/a:b".into())),
            "give another folder",
        ),
        (
            "Services in the pool",
            refusal(|w| w.load_balancer_pool = Some("10.96.4.0/24".to_owned())),
            "--load-balancer-pool 10.96.4.0/24 overlaps --service-cidr 10.96.0.0/16",
        ),
        ("node ports backwards", refusal(|w| w.node_port_range = (40, 30)), "give FIRST-LAST"),
        (
            "a node's address in the pool",
            refusal(|w| w.load_balancer_pool = Some("172.30.0.3-172.30.0.9".to_owned())),
            "172.30.0.3, which is the address of node-2",
        ),
        (
            "pool that is none",
            refusal(|w| w.load_balancer_pool = Some("all".to_owned())),
            "is no address (172.30.0.200), prefix",
        ),
    ];
    for (name, got, want) in rows {
        assert!(got.contains(want), "{name}: {got}");
        assert!(!got.contains('\n'), "{name}: one line");
    }
}

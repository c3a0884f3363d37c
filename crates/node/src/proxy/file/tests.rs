use std::time::Duration;

use super::*;
use crate::proxy::config::{Config, Pods};

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

fn file(body: &str) -> File {
    read(&format!("{HEAD}{body}")).unwrap()
}

fn config(body: &str) -> Config {
    file(body).options.settle("node-1".to_owned()).unwrap()
}

#[track_caller]
fn refused(body: &str) -> String {
    read(&format!("{HEAD}{body}")).unwrap_err().to_string()
}

/// As kubeadm writes it for a cluster with a range of Pods.
const KUBEADM: &str = r#"
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
  forwardHealthCheckVip: false
  networkName: ""
  rootHnsEndpointName: ""
  sourceVip: ""
"#;

#[test]
fn the_file_that_kubeadm_writes_means_the_defaults_and_says_nothing_strange() {
    let file = file(KUBEADM);
    assert_eq!(file.unknown, Vec::<String>::new());
    assert_eq!(file.ignored, ["logging".to_owned()], "the zeros of its texts");
    assert_eq!(file.mode, None);
    assert_eq!(file.options.kubeconfig.as_deref(), Some("/var/lib/kube-proxy/kubeconfig.conf".as_ref()));
    let config = file.options.settle("node-1".to_owned()).unwrap();
    assert_eq!(config.health_address, Some("0.0.0.0:10256".parse().unwrap()));
    assert_eq!(config.metrics_address, Some("127.0.0.1:10249".parse().unwrap()));
    assert_eq!(config.pods, Pods::Ranges(vec!["10.244.0.0/16".parse().unwrap()]));
    assert_eq!(config.node_ports, NodePorts::primary());
    assert_eq!((config.masquerade_all, config.masquerade_mark), (false, 0x4000));
    assert_eq!((config.address, config.oom_score_adj), (None, Some(-999)));
    let conntrack = config.conntrack.unwrap();
    assert_eq!((conntrack.tcp_established, conntrack.tcp_close_wait), (Some(86_400), Some(3600)));
    assert_eq!((conntrack.tcp_be_liberal, conntrack.udp, conntrack.udp_stream), (true, None, None));
}

#[test]
fn what_a_file_says_is_done() {
    let config = config(
        r#"
bindAddress: "2001:db8::7"
hostnameOverride: Node-7
metricsBindAddress: 0.0.0.0
mode: nftables
iptables: { masqueradeBit: 3 }
nftables: { masqueradeBit: 15, masqueradeAll: true }
detectLocalMode: NodeCIDR
clusterCIDR: 10.244.0.0/16,fd00:10:244::/56
nodePortAddresses: [primary, 198.51.100.0/24]
conntrack: { maxPerCore: 0, tcpCloseWaitTimeout: 90m, udpTimeout: 1m30s }
oomScoreAdj: -500
bindAddressHardFail: true
"#,
    );
    assert_eq!(config.health_address, Some("[::]:10256".parse().unwrap()), "of the family of bindAddress");
    assert_eq!(config.metrics_address, Some("0.0.0.0:10249".parse().unwrap()));
    assert_eq!(config.address, Some("2001:db8::7".parse().unwrap()));
    assert_eq!((config.masquerade_all, config.masquerade_mark), (true, 1 << 15));
    assert_eq!(config.pods, Pods::OfNode);
    let ranges = vec!["198.51.100.0/24".parse().unwrap()];
    assert_eq!(config.node_ports, NodePorts { primary: true, ranges });
    let conntrack = config.conntrack.unwrap();
    assert_eq!((conntrack.max, conntrack.tcp_close_wait, conntrack.udp), (None, Some(5400), Some(90)));
    assert_eq!((config.oom_score_adj, config.bind_hard_fail), (Some(-500), true));
}

#[test]
fn the_section_of_the_mode_counts_and_iptables_node_ports_are_everywhere() {
    let sections = "iptables: { masqueradeBit: 3, masqueradeAll: true }\nnftables: { masqueradeBit: 15 }\n";
    let iptables = file(&format!("mode: iptables\n{sections}"));
    assert_eq!(iptables.mode.as_deref(), Some("iptables"), "it is said that it is nftables here");
    let config = iptables.options.settle("node-1".to_owned()).unwrap();
    assert_eq!((config.masquerade_all, config.masquerade_mark), (true, 8));
    assert!(!config.node_ports.primary);
    assert_eq!(config.node_ports.ranges.len(), 2);
    assert_eq!(self::config(sections).masquerade_mark, 1 << 15);
    assert_eq!(self::config("mode: ipvs\nnodePortAddresses: [primary]").node_ports, NodePorts::primary());
}

#[test]
fn without_a_range_of_pods_nothing_is_known_of_them_as_kube_proxy_has_it() {
    assert_eq!(config("").pods, Pods::Ranges(Vec::new()));
    assert_eq!(Options::default().settle("node-1".to_owned()).unwrap().pods, Pods::OfNode, "but without a file");
}

#[test]
fn a_field_that_nobody_knows_is_said_and_one_without_meaning_only_when_it_says_something() {
    let file =
        file("speed: high\nconntrack: { pace: 3, max: 5, maxPerCore: 1 }\nenableProfiling: true\nportRange: ''\n");
    assert_eq!(file.unknown, ["conntrack.pace", "speed"]);
    assert_eq!(file.ignored, ["conntrack.max", "enableProfiling"]);
}

#[test]
fn what_cannot_be_is_refused_with_the_field_and_the_cure() {
    for (body, line) in [
        (
            "detectLocal: { bridgeInterface: a/b }",
            r#"detectLocal.bridgeInterface: "a/b" is no interface's name; give one of at most 15 bytes, such as cni0 or veth"#,
        ),
        (
            "detectLocalMode: Nearby",
            r#"detectLocalMode: "Nearby" is no way to tell Pods' traffic; choose NodeCIDR, ClusterCIDR, BridgeInterface or InterfaceNamePrefix"#,
        ),
        (
            "clusterCIDR: 10.244.0.0/16,10.245.0.0/16",
            r#"clusterCIDR: "10.244.0.0/16,10.245.0.0/16" has more than one range of a family; give a range, or one of each family with a comma between, such as 10.244.0.0/16,fd00:10:244::/56"#,
        ),
        ("conntrack: { maxPerCore: many }", r#"conntrack.maxPerCore: "many" is no whole number; write one"#),
        ("conntrack: { min: -1 }", "conntrack.min: -1 is out of range; write 0, which leaves it as it is, or more"),
        (
            "conntrack: { udpTimeout: soon }",
            r#"conntrack.udpTimeout: "soon" is no duration; give one such as 30s, 5m or 24h0m0s"#,
        ),
        ("conntrack: 5", "conntrack: it holds no fields; indent the ones that belong to it"),
        (
            "nftables: { masqueradeBit: 32 }",
            "nftables.masqueradeBit: a packet's mark has no bit 32; give one from 0 to 31",
        ),
        ("nftables: { masqueradeAll: 1 }", "nftables.masqueradeAll: 1 is neither true nor false; write one of these"),
        (
            "nodePortAddresses: [everywhere]",
            r#"nodePortAddresses: "everywhere" is no range of addresses; give ranges such as 192.0.2.0/24, or the word primary or all"#,
        ),
        (
            "healthzBindAddress: here:80",
            r#"healthzBindAddress: "here:80" is no address and port; give IP:PORT, such as 0.0.0.0:10256"#,
        ),
        ("oomScoreAdj: 2000", "oomScoreAdj: 2000 is out of range; give a number from -1000 to 1000"),
        ("bindAddress: eth0", r#"bindAddress: "eth0" is no address; give one such as 192.0.2.7 or 0.0.0.0"#),
    ] {
        assert_eq!(refused(body), line);
    }
    let wrong = read("apiVersion: v1\nkind: ConfigMap").unwrap_err().to_string();
    assert_eq!(wrong, r#"apiVersion: "v1" is not what this agent reads; it must be kubeproxy.config.k8s.io/v1alpha1"#);
    assert!(read("a: [").unwrap_err().to_string().starts_with("it is no YAML ("));
    assert!(read("- 1").unwrap_err().to_string().starts_with("it holds no fields;"));
}

#[test]
fn the_command_line_wins_over_the_file() {
    let line = Options { masquerade_all: Some(false), oom_score_adj: Some(7), ..Options::default() };
    let both = line.or(file("nftables: { masqueradeAll: true, masqueradeBit: 9 }\noomScoreAdj: 3").options);
    let config = both.settle("node-1".to_owned()).unwrap();
    assert_eq!((config.masquerade_all, config.masquerade_mark, config.oom_score_adj), (false, 1 << 9, Some(7)));
}

#[test]
fn json_is_yaml_too() {
    let text = r#"{"apiVersion":"kubeproxy.config.k8s.io/v1alpha1","kind":"KubeProxyConfiguration","conntrack":{"udpTimeout":"10s"}}"#;
    assert_eq!(read(text).unwrap().options.conntrack.udp, Some(Duration::from_secs(10)));
}

use std::net::IpAddr;
use std::num::NonZeroU16;

use ipnet::IpNet;
use nft::{Element, Role};

use super::elements::endpoint_hash;
use super::intervals::{everything, intervals, loopback};
use super::*;
use crate::model::{InterfaceName, PodInterface};
use crate::route::{Endpoint, List, Masquerade};

fn compiler(family: Family) -> Compiler {
    Compiler::new(&Config::default(), family)
}

fn pick(list: List, count: u32, affinity: Option<Stay>) -> Pick {
    Pick { key: key::Key::Address, list, count, affinity }
}

fn text(chains: &[(nft::Chain, Vec<nft::Rule>)]) -> String {
    let lines = chains.iter().flat_map(|(chain, rules)| {
        let rules = rules.iter().map(|rule| format!("  {}", rule.text()));
        std::iter::once(chain.name.to_string()).chain(rules)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_program_is_small_and_the_same_for_every_cluster() {
    let expected = "\
prerouting
  jump services
output
  jump services
  ip daddr 127.0.0.0/8 meta priority set meta l4proto . th dport map @node-ports meta priority set 0x00000000 \
                    redirect to :meta l4proto map @loopback-relay
postrouting
  meta mark & 0x00004000 == 0x00004000 meta mark set meta mark & 0xffffbfff goto masquerade
  ip saddr . ip daddr @hairpins ct status & 0x00000020 != 0x00000000 goto masquerade
services
  meta priority set ip daddr . meta l4proto . th dport map @services meta priority vmap @classes
  ip daddr @cluster-ips goto reject
  ip daddr @service-cidrs drop
  ip daddr @node-port-addresses fib daddr type local meta priority set meta l4proto . th dport map @node-ports \
                    meta priority vmap @classes
reject
  meta l4proto tcp reject with tcp reset
  reject with icmp 3
masquerade
  th sport < 1024 masquerade fully-random
  numgen random mod 2 0x00000000 masquerade to :1024-29999 fully-random
  masquerade to :32768-65535 fully-random";
    assert_eq!(text(&compiler(Family::V4).program()), expected);
    let v6 = text(&compiler(Family::V6).program());
    let expected = expected.replace("ip saddr", "ip6 saddr").replace("ip daddr", "ip6 daddr");
    assert_eq!(v6, expected.replace("icmp 3", "icmp 4").replace("127.0.0.0/8", "::1"));
}

#[test]
fn a_class_brings_the_chains_that_it_goes_to() {
    let cluster = pick(List::Cluster, 5, None);
    let local = pick(List::Local, 2, None);
    let sources = Lengths::of(&nets(&["192.0.2.0/28", "10.0.0.0/8", "172.16.0.0/28"]));
    let class = Class { sources, action: Action::BySource { cluster, local: Some(local) } };
    let expected = "\
drop-port
  add @refused { ip daddr . meta l4proto . th dport counter packets 0 bytes 0 }
  drop
n5
  add @connections { ip daddr . meta l4proto . th dport counter packets 0 bytes 0 }
  meta priority set 0x00000000 dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 5 map @endpoints
local-n2
  add @connections { ip daddr . meta l4proto . th dport counter packets 0 bytes 0 }
  meta priority set 0x00000000 dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2 offset 16777216 map \
                    @endpoints
by-source-n5-n2
  ip saddr @pod-cidrs goto n5
  iifname @pod-interfaces goto n5
  fib saddr type local meta mark set meta mark | 0x00004000 goto n5
  goto local-n2
firewall/8/28-by-source-n5-n2
  meta priority set 0x00000008 ip daddr . meta l4proto . th dport . ip saddr/8 . meta priority @sources \
                    goto by-source-n5-n2
  meta priority set 0x0000001c ip daddr . meta l4proto . th dport . ip saddr/28 . meta priority @sources \
                    goto by-source-n5-n2
  goto drop-port";
    assert_eq!(text(&compiler(Family::V4).chains(&class)), expected);
}

#[test]
fn no_local_endpoint_is_a_drop_for_all_others() {
    let class = Class {
        sources: Lengths::default(),
        action: Action::BySource { cluster: pick(List::Cluster, 1, None), local: None },
    };
    let chains = compiler(Family::V4).chains(&class);
    assert_eq!(
        chains.last().map(|(_, rules)| rules.last().map(nft::Rule::text)),
        Some(Some("goto drop-port".to_owned()))
    );
}

/// Classes that differ have chains of different names, else one would take the other's place.
#[test]
fn names_of_classes_are_unique() {
    let mut names = std::collections::HashMap::new();
    let mut chains = std::collections::HashMap::new();
    let keys = [key::Key::Address, key::Key::NodePort];
    let stay = |seconds, wide| Some(Stay { seconds, wide });
    let affinities = [None, stay(1, false), stay(10, false), stay(10, true), stay(86_400, true)];
    let many: Vec<String> = (1..=128).map(|length| format!("fd00::/{length}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for key in keys {
        for affinity in affinities {
            for count in [1, 2, 11, 200_000] {
                let pick = |list| Pick { key, list, count, affinity };
                let (cluster, local) = (pick(List::Cluster), pick(List::Local));
                let mut actions = vec![
                    Action::Reject(key),
                    Action::Drop(key),
                    Action::BySource { cluster, local: None },
                    Action::BySource { cluster, local: Some(local) },
                    Action::BySource { cluster, local: Some(Pick { count: 3, ..local }) },
                ];
                for pick in [cluster, local] {
                    for masquerade in [Masquerade::Never, Masquerade::FromOutside, Masquerade::Always] {
                        actions.push(Action::Forward { masquerade, pick });
                    }
                }
                for action in actions {
                    for sources in [&[][..], &["10.0.0.0/8"], &["10.0.0.0/8", "192.0.2.0/24"], &many] {
                        let class = Class { sources: Lengths::of(&nets(sources)), action };
                        let name = class.to_string();
                        assert!(name.len() < 128, "{name} is too long for the kernel");
                        assert_eq!(Class::from_name(&name), Some(class));
                        assert_eq!(*names.entry(name).or_insert(class), class);
                        for (chain, rules) in compiler(Family::V4).chains(&class) {
                            assert_eq!(*chains.entry(chain.name).or_insert(rules.clone()), rules);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn only_a_classs_own_name_is_its_name() {
    for name in [
        "n",
        "n0",
        "n03",
        "n+3",
        "nothing",
        "services",
        "prerouting",
        "masquerade",
        "reject",
        "reject-other",
        "local-",
        "by-source-n3",
        "masq-",
        "n3-affinity-",
        "n3-affinity-x",
        "firewall-n3",
        "firewall/-n3",
        "firewall/0-n3",
        "firewall/129-n3",
        "firewall/24/8-n3",
        "firewall/x1-n3",
        "firewall/8",
        "",
    ] {
        assert_eq!(Class::from_name(name), None, "{name}");
    }
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn boundaries(elements: &[Element]) -> Vec<String> {
    let text = |element: &Element| {
        let octets: [u8; 4] = element.key.as_slice().try_into().unwrap();
        let sign = if element.role == Role::IntervalEnd { "<" } else { ">=" };
        format!("{sign}{}", IpAddr::from(octets))
    };
    elements.iter().map(text).collect()
}

#[test]
fn ranges_that_overlap_or_touch_become_one() {
    let v4 = |given: &[&str], without: &[&str]| boundaries(&intervals(&nets(given), &nets(without), Family::V4));
    assert_eq!(v4(&["10.1.0.0/16", "10.0.0.0/16", "10.0.3.0/24"], &[]), [">=10.0.0.0", "<10.2.0.0"]);
    assert_eq!(v4(&["10.0.0.5/8", "fd00::/8"], &[]), [">=10.0.0.0", "<11.0.0.0"]);
    assert_eq!(v4(&["128.0.0.0/1"], &[]), [">=128.0.0.0"]);
    assert_eq!(v4(&["0.0.0.0/0"], &["127.0.0.0/8"]), [">=0.0.0.0", "<127.0.0.0", ">=128.0.0.0"]);
    assert_eq!(v4(&["127.0.0.0/16"], &["127.0.0.0/8"]), [""; 0]);
    assert_eq!(v4(&["126.0.0.0/7"], &["127.0.0.0/8"]), [">=126.0.0.0", "<127.0.0.0"]);
    assert_eq!(v4(&[], &[]), [""; 0]);
    assert_eq!(intervals(&[everything(Family::V6)], &[loopback(Family::V6)], Family::V6).len(), 3);
}

#[test]
fn the_lower_bits_of_an_endpoints_hash_depend_on_all_of_it() {
    let endpoint =
        |n: u32, port| Endpoint { address: IpAddr::from(n.to_be_bytes()), port: NonZeroU16::new(port).unwrap() };
    // Of 1,024 endpoints in 4,096 numbers, those that share none are 900 or so, whichever bits of the address differ.
    let shifts = [0, 3, 8, 16, 20];
    for shift in shifts {
        let hashes = (0..1024).map(|n| endpoint_hash(&endpoint(0x0a00_0000 ^ (n << shift), 8080)) % 4096);
        let different = hashes.collect::<std::collections::HashSet<u32>>().len();
        assert!(different > 800, "{different} numbers where bits from {shift} on differ");
    }
    let ports = (1..1024).map(|port| endpoint_hash(&endpoint(0x0a00_0001, port)) % 4096);
    assert!(ports.collect::<std::collections::HashSet<u32>>().len() > 800);
}

#[test]
fn what_cannot_be_carried_out_is_refused() {
    let check = |config: Config| config.check();
    let default = Config::default;
    assert_eq!(check(default()), Ok(()));
    assert_eq!(check(Config { families: vec![Family::V6, Family::V4], ..default() }), Ok(()));
    assert_eq!(check(Config { masquerade_mark: 0, ..default() }), Err(ConfigError::NoMark));
    assert_eq!(check(Config { table: String::new(), ..default() }), Err(ConfigError::TableName));
    assert_eq!(check(Config { table: "x".repeat(256), ..default() }), Err(ConfigError::TableName));
    assert_eq!(check(Config { families: vec![], ..default() }), Err(ConfigError::Families));
    assert_eq!(check(Config { families: vec![Family::V4; 2], ..default() }), Err(ConfigError::Families));
    assert_eq!(check(Config { affinity_size: 0, ..default() }), Err(ConfigError::AffinitySize));
    let node_ports = |range| check(Config { node_port_range: range, ..default() });
    assert_eq!(node_ports(1..=65_535), Err(ConfigError::NodePortRange(1, 65_535)));
    assert_eq!(node_ports(1024..=65_534), Ok(()));
}

#[test]
fn masquerade_has_the_ports_that_are_no_node_ports() {
    assert_eq!(masquerade_ranges(&(30_000..=32_767)), [1024..=29_999, 32_768..=65_535]);
    assert_eq!(masquerade_ranges(&(1..=40_000)), [40_001..=65_535]);
    assert_eq!(masquerade_ranges(&(50_000..=65_535)), [1024..=49_999]);
    assert_eq!(masquerade_ranges(&(80..=443)), [1024..=65_535]);
    assert_eq!(masquerade_ranges(&(0..=0)), [1024..=65_535]);
    assert_eq!(masquerade_ranges(&std::ops::RangeInclusive::new(2, 1)), [1024..=65_535]);
    assert_eq!(masquerade_ranges(&(0..=u16::MAX)), []);
}

#[test]
fn interfaces_become_intervals_of_names() {
    let name = |text| InterfaceName::new(text).unwrap();
    let text = |wanted: &[PodInterface]| -> Vec<String> {
        let elements = intervals::interfaces(wanted).into_iter();
        let texts = elements.map(|element| {
            let bytes: Vec<u8> = element.key.as_slice().iter().copied().take_while(|byte| *byte != 0).collect();
            let end = element.key.as_slice().ends_with(&[1]);
            let sign = if element.role == Role::IntervalEnd { "<" } else { ">=" };
            format!("{sign}{}{}", String::from_utf8_lossy(&bytes), if end { "+1" } else { "" })
        });
        texts.collect()
    };
    assert_eq!(text(&[]), [""; 0]);
    assert_eq!(text(&[PodInterface::Named(name("cni0"))]), [">=cni0", "<cni0+1"]);
    assert_eq!(text(&[PodInterface::Prefixed(name("veth"))]), [">=veth", "<veti"]);
    let several =
        [PodInterface::Prefixed(name("veth")), PodInterface::Named(name("veth12")), PodInterface::Named(name("b"))];
    assert_eq!(text(&several), [">=b", "<b+1", ">=veth", "<veti"]);
    let prefix = PodInterface::Prefixed(name("cali"));
    for (other, matches) in [("cali", true), ("cali12345678901", true), ("calj", false), ("cal", false), ("a", false)] {
        assert_eq!(prefix.matches(name(other)), matches, "{other}");
    }
    assert!(!prefix.matches(InterfaceName::default()), "what this machine makes comes by none");
}

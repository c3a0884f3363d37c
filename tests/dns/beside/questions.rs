//! The questions.

use std::net::IpAddr;

use super::objects::Known;

const ZONE: &str = "svc.cluster.local.";
/// A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV, HTTPS, ANY, CAA.
const TYPES: [u16; 13] = [1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 65, 255, 257];
/// A, NS, TXT, AAAA, SRV, ANY.
const FEW: [u16; 6] = [1, 2, 16, 28, 33, 255];

/// A question as it is sent.
pub struct Question {
    pub name: String,
    pub packet: Vec<u8>,
    /// Whether nobody need answer it.
    pub may_be_silent: bool,
}

/// A question without anything beside it.
pub fn plain(name: &str, qtype: u16) -> Question {
    let packet = packet([1, 0], &[(name, qtype, 1)], &[]);
    Question { name: format!("{name} type {qtype}"), packet, may_be_silent: false }
}

/// All of them.
pub fn of(known: &Known) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut ask = |name: &str, types: &[u16]| questions.extend(types.iter().map(|qtype| plain(name, *qtype)));
    for service in &known.services {
        let base = format!("{}.shop.{ZONE}", service.name);
        ask(&base, &TYPES);
        ask(&capitals(&base), &FEW);
        for label in ["foo", "*", "_http", "a.b", "_a._b", "a.b.c", "_a._tcp.b"] {
            ask(&format!("{label}.{base}"), &FEW);
        }
        for (name, protocol) in &service.ports {
            for form in [
                format!("_{name}._{protocol}"),
                format!("{name}.{protocol}"),
                format!("_{name}._sctp"),
                format!("_._{protocol}"),
                format!("_{name}._"),
                format!("*._{protocol}"),
            ] {
                if !form.split('.').any(str::is_empty) {
                    ask(&format!("{form}.{base}"), &FEW);
                    ask(&capitals(&format!("{form}.{base}")), &[33]);
                }
            }
        }
        for (label, address) in &service.endpoints {
            ask(&format!("{label}.{base}"), &FEW);
            ask(&capitals(&format!("{label}.{base}")), &[1, 28, 33]);
            ask(&format!("_a._tcp.{label}.{base}"), &[33]);
            ask(&backwards(address), &[1, 2, 6, 12, 16, 33, 255]);
        }
        if let Some(address) = &service.address {
            ask(&backwards(address), &TYPES);
        }
    }
    for name in FIXED {
        ask(name, &TYPES);
        ask(&capitals(name), &FEW);
    }
    questions.extend(odd());
    questions
}

/// Names that no object makes.
const FIXED: [&str; 62] = [
    "cluster.local.",
    "svc.cluster.local.",
    "pod.cluster.local.",
    "shop.svc.cluster.local.",
    "shop.pod.cluster.local.",
    "default.svc.cluster.local.",
    "empty-ns.svc.cluster.local.",
    "empty-ns.pod.cluster.local.",
    "gone.svc.cluster.local.",
    "gone.pod.cluster.local.",
    "a.gone.svc.cluster.local.",
    "a.gone.pod.cluster.local.",
    "gone.shop.svc.cluster.local.",
    "orphan.shop.svc.cluster.local.",
    "10-1-12-1.orphan.shop.svc.cluster.local.",
    "dns-version.cluster.local.",
    "a.dns-version.cluster.local.",
    "ns.dns.cluster.local.",
    "dns.cluster.local.",
    "a.ns.dns.cluster.local.",
    "foo.cluster.local.",
    "foo.bar.cluster.local.",
    "a.b.c.d.cluster.local.",
    "*.svc.cluster.local.",
    "*.shop.svc.cluster.local.",
    "web.*.svc.cluster.local.",
    "*.cluster.local.",
    "svc.svc.cluster.local.",
    "web.shop.pod.cluster.local.",
    "web.shop.cluster.local.",
    "shop.cluster.local.",
    "10-1-2-3.shop.pod.cluster.local.",
    "10-1-2-4.shop.pod.cluster.local.",
    "10-1-2-3.default.pod.cluster.local.",
    "10-1-2-3.gone.pod.cluster.local.",
    "fd00--1.shop.pod.cluster.local.",
    "fd00--2.shop.pod.cluster.local.",
    "10-1-2.shop.pod.cluster.local.",
    "10-1-2-300.shop.pod.cluster.local.",
    "1-2-3-4-5.shop.pod.cluster.local.",
    "p.shop.pod.cluster.local.",
    "1.10-1-2-3.shop.pod.cluster.local.",
    "a.b.10-1-2-3.shop.pod.cluster.local.",
    "a.b.c.10-1-2-3.shop.pod.cluster.local.",
    "10.1.2.3.shop.pod.cluster.local.",
    "kubernetes.default.svc.cluster.local.",
    "_https._tcp.kubernetes.default.svc.cluster.local.",
    "www.example.com.shop.svc.cluster.local.",
    "www.example.com.svc.cluster.local.",
    "www.example.com.cluster.local.",
    "in-addr.arpa.",
    "10.in-addr.arpa.",
    "96.10.in-addr.arpa.",
    "9.9.9.9.in-addr.arpa.",
    "300.2.0.192.in-addr.arpa.",
    "1.2.3.4.5.in-addr.arpa.",
    "x.in-addr.arpa.",
    "ip6.arpa.",
    "d.f.ip6.arpa.",
    "arpa.",
    "local.",
    "xcluster.local.",
];

/// What is odd about the message itself.
fn odd() -> Vec<Question> {
    let web = ("web.shop.svc.cluster.local.", 1, 1);
    let many = ("many.shop.svc.cluster.local.", 1, 1);
    let mut odd = Vec::new();
    let mut add =
        |name: &str, flags: [u8; 2], asked: &[(&str, u16, u16)], additional: &[Vec<u8>], may_be_silent: bool| {
            odd.push(Question { name: name.to_owned(), packet: packet(flags, asked, additional), may_be_silent });
        };
    for size in [0_u16, 100, 512, 1232, 1500, 4096, 65_535] {
        for (name, of) in [("one address", web), ("sixty addresses", many)] {
            add(&format!("{name}, EDNS {size}"), [1, 0], &[of], &[edns(size, 0, 0, &[])], false);
        }
    }
    add("sixty addresses", [1, 0], &[many], &[], false);
    add("DO", [1, 0], &[web], &[edns(1232, 0, 0x80, &[])], false);
    add(
        "DO, a name that is not there",
        [1, 0],
        &[("gone.shop.svc.cluster.local.", 1, 1)],
        &[edns(1232, 0, 0x80, &[])],
        false,
    );
    add("EDNS version 1", [1, 0], &[web], &[edns(1232, 1, 0, &[])], false);
    add("a cookie", [1, 0], &[web], &[edns(1232, 0, 0, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])], false);
    add("padding", [1, 0], &[web], &[edns(1232, 0, 0, &[0, 12, 0, 4, 0, 0, 0, 0])], false);
    add("NSID", [1, 0], &[web], &[edns(1232, 0, 0, &[0, 3, 0, 0])], false);
    add("a client's subnet", [1, 0], &[web], &[edns(1232, 0, 0, &[0, 8, 0, 7, 0, 1, 24, 0, 10, 0, 0])], false);
    add("an option that nobody knows", [1, 0], &[web], &[edns(1232, 0, 0, &[0xfd, 0xe9, 0, 1, 7])], false);
    add("no recursion desired", [0, 0], &[web], &[], false);
    add("no recursion desired, outside", [0, 0], &[("www.example.com.", 1, 1)], &[], false);
    add("checking disabled", [1, 0x10], &[web], &[], false);
    add("authentic data", [1, 0x20], &[web], &[], false);
    add("a bit that must be zero", [1, 0x40], &[web], &[], false);
    add("truncated", [3, 0], &[web], &[], true);
    add("authoritative", [5, 0], &[web], &[], false);
    add("a response code", [1, 5], &[web], &[], false);
    add("a response", [0x81, 0], &[web], &[], true);
    for opcode in [1_u8, 2, 4, 5, 6, 15] {
        add(&format!("opcode {opcode}"), [opcode << 3 | 1, 0], &[web], &[], true);
    }
    add("no question", [1, 0], &[], &[], true);
    add("two questions", [1, 0], &[web, web], &[], true);
    for class in [0_u16, 2, 3, 4, 254, 255] {
        add(&format!("class {class}"), [1, 0], &[("web.shop.svc.cluster.local.", 1, class)], &[], true);
        add(&format!("class {class}, outside"), [1, 0], &[("www.example.com.", 1, class)], &[], true);
    }
    for name in ["version.bind.", "hostname.bind.", "id.server.", "version.server.", "authors.bind."] {
        add(&format!("{name} CH TXT"), [1, 0], &[(name, 16, 3)], &[], true);
    }
    for qtype in [0_u16, 41, 249, 250, 251, 252, 253, 254] {
        add(&format!("type {qtype}"), [1, 0], &[("cluster.local.", qtype, 1)], &[], true);
        add(&format!("type {qtype} of a Service"), [1, 0], &[("web.shop.svc.cluster.local.", qtype, 1)], &[], true);
    }
    for name in ["www.example.com.", "gone.example.com.", "com.", "."] {
        for qtype in [1_u16, 16, 28, 255] {
            add(&format!("{name} type {qtype}"), [1, 0], &[(name, qtype, 1)], &[], false);
            add(&format!("{name} type {qtype}, EDNS"), [1, 0], &[(name, qtype, 1)], &[edns(1232, 0, 0, &[])], false);
        }
    }
    odd
}

fn capitals(name: &str) -> String {
    let turn = |(at, letter): (usize, char)| if at % 2 == 0 { letter.to_ascii_uppercase() } else { letter };
    name.char_indices().map(turn).collect()
}

fn backwards(address: &str) -> String {
    match address.parse().unwrap() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa."
        }
    }
}

/// An OPT record.
fn edns(size: u16, version: u8, flags: u8, options: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0, 41];
    record.extend(size.to_be_bytes());
    record.extend([0, version, flags, 0]);
    record.extend((options.len() as u16).to_be_bytes());
    record.extend(options);
    record
}

fn packet(flags: [u8; 2], asked: &[(&str, u16, u16)], additional: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, flags[0], flags[1], 0, asked.len() as u8, 0, 0, 0, 0, 0, additional.len() as u8];
    for (name, qtype, class) in asked {
        for label in name.split('.').filter(|label| !label.is_empty()) {
            packet.push(label.len() as u8);
            packet.extend(label.as_bytes());
        }
        packet.push(0);
        packet.extend(qtype.to_be_bytes());
        packet.extend(class.to_be_bytes());
    }
    packet.extend(additional.concat());
    packet
}

//! Some thousand questions made from objects, asked of CoreDNS and of the binary side by side: both follow the same API and
//! read the same Corefile. Whatever CoreDNS answers is answered alike, but for what [`on_purpose`] names.
//!
//! coredns is looked for in the folder that `PORTOLAN_PEERS` names.

mod objects;
mod questions;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record};

use super::world::{KUBECONFIG, Process, World};
use questions::Question;

/// Where each answers on the node.
const THEIRS: &str = "127.0.0.1:5301";
const OURS: &str = "127.0.0.1:5302";
/// Where names outside are asked for.
const UPSTREAM: &str = "127.0.0.1:5300";

/// What both are told of the cluster, and whether they keep answers and ask others.
struct Setting {
    name: &'static str,
    kubernetes: &'static str,
    beside: &'static str,
}

impl Setting {
    /// Whether CoreDNS keeps its answers, whose times to live run down then. Ours of the cluster's names are always new.
    fn keeps(&self) -> bool {
        self.beside.contains("cache")
    }
}

const SETTINGS: [Setting; 5] = [
    Setting {
        name: "as kubeadm has it",
        kubernetes: "pods insecure\nfallthrough in-addr.arpa ip6.arpa\nttl 30",
        beside: "forward . 127.0.0.1:5300\ncache 30\nloadbalance",
    },
    Setting { name: "alone", kubernetes: "pods disabled", beside: "" },
    Setting {
        name: "verified",
        kubernetes: "pods verified\nendpoint_pod_names\nttl 7\nfallthrough in-addr.arpa ip6.arpa",
        beside: "forward . 127.0.0.1:5300",
    },
    Setting { name: "less than all", kubernetes: "namespaces shop\nignore empty_service", beside: "cache 30" },
    Setting { name: "no endpoints", kubernetes: "noendpoints", beside: "" },
];

/// Why an answer differs on purpose, if it does.
fn on_purpose(question: &Question, theirs: &str, ours: &str) -> Option<&'static str> {
    let name = question.name.to_lowercase();
    let words = name.trim_end_matches(" of a service");
    let is_type = |types: &[u16]| types.iter().any(|number| words.ends_with(&format!("type {number}")));
    let reasons = [
        (is_type(&[255]), "ANY is answered as RFC 8482 says, by one record"),
        (name.starts_with("class ") || name.contains(" ch txt"), "classes other than IN are refused"),
        (name.starts_with("opcode "), "operations other than QUERY are not implemented"),
        (is_type(&[41, 249, 250, 253, 254]), "types that no record has are refused"),
        (
            theirs.starts_with("8102") && ours.starts_with("8105"),
            "where nobody else is asked, names of nobody's zone are refused",
        ),
        (name == "no recursion desired, outside", "nobody is asked for who does not want it"),
        (name.starts_with("ns.dns.cluster.local. type "), "a name that exists is never denied"),
        // CoreDNS' cache leaves out what is there twice; and two endpoints of one name are one there.
        (name.contains("digits.shop"), "a hostname that is the name of another endpoint's address"),
    ];
    reasons.into_iter().find_map(|(holds, reason)| holds.then_some(reason))
}

#[test]
fn whatever_coredns_answers_is_answered_alike() {
    let coredns = std::env::var_os("PORTOLAN_PEERS").map(|folder| Path::new(&folder).join("coredns"));
    let Some(coredns) = coredns.filter(|program| program.is_file()) else {
        return testbed::privilege::skip("PORTOLAN_PEERS does not name a folder with coredns");
    };
    let Some(world) = World::new() else { return };
    let known = objects::make(&world);
    serve_outside(&world);
    let questions = questions::of(&known);
    assert!(questions.len() > 1000, "{} questions", questions.len());
    let mut differences = Vec::new();
    for setting in &SETTINGS {
        let theirs = start(&world, setting, &coredns, THEIRS);
        let ours = start(&world, setting, Path::new(env!("CARGO_BIN_EXE_portolan")), OURS);
        for server in [THEIRS, OURS] {
            let last = questions::plain("z-last.shop.svc.cluster.local.", 1);
            let there = || {
                told(exchange(&world, server, &last).as_ref(), setting).is_some_and(|text| text.contains("10.96.77.77"))
            };
            world.wait("the last object is known", there);
        }
        for question in &questions {
            let [theirs, ours] =
                [THEIRS, OURS].map(|server| told(exchange(&world, server, question).as_ref(), setting));
            let [theirs, ours] = [theirs, ours].map(|text| text.unwrap_or_else(|| "silence".to_owned()));
            if theirs != ours && on_purpose(question, &theirs, &ours).is_none() {
                differences
                    .push(format!("{}: {}\n  CoreDNS: {theirs}\n  ours:    {ours}", setting.name, question.name));
            }
        }
        drop((theirs, ours));
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

/// Starts one of them with such a Corefile.
fn start(world: &World, setting: &Setting, program: &Path, at: &str) -> Process {
    let (address, port) = at.split_once(':').unwrap();
    let is_coredns = at == THEIRS;
    let kubeconfig = if is_coredns { format!("kubeconfig {KUBECONFIG}\n") } else { String::new() };
    let Setting { kubernetes, beside, .. } = setting;
    let text = format!(
        ".:{port} {{\nbind {address}\nkubernetes cluster.local in-addr.arpa ip6.arpa {{\n{kubeconfig}{kubernetes}\n}}\n{beside}\n}}\n"
    );
    let file = format!("/tmp/Corefile.{port}");
    std::fs::write(&file, text).unwrap();
    let mut command = world.node.command(program);
    if is_coredns {
        command.args(["-conf", &file]);
    } else {
        command.args(["dns", "--kubeconfig", KUBECONFIG, "--corefile", &file]);
    }
    Process::start(command)
}

/// What comes back; `None` for silence.
fn exchange(world: &World, server: &str, question: &Question) -> Option<Vec<u8>> {
    let ask = || -> std::io::Result<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        // Silence is waited for once a question; an answer over loopback takes microseconds.
        socket.set_read_timeout(Some(Duration::from_millis(if question.may_be_silent { 300 } else { 3000 })))?;
        socket.connect(server.parse::<SocketAddr>().unwrap())?;
        socket.send(&question.packet)?;
        let mut buffer = vec![0; 65_535];
        let length = socket.recv(&mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    };
    world.node.run(ask).unwrap().ok()
}

/// An answer as text: flags, then each section in order. Left out is what we do otherwise: RA is said by us, as names from
/// outside are answered; letters are as they were asked, and CoreDNS' are small in some records; the size of messages that
/// are taken is our own; and what is not there is kept for a shorter time. Serial numbers and times to live that run are
/// left out too.
fn told(answer: Option<&Vec<u8>>, setting: &Setting) -> Option<String> {
    let answer = answer?;
    let flags = u16::from_be_bytes([answer[2], answer[3]]) & !0x0080;
    let Ok(message) = Message::from_vec(answer) else { return Some(format!("{flags:04x}, unreadable {answer:02x?}")) };
    let mut text = format!("{flags:04x}");
    for query in &message.queries {
        text.push_str(&format!(", {} {} {}", query.name(), query.query_class(), query.query_type()));
    }
    if flags & 0x0200 != 0 {
        // Which records did not fit is up to the order of the day.
        return Some(text.to_lowercase());
    }
    for (section, records) in
        [("", &message.answers), ("authority: ", &message.authorities), ("additional: ", &message.additionals)]
    {
        let mut lines: Vec<String> = records.iter().map(|record| line(record, setting)).collect();
        lines.sort();
        for one in lines {
            text.push_str(&format!("; {section}{one}"));
        }
    }
    if let Some(edns) = &message.edns {
        text.push_str(&format!("; EDNS {} {}", edns.version(), edns.flags().dnssec_ok));
        text.push_str(&format!(" {:?}", edns.options().as_ref()));
    }
    Some(text.to_lowercase())
}

fn line(record: &Record, setting: &Setting) -> String {
    let (ttl, data) = match &record.data {
        RData::SOA(soa) => (0, format!("{} {}", soa.mname, soa.rname)),
        data => (record.ttl, data.to_string()),
    };
    let ttl = if setting.keeps() { 0 } else { ttl };
    format!("{} {ttl} {} {} {data}", record.name, record.dns_class, record.record_type()).to_lowercase()
}

/// Answers what is outside of the cluster: one address of each family for every name that does not begin with "gone".
fn serve_outside(world: &World) {
    let socket = world.node.run(|| UdpSocket::bind(UPSTREAM).unwrap()).unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut packet) {
            let Some(answer) = outside(&packet[..length]) else { continue };
            // Who asked may have gone with the test.
            _ = socket.send_to(&answer, peer);
        }
    });
}

fn outside(packet: &[u8]) -> Option<Vec<u8>> {
    let end = 12 + packet.get(12..)?.iter().position(|octet| *octet == 0)? + 5;
    let mut answer = packet.get(..end)?.to_vec();
    let qtype = u16::from_be_bytes([answer[end - 4], answer[end - 3]]);
    answer[2] |= 0x80;
    answer[3] = 0x80;
    answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    let data: &[u8] = match qtype {
        _ if packet[13..].starts_with(b"gone") => {
            answer[3] |= 3;
            return Some(answer);
        }
        1 => &[203, 0, 113, 7],
        28 => &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
        _ => return Some(answer),
    };
    answer[7] = 1;
    answer.extend([0xc0, 12]);
    answer.extend(qtype.to_be_bytes());
    answer.extend([0, 1, 0, 0, 1, 44, 0, data.len() as u8]);
    answer.extend(data);
    Some(answer)
}

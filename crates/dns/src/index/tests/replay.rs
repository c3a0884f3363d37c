//! CoreDNS' answers on a real Kubernetes, where a recording of them is at hand.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cluster;
use crate::asking;
use crate::index::{EndpointRecord, Index, IndexOptions, PortRecord, Protocol, ServiceRecord, Shape, SliceRecord};
use crate::reply::Transport;

fn read(folder: &Path, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn ports(value: &Value) -> Vec<PortRecord> {
    list(value)
        .map(|port| PortRecord {
            name: text(&port["name"]),
            protocol: match port["protocol"].as_str() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            },
            number: port["port"].as_u64().and_then(|number| u16::try_from(number).ok()),
        })
        .collect()
}

fn service(object: &Value) -> ServiceRecord {
    let spec = &object["spec"];
    let shape = match (spec["type"].as_str(), spec["clusterIP"].as_str()) {
        (Some("ExternalName"), _) => Shape::ExternalName(text(&spec["externalName"])),
        (_, Some("None")) => Shape::Headless,
        (_, address) => Shape::ClusterIp(address.into_iter().map(|address| address.parse().unwrap()).collect()),
    };
    let metadata = &object["metadata"];
    ServiceRecord {
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        shape,
        ports: ports(&spec["ports"]),
    }
}

fn slice(object: &Value) -> SliceRecord {
    let metadata = &object["metadata"];
    SliceRecord {
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        service: text(&metadata["labels"]["kubernetes.io/service-name"]),
        endpoints: list(&object["endpoints"])
            .map(|endpoint| EndpointRecord {
                addresses: list(&endpoint["addresses"])
                    .map(|a| a.as_str().unwrap().parse::<IpAddr>().unwrap())
                    .collect(),
                hostname: endpoint["hostname"].as_str().map(str::to_owned),
                ready: endpoint["conditions"]["ready"].as_bool().unwrap_or(true),
                pod: None,
            })
            .collect(),
        ports: ports(&object["ports"]),
    }
}

fn load(objects: &Value) -> Index {
    let index = Index::new(&IndexOptions::default()).unwrap();
    for object in list(&objects["items"]) {
        match object["kind"].as_str().unwrap() {
            "Namespace" => index.set_namespace(object["metadata"]["name"].as_str().unwrap()).unwrap(),
            "Service" => index.set_service(&service(object)).unwrap(),
            "EndpointSlice" => index.set_slice(&slice(object)).unwrap(),
            kind => panic!("an object of kind {kind}"),
        }
    }
    index.set_namespace("default").unwrap();
    let api = cluster::service("default", "kubernetes", cluster::at("10.96.0.1"), "https/443");
    index.set_service(&api).unwrap();
    index.set_synced(true);
    index
}

/// The answer in the form in which the recording has it.
fn recorded(message: &hickory_proto::op::Message) -> Value {
    let section = |records: &[hickory_proto::rr::Record]| {
        let mut lines: Vec<String> = records
            .iter()
            .map(|record| {
                let line = asking::line(record);
                match line.strip_suffix(" SOA") {
                    Some(owner) => format!("{owner} SOA <soa>"),
                    None => line.replace(" TXT 1.1.0", " TXT \"1.1.0\""),
                }
            })
            .collect();
        lines.sort_unstable();
        lines
    };
    serde_json::json!({
        "rcode": format!("{:?}", message.metadata.response_code).to_uppercase(),
        "aa": message.metadata.authoritative,
        "answer": section(&message.answers),
        "authority": section(&message.authorities),
        "additional": section(&message.additionals),
    })
}

/// Questions that CoreDNS has answered from the cluster's objects alone get the same answers. The recording was made
/// without upstream servers, so every question is one of those.
#[test]
fn recorded_answers_of_coredns() {
    let Some(folder) = std::env::var_os("PORTOLAN_REPLAY").map(PathBuf::from) else {
        eprintln!("skipped: PORTOLAN_REPLAY does not name a folder with dns-cases.json and dns-objects.json");
        return;
    };
    let index = load(&read(&folder, "dns-objects.json"));
    let cases = read(&folder, "dns-cases.json");
    let mut asked = 0;
    let mut wrong = Vec::new();
    for case in list(&cases) {
        let edns = case["edns"].as_u64().map(|size| size as u16);
        let (name, qtype) = (case["name"].as_str().unwrap(), case["type"].as_str().unwrap());
        let packet = asking::question(name, asking::rtype(qtype), edns);
        let transport = if case["tcp"] == true { Transport::Tcp } else { Transport::Udp { most: 4096 } };
        let (_, message) = asking::ask(&index, &packet, transport);
        let told = recorded(&message);
        asked += 1;
        if told != case["want"] {
            wrong.push(format!("{name} {qtype}\n  told {told}\n  want {}", case["want"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 200, "only {asked} questions");
}

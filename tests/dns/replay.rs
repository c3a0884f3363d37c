//! CoreDNS' answers on a real Kubernetes, asked of the binary, where a recording of them is at hand.

use std::path::Path;

use serde_json::{Value, json};

use super::world::World;
use super::{start_dns, status};

#[test]
fn recorded_questions_are_answered_as_coredns_answered_them() {
    let Some(folder) = std::env::var_os("PORTOLAN_REPLAY") else {
        return testbed::privilege::skip("PORTOLAN_REPLAY does not name a folder with dns-replay and its files");
    };
    let folder = Path::new(&folder);
    let Some(world) = World::new() else { return };
    let objects: Value = serde_json::from_slice(&std::fs::read(folder.join("dns-objects.json")).unwrap()).unwrap();
    for object in objects["items"].as_array().unwrap() {
        let plural = match object["kind"].as_str().unwrap() {
            "Namespace" => "namespaces",
            "Service" => "services",
            "EndpointSlice" => "endpointslices",
            other => panic!("{other} is not known here"),
        };
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        world.create(object["apiVersion"].as_str().unwrap(), plural, namespace, object.clone());
    }
    assert!(world.get("v1", "services", "default", "kubernetes").is_some_and(|own| own["spec"] != json!(null)));
    let dns = start_dns(&world, &["--no-upstream"]);
    world.wait("it is ready", || status(&world, 8181, "/ready") == Some(200));
    // The API server of this world has an address that is nobody's in the recording.
    let mut cases: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("dns-cases.json")).unwrap()).unwrap();
    cases.retain(|case| case["name"] != "1.2.0.192.in-addr.arpa.");
    assert!(cases.len() > 200, "{} questions", cases.len());
    std::fs::write("/tmp/cases.json", serde_json::to_vec(&cases).unwrap()).unwrap();
    let mut check = world.node.command(folder.join("dns-replay"));
    let output = check.args(["check", "127.0.0.1", "--cases", "/tmp/cases.json"]).output().unwrap();
    let (told, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if complaint.contains("ModuleNotFoundError") {
        return testbed::privilege::skip("dns-replay needs dnspython");
    }
    assert!(output.status.success() && told.ends_with(" passed, 0 failed\n"), "{told}\n{complaint}");
    dns.end();
}

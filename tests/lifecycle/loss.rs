//! Losing the server changes nothing in the kernel: rules stay, Services and DNS answer, Pods go on.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::host::{Host, SOON, finish, said};

/// What a Service of `portolan/echo` says of itself; `None` when it does not answer.
fn ask(address: &str) -> Option<String> {
    let address = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// The rules of a node, as `nft` prints them, without what counts up.
fn rules(node: u32) -> String {
    let file = File::open(format!("/run/netns/portolan-node-{node}")).unwrap();
    std::thread::scope(|scope| {
        let inside = || {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
            let mut command = std::process::Command::new("nft");
            command.args(["--stateless", "list", "table", "ip", "portolan"]);
            without_counts(&said("nft list table", &finish(command, "nft")))
        };
        scope.spawn(inside).join().unwrap()
    })
}

/// A listing without the sets that packets fill.
fn without_counts(listing: &str) -> String {
    let sets = listing.split("\n\n").filter(|block| !block.contains("flags dynamic"));
    sets.collect::<Vec<_>>().join("\n\n")
}

fn resolve(name: &str) -> String {
    let mut command = std::process::Command::new("dig");
    command.args(["@10.96.0.10", name, "+short", "+time=2", "+tries=3"]);
    said("dig", &finish(command, "dig"))
}

#[test]
fn a_server_that_is_killed_changes_nothing_on_the_nodes() {
    let Some(host) = Host::isolated() else { return };
    let up = host.up(&[]).ready(&host);
    host.kubectl(&["create", "deployment", "web", "--image=portolan/echo", "--replicas=3"]);
    host.kubectl(&["expose", "deployment", "web", "--port=80", "--target-port=8080"]);
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let address = host.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    let web = format!("{address}:80");
    testbed::wait_until(SOON, "the Service answers", || ask(&web).is_some()).unwrap();
    let settled = || {
        let look = || (1..=3).map(rules).collect::<Vec<_>>();
        let first = look();
        (first == look()).then_some(first)
    };
    let before = testbed::wait_for(SOON, "the rules rest", settled).unwrap();
    assert!(before.iter().all(|rules| rules.contains(&address)), "{before:?}");

    up.kill();
    let end = std::time::Instant::now() + Duration::from_secs(6);
    // Longer than any lease: nobody is there who could give the nodes up.
    while std::time::Instant::now() < end {
        assert!(ask(&web).is_some_and(|text| text.contains("web-")), "the Service answers");
        assert_eq!(resolve("web.default.svc.cluster.local"), address);
        assert_eq!(resolve("kubernetes.default.svc.cluster.local"), "10.96.0.1");
    }
    assert_eq!((1..=3).map(rules).collect::<Vec<_>>(), before, "the rules are the same");
    for (node, process) in host.node_processes("portolan") {
        assert!(nix::sys::signal::kill(process, None).is_ok(), "{node} runs");
    }
    host.succeeds(&["down"]);
    host.assert_clean("down of a cluster without a server");
}

//! Two clusters of two names side by side, and what a cluster did not make.

use std::fs;
use std::path::Path;

use testbed::Namespace;

use crate::host::{Host, SOON};

const SHOP: [&str; 10] = [
    "--name",
    "shop",
    "--api-address",
    "127.0.0.1:7443",
    "--service-cidr",
    "10.97.0.0/16",
    "--pod-cidr",
    "10.245.0.0/16",
    "--node-cidr",
    "172.31.0.0/24",
];
const SHOP_CONFIG: &str = "/var/lib/portolan/shop/kubeconfig";
const CONFIG: &str = "/var/lib/portolan/portolan/kubeconfig";

/// Whether a Service `web` of portolan/echo answers at its cluster IP and at its load-balancer address.
fn answers(host: &Host, kubeconfig: &str) -> bool {
    let path = "{.spec.clusterIP} {.status.loadBalancer.ingress[0].ip}";
    let addresses = host.kubectl_of(kubeconfig, &["get", "service", "web", "-o", &format!("jsonpath={path}")]);
    let mut addresses = addresses.split(' ').filter(|a| !a.is_empty());
    let connects = |address: &str| {
        let address = format!("{address}:80").parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(1)).is_ok()
    };
    addresses.next().is_some_and(connects) && addresses.next().is_some_and(connects)
}

fn serve(host: &Host, kubeconfig: &str) {
    host.kubectl_of(kubeconfig, &["create", "deployment", "web", "--image=portolan/echo", "--replicas=2"]);
    let expose = ["expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=LoadBalancer"];
    host.kubectl_of(kubeconfig, &expose);
    host.kubectl_of(kubeconfig, &["rollout", "status", "deployment/web", "--timeout=60s"]);
    testbed::wait_until(SOON, "the Service answers", || answers(host, kubeconfig)).unwrap();
}

#[test]
fn two_clusters_live_side_by_side_and_end_apart() {
    let Some(host) = Host::isolated() else { return };
    host.succeeds(&["up", "--detach"]);
    let shop = host.up(&SHOP).ready(&host);
    serve(&host, CONFIG);
    serve(&host, SHOP_CONFIG);
    assert!(answers(&host, CONFIG) && answers(&host, SHOP_CONFIG));
    assert_eq!(
        host.kubectl_of(SHOP_CONFIG, &["get", "service", "web", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"]),
        "172.31.0.200",
        "the pool goes with the range of the nodes"
    );
    host.succeeds(&["stop-node", "node-1", "--name", "shop"]);
    assert_eq!(host.kubectl(&["get", "nodes", "--no-headers"]).matches(" Ready ").count(), 3);
    host.succeeds(&["start-node", "node-1", "--name", "shop"]);

    // One is killed and cleaned away; the other one does not notice.
    shop.kill();
    host.succeeds(&["down", "--name", "shop", "--purge"]);
    assert!(answers(&host, CONFIG));
    assert!(Path::new("/var/lib/portolan/portolan/objects.redb").exists());
    let shop = host.up(&SHOP).ready(&host);
    host.succeeds(&["down", "--purge"]);
    assert_eq!(host.kubectl_of(SHOP_CONFIG, &["get", "nodes", "--no-headers"]).matches(" Ready ").count(), 3);
    shop.signal(nix::sys::signal::Signal::SIGINT);
    assert!(shop.ended().0.success());
    host.assert_clean("both are down");
}

#[test]
fn a_second_cluster_with_the_same_ranges_is_refused_by_the_flag_to_change() {
    let Some(host) = Host::isolated() else { return };
    host.succeeds(&["up", "--detach"]);
    host.note_groups();
    let without = |flag: &str| {
        let at = SHOP.iter().position(|f| *f == flag).unwrap();
        let kept = SHOP.iter().enumerate().filter(|(i, _)| *i != at && *i != at + 1).map(|(_, f)| *f);
        ["up"].into_iter().chain(kept).collect::<Vec<_>>()
    };
    let rows = [
        ("--api-address", "--api-address 127.0.0.1:6443: the port is in use"),
        ("--node-cidr", "--node-cidr 172.30.0.0/24 overlaps 172.30.0.0/24 of the interface portolan-br"),
        ("--service-cidr", "--service-cidr 10.96.0.0/16 overlaps 10.96.0.0/16 of the route by portolan-br"),
        ("--pod-cidr", "--pod-cidr 10.244.0.0/16 overlaps 10.244."),
    ];
    for (flag, want) in rows {
        let line = host.refused(&without(flag));
        assert!(line.starts_with(want), "{flag}: {line}");
    }
    let pool = [&["up"], &SHOP[..], &["--load-balancer-pool", "172.30.0.200-172.30.0.250"]].concat();
    let line = host.refused(&pool);
    assert!(line.starts_with("--load-balancer-pool 172.30.0."), "{line}");
    assert!(!Path::new("/run/portolan/shop").exists() && !Path::new("/var/lib/portolan/shop").exists());
    host.succeeds(&["down"]);
    host.assert_clean("refusals beside a cluster that runs");
}

#[test]
fn what_somebody_else_made_under_the_same_name_is_refused_and_survives() {
    let Some(host) = Host::isolated() else { return };
    let here = Namespace::current().unwrap();
    here.add_bridge("portolan-br").unwrap();
    let index = here.link("portolan-br").unwrap().index;
    assert_eq!(
        host.refused(&["up"]),
        "the link portolan-br is there already, made by somebody else; remove it with `ip link delete portolan-br`, or give another --name"
    );
    assert_eq!(here.link("portolan-br").unwrap().index, index);
    here.delete_link("portolan-br").unwrap();

    here.add_bridge("portolan-2").unwrap();
    assert!(host.refused(&["up"]).starts_with("the link portolan-2 is there already"));
    here.delete_link("portolan-2").unwrap();

    let run = |command: &str| {
        let mut words = command.split(' ');
        let done = std::process::Command::new(words.next().unwrap()).args(words).status().unwrap();
        assert!(done.success(), "{command}");
    };
    run("ip netns add portolan-node-3");
    let theirs = fs::metadata("/run/netns/portolan-node-3").unwrap();
    assert!(host.refused(&["up"]).starts_with(
        "the network namespace portolan-node-3 is there already (/run/netns/portolan-node-3), made by somebody else; remove it with `ip netns delete portolan-node-3`"
    ));
    assert!(same(&theirs, &fs::metadata("/run/netns/portolan-node-3").unwrap()));
    run("ip netns delete portolan-node-3");
    // `ip netns` keeps its folder mounted on itself.
    let _ = nix::mount::umount2("/run/netns", nix::mount::MntFlags::MNT_DETACH);

    here.add_bridge("other").unwrap();
    here.add_address("other", "192.0.2.1/24".parse().unwrap()).unwrap();
    run("ip route add 10.96.7.0/24 via 192.0.2.9");
    assert!(
        host.refused(&["up"]).starts_with("--service-cidr 10.96.0.0/16 overlaps 10.96.7.0/24 of the route by other")
    );
    run("ip route del 10.96.7.0/24");
    // A wider route goes on beside the cluster's.
    run("ip route add 10.0.0.0/8 via 192.0.2.9");
    run("nft add table ip portolan");
    host.succeeds(&["up", "--detach"]);
    host.note_groups();
    host.succeeds(&["down", "--purge"]);
    run("ip route del 10.0.0.0/8 via 192.0.2.9");
    run("nft delete table ip portolan");
    here.delete_link("other").unwrap();
    host.assert_clean("up beside what somebody else made");
}

#[test]
fn what_took_the_place_of_a_killed_clusters_things_survives_too() {
    let Some(host) = Host::isolated() else { return };
    let here = Namespace::current().unwrap();
    let up = host.up(&[]).ready(&host);
    up.kill();
    for (_, node) in host.node_processes("portolan") {
        nix::sys::signal::kill(node, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    here.delete_link("portolan-br").unwrap();
    here.add_bridge("portolan-br").unwrap();
    nix::mount::umount2("/run/netns/portolan-node-1", nix::mount::MntFlags::MNT_DETACH).unwrap();
    fs::remove_file("/run/netns/portolan-node-1").unwrap();
    let mut theirs = Namespace::new("portolan-node-1").unwrap();
    theirs.pin().unwrap();
    host.succeeds(&["down"]);
    assert!(here.link("portolan-br").is_ok(), "their bridge is there");
    assert!(Path::new("/run/netns/portolan-node-1").exists(), "their namespace is there");
    drop(theirs);
    here.delete_link("portolan-br").unwrap();
    host.assert_clean("down beside what took a name");
}

fn same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

//! Namespaces, links, servers and clients together.

use std::process::Command;
use std::time::Duration;

use testbed::{
    Lab, Namespace, TcpServer, UdpServer, ask_tcp, ask_tcp_from, ask_udp, ask_udp_from, isolate, skip_unless_root,
    wait_until,
};

#[test]
fn two_namespaces_talk_over_a_veth() {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("veth");
    let (client, server) = (lab.namespace("client").unwrap(), lab.namespace("server").unwrap());
    lab.veth((&client, "eth0"), (&server, "eth0")).unwrap();
    client.add_address("eth0", "10.0.0.1/24".parse().unwrap()).unwrap();
    client.add_address("eth0", "fd00::1/64".parse().unwrap()).unwrap();
    server.add_address("eth0", "10.0.0.2/24".parse().unwrap()).unwrap();
    server.add_address("eth0", "fd00::2/64".parse().unwrap()).unwrap();
    let tcp = TcpServer::start(&server, "[::]:80".parse().unwrap(), "tcp").unwrap();
    let udp = UdpServer::start(&server, "10.0.0.2:53".parse().unwrap(), "udp").unwrap();

    let answer = ask_tcp(&client, "10.0.0.2:80".parse().unwrap()).unwrap();
    assert_eq!(answer.name, "tcp");
    let answer = ask_tcp_from(&client, "[fd00::1]:5000".parse().unwrap(), "[fd00::2]:80".parse().unwrap()).unwrap();
    assert_eq!((answer.name.as_str(), answer.seen_as), ("tcp", "[fd00::1]:5000".parse().unwrap()));
    let answer = ask_udp(&client, "10.0.0.2:53".parse().unwrap()).unwrap();
    assert_eq!(answer.name, "udp");
    let from = "10.0.0.1:4000".parse().unwrap();
    assert_eq!(ask_udp_from(&client, from, "10.0.0.2:53".parse().unwrap()).unwrap().seen_as, from);
    assert_eq!((tcp.connections(), udp.datagrams()), (2, 2));

    let mac = server.link("eth0").unwrap().mac;
    assert_eq!(client.neighbour("10.0.0.2".parse().unwrap()).unwrap(), Some(mac));
    drop(tcp);
    assert!(ask_tcp(&client, "10.0.0.2:80".parse().unwrap()).is_err());
}

#[test]
fn a_router_between_two_segments_forwards() {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("router");
    let [a, b, router] = ["a", "b", "router"].map(|name| lab.namespace(name).unwrap());
    let _left = lab.segment("left", "eth0", &[&a, &router]).unwrap();
    lab.veth((&b, "eth0"), (&router, "eth1")).unwrap();
    for (namespace, interface, network) in [
        (&a, "eth0", "10.1.0.2/24"),
        (&router, "eth0", "10.1.0.1/24"),
        (&router, "eth1", "10.2.0.1/24"),
        (&b, "eth0", "10.2.0.2/24"),
    ] {
        namespace.add_address(interface, network.parse().unwrap()).unwrap();
    }
    router.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
    a.add_route("0.0.0.0/0".parse().unwrap(), "10.1.0.1".parse().unwrap()).unwrap();
    b.add_route("10.1.0.0/24".parse().unwrap(), "10.2.0.1".parse().unwrap()).unwrap();
    let _server = TcpServer::start(&b, "10.2.0.2:80".parse().unwrap(), "b").unwrap();
    let answer = ask_tcp(&a, "10.2.0.2:80".parse().unwrap()).unwrap();
    assert_eq!(answer.seen_as.ip(), "10.1.0.2".parse::<std::net::IpAddr>().unwrap());
    router.delete_link("eth1").unwrap();
    assert!(b.link("eth0").is_err(), "the other end of a veth goes too");
}

#[test]
fn commands_run_inside_and_pins_go_away() {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::pinned("pin");
    let namespace = lab.namespace("x").unwrap();
    let pin = std::path::Path::new("/run/netns").join(namespace.name());
    assert!(pin.exists());
    namespace.add_bridge("br-inside").unwrap();
    let output = namespace.command("cat").arg("/proc/self/net/dev").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("br-inside"), "{output:?}");
    drop(namespace);
    assert!(!pin.exists());
}

#[test]
fn an_isolated_test_sees_an_empty_network_and_fresh_directories() {
    if skip_unless_root().is_some() {
        return;
    }
    let outside = std::fs::read_link("/proc/self/ns/net").unwrap();
    let isolated = std::thread::spawn(|| {
        isolate(&["/run".as_ref(), "/var/lib".as_ref()]).unwrap();
        let output = Command::new("sh")
            .args(["-c", "readlink /proc/self/ns/net; ls /sys/class/net; ls /run; touch /run/x; ls /sys/fs/cgroup"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let text = isolated.join().unwrap();
    let mut lines = text.lines();
    assert_ne!(lines.next().unwrap(), outside.to_str().unwrap());
    assert_eq!(lines.next(), Some("lo"), "{text}");
    let groups: Vec<String> = std::fs::read_dir("/sys/fs/cgroup")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let inside: Vec<&str> = lines.collect();
    assert!(groups.iter().all(|group| inside.contains(&group.as_str())), "{groups:?} {inside:?}");
    assert!(!std::path::Path::new("/run/x").exists());
}

#[test]
fn a_condition_that_never_holds_ends_at_its_deadline() {
    let error = wait_until(Duration::from_millis(20), "the end of the world", || false).unwrap_err();
    assert!(error.to_string().contains("the end of the world"), "{error}");
    assert!(Namespace::current().is_ok());
}

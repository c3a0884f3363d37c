//! Ports: steps 9 to 11.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::echo::who;

#[test]
fn step_09_target_port_defaults_to_port_and_may_be_a_name() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: plain}, spec: {selector: {a: b}, ports: [{port: 8080}]}}",
    );
    assert_eq!(cluster.get(&["service", "plain"])["spec"]["ports"][0]["targetPort"], 8080);

    cluster.apply_example("ports.yaml");
    cluster.kubectl(&["wait", "pod", "-l", "app=ports", "--for=condition=Ready", "--timeout=60s"]);
    // Each Pod gives the name `http` to a number of its own.
    let address = format!("{}:80", cluster.cluster_ip("ports"));
    for pod in ["old", "new"] {
        cluster.wait("both Pods answer behind the one name", || (who(&address).ok()? == pod).then_some(()));
    }
}

#[test]
fn step_10_several_ports_need_names_and_tcp_and_udp_share_a_number() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    let nameless = "---\n{apiVersion: v1, kind: Service, metadata: {name: two}, spec: {selector: {a: b}, ports: [{port: 80}, {port: 81}]}}";
    std::fs::write("/tmp/two.yaml", nameless).unwrap();
    let refused = cluster.kubectl_fails(&["create", "-f", "/tmp/two.yaml"]);
    assert!(
        refused.contains("spec.ports[0].name: Required value")
            && refused.contains("spec.ports[1].name: Required value"),
        "{refused}"
    );

    cluster.apply_example("ports.yaml");
    cluster.kubectl(&["wait", "pod", "-l", "app=ports", "--for=condition=Ready", "--timeout=60s"]);
    let ip = cluster.cluster_ip("ports");
    cluster.wait("port 53 answers over TCP", || who(&format!("{ip}:53")).ok());
    cluster.wait("port 53 answers over UDP", || ask_udp(&socket(), &ip, 53));
}

#[test]
fn step_11_a_udp_client_that_keeps_its_socket_follows_when_its_pod_dies() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.apply_example("ports.yaml");
    cluster.kubectl(&["wait", "pod", "-l", "app=ports", "--for=condition=Ready", "--timeout=60s"]);
    let (ip, socket) = (cluster.cluster_ip("ports"), socket());
    let first = cluster.wait("a Pod answers over UDP", || ask_udp(&socket, &ip, 53));
    // The flow keeps its Pod as long as that one lives.
    for _ in 0..20 {
        assert_eq!(ask_udp(&socket, &ip, 53).as_deref(), Some(first.as_str()));
    }
    cluster.kubectl(&["delete", "pod", &first]);
    let second =
        cluster.wait("the other Pod answers on the same socket", || ask_udp(&socket, &ip, 53).filter(|p| *p != first));
    assert_ne!(first, second);
    // With no Pod left there is no answer, and with a new one there is again.
    cluster.kubectl(&["delete", "pod", &second]);
    cluster.wait("nobody answers", || ask_udp(&socket, &ip, 53).is_none().then_some(()));
    cluster.apply_example("ports.yaml");
    cluster.wait("a new Pod answers on the same socket", || ask_udp(&socket, &ip, 53));
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

/// The name of the Pod that answers a datagram; `None` when none does.
fn ask_udp(socket: &UdpSocket, ip: &str, port: u16) -> Option<String> {
    let address: SocketAddr = format!("{ip}:{port}").parse().unwrap();
    socket.send_to(b"who", address).ok()?;
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).ok()?;
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    // The first word that follows `pod`.
    let mut words =
        answer.split(|c: char| c.is_whitespace() || c == ':' || c == '"' || c == ',').filter(|w| !w.is_empty());
    words.find(|w| *w == "pod" || *w == "{pod")?;
    words.next().map(str::to_owned)
}

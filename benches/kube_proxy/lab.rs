//! The namespaces: the API server's (the process' own), and for each peer a client, a node and one that is all endpoints.
//!
//! ```text
//!  hub 192.168.77.1 ---- node 192.168.77.11 ---- pods 10.128.0.0/10: every address of it answers
//!                          |
//!                        client 10.244.0.2
//! ```

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use testbed::{Lab, Namespace};

/// Where the API server answers.
pub const API: &str = "192.168.77.1:6443";
/// The node's address.
pub const NODE: &str = "192.168.77.11";
/// Where endpoints close a connection as soon as they have taken it.
pub const CLOSING_PORT: u16 = 9376;
/// Where endpoints say which one they are, and then echo.
pub const ECHO_PORT: u16 = 9377;
/// The switch between the API server and the node.
const SWITCH: &str = "hub";

thread_local!(static NODES: Cell<u32> = const { Cell::new(0) });

/// The address of the `n`th endpoint.
pub fn endpoint(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + 256 + n)
}

/// The process' own namespace becomes the API server's.
pub fn make_hub() {
    let hub = Namespace::current().expect("the own namespace");
    hub.add_bridge(SWITCH).expect("a bridge");
    hub.add_address(SWITCH, "192.168.77.1/24".parse().expect("a network")).expect("an address");
}

/// A fresh node with its neighbours. Its links are gone when it is dropped.
pub struct Node {
    /// Where the peer runs.
    pub node: Namespace,
    /// Where connections come from, as from a Pod.
    pub client: Namespace,
    _pods: Namespace,
    port: String,
}

impl Node {
    /// With listeners on every endpoint.
    pub fn new() -> Node {
        let number = NODES.replace(NODES.get() + 1);
        let lab = Lab::new("kube-proxy");
        let [node, client, pods] = ["node", "client", "pods"].map(|n| lab.namespace(n).expect("a namespace"));
        let hub = Namespace::current().expect("the own namespace");
        let port = format!("port{number}");
        lab.veth((&hub, &port), (&node, "eth0")).expect("a link to the hub");
        hub.attach(&port, SWITCH).expect("a port of the switch");
        lab.veth((&node, "client0"), (&client, "eth0")).expect("a link to the client");
        lab.veth((&node, "pods0"), (&pods, "eth0")).expect("a link to the Pods");
        let address = |namespace: &Namespace, interface: &str, network: &str| {
            namespace.add_address(interface, network.parse().expect("a network")).expect("an address");
        };
        let route = |namespace: &Namespace, network: &str, gateway: &str| {
            let gateway = gateway.parse().expect("a gateway");
            namespace.add_route(network.parse().expect("a network"), gateway).expect("a route");
        };
        address(&node, "eth0", "192.168.77.11/24");
        address(&node, "client0", "10.244.0.1/24");
        address(&node, "pods0", "169.254.7.1/30");
        address(&client, "eth0", "10.244.0.2/24");
        address(&pods, "eth0", "169.254.7.2/30");
        // On the loopback interface, an address makes all of its network local.
        address(&pods, "lo", "10.128.0.1/10");
        route(&node, "0.0.0.0/0", "192.168.77.1");
        route(&node, "10.128.0.0/10", "169.254.7.2");
        route(&client, "0.0.0.0/0", "10.244.0.1");
        route(&pods, "0.0.0.0/0", "169.254.7.1");
        node.set_sysctl("net.ipv4.ip_forward", "1").expect("forwarding");
        listen(&pods);
        Node { node, client, _pods: pods, port }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let hub = Namespace::current().expect("the own namespace");
        // The namespaces go when their last process has gone, which may be later.
        hub.delete_link(&self.port).expect("the link to the hub goes");
    }
}

/// Starts threads that take every connection; they end with the process.
fn listen(pods: &Namespace) {
    let bind = |port| {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        pods.run(|| TcpListener::bind(any)).expect("a thread in the Pods' namespace").expect("a listener")
    };
    let (closing, echo) = (bind(CLOSING_PORT), bind(ECHO_PORT));
    std::thread::spawn(move || closing.incoming().for_each(drop));
    std::thread::spawn(move || {
        for connection in echo.incoming().flatten() {
            std::thread::Builder::new().stack_size(64 << 10).spawn(move || serve(connection)).expect("a thread");
        }
    });
}

/// Says the own address, then echoes until the other side closes. An error ends the connection, which the client sees.
fn serve(mut connection: TcpStream) {
    let Ok(SocketAddr::V4(own)) = connection.local_addr() else { return };
    if connection.write_all(&own.ip().octets()).is_err() {
        return;
    }
    let mut byte = [0];
    while matches!(connection.read(&mut byte), Ok(1)) && connection.write_all(&byte).is_ok() {}
}

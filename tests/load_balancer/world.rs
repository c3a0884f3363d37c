//! A cluster of three nodes on one switch, which is the test's own namespace: `portolan server` on the switch, an agent
//! on each node, a client, and a machine that serves. Who answers for which address is recorded on every port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testbed::{Lab, Namespace, TcpServer, UdpServer, ask_tcp, wait_for, wait_until};
use tokio::runtime::Runtime;

use crate::ledger::{Ledger, told};
use crate::wire::{Asker, Wire};

/// How long anything may take that is waited for.
pub const SOON: Duration = Duration::from_secs(60);
pub const KUBECONFIG: &str = "/var/lib/server/kubeconfig";
const SERVER: &str = "192.0.2.1";
const POD: &str = "192.0.2.40";
pub const CLIENT: &str = "192.0.2.50";
pub const BRIDGE: &str = "lan";

/// A process that is ended when the value is dropped.
pub struct Process(Child);

impl Process {
    fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// What it has in memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Tells it to end, and waits until it has.
    pub fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is no error.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

pub struct World {
    pub here: Namespace,
    pub nodes: Vec<Namespace>,
    pub agents: Vec<Option<Process>>,
    pub client: Namespace,
    pub wire: Wire,
    ledger: Ledger,
    api: Client,
    runtime: Runtime,
    _pod: (Namespace, TcpServer, UdpServer),
    _server: Process,
}

/// The name of a node by its number.
pub fn name(node: usize) -> String {
    format!("node-{node}")
}

/// The port of the switch that a node is at.
pub fn port(node: usize) -> String {
    format!("port{node}")
}

/// The port of the second switch that a node is at.
pub fn second_port(node: usize) -> String {
    format!("second{node}")
}

/// A connection that stays.
pub struct Conversation(BufReader<TcpStream>);

impl Conversation {
    /// Whether what is sent comes back.
    pub fn lives(&mut self) -> bool {
        let mut back = [0; 4];
        self.0.get_mut().write_all(b"ping").and_then(|()| self.0.read_exact(&mut back)).is_ok() && &back == b"ping"
    }
}

impl World {
    /// A fresh one with all agents running; `None` where the test cannot run, which has been said.
    pub fn new() -> Option<Self> {
        if testbed::skip_unless_root().is_some() {
            return None;
        }
        testbed::isolate(&["/run", "/var/lib", "/tmp"].map(Path::new)).unwrap();
        let lab = Lab::new("balanced");
        let here = Namespace::current().unwrap();
        here.add_bridge(BRIDGE).unwrap();
        here.add_address(BRIDGE, format!("{SERVER}/24").parse().unwrap()).unwrap();
        let member = |port: &str, address: &str| {
            let member = lab.namespace(port).unwrap();
            lab.veth((&here, port), (&member, "eth0")).unwrap();
            here.attach(port, BRIDGE).unwrap();
            member.add_address("eth0", format!("{address}/24").parse().unwrap()).unwrap();
            member
        };
        let nodes: Vec<Namespace> = (0..3).map(|n| member(&port(n), &format!("192.0.2.{}", 10 + n))).collect();
        for node in &nodes {
            node.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
            for interface in ["all", "eth0"] {
                node.set_sysctl(&format!("net.ipv4.conf.{interface}.send_redirects"), "0").unwrap();
            }
        }
        let (pod, client) = (member("pod", POD), member("client", CLIENT));
        let at: SocketAddr = format!("{POD}:8080").parse().unwrap();
        let tcp = TcpServer::start(&pod, at, "pod").unwrap();
        let udp = UdpServer::start(&pod, at, "pod").unwrap();
        let wire = Wire::record(&here);

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command.args(["server", "--data-dir", "/var/lib/server", "--api-address", "192.0.2.1:6443"]);
        command.args(["--load-balancer-pool", "192.0.2.200-192.0.2.250"]);
        let server = Process::start(command);
        let api = wait_for(SOON, "a kubeconfig", || runtime.block_on(connect()).ok()).unwrap();
        let ledger = Ledger::follow(api.clone(), &runtime);
        let agents = (0..3).map(|_| None).collect();
        let mut world =
            Self { here, nodes, agents, client, wire, ledger, api, runtime, _pod: (pod, tcp, udp), _server: server };
        for node in 0..3 {
            world.register(node);
            world.start_agent(node);
        }
        Some(world)
    }

    fn register(&self, node: usize) {
        let nodes: Api<Node> = Api::all(self.api.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": name(node)}})).unwrap();
        let made = || self.runtime.block_on(nodes.create(&PostParams::default(), &object)).ok();
        wait_for(SOON, "the server takes a node", made).unwrap();
        let addresses = json!([{"type": "InternalIP", "address": format!("192.0.2.{}", 10 + node)}]);
        let patch = Patch::Merge(json!({"status": {"addresses": addresses}}));
        self.runtime.block_on(nodes.patch_status(&name(node), &PatchParams::default(), &patch)).unwrap();
    }

    /// Starts the agent of a node.
    pub fn start_agent(&mut self, node: usize) {
        let mut command = self.nodes[node].command(env!("CARGO_BIN_EXE_portolan"));
        let name = name(node);
        command.args(["agent", "--kubeconfig", KUBECONFIG, "--node-name", &name, "--load-balancer"]);
        self.agents[node] = Some(Process::start(command));
    }

    /// Makes a Service of type LoadBalancer, with further fields; what it is then.
    pub fn create(&self, service: &str, spec: &Value) -> Value {
        let mut wanted = json!({"type": "LoadBalancer", "ports": [{"port": 80, "targetPort": 8080}]});
        for (field, content) in spec.as_object().unwrap() {
            wanted[field] = content.clone();
        }
        let object = serde_json::from_value(json!({"metadata": {"name": service}, "spec": wanted})).unwrap();
        self.runtime.block_on(self.services().create(&PostParams::default(), &object)).unwrap();
        wanted
    }

    /// Annotates a Service.
    pub fn annotate(&self, service: &str, key: &str, value: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        self.runtime.block_on(self.services().patch(service, &PatchParams::default(), &patch)).unwrap();
    }

    /// Takes a Service away.
    pub fn delete(&self, service: &str) {
        _ = self.runtime.block_on(self.services().delete(service, &DeleteParams::default())).unwrap();
    }

    /// A Service of type LoadBalancer that the pod serves, with further fields; answers with its address.
    pub fn balanced(&self, service: &str, spec: &Value) -> IpAddr {
        let wanted = self.create(service, spec);
        self.endpoint_of(service, "elsewhere", wanted["ports"][0]["protocol"].as_str().unwrap_or("TCP"));
        self.address(service)
    }

    /// The address of a Service, when it has one.
    pub fn address(&self, service: &str) -> IpAddr {
        let address = || {
            let found = self.runtime.block_on(self.services().get(service)).unwrap();
            found.status?.load_balancer?.ingress?.first()?.ip.as_ref()?.parse().ok()
        };
        wait_for(SOON, "an address", address).unwrap()
    }

    /// Says on which node the Service's one endpoint is.
    pub fn endpoint(&self, service: &str, node: &str) {
        self.endpoint_of(service, node, "TCP");
    }

    fn endpoint_of(&self, service: &str, node: &str, protocol: &str) {
        let endpoints = json!([{"addresses": [POD], "nodeName": node, "conditions": {"ready": true}}]);
        self.put_slice(service, service, &endpoints, (8080, protocol));
    }

    /// A slice of a Service.
    pub fn slice(&self, slice: &str, service: &str, endpoints: &Value, port: u16) {
        self.put_slice(slice, service, endpoints, (port, "TCP"));
    }

    fn put_slice(&self, slice: &str, service: &str, endpoints: &Value, (port, protocol): (u16, &str)) {
        let content = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": slice, "labels": {"kubernetes.io/service-name": service}}, "addressType": "IPv4",
            "endpoints": endpoints, "ports": [{"port": port, "protocol": protocol, "name": ""}],
        });
        let params = PatchParams::apply("test").force();
        self.runtime.block_on(self.slices().patch(slice, &params, &Patch::Apply(content))).unwrap();
    }

    /// Takes a slice away.
    pub fn unslice(&self, slice: &str) {
        _ = self.runtime.block_on(self.slices().delete(slice, &DeleteParams::default())).unwrap();
    }

    fn slices(&self) -> Api<EndpointSlice> {
        Api::namespaced(self.api.clone(), "default")
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.api.clone(), "default")
    }

    /// What a condition of a Service says: its status and its reason.
    pub fn says(&self, service: &str, condition: &str) -> Option<(String, String)> {
        let found = self.runtime.block_on(self.services().get(service)).ok()?;
        let mut all = found.status?.conditions?.into_iter();
        let condition = all.find(|found| found.type_ == condition)?;
        Some((condition.status, condition.reason))
    }

    /// Waits until the Service says that its address is seen to answer.
    pub fn wait_ready(&self, service: &str) {
        let ready = || self.says(service, "portolan.dev/LoadBalancerReady");
        let wanted = Some(("True".to_owned(), "Answers".to_owned()));
        wait_until(SOON, "it says that it is ready", || ready() == wanted).unwrap();
    }

    /// The node that answers a question for an address now.
    pub fn owner(&self, address: IpAddr) -> usize {
        wait_for(SOON, "an answer", || self.wire.last(address).map(|mac| self.node_of(mac))).unwrap()
    }

    /// The node with an Ethernet address.
    pub fn node_of(&self, mac: [u8; 6]) -> usize {
        let is_of = |node: &Namespace, interface| node.link(interface).is_ok_and(|link| link.mac == mac);
        self.nodes.iter().position(|node| is_of(node, "eth0") || is_of(node, "eth1")).unwrap()
    }

    /// Checks that at no time two spoke for an address: that each spoke in its turn, as it is written.
    pub fn assert_never_two(&self, address: IpAddr) {
        assert!(self.wire.words(address).len() > 10, "nobody asked");
        let claimants = self.ledger.claimants(address, &self.runtime);
        let turns = self.wire.turns(address);
        let speakers: Vec<String> = turns.iter().map(|(mac, _)| name(self.node_of(*mac))).collect();
        if let Err(turn) = told(&speakers, &claimants) {
            panic!("turn {turn} of {address} is not told by what was written\nturns: {turns:?}\nclaims: {claimants:?}");
        }
    }

    /// Waits until another node than this one answers.
    pub fn wait_succeeded(&self, address: IpAddr, node: usize) {
        wait_until(SOON, "another node answers", || self.owner(address) != node).unwrap();
    }

    /// Waits until this node answers.
    pub fn wait_owner(&self, address: IpAddr, node: usize) {
        wait_until(SOON, "the node answers", || self.owner(address) == node).unwrap();
    }

    /// Whether the address leads to the pod, for the client.
    pub fn reaches(&self, address: IpAddr) -> bool {
        ask_tcp(&self.client, SocketAddr::new(address, 80)).is_ok_and(|answer| answer.name == "pod")
    }

    /// Whether the address leads anywhere.
    pub fn reaches_any(&self, address: IpAddr) -> bool {
        ask_tcp(&self.client, SocketAddr::new(address, 80)).is_ok()
    }

    /// Makes the switch a router that spreads connections by addresses and ports, and has the client send by it.
    pub fn route(&self, network: &str) {
        self.here.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
        self.here.set_sysctl("net.ipv4.fib_multipath_hash_policy", "1").unwrap();
        for interface in ["all", BRIDGE] {
            self.here.set_sysctl(&format!("net.ipv4.conf.{interface}.send_redirects"), "0").unwrap();
        }
        self.client.add_route(network.parse().unwrap(), SERVER.parse().unwrap()).unwrap();
    }

    /// What each agent has in memory, in KiB.
    pub fn memory(&self) -> Vec<u64> {
        self.agents.iter().flatten().map(Process::memory).collect()
    }

    /// Begins a connection that stays.
    pub fn converse(&self, address: IpAddr) -> Conversation {
        let connect = || TcpStream::connect(SocketAddr::new(address, 80));
        let stream = self.client.run(connect).unwrap().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut stream = BufReader::new(stream);
        stream.read_line(&mut String::new()).unwrap();
        Conversation(stream)
    }

    /// A second switch, on which the nodes and the client are with `eth1`.
    pub fn second_network(&self) {
        self.here.add_bridge("second").unwrap();
        let members = self.nodes.iter().enumerate().map(|(n, node)| (second_port(n), node));
        for (port, member) in members.chain([("second-client".to_owned(), &self.client)]) {
            testbed::Lab::new("balanced").veth((&self.here, &port), (member, "eth1")).unwrap();
            self.here.attach(&port, "second").unwrap();
        }
    }

    /// Says what is chosen of load balancers, as the ConfigMap has it.
    pub fn choose(&self, config: &str) {
        let maps: Api<ConfigMap> = Api::namespaced(self.api.clone(), "kube-system");
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "portolan-load-balancer"},
            "data": {"config": config},
        });
        let params = PatchParams::apply("test").force();
        self.runtime.block_on(maps.patch("portolan-load-balancer", &params, &Patch::Apply(map))).unwrap();
    }

    /// Asks for an address from the client's place, again and again, until dropped.
    pub fn ask(&self, address: IpAddr) -> Asker {
        self.ask_by("eth0", address)
    }

    /// As [`World::ask`], by another interface of the client.
    pub fn ask_by(&self, interface: &str, address: IpAddr) -> Asker {
        Asker::start(&self.client, interface, CLIENT.parse().unwrap(), address)
    }

    /// Runs the binary to its end, which must be good; answers with what it said.
    pub fn portolan(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Feeds the switch rules; `None` where `nft` is not installed, which has been said.
    pub fn switch_rules(&self, rules: &str) -> Option<()> {
        let Ok(output) = Command::new("nft").arg(rules).output() else {
            testbed::privilege::skip("nft is not installed");
            return None;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(())
    }
}

async fn connect() -> anyhow::Result<Client> {
    let file = Kubeconfig::read_from(KUBECONFIG)?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

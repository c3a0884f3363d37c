//! Nodes that are stopped, started, or end by themselves; and nodes that join over a network.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{Lab, Namespace};

use crate::host::{Host, SOON, finish, said};

fn ready(host: &Host) -> Vec<String> {
    let path = "{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}";
    host.kubectl(&["get", "nodes", "-o", &format!("jsonpath={path}")]).lines().map(str::to_owned).collect()
}

fn wait_for_ready(host: &Host, wanted: [&str; 3]) {
    let is = || ready(host) == wanted;
    assert!(testbed::wait_until(SOON, "nodes", is).is_ok(), "{:?} is not {wanted:?}", ready(host));
}

#[test]
fn a_node_is_stopped_and_started_again() {
    let Some(host) = Host::isolated() else { return };
    let up = host.up(&[]).ready(&host);
    host.kubectl(&["create", "deployment", "web", "--image=portolan/echo", "--replicas=3"]);
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert_eq!(host.refused(&["stop-node", "node-9"]), "no node \"node-9\"; there are node-1, node-2, node-3");
    assert_eq!(host.succeeds(&["stop-node", "node-2"]), "node-2 is stopped; the cluster will notice by itself");
    assert!(!std::fs::exists("/run/netns/portolan-node-2").unwrap(), "its namespace is gone");
    assert_eq!(
        host.refused(&["stop-node", "node-2"]),
        "node-2 is stopped already; start it with `portolan start-node node-2`"
    );
    wait_for_ready(&host, ["node-1 True", "node-2 Unknown", "node-3 True"]);
    assert_eq!(host.succeeds(&["start-node", "node-2"]), "node-2 is started");
    assert_eq!(
        host.refused(&["start-node", "node-2"]),
        "node-2 runs already; stop it with `portolan stop-node node-2`"
    );
    wait_for_ready(&host, ["node-1 True", "node-2 True", "node-3 True"]);

    // One that ends by itself is told, and started again in the same way.
    let (name, process) = host.node_processes("portolan").remove(2);
    assert_eq!(name, "node-3");
    kill(process, Signal::SIGKILL).unwrap();
    let told = "node-3 ended by itself (signal: 9 (SIGKILL)); start it again with `portolan start-node node-3 --name portolan`";
    testbed::wait_until(SOON, "it is told", || up.complained().contains(told)).unwrap();
    host.succeeds(&["start-node", "node-3"]);
    wait_for_ready(&host, ["node-1 True", "node-2 True", "node-3 True"]);

    // A cluster with a stopped node, and one with a node that ended, is taken down whole.
    host.succeeds(&["stop-node", "node-1"]);
    let (_, process) = host.node_processes("portolan").pop().unwrap();
    kill(process, Signal::SIGKILL).unwrap();
    host.succeeds(&["down"]);
    assert!(up.ended().0.success());
    host.assert_clean("down with a stopped and a dead node");
    assert!(host.refused(&["stop-node", "node-1"]).starts_with("no cluster portolan runs here"));
}

/// A control plane and a node, each in a network of its own, with a bridge between.
struct Machines {
    _host: Host,
    server: Namespace,
    node: Namespace,
    _bridge: Namespace,
}

const SERVER: &str = "10.77.0.1";
const NODE: &str = "10.77.0.2";
const CONFIG: &str = "/var/lib/server/kubeconfig";

impl Machines {
    fn new() -> Option<Self> {
        let host = Host::isolated()?;
        let lab = Lab::new("join");
        let (server, node) = (lab.namespace("server").unwrap(), lab.namespace("node").unwrap());
        let bridge = lab.segment("bridge", "eth0", &[&server, &node]).unwrap();
        server.add_address("eth0", format!("{SERVER}/24").parse().unwrap()).unwrap();
        node.add_address("eth0", format!("{NODE}/24").parse().unwrap()).unwrap();
        // Where nobody knows a cluster IP, it goes nowhere.
        node.add_route("0.0.0.0/0".parse().unwrap(), SERVER.parse().unwrap()).unwrap();
        Some(Self { _host: host, server, node, _bridge: bridge })
    }

    fn start_server(&self) -> Process {
        let mut command = self.server.command(env!("CARGO_BIN_EXE_portolan"));
        command.args(["server", "--data-dir", "/var/lib/server", "--api-address", "0.0.0.0:6443"]);
        command.args(["--advertise-address", SERVER, "--admit", &format!("node-a={NODE}")]);
        Process::start(command, "/tmp/server.log")
    }

    fn start_node(&self) -> Process {
        let mut command = self.node.command(env!("CARGO_BIN_EXE_portolan"));
        command.args(["node", "--name", "node-a", "--address", NODE, "--zone", "north"]);
        command.args(["--kubeconfig", "/var/lib/server/node-a.kubeconfig", "--data-dir", "/var/lib/node"]);
        command.args(["--run-dir", "/run/node", "--cgroup-parent", &format!("portolan-join-{}", std::process::id())]);
        Process::start(command, "/tmp/node.log")
    }

    fn kubectl(&self, arguments: &[&str]) -> Option<String> {
        let mut command = self.server.command("kubectl");
        command.args(arguments).env("KUBECONFIG", CONFIG).env("HOME", "/tmp").stdin(Stdio::null());
        let output = finish(command, &format!("kubectl {}", arguments.join(" ")));
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        testbed::wait_for(SOON, what, look).unwrap_or_else(|e| {
            let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
            panic!("{e}\nserver:\n{}node:\n{}", read("/tmp/server.log"), read("/tmp/node.log"))
        })
    }

    fn wait_until_ready(&self) {
        let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        self.wait("the node is ready", || {
            self.kubectl(&["get", "node", "node-a", "-o", path]).filter(|status| status == "True")
        });
    }

    /// Whether a TCP connection from the node to this address is refused by its rules: a Service without endpoints that
    /// is programmed. One that is not is nowhere, and times out.
    fn is_programmed(&self, cluster_ip: &str) -> bool {
        let address = format!("{cluster_ip}:80").parse().unwrap();
        let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300));
        self.node.run(connect).unwrap().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
    }

    fn make_service(&self, name: &str) -> String {
        self.wait("a Service is made", || self.kubectl(&["create", "service", "clusterip", name, "--tcp=80"]));
        self.kubectl(&["get", "service", name, "-o", "jsonpath={.spec.clusterIP}"]).unwrap()
    }
}

/// A process that ends with the test.
struct Process(std::process::Child);

impl Process {
    fn start(mut command: std::process::Command, log: &str) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }

    fn signal(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
        let ended = testbed::wait_for(SOON, "it ends", || self.0.try_wait().unwrap()).unwrap();
        assert!(signal == Signal::SIGKILL || ended.success(), "{ended}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_node_joins_over_a_network_and_catches_up_with_a_server_that_comes_back() {
    let Some(machines) = Machines::new() else { return };
    let mut server = machines.start_server();
    let file = "/var/lib/server/node-a.kubeconfig";
    machines.wait("the node may join", || std::fs::exists(file).unwrap().then_some(()));
    let mut node = machines.start_node();
    machines.wait_until_ready();
    let zone = machines.kubectl(&["get", "node", "node-a", "-o", "jsonpath={.metadata.labels}"]).unwrap();
    assert!(zone.contains("\"topology.kubernetes.io/zone\":\"north\""), "{zone}");
    let before = machines.make_service("before");
    machines.wait("it is programmed", || machines.is_programmed(&before).then_some(()));

    server.signal(Signal::SIGKILL);
    let rules = rules(&machines.node);
    assert!(rules.contains(&before), "{rules}");
    assert!(machines.is_programmed(&before), "the server is gone, the rules are not");
    assert_eq!(answer(&machines.node, "kubernetes.default.svc.cluster.local"), "10.96.0.1");

    let mut server = machines.start_server();
    let after = machines.make_service("after");
    machines.wait("what came after the restart is programmed", || machines.is_programmed(&after).then_some(()));
    assert!(machines.is_programmed(&before));
    machines.wait_until_ready();
    let gone = || machines.kubectl(&["delete", "service", "before"]).map(drop);
    machines.wait("a Service is deleted", gone);
    machines.wait("its rules are gone", || (!machines.is_programmed(&before)).then_some(()));

    // The node ends and leaves its rules, as kube-proxy does; and is back.
    node.signal(Signal::SIGTERM);
    assert!(machines.is_programmed(&after));
    let _node = machines.start_node();
    machines.wait_until_ready();
    server.signal(Signal::SIGTERM);
    let log = std::fs::read_to_string("/tmp/node.log").unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

/// The rules of a node, as `nft` prints them, without what counts up.
fn rules(node: &Namespace) -> String {
    let mut command = node.command("nft");
    command.args(["--stateless", "list", "table", "ip", "portolan"]);
    said("nft list table", &finish(command, "nft"))
}

/// What the node's DNS says of a name.
fn answer(node: &Namespace, name: &str) -> String {
    let mut command = node.command("dig");
    command.args(["@10.96.0.10", name, "+short", "+time=2", "+tries=3"]);
    said("dig", &finish(command, "dig"))
}

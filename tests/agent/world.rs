//! A cluster of one node that has no kube-proxy: `portolan server` as its API, a machine that is a namespace, two Pods
//! and a client outside.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use apiserver::pki::Authority;

use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testbed::{Lab, Namespace, wait_until};
use tokio::runtime::Runtime;

/// How long anything may take that is waited for.
pub const SOON: Duration = Duration::from_secs(60);
pub const NODE: &str = "node-1";
pub const NODE_ADDRESS: &str = "192.0.2.10";
/// Of two Pods; each is behind a link of its own.
pub const PODS: [&str; 2] = ["10.244.1.2", "10.244.1.6"];
/// The administrator's.
pub const KUBECONFIG: &str = "/var/lib/server/kubeconfig";

/// A process that is ended when the value is dropped.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).env_remove("PORTOLAN_LOG").spawn().unwrap())
    }

    /// Tells it to end, and waits until it has.
    pub fn end(mut self) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }

    /// Ends it without a word.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is no error.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The cluster.
pub struct World {
    pub node: Namespace,
    pub pods: [Namespace; 2],
    pub outside: Namespace,
    pub client: Client,
    pub runtime: Runtime,
    server: Option<Server>,
}

/// Who answers for the API.
enum Server {
    /// The binary.
    Process(Process),
    /// The API server alone, inside this process.
    Inside(apiserver::Server),
}

impl World {
    /// A fresh one; `None` where the test cannot run, which has been said.
    pub fn new() -> Option<Self> {
        Self::with(|_| Self::start_server())
    }

    /// As [`World::new`], with cluster IPs of IPv6: an API server without controllers, which `portolan server` has of
    /// IPv4 alone.
    pub fn of_ipv6() -> Option<Self> {
        Self::with(|runtime| {
            let folder = Path::new("/var/lib/server");
            let authority = Arc::new(Authority::load_or_create(&folder.join("pki")).unwrap());
            let address: SocketAddr = "192.0.2.1:6443".parse().unwrap();
            let config = apiserver::Config {
                store: store::Store::open(folder.join("objects.redb")).unwrap(),
                authority: authority.clone(),
                listen: vec![address],
                advertise: address.ip(),
                names: Vec::new(),
                service_cidr: "fd00:96::/112".parse().unwrap(),
                node_ports: 30_000..=32_767,
                tokens: Vec::new(),
                audit: None,
            };
            let server = runtime.block_on(apiserver::Server::start(config)).unwrap();
            portolan::kubeconfig::write_admin(&authority, "six", address, Path::new(KUBECONFIG)).unwrap();
            Server::Inside(server)
        })
    }

    fn with(start: impl FnOnce(&Runtime) -> Server) -> Option<Self> {
        if testbed::skip_unless_root().is_some() {
            return None;
        }
        testbed::isolate(&["/run", "/var/lib", "/tmp"].map(Path::new)).unwrap();
        let lab = Lab::new("agent");
        let (here, node) = (Namespace::current().unwrap(), lab.namespace("node").unwrap());
        lab.veth((&here, "node"), (&node, "eth0")).unwrap();
        here.add_address("node", "192.0.2.1/24".parse().unwrap()).unwrap();
        node.add_address("eth0", format!("{NODE_ADDRESS}/24").parse().unwrap()).unwrap();
        node.add_address("eth0", "2001:db8::10/64".parse().unwrap()).unwrap();
        node.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
        node.set_sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
        let leaf = |number: u8, name: &str, address: &str, gateway: &str, length: u8| {
            let leaf = lab.namespace(name).unwrap();
            lab.veth((&node, name), (&leaf, "eth0")).unwrap();
            node.add_address(name, format!("{gateway}/{length}").parse().unwrap()).unwrap();
            leaf.add_address("eth0", format!("{address}/{length}").parse().unwrap()).unwrap();
            leaf.add_route("0.0.0.0/0".parse().unwrap(), gateway.parse().unwrap()).unwrap();
            let gateway = format!("fd00:{number}::1");
            node.add_address(name, format!("{gateway}/64").parse().unwrap()).unwrap();
            leaf.add_address("eth0", format!("fd00:{number}::2/64").parse().unwrap()).unwrap();
            leaf.add_route("::/0".parse().unwrap(), gateway.parse().unwrap()).unwrap();
            leaf
        };
        let pods = [leaf(1, "pod-1", PODS[0], "10.244.1.1", 30), leaf(2, "pod-2", PODS[1], "10.244.1.5", 30)];
        let outside = leaf(3, "outside", "198.51.100.2", "198.51.100.1", 24);

        // Its threads are in the same namespaces as the one that makes it.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = start(&runtime);
        let client = runtime.block_on(client());
        let world = Self { node, pods, outside, client, runtime, server: Some(server) };
        world.wait("the server answers", || world.get("v1", "namespaces", "", "kube-system").is_some());
        Some(world)
    }

    fn start_server() -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command.args(["server", "--data-dir", "/var/lib/server", "--api-address", "192.0.2.1:6443"]);
        Server::Process(Process::start(command))
    }

    /// Takes the API away.
    pub fn stop_server(&mut self) {
        match self.server.take().unwrap() {
            Server::Process(process) => process.end(),
            Server::Inside(server) => drop(server),
        }
    }

    /// Brings it back.
    pub fn restart_server(&mut self) {
        self.server = Some(Self::start_server());
        self.wait("the server answers", || self.get("v1", "namespaces", "", "kube-system").is_some());
    }

    /// Waits until it is so.
    pub fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        wait_until(SOON, what, condition).unwrap();
    }

    /// Makes the node's object, as a kubelet would.
    pub fn register(&self) {
        self.create("v1", "nodes", "", json!({ "metadata": { "name": NODE }, "spec": { "podCIDR": "10.244.1.0/24" } }));
        self.addresses(&[NODE_ADDRESS, "2001:db8::10"]);
    }

    /// Says which addresses the node has.
    pub fn addresses(&self, addresses: &[&str]) {
        let addresses: Vec<Value> = addresses.iter().map(|a| json!({ "type": "InternalIP", "address": a })).collect();
        let status = json!({ "status": { "addresses": addresses } });
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client.clone());
        let (params, patch) = (PatchParams::default(), Patch::Merge(&status));
        self.runtime.block_on(nodes.patch_status(NODE, &params, &patch)).unwrap();
    }

    /// Starts the agent on the node.
    pub fn start_agent(&self) -> Process {
        self.start_agent_with(&[])
    }

    /// Starts the agent on the node, with further flags.
    pub fn start_agent_with(&self, flags: &[&str]) -> Process {
        let mut command = self.node.command(env!("CARGO_BIN_EXE_portolan"));
        command.args(["agent", "--kubeconfig", KUBECONFIG, "--node-name", NODE]).args(flags);
        Process::start(command)
    }

    /// Runs the agent on the node to its end, which must be good; answers with what it said.
    pub fn agent_succeeds(&self, arguments: &[&str]) -> String {
        let mut command = self.node.command(env!("CARGO_BIN_EXE_portolan"));
        let output = command.arg("agent").args(arguments).stdin(Stdio::null()).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Feeds rules to one of iptables' programs on the node; `None` where it is not installed, which has been said.
    pub fn iptables(&self, program: &str, rules: &str) -> Option<()> {
        let spawned = self.node.command(program).arg("--noflush").stdin(Stdio::piped()).spawn();
        let Ok(mut child) = spawned else {
            testbed::privilege::skip(&format!("{program} is not installed"));
            return None;
        };
        child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        Some(())
    }

    /// What one of iptables' programs writes of the node's rules.
    pub fn saved(&self, program: &str) -> String {
        let output = self.node.command(program).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Creates an object; answers with what the server made of it.
    pub fn create(&self, version: &str, plural: &str, namespace: &str, object: Value) -> Value {
        let objects = self.objects(version, plural, namespace);
        let object = serde_json::from_value(with_kind(object, version, plural)).unwrap();
        let made = self.runtime.block_on(objects.create(&PostParams::default(), &object)).unwrap();
        serde_json::to_value(made).unwrap()
    }

    /// An object; `None` when there is none, or nobody to ask.
    pub fn get(&self, version: &str, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let objects = self.objects(version, plural, namespace);
        let got = self.runtime.block_on(objects.get_opt(name)).ok()??;
        Some(serde_json::to_value(got).unwrap())
    }

    /// Changes an object by a merge patch.
    pub fn patch(&self, version: &str, plural: &str, namespace: &str, name: &str, patch: &Value) {
        let objects = self.objects(version, plural, namespace);
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        self.runtime.block_on(objects.patch(name, &params, &patch)).unwrap();
    }

    /// Deletes an object.
    pub fn delete(&self, version: &str, plural: &str, namespace: &str, name: &str) {
        let objects = self.objects(version, plural, namespace);
        self.runtime.block_on(objects.delete(name, &Default::default())).unwrap();
    }

    /// The events of an object, in the namespace `default`.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let events = self.objects("v1", "events", "default");
        let listed = self.runtime.block_on(events.list(&Default::default())).unwrap();
        let all = listed.items.into_iter().map(|event| serde_json::to_value(event).unwrap());
        all.filter(|event| event["involvedObject"]["name"] == name).collect()
    }

    /// All objects of a kind, or those of a namespace.
    pub fn objects(&self, version: &str, plural: &str, namespace: &str) -> Api<kube::api::DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = kube::api::ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
            kind: kind(plural).to_owned(),
            plural: plural.to_owned(),
        };
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    /// A Service without a selector in the namespace `default`, with further fields; answers with it.
    pub fn service(&self, name: &str, spec: Value) -> Value {
        let mut spec = spec;
        spec["ports"] = json!([{ "port": 80, "targetPort": 8080, "protocol": "TCP" }]);
        self.create("v1", "services", "default", json!({ "metadata": { "name": name }, "spec": spec }))
    }

    /// Its slice, named after it, with an endpoint at each of these addresses, on these nodes.
    pub fn slice(&self, service: &str, endpoints: &[(&str, &str)]) {
        self.slice_of_family(service, "IPv4", endpoints);
    }

    /// As [`World::slice`], of a family.
    pub fn slice_of_family(&self, service: &str, family: &str, endpoints: &[(&str, &str)]) {
        let endpoint = |(address, node): &(&str, &str)| json!({ "addresses": [address], "nodeName": node });
        let slice = json!({
            "metadata": { "name": format!("{service}-{}", family.to_lowercase()), "labels": { "kubernetes.io/service-name": service } },
            "addressType": family,
            "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            "ports": [{ "port": 8080, "protocol": "TCP" }],
        });
        self.create("discovery.k8s.io/v1", "endpointslices", "default", slice);
    }

    /// How often the node's rules were changed, by whomever.
    pub fn generation(&self) -> u32 {
        let read = || nft::Socket::in_current_netns().unwrap().generation().unwrap();
        self.node.run(read).unwrap()
    }

    /// Asks over HTTP from inside a namespace: the status, and everything that came.
    pub fn http(&self, from: &Namespace, address: &str, path: &str) -> Option<(u16, String)> {
        let address: SocketAddr = address.parse().unwrap();
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").as_bytes())?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let text = from.run(ask).unwrap().ok()?;
        let status = text.split_whitespace().nth(1)?.parse().ok()?;
        Some((status, text))
    }
}

async fn client() -> Client {
    let end = tokio::time::Instant::now() + SOON;
    loop {
        let made = async {
            let file = Kubeconfig::read_from(KUBECONFIG)?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await
        };
        match made.await {
            Ok(config) => return Client::try_from(config).unwrap(),
            Err(error) if tokio::time::Instant::now() > end => panic!("no kubeconfig: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn kind(plural: &str) -> &'static str {
    match plural {
        "nodes" => "Node",
        "services" => "Service",
        "namespaces" => "Namespace",
        "endpointslices" => "EndpointSlice",
        "events" => "Event",
        "pods" => "Pod",
        _ => panic!("{plural} is not used here"),
    }
}

fn with_kind(mut object: Value, version: &str, plural: &str) -> Value {
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind(plural));
    object
}

//! One Service from POST to packet: the steps of `docs/path-of-a-packet.md`, each asserted where it can be seen, and the
//! document itself: its steps are these, and the functions that it names exist.
//!
//! Everything runs in this process: a server on a store of its own, the controllers, and a node's loop over Services
//! twice, once into rules in memory and, as root, once into the kernel of a laboratory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apiserver::pki::Authority;
use dataplane::backend::{CommitError, FlowsError, ReadError, fake, nftables};
use dataplane::flows::StaleFlows;
use dataplane::model::{EndpointSlice as ModelSlice, Protocol, Service as ModelService, ServicePort};
use dataplane::model::{SliceEndpoint, SlicePort};
use dataplane::route::{Choice, Endpoint, Packet, Table, Verdict};
use dataplane::ruleset::{Ruleset, TableContent};
use dataplane::trace::{Outcome, Tracer};
use dataplane::{Backend, Config, Dataplane, Family, Model, NamespacedName};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IPAddress;
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use node::connections::Connections;
use serde_json::{Value, json};
use store::{EventBatch, Store};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

const DOCUMENT: &str = include_str!("../docs/path-of-a-packet.md");
const TEST: &str = include_str!("path_of_a_packet.rs");

/// How long anything that is waited for may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// The Pods of the Service: name, node, address. All listen on [`TARGET_PORT`].
const PODS: [(&str, &str, &str); 3] =
    [("web-1", "node-1", "10.244.1.1"), ("web-2", "node-1", "10.244.1.2"), ("web-3", "node-2", "10.244.2.1")];
/// A Pod of node-1 that asks.
const CLIENT: &str = "10.244.1.9";
/// node-1's own address among its Pods, at which it also answers DNS.
const GATEWAY: &str = "10.244.1.254";
const TARGET_PORT: u16 = 8080;
const NAME: &str = "web.shop.svc.cluster.local";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_service_from_post_to_packet() {
    let world = World::start().await;
    let mut log = world.store.watch(world.store.revision());
    let services: Api<Service> = Api::namespaced(world.client.clone(), "shop");
    let listed = services.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut events = services.watch(&WatchParams::default(), &listed).await.unwrap().boxed();

    step("1. The request is answered");
    let service = post(&world.client).await;
    let vip: IpAddr = service.spec.as_ref().unwrap().cluster_ip.as_ref().unwrap().parse().unwrap();

    step("2. The address is taken with the write");
    let batch = batch_with(&mut log, "/registry/services/specs/shop/web").await;
    address_is_taken(&world.client, &batch, vip).await;

    step("3. The commit becomes an event");
    let event = tokio::time::timeout(DEADLINE, events.next()).await.unwrap().unwrap().unwrap();
    let WatchEvent::Added(seen) = event else { panic!("{event:?}") };
    assert_eq!(seen.resource_version(), Some(batch.revision.to_string()), "the event bears the commit's revision");
    assert_eq!(seen, service, "what is watched is what was answered");

    step("4. A controller makes the slice");
    let slice = slice(&world.client, &service).await;

    step("5. The node decides");
    let chosen = decided(&service, &slice, vip);

    step("6. The decision becomes elements");
    let memory = Memory::default();
    let index = index();
    let mut programmed = world.run_node(memory.clone(), index.clone());
    programmed.wait_for(|done| *done).await.unwrap();
    let elements = traced(&memory, vip, &chosen);

    step("7. The kernel carries the packet");
    let lab = testbed::skip_unless_root().is_none().then(Lab::new);
    if let Some(lab) = &lab {
        let backend = lab.node.run(|| nftables::Backend::new(Config::default())).unwrap().unwrap();
        let mut programmed = world.run_node(backend, self::index());
        programmed.wait_for(|done| *done).await.unwrap();
        lab.carries(vip, &elements);
    }

    step("8. The name is answered");
    named(&index, vip);
    if let Some(lab) = &lab {
        lab.names(index, vip).await;
    }
}

/// Says which step begins; [`the_document_has_the_steps_of_the_test`] holds it against the document.
fn step(heading: &str) {
    println!("{heading}");
}

/// A server with its controllers, and the objects that are there before the Service.
struct World {
    client: Client,
    store: Store,
    stop: CancellationToken,
    _stop: DropGuard,
    _server: apiserver::Server,
    _directory: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("store")).unwrap();
        let server = apiserver::Server::start(apiserver::Config {
            store: store.clone(),
            authority: Arc::new(Authority::load_or_create(&directory.path().join("pki")).unwrap()),
            listen: Vec::new(),
            advertise: Ipv4Addr::new(192, 0, 2, 1).into(),
            names: Vec::new(),
            service_cidr: "10.96.0.0/16".parse().unwrap(),
            node_ports: 30_000..=32_767,
            tokens: Vec::new(),
            audit: None,
        })
        .await
        .unwrap();
        let client = Client::new(server.handler(), "default");
        let stop = CancellationToken::new();
        // Nobody renews the nodes' leases here.
        let patient = Duration::from_secs(3600);
        let config = controllers::Config { node_grace: patient, eviction_after: patient, ..Default::default() };
        tokio::spawn(controllers::run(client.clone(), config, stop.clone()));
        let world =
            Self { client, store, _stop: stop.clone().drop_guard(), stop, _server: server, _directory: directory };
        world.fill().await;
        world
    }

    /// A namespace, two nodes, three Pods that are ready.
    async fn fill(&self) {
        create::<Namespace>(&Api::all(self.client.clone()), json!({"metadata": {"name": "shop"}})).await;
        for (node, zone) in [("node-1", "z1"), ("node-2", "z2")] {
            let labels = json!({"topology.kubernetes.io/zone": zone});
            let node = json!({"metadata": {"name": node, "labels": labels}});
            create::<Node>(&Api::all(self.client.clone()), node).await;
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "shop");
        eventually("the account that Pods run as", || async { accounts.get_opt("default").await.unwrap() }).await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "shop");
        for (name, node, address) in PODS {
            let pod = json!({
                "metadata": {"name": name, "labels": {"app": "web"}},
                "spec": {"nodeName": node, "containers": [{"name": "web", "image": "web"}]},
            });
            create(&pods, pod).await;
            let status = json!({"status": {
                "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            }});
            pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(&status)).await.unwrap();
        }
    }

    /// What node-1 does with Services, into this backend. The answer becomes true when all is programmed.
    fn run_node<B: Backend + Send + 'static>(&self, backend: B, index: Arc<dns::Index>) -> watch::Receiver<bool> {
        let (tell_node, node) = watch::channel(node_1());
        let (tell_programmed, programmed) = watch::channel(false);
        let dataplane = Dataplane::new(backend, node_1());
        let (client, stop) = (self.client.clone(), self.stop.clone());
        tokio::spawn(async move {
            let names: Vec<Box<dyn node::services::Listener>> = vec![Box::new(node::services::Names(index))];
            let outside = node::services::Outside::unasked(tell_programmed);
            let mut parts = tokio::task::JoinSet::new();
            let connections = Connections::start(&mut parts, node.clone(), Arc::default(), stop.clone());
            node::services::keep(client, dataplane, names, connections, node, outside, stop).await;
            drop(tell_node);
        });
        programmed
    }
}

async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

/// Asks until there is an answer.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn number(port: impl TryInto<u16, Error: std::fmt::Debug>) -> NonZeroU16 {
    NonZeroU16::new(port.try_into().unwrap()).unwrap()
}

/// Step 1: POST as `kubectl create` sends it, and the answer.
async fn post(client: &Client) -> Service {
    let body = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": TARGET_PORT}]},
    });
    let request = http::Request::post("/api/v1/namespaces/shop/services").header("content-type", "application/json");
    let request = request.body(kube::client::Body::from(body.to_string().into_bytes())).unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 201);
    let service: Value = serde_json::from_slice(&response.into_body().collect_bytes().await.unwrap()).unwrap();
    let spec = &service["spec"];
    for (field, default) in [
        ("type", json!("ClusterIP")),
        ("sessionAffinity", json!("None")),
        ("internalTrafficPolicy", json!("Cluster")),
        ("ipFamilies", json!(["IPv4"])),
        ("ipFamilyPolicy", json!("SingleStack")),
        ("ports", json!([{"port": 80, "protocol": "TCP", "targetPort": TARGET_PORT}])),
    ] {
        assert_eq!(spec[field], default, "spec.{field}");
    }
    serde_json::from_value(service).unwrap()
}

/// The batch of the store's log that has an event of this key.
async fn batch_with(log: &mut store::Watcher, key: &str) -> Arc<EventBatch> {
    let search = async {
        loop {
            let batch = log.next().await.unwrap();
            if batch.events.iter().any(|event| event.key == key) {
                return batch;
            }
        }
    };
    tokio::time::timeout(DEADLINE, search).await.expect("the Service in the store's log")
}

/// Step 2: the batch that holds the Service holds its address too.
async fn address_is_taken(client: &Client, batch: &EventBatch, vip: IpAddr) {
    let range: ipnet::IpNet = "10.96.0.0/16".parse().unwrap();
    assert!(range.contains(&vip), "{vip}");
    let keys: BTreeSet<&str> = batch.events.iter().map(|event| event.key.as_str()).collect();
    let address = format!("/registry/ipaddresses/{vip}");
    assert_eq!(keys, BTreeSet::from([address.as_str(), "/registry/services/specs/shop/web"]));
    let object = Api::<IPAddress>::all(client.clone()).get(&vip.to_string()).await.unwrap();
    assert_eq!(object.resource_version(), Some(batch.revision.to_string()));
    let parent = object.spec.parent_ref;
    let parent = (parent.resource, parent.namespace.unwrap(), parent.name);
    assert_eq!(parent, ("services".to_owned(), "shop".to_owned(), "web".to_owned()));
}

/// Step 4: the slice, when it has all three Pods.
async fn slice(client: &Client, service: &Service) -> EndpointSlice {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "shop");
    let of_web = ListParams::default().labels("kubernetes.io/service-name=web");
    let slice = eventually("a slice of three endpoints", || async {
        let mut slices = slices.list(&of_web).await.unwrap().items;
        assert!(slices.len() < 2, "one slice is enough: {slices:?}");
        slices.pop().filter(|slice| slice.endpoints.as_ref().is_some_and(|all| all.len() == PODS.len()))
    })
    .await;
    assert_eq!(slice.labels()["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
    assert_eq!(slice.owner_references()[0].uid, service.uid().unwrap());
    let ports = slice.ports.as_ref().unwrap();
    assert_eq!((ports.len(), ports[0].port), (1, Some(TARGET_PORT.into())));
    let mut endpoints: Vec<_> = slice.endpoints.iter().flatten().collect();
    endpoints.sort_by_key(|endpoint| &endpoint.addresses);
    for (endpoint, (pod, node, address)) in endpoints.into_iter().zip(PODS) {
        assert_eq!(endpoint.addresses, [address]);
        assert_eq!(endpoint.node_name.as_deref(), Some(node));
        assert_eq!(endpoint.target_ref.as_ref().unwrap().name.as_deref(), Some(pod));
        assert_eq!(endpoint.conditions.as_ref().unwrap().ready, Some(true));
    }
    slice
}

/// What node-1 knows of itself and the cluster.
fn node_1() -> dataplane::Node {
    dataplane::Node {
        name: "node-1".into(),
        addresses: vec![ip("172.30.0.1")],
        pod_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        ..Default::default()
    }
}

/// The first packet of a connection that comes in.
fn packet(source: &str, destination: IpAddr, port: u16) -> Packet {
    Packet {
        source: ip(source),
        source_port: 40_000,
        destination,
        port,
        protocol: 6,
        interface: Default::default(),
        made_here: false,
    }
}

/// Step 5: the same Service and slice in a model; who may get a packet.
fn decided(service: &Service, slice: &EndpointSlice, vip: IpAddr) -> BTreeSet<Endpoint> {
    let name = NamespacedName::new("shop", "web");
    let mut model = Model::new(node_1());
    let port = &service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0];
    let port = ServicePort { name: "".into(), protocol: Protocol::Tcp, port: number(port.port), node_port: None };
    model.set_service(
        name.clone(),
        ModelService { cluster_ips: vec![vip], ports: vec![port], ..ModelService::default() },
    );
    let mut told = ModelSlice::new(name);
    let port = slice.ports.as_ref().unwrap()[0].port.unwrap();
    told.ports = vec![SlicePort { name: "".into(), protocol: Protocol::Tcp, port: number(port) }];
    told.endpoints = slice.endpoints.iter().flatten().map(|e| SliceEndpoint::new(ip(&e.addresses[0]))).collect();
    model.set_slice(NamespacedName::new("shop", &slice.name_any()), told);

    let table = Table::new(&model, Family::V4);
    let verdict = |packet| table.verdict(&packet, |address| address == ip("172.30.0.1"));
    let all = PODS.map(|(_, _, address)| Endpoint { address: ip(address), port: number(TARGET_PORT) });
    let to_all = |masquerade| Verdict::Forward(all.map(|endpoint| Choice { endpoint, masquerade }).to_vec());
    assert_eq!(verdict(packet(CLIENT, vip, 80)), to_all(false), "a Pod's address is left alone");
    assert_eq!(verdict(packet("192.0.2.10", vip, 80)), to_all(true), "others' answers must come back this way");
    assert_eq!(verdict(packet(CLIENT, vip, 81)), Verdict::Reject, "not a port of the Service");
    assert_eq!(verdict(packet(CLIENT, ip("10.96.255.254"), 80)), Verdict::Drop, "nobody's address");
    all.into()
}

/// Rules in memory that the test can look into while a node keeps them.
#[derive(Clone, Default)]
struct Memory {
    config: Config,
    rules: Arc<Mutex<fake::Backend>>,
}

impl Backend for Memory {
    fn config(&self) -> &Config {
        &self.config
    }

    fn read(&mut self, table: &nft::TableId) -> Result<Option<TableContent>, ReadError> {
        self.rules.lock().unwrap().read(table)
    }

    fn counts(&mut self, table: &nft::TableId) -> Result<dataplane::counters::Counts, ReadError> {
        self.rules.lock().unwrap().counts(table)
    }

    fn commit(&mut self, batch: &nft::Batch) -> Result<(), CommitError> {
        self.rules.lock().unwrap().commit(batch)
    }

    fn end_flows(&mut self, stale: &StaleFlows) -> Result<usize, FlowsError> {
        self.rules.lock().unwrap().end_flows(stale)
    }
}

fn table() -> nft::TableId {
    nft::TableId::new(nft::Family::Ip, "portolan")
}

/// The elements of the three maps, as `nft list` prints them but for spelling.
fn elements(content: &TableContent) -> BTreeMap<&'static str, BTreeSet<String>> {
    let of_map = |name| {
        let (set, elements) = &content.sets[name];
        let text = |(key, data): (&dataplane::ruleset::ElementKey, &Option<nft::Data>)| {
            key.clone().with(data.clone()).display(set).to_string()
        };
        (name, elements.iter().map(text).collect())
    };
    BTreeMap::from(["services", "classes", "endpoints"].map(of_map))
}

type ElementsOfMaps = BTreeMap<&'static str, BTreeSet<String>>;

/// Step 6: the elements of the three maps; a packet that meets them goes where step 5 said.
fn traced(memory: &Memory, vip: IpAddr, chosen: &BTreeSet<Endpoint>) -> ElementsOfMaps {
    let backend = memory.rules.lock().unwrap();
    let rules: &Ruleset = &backend.ruleset;
    let found = elements(&rules.tables[&table()]);
    let key = format!("{vip} . tcp . 80");
    let starting = |map: &str| -> Vec<&String> {
        found[map].iter().filter(|element| element.starts_with(&format!("{key} "))).collect()
    };
    println!("{found:#?}");
    assert_eq!(starting("endpoints").len(), PODS.len(), "a slot an endpoint: {found:?}");
    let class = starting("services")[0].rsplit(" : ").next().unwrap();
    let verdict = format!("{class} : goto masq-outside-n3");
    assert!(found["classes"].contains(&verdict), "{verdict}: {found:?}");

    let mut tracer = Tracer::new(rules).with_local(&[ip("172.30.0.1")]);
    let mut met = BTreeSet::new();
    for slot in 0..3 {
        let trace = tracer.trace(&packet(CLIENT, vip, 80), &mut |modulus| {
            assert_eq!(modulus, 3);
            slot
        });
        let trace = trace.unwrap();
        let Outcome::Forwarded { to, masquerade: false } = trace.outcome else { panic!("{trace:?}") };
        assert_eq!((trace.mark, trace.priority), (0, 0), "nothing is left behind on the packet");
        met.insert(to);
    }
    assert_eq!(met, *chosen, "the rules do what was decided");
    let mut outcome = |packet| tracer.trace(&packet, &mut |_| 0).unwrap().outcome;
    assert!(matches!(outcome(packet("192.0.2.10", vip, 80)), Outcome::Forwarded { masquerade: true, .. }));
    assert_eq!(outcome(packet(CLIENT, vip, 81)), Outcome::Rejected);
    assert_eq!(outcome(packet(CLIENT, ip("10.96.255.254"), 80)), Outcome::Dropped);
    found
}

/// node-1 as a namespace, with a namespace for each of its Pods and one for node-2 and what is there.
struct Lab {
    node: testbed::Namespace,
    client: testbed::Namespace,
    _pods: Vec<testbed::Namespace>,
    _servers: Vec<testbed::TcpServer>,
}

impl Lab {
    fn new() -> Self {
        let lab = testbed::Lab::new("path");
        let (node, other) = (lab.namespace("node-1").unwrap(), lab.namespace("node-2").unwrap());
        for (key, value) in [("net.ipv4.ip_forward", "1"), ("net.ipv4.conf.all.rp_filter", "0")] {
            node.set_sysctl(key, value).unwrap();
        }
        lab.veth((&node, "lan"), (&other, "lan")).unwrap();
        node.add_address("lan", "172.30.0.1/24".parse().unwrap()).unwrap();
        other.add_address("lan", "172.30.0.2/24".parse().unwrap()).unwrap();
        // Everything else is there too: a node answers ARP only for what it has a route to.
        node.add_route("0.0.0.0/0".parse().unwrap(), ip("172.30.0.2")).unwrap();
        other.add_route("10.244.1.0/24".parse().unwrap(), ip("172.30.0.1")).unwrap();
        let client = Self::pod(&lab, &node, "client", CLIENT);
        let (mut pods, mut servers) = (Vec::new(), Vec::new());
        for (pod, at, address) in PODS {
            let listen = SocketAddr::new(ip(address), TARGET_PORT);
            if at == "node-1" {
                pods.push(Self::pod(&lab, &node, pod, address));
                servers.push(testbed::TcpServer::start(&pods[pods.len() - 1], listen, pod).unwrap());
            } else {
                other.add_address("lan", format!("{address}/32").parse().unwrap()).unwrap();
                servers.push(testbed::TcpServer::start(&other, listen, pod).unwrap());
            }
        }
        pods.push(other);
        Self { node, client, _pods: pods, _servers: servers }
    }

    /// A Pod of node-1: one link, behind which the node answers for everybody.
    fn pod(lab: &testbed::Lab, node: &testbed::Namespace, name: &str, address: &str) -> testbed::Namespace {
        let (pod, link) = (lab.namespace(name).unwrap(), format!("pod-{name}"));
        lab.veth((node, &link), (&pod, "eth0")).unwrap();
        node.add_address(&link, format!("{GATEWAY}/32").parse().unwrap()).unwrap();
        node.add_link_route(format!("{address}/32").parse().unwrap(), &link).unwrap();
        pod.add_address("eth0", format!("{address}/32").parse().unwrap()).unwrap();
        node.set_sysctl(&format!("net.ipv4.conf.{link}.proxy_arp"), "1").unwrap();
        node.set_sysctl(&format!("net.ipv4.neigh.{link}.proxy_delay"), "0").unwrap();
        pod.add_link_route("0.0.0.0/0".parse().unwrap(), "eth0").unwrap();
        pod
    }

    /// Step 7: the kernel holds what memory holds, and every Pod is met through the cluster IP.
    fn carries(&self, vip: IpAddr, wanted: &ElementsOfMaps) {
        let mut kernel = self.node.run(|| nftables::Backend::new(Config::default())).unwrap().unwrap();
        let held = kernel.read(&table()).unwrap().expect("the table");
        assert_eq!(elements(&held), *wanted);
        let mut met = BTreeSet::new();
        testbed::wait_until(DEADLINE, "every Pod answers for the Service", || {
            if let Ok(answer) = testbed::ask_tcp(&self.client, SocketAddr::new(vip, 80)) {
                assert_eq!(answer.seen_as.ip(), ip(CLIENT), "the Pod sees who asks");
                met.insert(answer.name);
            }
            met.len() == PODS.len()
        })
        .unwrap();
        assert_eq!(met, PODS.map(|(name, ..)| name.to_owned()).into());
        let refused = testbed::ask_tcp(&self.client, SocketAddr::new(vip, 81)).unwrap_err();
        let refused = refused.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused), "another port is refused at once");
    }

    /// Step 8: the client Pod asks the node's DNS server over UDP.
    async fn names(&self, index: Arc<dns::Index>, vip: IpAddr) {
        let config = dns::Config { listen: vec![SocketAddr::new(ip(GATEWAY), 53)], ..Default::default() };
        let runtime = tokio::runtime::Handle::current();
        let started = self.node.run(|| {
            let _inside = runtime.enter();
            dns::Server::start(&config, Some(index), None)
        });
        let server = started.unwrap().unwrap();
        let answer = self.client.run(|| {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            socket.send_to(&question(NAME), (ip(GATEWAY), 53)).unwrap();
            let mut buffer = vec![0; 512];
            let length = socket.recv(&mut buffer).unwrap();
            buffer.truncate(length);
            buffer
        });
        assert_eq!(address_in(&answer.unwrap()), vip);
        server.shutdown().await;
    }
}

fn index() -> Arc<dns::Index> {
    Arc::new(dns::Index::new(&dns::IndexOptions::default()).unwrap())
}

/// A question for an address, in wire form.
fn question(name: &str) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// The one address that an answer holds: its last four octets.
fn address_in(answer: &[u8]) -> IpAddr {
    assert_eq!(answer[..2], [0x12, 0x34], "the answer to another question");
    assert_eq!(answer[3] & 0xf, 0, "NOERROR");
    assert_eq!(answer[6..12], [0, 1, 0, 0, 0, 0], "one answer, nothing else");
    let octets: [u8; 4] = answer[answer.len() - 4..].try_into().unwrap();
    Ipv4Addr::from(octets).into()
}

/// Step 8: the index answers from memory.
fn named(index: &dns::Index, vip: IpAddr) {
    use dns::reply::{Flags, Reply, Transport};
    let packet = question(NAME);
    let query = dns::query::Query::parse(&packet).unwrap();
    let mut buffer = [0; 512];
    let mut reply = Reply::start(&mut buffer, &query, Transport::Udp { most: 512 });
    assert_eq!(index.answer(&query, &mut reply, 0), dns::index::Verdict::Answered(0));
    let length = reply.finish(0, Flags { authoritative: true, ..Flags::default() });
    assert_eq!(address_in(&buffer[..length]), vip);
}

#[test]
fn the_document_has_the_steps_of_the_test() {
    let numbered = |heading: &&str| heading.starts_with(|c: char| c.is_ascii_digit());
    let told: Vec<&str> = DOCUMENT.lines().filter_map(|line| line.strip_prefix("## ")).filter(numbered).collect();
    let walked = TEST.lines().filter_map(|line| line.trim_start().strip_prefix("step(\"")?.strip_suffix("\");"));
    assert_eq!(told, walked.collect::<Vec<_>>());
    assert_eq!(told.len(), 8);
}

#[test]
fn the_document_names_files_and_functions_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let spans: Vec<&str> = DOCUMENT.split('`').collect();
    let (mut functions, mut missing) = (0, Vec::new());
    // Every other span is code; a file is followed by a function of it when nothing but a space is between them.
    for at in (1..spans.len()).step_by(2).filter(|at| spans[*at].ends_with(".rs")) {
        let Ok(source) = std::fs::read_to_string(root.join(spans[at])) else {
            missing.push(spans[at].to_owned());
            continue;
        };
        if let (Some(between), Some(function)) = (spans.get(at + 1), spans.get(at + 2))
            && between.trim().is_empty()
        {
            functions += 1;
            let begins = |end: &str| source.contains(&format!("fn {function}{end}"));
            if !(begins("(") || begins("<")) {
                missing.push(format!("{} {function}", spans[at]));
            }
        }
    }
    assert!(missing.is_empty(), "named and not there: {missing:?}");
    assert!(functions >= 8, "only {functions} functions are named");
}

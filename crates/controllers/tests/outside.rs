//! Load balancers of others: the example provider, with a real HAProxy on a machine of its own, serves Services of its
//! class to a client that knows nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../examples/haproxy_provider/api.rs"]
mod api;
mod cluster;
#[path = "../examples/haproxy_provider/haproxy.rs"]
mod haproxy;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use api::{Door, Keys};
use cluster::{Cluster, eventually, service};
use controllers::loadbalancer::outside::remote::Remote;
use controllers::loadbalancer::outside::{Balancer, Node, Port, Provider, ProviderError, State};
use haproxy::Haproxy;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use loadbalancer::settings::Settings;
use serde_json::{Value, json};
use testbed::{Lab, Namespace, TcpServer, ask_tcp, wait_until};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const TOKEN: &str = "a-token";

/// A cluster's machine (the test's own namespace), two nodes, the provider's machine and a client, on one network.
struct World {
    runtime: Runtime,
    nodes: [Namespace; 2],
    client: Namespace,
    machine: (Namespace, Runtime),
    folder: tempfile::TempDir,
    ca: String,
}

impl World {
    /// `None` where it cannot be, which has been said.
    fn new(test: &str) -> Option<Self> {
        if testbed::skip_unless_root().is_some() {
            return None;
        }
        if std::process::Command::new("haproxy").arg("-v").output().is_err() {
            testbed::privilege::skip("haproxy is not installed");
            return None;
        }
        testbed::isolate(&["/run"].map(Path::new)).unwrap();
        let lab = Lab::new(test);
        let here = Namespace::current().unwrap();
        here.add_bridge("lan").unwrap();
        here.add_address("lan", "192.0.2.1/24".parse().unwrap()).unwrap();
        let member = |port: &str, addresses: &[&str]| {
            let member = lab.namespace(port).unwrap();
            lab.veth((&here, port), (&member, "eth0")).unwrap();
            here.attach(port, "lan").unwrap();
            for address in addresses {
                member.add_address("eth0", format!("{address}/24").parse().unwrap()).unwrap();
            }
            member
        };
        let nodes = [member("node0", &["192.0.2.10"]), member("node1", &["192.0.2.11"])];
        let machine = member("machine", &["192.0.2.9", "192.0.2.90", "192.0.2.91"]);
        let client = member("client", &["192.0.2.50"]);
        let make = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inside = machine.run(make).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["192.0.2.9".to_owned()]).unwrap();
        let ca = made.cert.pem();
        for (name, content) in
            [("token", TOKEN), ("cert.pem", ca.as_str()), ("key.pem", made.signing_key.serialize_pem().as_str())]
        {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Some(Self { runtime, nodes, client, machine: (machine, inside), folder, ca })
    }

    /// Starts the provider; it ends with what is answered.
    fn provide(&self) -> JoinHandle<()> {
        let path = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let keys = Keys::read(&path("token"), &path("cert.pem"), &path("key.pem")).unwrap();
        let addresses: Vec<IpAddr> = ["192.0.2.90", "192.0.2.91"].map(|text| text.parse().unwrap()).into();
        let folder = path("haproxy");
        let (door, haproxy) = self
            .machine
            .1
            .block_on(self.machine.1.spawn(async move {
                let haproxy = Haproxy::start(folder, addresses).await.unwrap();
                (Door::open("192.0.2.9:8443".parse().unwrap(), Some(keys)).await.unwrap(), haproxy)
            }))
            .unwrap();
        self.machine.1.spawn(async move { door.serve(haproxy).await.unwrap() })
    }

    fn settings(&self, token: &str) -> String {
        let ca: String = self.ca.lines().map(|line| format!("      {line}\n")).collect();
        format!(
            "providers:\n  - class: example.com/haproxy\n    url: https://192.0.2.9:8443\n    timeoutSeconds: 5\n    tokenSecret: {{name: {token}}}\n    ca: |\n{ca}"
        )
    }

    /// Who answers the client at an address and a port.
    fn asked(&self, address: &str) -> Option<String> {
        ask_tcp(&self.client, address.parse::<SocketAddr>().unwrap()).ok().map(|answer| answer.name)
    }
}

fn condition(service: &Service) -> Option<(String, String)> {
    let mut conditions = service.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let found = conditions.find(|condition| condition.type_ == "portolan.dev/LoadBalancerProvided")?;
    Some((found.reason.clone(), found.message.clone()))
}

fn shown(service: &Service) -> Value {
    json!(service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.clone()))
}

fn balanced(name: &str, port: u16, more: Value) -> Value {
    let mut value = service(name);
    value["spec"]["type"] = json!("LoadBalancer");
    value["spec"]["loadBalancerClass"] = json!("example.com/haproxy");
    value["spec"]["ports"] = json!([{"port": port}]);
    for (field, content) in more.as_object().unwrap() {
        value["spec"][field] = content.clone();
    }
    value
}

/// The node port of a Service's only port.
fn node_port(service: &Service) -> u16 {
    let port = service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].node_port.unwrap();
    port.try_into().unwrap()
}

#[test]
fn a_real_haproxy_serves_services_of_its_class_until_they_go() {
    let Some(world) = World::new("outside") else { return };
    let provider = world.provide();
    let cluster = world.runtime.block_on(Cluster::with(controllers::Config::default()));
    let services: Api<Service> = cluster.api("default");
    let (maps, secrets) = (cluster.api::<ConfigMap>("kube-system"), cluster.api::<Secret>("kube-system"));
    let mut alive = Vec::new();
    world.runtime.block_on(async {
        for n in 0..2 {
            alive.push(cluster.node(&format!("node-{n}"), "a").await);
            let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": format!("192.0.2.1{n}")}]}});
            let nodes = cluster.global::<k8s_openapi::api::core::v1::Node>();
            let params = PatchParams::default();
            nodes.patch_status(&format!("node-{n}"), &params, &Patch::Merge(status)).await.unwrap();
        }
        let data = json!({"config": world.settings("provider")});
        cluster.create(&maps, json!({"metadata": {"name": "portolan-load-balancer"}, "data": data})).await;
        cluster.create(&services, balanced("web", 80, json!({}))).await;
        // There is no token yet.
        eventually("it says what is missing", || async {
            let (reason, message) = condition(&services.get("web").await.unwrap())?;
            (reason == "Unavailable" && message.contains("kube-system/provider")).then_some(())
        })
        .await;
        let token = json!({"metadata": {"name": "provider"}, "stringData": {"token": TOKEN}});
        cluster.create(&secrets, token).await;
    });
    let get = |name: &str| world.runtime.block_on(services.get(name)).unwrap();
    let says = |name: &str, reason: &str| {
        let found = wait_until(cluster::DEADLINE, reason, || condition(&get(name)).is_some_and(|(r, _)| r == reason));
        assert!(found.is_ok(), "{name}: {:?}", condition(&get(name)));
    };
    says("web", "Provided");
    let web = get("web");
    assert_eq!(shown(&web), json!([{"ip": "192.0.2.90", "ipMode": "Proxy"}]));
    let port = node_port(&web);
    let servers = [0, 1].map(|n| {
        let at = format!("192.0.2.1{n}:{port}").parse().unwrap();
        TcpServer::start(&world.nodes[n], at, &format!("node-{n}")).unwrap()
    });
    let both = || {
        let answers: std::collections::BTreeSet<String> = (0..4).filter_map(|_| world.asked("192.0.2.90:80")).collect();
        answers.len() == 2
    };
    wait_until(cluster::DEADLINE, "the client reaches both nodes", both).unwrap();

    // Another gets another address; a third none, and says so; what is no TCP is refused.
    world.runtime.block_on(async {
        cluster.create(&services, balanced("second", 8080, json!({}))).await;
        cluster.create(&services, balanced("udp", 53, json!({"ports": [{"port": 53, "protocol": "UDP"}]}))).await;
    });
    says("second", "Provided");
    assert_eq!(shown(&get("second"))[0]["ip"], "192.0.2.91");
    says("udp", "Refused");
    world.runtime.block_on(async { cluster.create(&services, balanced("third", 80, json!({}))).await });
    says("third", "Refused");

    // A node is left out, and a range of clients: both are told at once.
    let label = json!({"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}});
    let nodes = cluster.global::<k8s_openapi::api::core::v1::Node>();
    let params = PatchParams::default();
    world.runtime.block_on(nodes.patch("node-0", &params, &Patch::Merge(label))).unwrap();
    let one = || (0..4).filter_map(|_| world.asked("192.0.2.90:80")).collect::<Vec<_>>() == ["node-1"; 4];
    wait_until(cluster::DEADLINE, "one node alone is left", one).unwrap();
    let closed = json!({"spec": {"loadBalancerSourceRanges": ["198.51.100.0/24"]}});
    world.runtime.block_on(services.patch("web", &params, &Patch::Merge(closed))).unwrap();
    wait_until(cluster::DEADLINE, "nobody comes in", || world.asked("192.0.2.90:80").is_none()).unwrap();
    let open = json!({"spec": {"loadBalancerSourceRanges": null}});
    world.runtime.block_on(services.patch("web", &params, &Patch::Merge(open))).unwrap();
    wait_until(cluster::DEADLINE, "all come in", one).unwrap();

    // The provider is away while a Service goes: that waits. When it is back it knows what it served.
    provider.abort();
    _ = world.machine.1.block_on(provider);
    world.runtime.block_on(services.delete("second", &DeleteParams::default())).unwrap();
    let event = || world.runtime.block_on(cluster.events("default", "second"));
    wait_until(cluster::DEADLINE, "it is said", || {
        event().iter().any(|event| event.starts_with("SyncLoadBalancerFailed"))
    })
    .unwrap();
    assert!(get("second").metadata.deletion_timestamp.is_some());
    let _provider = world.provide();
    wait_until(cluster::DEADLINE, "the Service is gone", || {
        world.runtime.block_on(services.get_opt("second")).unwrap().is_none()
    })
    .unwrap();
    wait_until(cluster::DEADLINE, "the client reaches the other", one).unwrap();
    // Its address is free, and who waited for one has it.
    let type_ = json!({"spec": {"type": "ClusterIP", "loadBalancerClass": null}});
    world.runtime.block_on(services.patch("web", &params, &Patch::Merge(type_))).unwrap();
    wait_until(cluster::DEADLINE, "nothing is left of it", || {
        let web = get("web");
        condition(&web).is_none() && web.metadata.finalizers.is_none() && shown(&web) == json!(null)
    })
    .unwrap();
    wait_until(cluster::DEADLINE, "nobody answers", || world.asked("192.0.2.90:80").is_none()).unwrap();
    drop((servers, alive));
}

#[test]
fn what_is_asked_again_is_the_same_and_who_shows_no_token_is_turned_away() {
    let Some(world) = World::new("outside-api") else { return };
    let _provider = world.provide();
    let settings = Settings::parse(&world.settings("provider")).unwrap();
    let chosen = settings.provider("example.com/haproxy").unwrap().clone();
    let wanted = Balancer {
        id: "7d1f-1".to_owned(),
        service: "default/web".to_owned(),
        ports: vec![Port { name: String::new(), protocol: "TCP".to_owned(), port: 80, node_port: 30_080 }],
        nodes: vec![Node { name: "node-0".to_owned(), addresses: vec!["192.0.2.10".to_owned()] }],
        source_ranges: Vec::new(),
        client_affinity: false,
        health_check: None,
        address: Some("192.0.2.91".to_owned()),
    };
    world.runtime.block_on(async {
        let remote = Remote::open(&chosen, Some(TOKEN)).await.unwrap();
        assert_eq!(remote.get(&wanted.id).await, Ok(None));
        let first = remote.ensure(&wanted).await.unwrap();
        assert_eq!((first.state, first.ingress[0].ip.as_deref()), (State::Ready, Some("192.0.2.91")));
        assert_eq!(remote.ensure(&wanted).await, Ok(first.clone()));
        assert_eq!(remote.get(&wanted.id).await, Ok(Some(first)));
        // Another wants the same address.
        let other = Balancer { id: "7d1f-2".to_owned(), ..wanted.clone() };
        assert!(matches!(remote.ensure(&other).await, Err(ProviderError::Refused(why)) if why.contains("not free")));
        assert_eq!(remote.delete(&wanted.id).await, Ok(true));
        assert_eq!(remote.delete(&wanted.id).await, Ok(true));
        assert_eq!(remote.get(&wanted.id).await, Ok(None));

        for token in [None, Some("another")] {
            let stranger = Remote::open(&chosen, token).await.unwrap();
            let turned = stranger.get(&wanted.id).await;
            assert!(matches!(turned, Err(ProviderError::Unavailable { what, .. }) if what.contains("401")));
        }
        // Another's certificate is not taken.
        let ca = rcgen::generate_simple_self_signed(["192.0.2.9".to_owned()]).unwrap().cert.pem();
        let elsewhere = loadbalancer::settings::Outside { ca: Some(ca), ..chosen };
        let remote = Remote::open(&elsewhere, Some(TOKEN)).await.unwrap();
        assert!(matches!(remote.get(&wanted.id).await, Err(ProviderError::Unavailable { .. })));
    });
}

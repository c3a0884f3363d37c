//! A Pod, its node and another node: who answers, with which packets tracked.

use std::net::UdpSocket;
use std::sync::Arc;

use dns::index::{IndexOptions, PortRecord, ServiceRecord, Shape};
use dns::{Index, Sources};
use nft::Conntrack;
use nft::conntrack::Filter;
use testbed::{Lab, Namespace, wait_until};

use super::*;

const CLUSTER_DNS: &str = "10.96.0.10:53";
const SOON: Duration = Duration::from_secs(30);
/// The address of `who.default.svc.cluster.local` on each node: it says who answered.
const HERE: [u8; 4] = [10, 96, 0, 1];
const THERE: [u8; 4] = [10, 96, 0, 2];

fn sources(address: [u8; 4]) -> Sources {
    let index = Index::new(&IndexOptions::default()).unwrap();
    let (namespace, name) = ("default".to_owned(), "who".to_owned());
    let shape = Shape::ClusterIp(vec![address.into()]);
    index.set_service(&ServiceRecord { namespace, name, shape, ports: vec![PortRecord::default()] }).unwrap();
    index.set_synced(true);
    Sources { index: Some(Arc::new(index)), ..Sources::default() }
}

/// Who answers a question from inside a namespace: the address that the name has there.
fn who(from: &Namespace) -> Option<[u8; 4]> {
    let ask = || -> io::Result<[u8; 4]> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.connect(CLUSTER_DNS)?;
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend(b"\x03who\x07default\x03svc\x07cluster\x05local\0\0\x01\0\x01");
        socket.send(&question)?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        Ok(answer[length - 4..length].try_into().unwrap())
    };
    from.run(ask).unwrap().ok()
}

/// How many connections to port 53 a namespace's conntrack knows.
fn tracked(namespace: &Namespace) -> usize {
    let list = || Conntrack::in_current_netns().unwrap().list(&Filter::ipv4().to_port(17, 53)).unwrap().len();
    namespace.run(list).unwrap()
}

fn tables(namespace: &Namespace) -> Vec<String> {
    let list = || Socket::in_current_netns().unwrap().tables().unwrap();
    namespace.run(list).unwrap().into_iter().map(|table| table.object.id.to_string()).collect()
}

struct World {
    pod: Namespace,
    node: Namespace,
    other: Namespace,
    _lab: Lab,
}

/// A Pod behind its node, and another node beside that one.
fn world() -> World {
    let lab = Lab::new("local-dns");
    let [pod, node, other] = ["pod", "node", "other"].map(|name| lab.namespace(name).unwrap());
    lab.veth((&node, "pod"), (&pod, "eth0")).unwrap();
    lab.veth((&node, "eth0"), (&other, "eth0")).unwrap();
    node.add_address("pod", "10.244.1.1/24".parse().unwrap()).unwrap();
    pod.add_address("eth0", "10.244.1.2/24".parse().unwrap()).unwrap();
    pod.add_route("0.0.0.0/0".parse().unwrap(), "10.244.1.1".parse().unwrap()).unwrap();
    node.add_address("eth0", "172.30.0.2/24".parse().unwrap()).unwrap();
    other.add_address("eth0", "172.30.0.3/24".parse().unwrap()).unwrap();
    other.add_route("10.244.1.0/24".parse().unwrap(), "172.30.0.2".parse().unwrap()).unwrap();
    node.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
    World { pod, node, other, _lab: lab }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Starts to keep DNS on the node; the runtime's threads are in its namespace.
fn keep_on(
    node: &Namespace,
    cluster: watch::Receiver<Followed>,
    stop: CancellationToken,
) -> (tokio::runtime::Runtime, tokio::task::JoinHandle<()>) {
    let start = || {
        let runtime = runtime();
        let inside = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let (_, told) = watch::channel(sources(HERE));
        let task = tokio::spawn(keep(told, cluster, handle, Shown::default(), stop));
        drop(inside);
        (runtime, task)
    };
    node.run(start).unwrap()
}

#[test]
fn questions_stay_on_the_node_untracked_and_go_elsewhere_without_it() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let World { pod, node, other, _lab } = world();
    let remote = runtime();
    let serve = || {
        let _inside = remote.enter();
        let config = Config { listen: vec!["172.30.0.3:53".parse().unwrap()], ..Config::default() };
        Server::start_with(&config, sources(THERE)).unwrap()
    };
    let server = other.run(serve).unwrap();
    let followed =
        Followed { addresses: vec!["10.96.0.10".parse().unwrap()], others: vec!["172.30.0.3".parse().unwrap()] };
    let (tell, cluster) = watch::channel(followed.clone());
    let stop = CancellationToken::new();
    let (local, task) = keep_on(&node, cluster.clone(), stop.clone());
    wait_until(SOON, "questions stay here", || tables(&node).contains(&"ip portolan-dns".to_owned())).unwrap();
    let before = tracked(&node);
    for _ in 0..5 {
        assert_eq!((who(&pod), who(&node)), (Some(HERE), Some(HERE)));
    }
    assert_eq!(tracked(&node), before, "nothing of it is tracked");

    // The process ends without a word: nobody takes anything away but the kernel.
    task.abort();
    drop(local);
    wait_until(SOON, "the rules went with it", || !tables(&node).contains(&"ip portolan-dns".to_owned())).unwrap();
    wait_until(SOON, "a Pod is answered elsewhere", || who(&pod) == Some(THERE)).unwrap();
    wait_until(SOON, "so is the node", || who(&node) == Some(THERE)).unwrap();

    // It is back, finds the address there, and takes its questions back.
    let (_local, task) = keep_on(&node, cluster, stop.clone());
    wait_until(SOON, "a Pod is answered here again", || who(&pod) == Some(HERE)).unwrap();
    wait_until(SOON, "so is the node", || who(&node) == Some(HERE)).unwrap();
    tell.send_replace(Followed { others: Vec::new(), ..followed });
    wait_until(SOON, "there are no others", || tables(&node) == ["ip portolan-dns"]).unwrap();
    stop.cancel();
    remote.block_on(task).unwrap();
    assert!(tables(&node).is_empty());
    remote.block_on(server.shutdown());
}

#[test]
fn before_every_name_is_known_others_are_asked() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let World { pod, node, other: _, _lab } = world();
    let source = sources(HERE);
    let index = source.index.clone().unwrap();
    index.set_synced(false);
    let followed = Followed { addresses: vec!["10.96.0.10".parse().unwrap()], others: Vec::new() };
    let (_tell, cluster) = watch::channel(followed);
    let (tell_source, told) = watch::channel(source);
    let shown = Shown::default();
    let seen = shown.clone();
    let start = || {
        let runtime = runtime();
        runtime.spawn(async {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            keep(told, cluster, handle, seen, CancellationToken::new()).await;
        });
        runtime
    };
    let _runtime = node.run(start).unwrap();
    let has_address = || UdpSocket::bind(("10.96.0.10", 5353)).is_ok();
    wait_until(SOON, "the address is there", || node.run(has_address).unwrap()).unwrap();
    assert!(tables(&node).is_empty());
    index.set_synced(true);
    wait_until(SOON, "questions stay here", || tables(&node) == ["ip portolan-dns"]).unwrap();
    assert_eq!(who(&pod), Some(HERE));
    assert!(shown.metrics().contains("\nportolan_dns_names{kind=\"services\"} 1\n"), "{}", shown.metrics());
    // What it answers from can be replaced while it runs.
    tell_source.send_replace(sources(THERE));
    wait_until(SOON, "it answers from what is told now", || who(&pod) == Some(THERE)).unwrap();
}

#[test]
fn an_address_of_a_process_that_was_killed_is_taken_away_in_both_families() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("stale-dns");
    let node = lab.namespace("node").unwrap();
    let [old4, old6, new4, new6]: [IpAddr; 4] =
        ["10.96.0.10", "fd00:96::10", "10.97.0.10", "fd00:97::10"].map(|address| address.parse().unwrap());
    node.add_address("lo", "fd00:96::99/128".parse().unwrap()).unwrap();
    // Another process each time: nothing is remembered.
    let set = |wanted: &[IpAddr]| {
        let runtime = runtime();
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            address::set(&handle, wanted, &[]).await.unwrap();
        });
    };
    let is_own = |address: IpAddr| UdpSocket::bind((address, 5353)).is_ok();
    // A fresh IPv6 address can be bound a moment after it is there.
    let run = |wanted: &[IpAddr], owned: [bool; 4]| {
        let is_so = || [old4, old6, new4, new6].map(is_own) == owned;
        node.run(|| set(wanted)).unwrap();
        wait_until(SOON, "these are the node's, and no others", || node.run(is_so).unwrap()).unwrap();
    };
    run(&[old4, old6], [true, true, false, false]);
    run(&[new4, new6], [false, false, true, true]);
    run(&[], [false; 4]);
    assert!(node.run(|| is_own("fd00:96::99".parse().unwrap())).unwrap(), "somebody else's stays");
}

#[test]
fn the_clusters_dns_is_followed_and_the_node_itself_left_out() {
    use crate::services::Listener;
    use crate::views;
    let (tell, followed) = watch::channel(Followed::default());
    let mut listener = ClusterDns::new(vec!["172.30.0.3".parse().unwrap()], tell);
    let key = |name: &str| ("kube-system".to_owned(), name.to_owned());
    let service: views::Service = serde_json::from_value(serde_json::json!({
        "metadata": {}, "spec": { "clusterIPs": ["10.96.0.10"] } }))
    .unwrap();
    listener.set_service(&key("kube-dns"), &service, None);
    listener.set_service(&key("other"), &views::Service::default(), None);
    let slice: views::EndpointSlice = serde_json::from_value(serde_json::json!({
        "metadata": { "labels": { "kubernetes.io/service-name": "kube-dns" } },
        "ports": [{ "port": 53, "protocol": "UDP" }],
        "endpoints": [
            { "addresses": ["172.30.0.2"] }, { "addresses": ["172.30.0.3"] },
            { "addresses": ["172.30.0.4"] }, { "addresses": ["172.30.0.5"], "conditions": { "ready": false } },
        ] }))
    .unwrap();
    listener.set_slice(&key("kube-dns-1"), &slice, None);
    let synced = |listener: &mut ClusterDns| {
        let now = listener.followed();
        (now.addresses, now.others.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let address: IpAddr = "10.96.0.10".parse().unwrap();
    assert_eq!(synced(&mut listener), (vec![address], vec!["172.30.0.4".to_owned(), "172.30.0.2".to_owned()]));
    listener.remove_slice(&key("kube-dns-1"));
    listener.remove_service(&key("kube-dns"));
    assert_eq!(synced(&mut listener), (Vec::new(), Vec::new()));
    drop(followed);
}

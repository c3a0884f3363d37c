//! Services that are made while somebody waits for their names.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use testbed::Namespace;
use tokio::runtime::Runtime;

use crate::generator::question;
use crate::server::DNS;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/// Requests under way at the same time.
const CONNECTIONS: usize = 48;
/// A name that does not resolve for so long has not resolved in that time.
const GIVEN_UP: Duration = Duration::from_secs(40);
/// Who was told "no" so often asks at longer intervals.
const IMPATIENT: u32 = 100;

/// Makes Services by the API, and asks for their names on the node.
pub struct Maker<'a> {
    runtime: Runtime,
    client: kube::Client,
    node: &'a Namespace,
}

impl<'a> Maker<'a> {
    /// As whom a kubeconfig says.
    pub fn new(kubeconfig: &Path, node: &'a Namespace) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async {
            let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            kube::Client::try_from(config.expect("a configuration")).expect("a client")
        });
        Self { runtime, client, node }
    }

    /// Makes so many Services a second: how long after the API's answer each name was answered, in ms.
    pub fn resolves(&self, prefix: &str, rate: u32, time: Duration) -> Vec<f64> {
        let count = (time.as_secs_f64() * f64::from(rate)) as u32;
        let bind = || -> std::io::Result<Vec<UdpSocket>> { (0..count).map(|_| socket()).collect() };
        let sockets = self.node.run(bind).expect("a thread on the node").expect("sockets");
        self.runtime.block_on(async {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
            let mut tasks = tokio::task::JoinSet::new();
            for (number, socket) in sockets.into_iter().enumerate() {
                tick.tick().await;
                let (name, client) = (format!("{prefix}-{number}"), self.client.clone());
                tasks.spawn(async move {
                    let service = json!({
                        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
                        "spec": { "ports": [{ "name": "http", "port": 80 }] },
                    });
                    make(&client, SERVICES, &service).await;
                    until_answered(socket, &name, Instant::now()).await.expect("a socket")
                });
            }
            tasks.join_all().await.into_iter().map(|took| took.as_secs_f64() * 1e3).collect()
        })
    }

    /// Makes headless Services of a hundred endpoints each, which have hostnames as a StatefulSet's have.
    pub fn make_headless(&self, count: u32) {
        let objects = (0..count).flat_map(|number| {
            let name = format!("wide-{number}");
            let service = json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
                "spec": { "clusterIP": "None", "ports": [{ "name": "http", "port": 80 }] },
            });
            let endpoint = |n: u32| {
                let address = std::net::Ipv4Addr::from(0x0a80_0000 + 256 + number * 100 + n);
                json!({ "addresses": [address], "hostname": format!("{name}-{n}"), "conditions": { "ready": true } })
            };
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": { "name": format!("{name}-0"), "labels": { "kubernetes.io/service-name": name } },
                "endpoints": (0..100).map(endpoint).collect::<Vec<_>>(),
                "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }],
            });
            [(SERVICES, service), (SLICES, slice)]
        });
        let make_one = |(path, object): (&'static str, Value)| async move { make(&self.client, path, &object).await };
        self.runtime.block_on(futures::stream::iter(objects).for_each_concurrent(CONNECTIONS, make_one));
    }
}

async fn make(client: &kube::Client, path: &str, object: &Value) {
    let request = http::Request::post(path).header("Content-Type", "application/json");
    let request = request.body(object.to_string().into_bytes()).expect("a request");
    client.request_text(request).await.expect("an object is made");
}

fn socket() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(DNS)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Asks again and again: how long after `start` the name had an address.
async fn until_answered(socket: UdpSocket, name: &str, start: Instant) -> std::io::Result<Duration> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut packet = question(&format!("{name}.default.svc.cluster.local"), 1);
    let mut answer = [0; 512];
    let mut asked: u32 = 0;
    while start.elapsed() < GIVEN_UP {
        asked += 1;
        packet[..2].copy_from_slice(&(asked as u16).to_be_bytes());
        socket.send(&packet).await?;
        let heard = tokio::time::timeout(Duration::from_millis(500), socket.recv(&mut answer)).await;
        let Ok(length) = heard else { continue };
        if length? > 12 && answer[..2] == packet[..2] && answer[3] & 15 == 0 && answer[7] > 0 {
            return Ok(start.elapsed());
        }
        if asked > IMPATIENT {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(GIVEN_UP)
}

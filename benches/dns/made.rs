//! Services that are made while somebody waits for their names.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
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
/// Between two questions for a name: what is found is late by half of it on average.
const STEP: Duration = Duration::from_micros(200);

/// Makes Services by the API, and asks for their names on the node.
pub struct Maker<'a> {
    runtime: Runtime,
    client: kube::Client,
    node: &'a Namespace,
}

/// What came of Services that were made, in ms after the API's answer to each POST.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Until its name was answered.
    pub names: Vec<f64>,
    /// Until a watch of the measurer's own was told of it.
    pub watched: Vec<f64>,
    /// How many names were denied once before.
    pub denied: usize,
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

    /// Makes so many Services a second, and asks for each name from the moment that the API has answered.
    pub fn resolves(&self, prefix: &str, rate: u32, time: Duration) -> Resolved {
        let count = (time.as_secs_f64() * f64::from(rate)) as usize;
        let socket = self.node.run(socket).expect("a thread on the node").expect("a socket");
        let (tell, told) = mpsc::channel();
        let asking = std::thread::spawn(move || ask(&socket, &told).expect("questions are sent"));
        let watched = self.runtime.block_on(async {
            let watching = self.watch(prefix.to_owned(), count).await;
            let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..count {
                tick.tick().await;
                let (name, client, tell) = (format!("{prefix}-{number}"), self.client.clone(), tell.clone());
                tasks.spawn(async move {
                    let service = json!({
                        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
                        "spec": { "ports": [{ "name": "http", "port": 80 }] },
                    });
                    make(&client, SERVICES, &service).await;
                    let made = Made { name, answered: Instant::now(), denied: false };
                    tell.send(made.clone()).expect("somebody asks");
                    made
                });
            }
            drop(tell);
            let made = tasks.join_all().await;
            let seen = watching.await.expect("the watch lives");
            let after = |made: Made| Some(seen.get(&made.name)?.saturating_duration_since(made.answered));
            made.into_iter().filter_map(after).map(milliseconds).collect()
        });
        let asked = asking.join().expect("who asks lives");
        Resolved {
            denied: asked.iter().filter(|(made, _)| made.denied).count(),
            names: asked.into_iter().map(|(_, took)| milliseconds(took)).collect(),
            watched,
        }
    }

    /// Begins a watch of Services: when it was told of each of so many whose names begin so.
    async fn watch(&self, prefix: String, count: usize) -> tokio::task::JoinHandle<HashMap<String, Instant>> {
        let services = Api::<Service>::namespaced(self.client.clone(), "default");
        let list = services.list_metadata(&ListParams::default().limit(1)).await.expect("a list");
        let version = list.metadata.resource_version.expect("a version");
        let events = services.watch(&WatchParams::default(), &version).await.expect("a watch").boxed();
        tokio::spawn(async move {
            let mut events = events;
            let mut seen = HashMap::new();
            while seen.len() < count {
                let Ok(Some(Ok(event))) = tokio::time::timeout(GIVEN_UP, events.next()).await else { break };
                let WatchEvent::Added(service) = event else { continue };
                let name = service.metadata.name.unwrap_or_default();
                if name.starts_with(&prefix) {
                    seen.insert(name, Instant::now());
                }
            }
            seen
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

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A Service that was made.
#[derive(Debug, Clone)]
struct Made {
    name: String,
    answered: Instant,
    denied: bool,
}

/// Asks for each name that is told, again and again at steps, until it is answered: how long after the API's answer.
fn ask(socket: &UdpSocket, told: &mpsc::Receiver<Made>) -> std::io::Result<Vec<(Made, Duration)>> {
    let mut waiting: Vec<(u16, Made)> = Vec::new();
    let (mut found, mut next, mut more) = (Vec::new(), 0_u16, true);
    while more || !waiting.is_empty() {
        let new = if waiting.is_empty() { told.recv().ok() } else { told.try_recv().ok() };
        // Told no more: an empty queue says so only to who waits.
        more = new.is_some() || !waiting.is_empty();
        for made in new.into_iter().chain(told.try_iter()) {
            waiting.push((next, made));
            next = next.wrapping_add(1);
        }
        for (id, made) in &waiting {
            let mut packet = question(&format!("{}.default.svc.cluster.local", made.name), 1);
            packet[..2].copy_from_slice(&id.to_be_bytes());
            // A server that is not there yet has no room for it: it is sent again.
            _ = socket.send(&packet);
        }
        std::thread::sleep(STEP);
        let mut answer = [0; 512];
        while let Ok(length) = socket.recv(&mut answer) {
            let id = u16::from_be_bytes([answer[0], answer[1]]);
            let Some(at) = waiting.iter().position(|(waits, _)| *waits == id).filter(|_| length > 12) else { continue };
            if answer[3] & 15 == 0 && answer[7] > 0 {
                let (_, made) = waiting.swap_remove(at);
                let took = made.answered.elapsed();
                found.push((made, took));
            } else {
                waiting[at].1.denied = true;
            }
        }
        let over = |made: &Made| made.answered.elapsed() > GIVEN_UP;
        found.extend(waiting.extract_if(.., |(_, made)| over(made)).map(|(_, made)| (made, GIVEN_UP)));
    }
    Ok(found)
}

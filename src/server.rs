//! The control plane: store, API server, controllers. `portolan server` runs it alone; `up` runs it beside its nodes.

mod addons;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::pki::{Authority, Subject};
use ipnet::Ipv4Net;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::layout::Layout;
use crate::refusal::Refusal;
use crate::{cli, kubeconfig, preflight, up};

/// The cluster's domain.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// How long a node's lease may be silent: four renewals.
const NODE_GRACE: Duration = Duration::from_secs(4);
/// How long Pods of a node that is gone are waited for before others take their place. Kubernetes waits five minutes by
/// default; a cluster on one machine, whose network does not fail by itself, need not.
const EVICTION_AFTER: Duration = Duration::from_secs(2);

/// What a control plane is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where objects and keys are.
    pub data_dir: PathBuf,
    /// Where the API server answers.
    pub listen: Vec<SocketAddr>,
    /// The address at which nodes and Pods reach it.
    pub advertise: SocketAddr,
    /// Cluster IPs.
    pub service_cidr: Ipv4Net,
    /// Pods' addresses.
    pub pod_cidr: Ipv4Net,
    /// Node ports, first and last.
    pub node_port_range: (u16, u16),
    /// Load-balancer addresses.
    pub load_balancer_pool: String,
    /// Where to relay the nodes' questions for names outside the cluster, and to whom; no relay where there is none.
    pub dns_relay: Option<(SocketAddr, Vec<SocketAddr>)>,
}

impl Settings {
    /// The control plane of `up`: it answers to the host at the API address, and to the nodes at the bridge's.
    pub fn of_cluster(layout: &Layout, upstream_dns: &[SocketAddr]) -> Self {
        let mut listen = vec![layout.api_address];
        if !layout.api_address.ip().is_unspecified() && layout.api_address != layout.api_for_nodes() {
            listen.push(layout.api_for_nodes());
        }
        let upstream = if upstream_dns.is_empty() { machine_resolvers() } else { upstream_dns.to_vec() };
        Self {
            data_dir: layout.data_dir.clone(),
            listen,
            advertise: layout.api_for_nodes(),
            service_cidr: layout.service_cidr,
            pod_cidr: layout.pod_cidr,
            node_port_range: layout.node_port_range,
            load_balancer_pool: layout.load_balancer_pool.clone(),
            dns_relay: Some((SocketAddr::new(layout.gateway.into(), 53), upstream)),
        }
    }
}

/// A running control plane.
pub struct ControlPlane {
    server: apiserver::Server,
    store: store::Store,
    authority: Arc<Authority>,
    client: Client,
    controllers: tokio::task::JoinHandle<Result<()>>,
    relay: Option<dns::Server>,
    stop: CancellationToken,
}

impl ControlPlane {
    /// Starts one: when it returns, requests are answered.
    ///
    /// # Errors
    /// When the objects cannot be read, or an address cannot be listened on.
    pub async fn start(settings: Settings) -> Result<Self> {
        let data_dir = &settings.data_dir;
        let authority = Authority::load_or_create(&data_dir.join("pki"))
            .with_context(|| format!("cannot have the keys in {}", data_dir.display()))?;
        let authority = Arc::new(authority);
        let path = data_dir.join("objects.redb");
        let store =
            store::Store::open(&path).with_context(|| format!("cannot open the objects in {}", path.display()))?;
        let server = apiserver::Server::start(apiserver::Config {
            store: store.clone(),
            authority: authority.clone(),
            listen: settings.listen.clone(),
            advertise: settings.advertise.ip(),
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            service_cidr: settings.service_cidr.into(),
            node_ports: settings.node_port_range.0..=settings.node_port_range.1,
            tokens: Vec::new(),
        })
        .await
        .context("cannot start the API server")?;
        let client = Client::new(server.handler(), "default");
        let stop = CancellationToken::new();
        addons::ensure(&client, cluster_dns(settings.service_cidr))
            .await
            .context("cannot make the cluster's DNS Service")?;
        tokio::spawn(addons::keep(client.clone(), stop.clone()));
        let config = controllers::Config {
            load_balancer_pool: Some(settings.load_balancer_pool.parse()?),
            ca_pem: authority.certificate_pem().to_owned(),
            node_grace: NODE_GRACE,
            eviction_after: EVICTION_AFTER,
            pod_cidr: Some(settings.pod_cidr.into()),
            ..controllers::Config::default()
        };
        let run = controllers::run(client.clone(), config, stop.clone());
        let controllers = tokio::spawn(async move { run.await.context("the controllers cannot go on") });
        let relay = match settings.dns_relay {
            Some((listen, upstreams)) => start_relay(listen, upstreams)?,
            None => None,
        };
        Ok(Self { server, store, authority, client, controllers, relay, stop })
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Who signs the cluster's identities.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Signs an administrator's identity and writes their kubeconfig.
    ///
    /// # Errors
    /// When signing or writing fails.
    pub fn write_admin_kubeconfig(&self, cluster: &str, server: SocketAddr, path: &Path) -> Result<()> {
        let admin = Subject::in_group("kubernetes-admin", "system:masters");
        let identity = self.authority.issue_client(&admin)?;
        kubeconfig::write(path, cluster, server, self.authority.certificate_pem(), "kubernetes-admin", &identity)
    }

    /// Waits for it to end by itself, which is an error.
    ///
    /// # Errors
    /// Always, with what ended it.
    pub async fn ended(&mut self) -> Result<()> {
        let ended = (&mut self.controllers).await.context("the controllers died")?;
        ended.and_then(|()| bail!("the controllers ended by themselves"))
    }

    /// Stops it: requests under way are finished, objects are on disk.
    pub async fn shutdown(self) {
        self.stop.cancel();
        // They were told to stop; an error on the way out changes nothing any more.
        let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, self.controllers).await;
        if let Some(relay) = self.relay {
            relay.shutdown().await;
        }
        let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, self.server.shutdown()).await;
        self.store.close().await;
    }
}

/// How long a part may take to stop.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// Starts the relay by which nodes reach the machine's own name servers; none where there is nobody to ask.
fn start_relay(listen: SocketAddr, upstreams: Vec<SocketAddr>) -> Result<Option<dns::Server>> {
    if upstreams.is_empty() {
        tracing::warn!(
            "no name servers in /etc/resolv.conf: names outside the cluster are refused; --upstream-dns names some"
        );
        return Ok(None);
    }
    let forwarder = dns::Forwarder::new(dns::ForwarderConfig { upstreams, ..dns::ForwarderConfig::default() })?;
    // One worker: the nodes' own caches take most of the questions.
    let config = dns::Config { listen: vec![listen], workers: 1, ..dns::Config::default() };
    let server = dns::Server::start(&config, None, Some(forwarder.into()));
    server.map(Some).with_context(|| format!("cannot relay DNS at {listen}"))
}

/// The address of the cluster's DNS: the tenth of the Service range.
pub fn cluster_dns(service_cidr: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(service_cidr.network()) + 10)
}

/// The name servers of this machine, as `/etc/resolv.conf` has them; none where there is no such file.
pub fn machine_resolvers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let addresses = text.lines().filter_map(|l| l.trim().strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
    addresses.map(|a| SocketAddr::new(a, 53)).collect()
}

/// Runs a control plane alone until it is told to end.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: cli::Server) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    preflight::port_is_free(args.api_address)?;
    let advertise = match (args.advertise_address, args.api_address.ip()) {
        (Some(address), _) => IpAddr::V4(address),
        (None, address) if !address.is_unspecified() => address,
        (None, _) => {
            return Err(Refusal::new("--advertise-address: give the address at which nodes reach this server").into());
        }
    };
    let advertise = SocketAddr::new(advertise, args.api_address.port());
    let mut plane = ControlPlane::start(Settings {
        data_dir: args.data_dir.clone(),
        listen: vec![args.api_address],
        advertise,
        service_cidr: args.ranges.service_cidr,
        pod_cidr: args.ranges.pod_cidr,
        node_port_range: args.ranges.node_port_range,
        load_balancer_pool: args.ranges.load_balancer_pool.clone(),
        dns_relay: None,
    })
    .await?;
    let path = args.kubeconfig.unwrap_or_else(|| args.data_dir.join("kubeconfig"));
    plane.write_admin_kubeconfig("portolan", advertise, &path)?;
    println!("the server answers at https://{advertise}\nexport KUBECONFIG={}", path.display());
    for (name, address) in &args.admitted {
        let path = args.data_dir.join(format!("{name}.kubeconfig"));
        up::admit(plane.authority(), name, (*address).into(), advertise, "portolan", &path)?;
        println!("{name} may join: portolan node --name {name} --address {address} --kubeconfig {}", path.display());
    }
    let ended = tokio::select! {
        ended = plane.ended() => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    plane.shutdown().await;
    ended
}

//! The control plane: store, API server, controllers. `portolan server` runs it alone; `up` runs it beside its nodes.

mod addons;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::audit::Audit;
use apiserver::pki::Authority;
use http::HeaderValue;
use http::header::USER_AGENT;
use ipnet::{Ipv4Net, Ipv6Net};
use kube::Client;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::data_dir::{self, Owner};
use crate::ends::{Ends, ToldToEnd};
use crate::layout::{self, Layout};
use crate::refusal::{Refusal, one_line};
use crate::stdio::say;
use crate::{cli, kubeconfig, preflight};

/// The cluster's domain.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// How long a node's lease may be silent: four renewals.
const NODE_GRACE: Duration = Duration::from_secs(4);
/// How long Pods of a node that is gone are waited for before others take their place. Kubernetes waits five minutes by
/// default; a cluster on one machine, whose network does not fail by itself, need not.
const EVICTION_AFTER: Duration = Duration::from_secs(2);
/// What load-balancer addresses a control plane gives out that is told nothing else.
const DEFAULT_POOL: &str = "172.30.0.200-172.30.0.250";
/// The cluster's name in kubeconfigs of a control plane that runs alone.
const CLUSTER_NAME: &str = "portolan";

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
    /// Cluster IPs of the second family, if there is one.
    pub service_cidr_ipv6: Option<Ipv6Net>,
    /// Pods' addresses.
    pub pod_cidr: Ipv4Net,
    /// Node ports, first and last.
    pub node_port_range: (u16, u16),
    /// Load-balancer addresses.
    pub load_balancer_pool: String,
    /// The audit log, if there is to be one.
    pub audit: Option<Arc<Audit>>,
    /// Where to relay the nodes' questions for names outside the cluster, and to whom; no relay where there is none.
    pub dns_relay: Option<(SocketAddr, Vec<SocketAddr>)>,
}

impl Settings {
    /// The control plane of `up`: it answers to the host at the API address, and to the nodes at the bridge's.
    pub fn of_cluster(layout: &Layout, upstream_dns: &[SocketAddr], audit: Option<Arc<Audit>>) -> Self {
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
            service_cidr_ipv6: None,
            pod_cidr: layout.pod_cidr,
            node_port_range: layout.node_port_range,
            load_balancer_pool: layout.load_balancer_pool.clone(),
            audit,
            // Any port: a name server of the machine's own may have 53 at every address.
            dns_relay: Some((SocketAddr::new(layout.gateway.into(), 0), upstream)),
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
    /// When the objects cannot be read, an address cannot be listened on, or that takes too long.
    pub async fn start(settings: Settings) -> Result<Self> {
        let starting = Self::start_parts(settings);
        tokio::time::timeout(START_PATIENCE, starting).await.context("the server does not start in time")?
    }

    async fn start_parts(settings: Settings) -> Result<Self> {
        let data_dir = &settings.data_dir;
        let authority = Authority::load_or_create(&data_dir.join("pki"))
            .with_context(|| format!("cannot have the keys in {}", data_dir.display()))?;
        let authority = Arc::new(authority);
        let path = data_dir.join("objects.redb");
        let store = store::Store::open(&path).map_err(no_objects)?;
        let server = apiserver::Server::start(apiserver::Config {
            store: store.clone(),
            authority: authority.clone(),
            listen: settings.listen.clone(),
            advertise: settings.advertise.ip(),
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            service_cidr: (settings.service_cidr, settings.service_cidr_ipv6).into(),
            node_ports: settings.node_port_range.0..=settings.node_port_range.1,
            tokens: Vec::new(),
            audit: settings.audit,
        })
        .await
        .context("cannot start the API server")?;
        server.also_show(Box::new(node::process::Process));
        let client = Client::new(server.handler().map_request(named), "default");
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

    /// Where nodes may ask for names outside the cluster, if there is anybody to relay to.
    pub fn dns_relay(&self) -> Option<SocketAddr> {
        self.relay.as_ref().and_then(|relay| relay.addresses().first().copied())
    }

    /// Waits for it to end by itself, which is an error.
    ///
    /// # Errors
    /// Always, with what ended it.
    pub async fn ended(&mut self) -> Result<()> {
        let ended = (&mut self.controllers).await.context("the controllers died")?;
        ended.and_then(|()| bail!("the controllers ended by themselves"))
    }

    /// Stops it: requests under way are finished, objects are on disk. No part is waited for longer than
    /// [`SHUTDOWN_PATIENCE`].
    pub async fn shutdown(self) {
        self.stop.cancel();
        let relay = async {
            if let Some(relay) = self.relay {
                relay.shutdown().await;
            }
        };
        // They were told to stop; an error on the way out changes nothing any more.
        let (controllers, relay) = (within(self.controllers, "controllers"), within(relay, "DNS relay"));
        let _ = tokio::join!(controllers, relay);
        within(self.server.shutdown(), "API server").await;
        within(self.store.close(), "store").await;
    }
}

/// How long a control plane may take to start: it reads every object.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a part may take to stop.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

async fn within<T>(stopping: impl Future<Output = T>, part: &str) {
    if tokio::time::timeout(SHUTDOWN_PATIENCE, stopping).await.is_err() {
        tracing::warn!(part, "does not stop in time, and is left");
    }
}

fn no_objects(error: store::OpenError) -> Refusal {
    let cure = match &error {
        store::OpenError::Format { .. } => "run the version that wrote it",
        _ => "end what else has it open, put a copy of it back, or forget it with `portolan down --purge`",
    };
    Refusal::new(format!("{}; {cure}", one_line(&error.into())))
}

/// Starts the relay by which nodes reach the machine's own name servers; none where there is nobody to ask.
fn start_relay(listen: SocketAddr, upstreams: Vec<SocketAddr>) -> Result<Option<dns::Server>> {
    if upstreams.is_empty() {
        tracing::warn!(
            "no name servers in /etc/resolv.conf: names outside the cluster are refused; --upstream-dns names some"
        );
        return Ok(None);
    }
    let forwarder = dns::Forwarder::new(dns::forward::Settings::to(upstreams))?;
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

/// A request that says who sends it, as Kubernetes' own controllers do: fields are theirs under this name.
fn named(mut request: http::Request<kube::client::Body>) -> http::Request<kube::client::Body> {
    let name = HeaderValue::from_static(concat!("kube-controller-manager/portolan-", env!("CARGO_PKG_VERSION")));
    request.headers_mut().entry(USER_AGENT).or_insert(name);
    request
}

/// Opens the audit log, if there is to be one.
///
/// # Errors
/// When the policy is none, or the log cannot be written.
pub fn open_audit(args: &cli::Audit) -> Result<Option<Arc<Audit>>, Refusal> {
    let Some((policy, log)) = args.audit_policy_file.as_ref().zip(args.audit_log_path.as_ref()) else {
        return Ok(None);
    };
    let audit = Audit::open(policy, log).map_err(|error| Refusal::new(one_line(&error.into())))?;
    Ok(Some(Arc::new(audit)))
}

/// Runs a control plane alone until it is told to end.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: cli::Server) -> Result<()> {
    let ends = Ends::listen()?;
    let ranges = &args.ranges;
    layout::check_ranges(&[("--service-cidr", ranges.service_cidr), ("--pod-cidr", ranges.pod_cidr)])?;
    layout::check_service_cidr(ranges.service_cidr)?;
    layout::check_service_cidr_ipv6(ranges.service_cidr_ipv6)?;
    layout::check_pod_cidr(ranges.pod_cidr, 1)?;
    layout::check_node_ports(ranges.node_port_range)?;
    let load_balancer_pool = ranges.load_balancer_pool.clone().unwrap_or_else(|| DEFAULT_POOL.to_owned());
    layout::parse_pool(&load_balancer_pool)?;
    preflight::port_is_free(args.api_address)?;
    let advertise = match (args.advertise_address, args.api_address.ip()) {
        (Some(address), _) => IpAddr::V4(address),
        (None, address) if !address.is_unspecified() => address,
        (None, _) => {
            return Err(Refusal::new("--advertise-address: give the address at which nodes reach this server").into());
        }
    };
    let advertise = SocketAddr::new(advertise, args.api_address.port());
    let kubeconfig = args.kubeconfig.clone().unwrap_or_else(|| args.data_dir.join("kubeconfig"));
    if !kubeconfig.starts_with(&args.data_dir) {
        kubeconfig::is_free(&kubeconfig, CLUSTER_NAME)?;
    }
    data_dir::claim(&args.data_dir, &Owner::Server)?;
    let settings = Settings {
        data_dir: args.data_dir.clone(),
        listen: vec![args.api_address],
        advertise,
        service_cidr: args.ranges.service_cidr,
        service_cidr_ipv6: args.ranges.service_cidr_ipv6,
        pod_cidr: args.ranges.pod_cidr,
        node_port_range: args.ranges.node_port_range,
        load_balancer_pool,
        audit: open_audit(&args.audit)?,
        dns_relay: None,
    };
    let mut plane = match ends.or(ControlPlane::start(settings)).await {
        Err(error) if error.is::<ToldToEnd>() => return Ok(()),
        started => started?,
    };
    kubeconfig::write_admin(plane.authority(), CLUSTER_NAME, advertise, &kubeconfig)?;
    say(format_args!("the server answers at https://{advertise}\nexport KUBECONFIG={}", kubeconfig.display()));
    for (name, address) in &args.admitted {
        let path = args.data_dir.join(format!("{name}.kubeconfig"));
        kubeconfig::admit(plane.authority(), name, (*address).into(), advertise, CLUSTER_NAME, &path)?;
        let path = path.display();
        say(format_args!("{name} may join: portolan node --name {name} --address {address} --kubeconfig {path}"));
    }
    let ended = tokio::select! {
        ended = plane.ended() => ended,
        () = ends.told() => Ok(()),
    };
    plane.shutdown().await;
    ended
}

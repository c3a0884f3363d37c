//! The link between a Pod and the node, over rtnetlink.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use futures::TryStreamExt;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use sha2::{Digest, Sha256};

use super::namespace;

/// The name of the only link in a Pod beside the loopback.
const POD_END: &str = "eth0";

/// What cannot be done with links.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A message that the kernel refused.
    #[error("{what}: {source}")]
    Netlink {
        /// What was asked.
        what: &'static str,
        /// The kernel's answer.
        source: Box<rtnetlink::Error>,
    },
    /// A socket, a namespace or a sysctl.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The kernel made a link that it does not show.
    #[error("the kernel does not show the link {0}")]
    Missing(String),
}

/// One link to make.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The node's end.
    pub name: String,
    /// The Pod's address.
    pub address: Ipv4Addr,
    /// The address of the node's end.
    pub gateway: Ipv4Addr,
    /// From where the node speaks to the Pod.
    pub node_ip: Ipv4Addr,
    /// In bytes.
    pub mtu: u32,
}

/// The name of the node's end of a Pod's link: 15 bytes, as long as a link's name may be.
#[must_use]
pub fn name(uid: &str) -> String {
    let digest = Sha256::digest(uid.as_bytes());
    digest.iter().take(6).fold("veth".to_owned(), |name, byte| format!("{name}{byte:02x}"))[..15].to_owned()
}

/// Runs netlink work to its end on this thread. Sockets are of the namespace in which the thread is when they are made.
///
/// # Errors
/// As the work, or no reactor could be made.
pub fn block_on<T>(work: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(work)
}

/// A socket in the namespace of the calling thread, driven by the current runtime.
///
/// # Errors
/// The kernel gave none.
pub fn connect() -> Result<Handle, LinkError> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Makes the link: `node` is a socket in the node's namespace; the calling thread is in the Pod's.
///
/// # Errors
/// What the kernel refused. What was made until then goes with the Pod's namespace.
pub async fn make(node: &Handle, wanted: &Wanted) -> Result<(), LinkError> {
    let pod = connect()?;
    let lo = index(&pod, "lo").await?.ok_or_else(|| LinkError::Missing("lo".into()))?;
    up(&pod, lo, "setting up the Pod's loopback").await?;
    remove(node, &wanted.name).await?;
    let pod_namespace = File::open("/proc/thread-self/ns/net")?;
    add_pair(node, wanted, &pod_namespace).await?;
    node_end(node, wanted).await?;
    pod_end(&pod, wanted).await
}

async fn add_pair(node: &Handle, wanted: &Wanted, pod_namespace: &File) -> Result<(), LinkError> {
    let mut peer = LinkMessage::default();
    peer.attributes.push(LinkAttribute::IfName(POD_END.to_owned()));
    peer.attributes.push(LinkAttribute::Mtu(wanted.mtu));
    peer.attributes.push(LinkAttribute::NetNsFd(pod_namespace.as_raw_fd()));
    let pair = LinkMessageBuilder::<LinkVeth>::new(&wanted.name, POD_END)
        .mtu(wanted.mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    node.link().add(pair).execute().await.map_err(refused("making a veth pair"))
}

async fn node_end(node: &Handle, wanted: &Wanted) -> Result<(), LinkError> {
    let index = index(node, &wanted.name).await?.ok_or_else(|| LinkError::Missing(wanted.name.clone()))?;
    let gateway = IpAddr::V4(wanted.gateway);
    node.address().add(index, gateway, 32).execute().await.map_err(refused("giving the link's address"))?;
    up(node, index, "setting up the link").await?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(wanted.address, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .pref_source(wanted.node_ip)
        .build();
    node.route().add(route).replace().execute().await.map_err(refused("adding the route to the Pod"))
}

async fn pod_end(pod: &Handle, wanted: &Wanted) -> Result<(), LinkError> {
    let index = index(pod, POD_END).await?.ok_or_else(|| LinkError::Missing(POD_END.into()))?;
    let address = IpAddr::V4(wanted.address);
    pod.address().add(index, address, 32).execute().await.map_err(refused("giving the Pod's address"))?;
    up(pod, index, "setting up the Pod's link").await?;
    let gateway = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(wanted.gateway, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .build();
    pod.route().add(gateway).execute().await.map_err(refused("adding the route to the gateway"))?;
    let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(wanted.gateway).output_interface(index).build();
    pod.route().add(default).execute().await.map_err(refused("adding the default route"))
}

/// Sysctls of the Pod's namespace, set by a thread in it before the link is up: an unprivileged process may listen on
/// any port and ping, a redirect of the gateway's changes no route, and the link has no IPv6 address that nobody gave.
///
/// # Errors
/// Writing beneath `/proc/sys/net`.
pub fn tune_pod() -> io::Result<()> {
    namespace::set("ipv4/ip_unprivileged_port_start", "0")?;
    namespace::set("ipv4/ping_group_range", "0 2147483647")?;
    namespace::set("ipv4/conf/all/accept_redirects", "0")?;
    namespace::set("ipv4/conf/default/accept_redirects", "0")?;
    namespace::set("ipv6/conf/default/disable_ipv6", "1")
}

/// Removes a link by its name; that there is none is no error.
///
/// # Errors
/// What the kernel refused.
pub async fn remove(handle: &Handle, name: &str) -> Result<(), LinkError> {
    let Some(index) = index(handle, name).await? else { return Ok(()) };
    match handle.link().del(index).execute().await {
        Err(error) if !is_absent(&error) => Err(refused("removing a link")(error)),
        _ => Ok(()),
    }
}

async fn up(handle: &Handle, index: u32, what: &'static str) -> Result<(), LinkError> {
    handle.link().change(LinkUnspec::new_with_index(index).up().build()).execute().await.map_err(refused(what))
}

async fn index(handle: &Handle, name: &str) -> Result<Option<u32>, LinkError> {
    let mut found = handle.link().get().match_name(name.to_owned()).execute();
    match found.try_next().await {
        Ok(link) => Ok(link.map(|l| l.header.index)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(refused("looking for a link")(error)),
    }
}

fn is_absent(error: &rtnetlink::Error) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(m) if m.raw_code() == -libc::ENODEV)
}

fn refused(what: &'static str) -> impl FnOnce(rtnetlink::Error) -> LinkError {
    move |source| LinkError::Netlink { what, source: Box::new(source) }
}

//! The cables of a cluster: a bridge in the namespace of `up`, a namespace a node, and a veth pair between each and the bridge.
//!
//! Everything made here is named in the [`Layout`], so that what a killed `up` left can be removed by name.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use futures::TryStreamExt;
use ipnet::{Ipv4Net, Ipv4Subnets};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::layout::{Layout, NodePlace};
use crate::netns;

/// The name of a node's only interface inside its namespace.
const NODE_LINK: &str = "eth0";

/// A netlink connection in the namespace of the calling thread. Ends with the runtime that it was made in.
///
/// # Errors
/// When the kernel gives no socket.
pub fn connect() -> Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection().context("cannot open a netlink socket")?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Makes the bridge, and gives it its address.
///
/// # Errors
/// When the kernel refuses.
pub async fn make_bridge(handle: &Handle, layout: &Layout) -> Result<()> {
    let name = &layout.bridge;
    let bridge = LinkBridge::new(name).up().build();
    handle.link().add(bridge).execute().await.with_context(|| format!("cannot make the bridge {name}"))?;
    let index = link_index(handle, name).await?.with_context(|| format!("the bridge {name} is gone"))?;
    let prefix = layout.node_cidr.prefix_len();
    handle
        .address()
        .add(index, IpAddr::V4(layout.gateway), prefix)
        .execute()
        .await
        .with_context(|| format!("cannot give {name} the address {}/{prefix}", layout.gateway))?;
    // Load-balancer addresses of another range than the nodes' are neighbours on the bridge all the same.
    for range in neighbours_of_other_ranges(layout)? {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(range.network(), range.prefix_len())
            .output_interface(index)
            .scope(RouteScope::Link)
            .build();
        handle.route().add(route).execute().await.with_context(|| format!("cannot route {range} to {name}"))?;
    }
    Ok(())
}

fn neighbours_of_other_ranges(layout: &Layout) -> Result<Vec<Ipv4Net>> {
    let pool: loadbalancer::pool::Pool = layout.load_balancer_pool.parse()?;
    let spans = pool.spans().iter().filter_map(|span| match (span.first(), span.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Some(Ipv4Subnets::new(first, last, 0)),
        _ => None,
    });
    Ok(spans.flatten().filter(|range| !layout.node_cidr.contains(range)).collect())
}

/// Makes a node's namespace and plugs it into the bridge.
///
/// # Errors
/// When the kernel refuses.
pub async fn plug_in(handle: &Handle, layout: &Layout, node: &NodePlace) -> Result<()> {
    netns::create(&node.netns)?;
    let bridge = link_index(handle, &layout.bridge).await?.with_context(|| format!("no bridge {}", layout.bridge))?;
    let namespace = File::open(netns::path(&node.netns)).context("the namespace just made is gone")?;
    let peer =
        LinkMessageBuilder::<LinkUnspec>::new().name(NODE_LINK.to_owned()).setns_by_fd(namespace.as_raw_fd()).build();
    let cable = LinkMessageBuilder::<LinkVeth>::new(&node.link, NODE_LINK)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .controller(bridge)
        .up()
        .build();
    handle.link().add(cable).execute().await.with_context(|| format!("cannot plug {} into the bridge", node.name))?;
    let (address, prefix, gateway) = (node.address, layout.node_cidr.prefix_len(), layout.gateway);
    netns::within(&node.netns, move || set_up_inside(address, prefix, gateway)).await
}

async fn set_up_inside(address: Ipv4Addr, prefix: u8, gateway: Ipv4Addr) -> Result<()> {
    let handle = connect()?;
    for name in ["lo", NODE_LINK] {
        let up = LinkUnspec::new_with_name(name).up().build();
        handle.link().set(up).execute().await.with_context(|| format!("cannot bring {name} up"))?;
    }
    let index = link_index(&handle, NODE_LINK).await?.context("the node's interface is gone")?;
    handle.address().add(index, IpAddr::V4(address), prefix).execute().await?;
    let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
    handle.route().add(default).execute().await.context("cannot set the default route")?;
    Ok(())
}

/// Removes a node's cable and namespace. What is not there is no error.
///
/// # Errors
/// When the kernel refuses.
pub async fn unplug(handle: &Handle, node: &NodePlace) -> Result<()> {
    remove_link(handle, &node.link).await?;
    netns::remove(&node.netns)
}

/// Removes everything that a layout names. What is not there is no error; the first error is told after all was tried.
///
/// # Errors
/// When the kernel refuses.
pub async fn tear_down(handle: &Handle, layout: &Layout) -> Result<()> {
    let mut first = Ok(());
    for node in &layout.nodes {
        first = first.and(unplug(handle, node).await);
    }
    first.and(remove_link(handle, &layout.bridge).await)
}

async fn remove_link(handle: &Handle, name: &str) -> Result<()> {
    match link_index(handle, name).await? {
        Some(index) => handle.link().del(index).execute().await.with_context(|| format!("cannot remove {name}")),
        None => Ok(()),
    }
}

/// The index of a link of this name.
///
/// # Errors
/// When the kernel refuses to tell.
pub async fn link_index(handle: &Handle, name: &str) -> Result<Option<u32>> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await {
        Ok(link) => Ok(link.map(|l| l.header.index)),
        Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot look {name} up")),
    }
}

/// The addresses of this namespace's interfaces, each with its network and the interface's name.
///
/// # Errors
/// When the kernel refuses to tell.
pub async fn networks(handle: &Handle) -> Result<Vec<(String, Ipv4Net)>> {
    let mut names = std::collections::BTreeMap::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let name =
            link.attributes.iter().find_map(|a| if let LinkAttribute::IfName(n) = a { Some(n.clone()) } else { None });
        names.insert(link.header.index, name.unwrap_or_default());
    }
    let mut found = Vec::new();
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        for attribute in &message.attributes {
            if let rtnetlink::packet_route::address::AddressAttribute::Address(IpAddr::V4(address)) = attribute {
                let name = names.get(&message.header.index).cloned().unwrap_or_default();
                found.push((name, Ipv4Net::new(*address, message.header.prefix_len)?.trunc()));
            }
        }
    }
    Ok(found)
}

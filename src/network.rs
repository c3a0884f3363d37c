//! The cables of a cluster: a bridge in the namespace of `up`, a namespace a node, and a veth pair between each and the bridge.
//!
//! Everything made here is named in the [`Layout`], so that what a killed `up` left can be removed by name; and marked by
//! its Ethernet address, so that what somebody else made under the same name is left alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteScope};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::layout::{Layout, Mac, NodePlace};
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
    let bridge = LinkBridge::new(name).address(layout.bridge_mac.to_vec()).up().build();
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
    for range in layout.pool_beside_nodes()? {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(range.network(), range.prefix_len())
            .output_interface(index)
            .scope(RouteScope::Link)
            .build();
        handle.route().add(route).execute().await.with_context(|| format!("cannot route {range} to {name}"))?;
    }
    Ok(())
}

/// Makes a node's namespace, whose cookie is noted first, and plugs it into the bridge.
///
/// # Errors
/// When the kernel refuses.
pub async fn plug_in(
    handle: &Handle,
    layout: &Layout,
    node: &NodePlace,
    note: impl FnOnce(u64) -> Result<()> + Send,
) -> Result<()> {
    netns::create(&node.netns, note)?;
    let bridge = link_index(handle, &layout.bridge).await?.with_context(|| format!("no bridge {}", layout.bridge))?;
    let namespace = File::open(netns::path(&node.netns)).context("the namespace just made is gone")?;
    let peer =
        LinkMessageBuilder::<LinkUnspec>::new().name(NODE_LINK.to_owned()).setns_by_fd(namespace.as_raw_fd()).build();
    let cable = LinkMessageBuilder::<LinkVeth>::new(&node.link, NODE_LINK)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .address(node.link_mac.to_vec())
        .controller(bridge)
        .up()
        .build();
    handle.link().add(cable).execute().await.with_context(|| format!("cannot plug {} into the bridge", node.name))?;
    let (address, prefix, gateway) = (node.address, layout.node_cidr.prefix_len(), layout.gateway);
    netns::within(&netns::path(&node.netns), move || set_up_inside(address, prefix, gateway)).await
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

/// Removes the link of this name and Ethernet address. One that is not there is no error, and one of the same name that
/// somebody else made is left as it is.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_link(handle: &Handle, name: &str, mac: Mac) -> Result<()> {
    let Some(link) = find_link(handle, name).await? else { return Ok(()) };
    let is_ours = link.attributes.iter().any(|a| matches!(a, LinkAttribute::Address(address) if *address == mac));
    if !is_ours {
        tracing::warn!(link = name, "left as it is: it was made by somebody else");
        return Ok(());
    }
    match handle.link().del(link.header.index).execute().await {
        Ok(()) => Ok(()),
        // It went with its other end, whose namespace the kernel takes down when it has the time.
        Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot remove {name}")),
    }
}

/// The index of a link of this name.
///
/// # Errors
/// When the kernel refuses to tell.
pub async fn link_index(handle: &Handle, name: &str) -> Result<Option<u32>> {
    Ok(find_link(handle, name).await?.map(|link| link.header.index))
}

async fn find_link(handle: &Handle, name: &str) -> Result<Option<LinkMessage>> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await {
        Ok(link) => Ok(link),
        Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot look {name} up")),
    }
}

/// The IPv4 networks on this namespace's interfaces, each with its interface's name.
///
/// # Errors
/// When the kernel refuses to tell.
pub async fn networks(handle: &Handle) -> Result<Vec<(String, Ipv4Net)>> {
    let names = link_names(handle).await?;
    let mut found = Vec::new();
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        for attribute in &message.attributes {
            // On a line between two, one is the other end's address and one this end's.
            if let AddressAttribute::Address(IpAddr::V4(address)) | AddressAttribute::Local(IpAddr::V4(address)) =
                attribute
            {
                let name = names.get(&message.header.index).cloned().unwrap_or_default();
                found.push((name, Ipv4Net::new(*address, message.header.prefix_len)?.trunc()));
            }
        }
    }
    Ok(found)
}

/// The IPv4 routes of this namespace, apart from those that the kernel keeps for its own addresses and the default
/// ones, each with its interface's name.
///
/// # Errors
/// When the kernel refuses to tell.
pub async fn routes(handle: &Handle) -> Result<Vec<(String, Ipv4Net)>> {
    let names = link_names(handle).await?;
    let mut found = Vec::new();
    let mut routes = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
    while let Some(route) = routes.try_next().await? {
        if route.header.table == libc::RT_TABLE_LOCAL || route.header.destination_prefix_length == 0 {
            continue;
        }
        let (mut destination, mut name) = (None, String::new());
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = Some(*address),
                RouteAttribute::Oif(index) => name = names.get(index).cloned().unwrap_or_default(),
                _ => {}
            }
        }
        if let Some(destination) = destination {
            found.push((name, Ipv4Net::new(destination, route.header.destination_prefix_length)?));
        }
    }
    Ok(found)
}

async fn link_names(handle: &Handle) -> Result<BTreeMap<u32, String>> {
    let mut names = BTreeMap::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let name =
            link.attributes.iter().find_map(|a| if let LinkAttribute::IfName(n) = a { Some(n.clone()) } else { None });
        names.insert(link.header.index, name.unwrap_or_default());
    }
    Ok(names)
}

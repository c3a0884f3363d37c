//! The cluster's DNS address as one of the node's own, on the loopback interface: what comes for it is delivered here.
//!
//! Its scope is the machine, so that nothing else leaves with it. IPv4 addresses are labelled and IPv6 addresses have a
//! protocol, which tells them apart from others' when they are to be taken away by a later process. Kernels before 5.18
//! forget the protocol: there, an IPv6 address of a process that was killed stays.

use std::net::IpAddr;

use futures::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol, AddressScope};

/// The protocol of IPv6 addresses (`IFA_PROTO`; `ip address` shows it): what made them. The kernel's own are below 4.
const PROTOCOL: u8 = 153;
/// The label of IPv4 addresses (`ip address` shows it); at most 15 characters, and the interface's name first.
const LABEL: &str = "lo:portolan-dns";
const LOOPBACK: u32 = 1;

/// The loopback interface's addresses that were given here, as far as they can be told; those that `known` holds were.
async fn ours(handle: &Handle, known: &[IpAddr]) -> Result<Vec<AddressMessage>, rtnetlink::Error> {
    let mut all = handle.address().get().set_link_index_filter(LOOPBACK).execute();
    let mut ours = Vec::new();
    while let Some(message) = all.try_next().await? {
        let is_ours = message.attributes.iter().any(|attribute| match attribute {
            AddressAttribute::Label(label) => label == LABEL,
            AddressAttribute::Protocol(protocol) => *protocol == AddressProtocol::Other(PROTOCOL),
            AddressAttribute::Address(address) => address.is_ipv6() && known.contains(address),
            _ => false,
        });
        if is_ours {
            ours.push(message);
        }
    }
    Ok(ours)
}

fn address(message: &AddressMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    })
}

/// Gives the node these addresses and takes away those that it was given before; `before` are those that this process
/// gave.
///
/// # Errors
/// What the kernel refused.
pub async fn set(handle: &Handle, wanted: &[IpAddr], before: &[IpAddr]) -> Result<(), rtnetlink::Error> {
    let mut missing = wanted.to_vec();
    for message in ours(handle, before).await? {
        let held = address(&message);
        if held.is_some_and(|held| wanted.contains(&held)) {
            missing.retain(|address| Some(*address) != held);
        } else {
            handle.address().del(message).execute().await?;
        }
    }
    for address in missing {
        let mut request = handle.address().add(LOOPBACK, address, if address.is_ipv4() { 32 } else { 128 }).replace();
        let message = request.message_mut();
        message.header.scope = AddressScope::Host;
        if address.is_ipv4() {
            message.attributes.push(AddressAttribute::Label(LABEL.to_owned()));
        } else {
            message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)));
        }
        request.execute().await?;
    }
    Ok(())
}

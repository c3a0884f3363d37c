//! The packet's headers as bytes, as far as rules read them.

use std::net::IpAddr;

use nft::expr::PayloadBase;

use crate::route::Packet;

/// Bytes of a header; `None` if they are not there.
pub(super) fn bytes(packet: &Packet, base: PayloadBase, offset: u32, len: u32) -> Option<Vec<u8>> {
    let header = match base {
        PayloadBase::Link => return None,
        PayloadBase::Network => network(packet),
        PayloadBase::Transport => transport(packet),
    };
    let offset = usize::try_from(offset).ok()?;
    let end = offset.checked_add(usize::try_from(len).ok()?)?;
    header.get(offset..end).map(<[u8]>::to_vec)
}

fn network(packet: &Packet) -> Vec<u8> {
    match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, packet.protocol, 0, 0];
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        (source, destination) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, packet.protocol, 64];
            for address in [source, destination] {
                match address {
                    IpAddr::V4(address) => header.extend(address.to_ipv6_mapped().octets()),
                    IpAddr::V6(address) => header.extend(address.octets()),
                }
            }
            header
        }
    }
}

fn transport(packet: &Packet) -> Vec<u8> {
    let ports = [packet.source_port.to_be_bytes(), packet.port.to_be_bytes()];
    let mut header = ports.concat();
    header.resize(20, 0);
    header
}

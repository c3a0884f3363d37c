//! A client that only listens is made to say something.
//!
//! It is sent the answer to a SYN that it did not send, as if from the address that it is connected to. RFC 5961 (section
//! 4) has every client answer that with an acknowledgement of what it really has, which changes nothing on the
//! connection. Conntrack has forgotten the connection, so that this acknowledgement is answered with a reset that carries
//! just the number that the client expects.
//!
//! Why that packet: it needs neither of the connection's numbers; and conntrack takes the answer to a SYN that it never
//! saw for no connection at all, so that it leaves as it is, remembered nowhere. (A bare acknowledgement would begin a
//! connection in the wrong direction, from the Service's address.)

use std::io;
use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;
use nft::conntrack::{Entry, Status, Tuple};
use socket2::{Domain, Protocol, Socket, Type};

/// Time to live of the packet.
const HOPS: u8 = 64;
/// Its sequence number: any. If it happens to be one that the client expects, the client answers just so.
const SEQUENCE: u32 = 0x5961_5961;
/// Its window: any.
const WINDOW: u16 = 1024;

/// Provokes the clients of connections that were ended. Of those that never had an answer there is nothing to provoke:
/// they try again by themselves.
pub(super) fn all(ended: &[Entry]) {
    let mut sockets = Sockets::default();
    for entry in ended.iter().filter(|entry| entry.status.contains(Status::SEEN_REPLY)) {
        if let Err(error) = sockets.provoke(&entry.original) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(connection = %entry.original, error, "a client that only listens is not told that its endpoint is gone");
        }
    }
}

/// Opened when they are needed.
#[derive(Default)]
struct Sockets {
    v4: Option<Socket>,
    v6: Option<Socket>,
}

impl Sockets {
    fn provoke(&mut self, connection: &Tuple) -> io::Result<()> {
        let packet = unasked_answer(connection).ok_or(io::ErrorKind::InvalidInput)?;
        // A raw socket takes no port.
        let client = SocketAddr::new(connection.source, 0);
        self.of(client)?.send_to(&packet, &client.into())?;
        Ok(())
    }

    fn of(&mut self, client: SocketAddr) -> io::Result<&Socket> {
        let held = if client.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        match held {
            Some(socket) => Ok(socket),
            None => {
                // With this protocol number the header is the sender's own (raw(7), and the same for IPv6).
                let raw = Protocol::from(nix::libc::IPPROTO_RAW);
                let socket = Socket::new(Domain::for_address(client), Type::RAW, Some(raw))?;
                // A full queue loses the packet; the loop that sends it must not wait.
                socket.set_nonblocking(true)?;
                Ok(held.insert(socket))
            }
        }
    }
}

/// The packet, with its headers; `None` if the connection is not one of TCP in one family.
fn unasked_answer(connection: &Tuple) -> Option<Vec<u8>> {
    let (client, service) = connection.protocol.ports()?;
    let packet = match (connection.destination, connection.source) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), HOPS),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), HOPS),
        _ => return None,
    };
    let packet = packet.tcp(service, client, SEQUENCE, WINDOW).syn().ack(0);
    let mut bytes = Vec::with_capacity(packet.size(0));
    packet.write(&mut bytes, &[]).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;

//! Names that are none of the cluster's: an upstream server that knows every name.

use std::net::UdpSocket;

use testbed::Namespace;

/// Where it answers.
pub const UPSTREAM: &str = "127.0.0.1:5300";
/// An hour: nothing is asked twice.
const TTL: u32 = 3600;

/// Starts to answer on the node, until the process ends: each question with one address.
pub fn serve(node: &Namespace) {
    let socket = node.run(|| UdpSocket::bind(UPSTREAM)).expect("a thread on the node").expect("an upstream server");
    std::thread::spawn(move || {
        let mut packet = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut packet) {
            let Some(answer) = answer(&packet[..length]) else { continue };
            // Who asks has gone perhaps, and then nobody waits for it.
            _ = socket.send_to(&answer, peer);
        }
    });
}

/// The question with an address behind it; EDNS is left out.
fn answer(packet: &[u8]) -> Option<Vec<u8>> {
    let end = 12 + packet.get(12..)?.iter().position(|octet| *octet == 0)? + 5;
    let mut answer = packet.get(..end)?.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80;
    answer[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend([0xc0, 12, 0, 1, 0, 1]);
    answer.extend(TTL.to_be_bytes());
    answer.extend([0, 4, 192, 0, 2, 1]);
    Some(answer)
}

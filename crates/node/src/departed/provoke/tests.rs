use etherparse::{SlicedPacket, TransportSlice};
use nft::conntrack::Protocol as Above;

use super::*;

#[test]
fn the_packet_is_the_answer_to_a_syn_and_comes_from_the_service() {
    for (client, service) in [("10.244.1.9", "10.96.0.10"), ("fd00::9", "fd96::10")] {
        let protocol = Above::Ports { number: 6, source: 40_000, destination: 80 };
        let tuple = Tuple { source: client.parse().unwrap(), destination: service.parse().unwrap(), protocol };
        let bytes = unasked_answer(&tuple).unwrap();
        let packet = SlicedPacket::from_ip(&bytes).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
        assert_eq!((tcp.source_port(), tcp.destination_port()), (80, 40_000));
        assert_eq!((tcp.syn(), tcp.ack(), tcp.rst(), tcp.fin()), (true, true, false, false));
        let addresses: (IpAddr, IpAddr) = match packet.net.unwrap() {
            etherparse::NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            etherparse::NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            other => panic!("{other:?}"),
        };
        assert_eq!(addresses, (tuple.destination, tuple.source));
    }
    let icmp = Above::Other(50);
    let tuple = Tuple { source: "10.0.0.1".parse().unwrap(), destination: "10.0.0.2".parse().unwrap(), protocol: icmp };
    assert_eq!(unasked_answer(&tuple), None);
}

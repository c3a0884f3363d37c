use etherparse::{ArpOperation, NetSlice, SlicedPacket};
use proptest::array::{uniform4, uniform6};
use proptest::prelude::*;

use super::{BROADCAST, FRAME, Mac, Operation, Packet};

const OWN: Mac = [2, 0, 0, 0, 0, 1];
const CLIENT: Mac = [2, 0, 0, 0, 0, 9];

fn request() -> Packet {
    Packet {
        destination: BROADCAST,
        source: CLIENT,
        operation: Operation::Request,
        sender_mac: CLIENT,
        sender: [10, 0, 0, 1].into(),
        target_mac: [0; 6],
        target: [10, 0, 0, 200].into(),
    }
}

/// What another implementation reads in a frame: destination, operation, and the four addresses.
fn read(frame: &[u8]) -> (Mac, ArpOperation, Mac, [u8; 4], Mac, [u8; 4]) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(NetSlice::Arp(arp)) = sliced.net else { panic!("no ARP in {frame:02x?}") };
    let arp = arp.to_packet().try_eth_ipv4().unwrap();
    let destination = frame[..6].try_into().unwrap();
    let (sender, target) = (arp.sender_ipv4_addr().octets(), arp.target_ipv4_addr().octets());
    (destination, arp.operation, arp.sender_mac, sender, arp.target_mac, target)
}

#[test]
fn another_implementation_reads_replies_and_announcements() {
    let reply = Packet::reply_to(&request(), OWN).to_frame();
    assert_eq!(read(&reply), (CLIENT, ArpOperation::REPLY, OWN, [10, 0, 0, 200], CLIENT, [10, 0, 0, 1]));
    let address = [10, 0, 0, 200];
    let asked = Packet::gratuitous(Operation::Request, address.into(), OWN).to_frame();
    assert_eq!(read(&asked), (BROADCAST, ArpOperation::REQUEST, OWN, address, [0; 6], address));
    let said = Packet::gratuitous(Operation::Reply, address.into(), OWN).to_frame();
    assert_eq!(read(&said), (BROADCAST, ArpOperation::REPLY, OWN, address, OWN, address));
}

#[test]
fn what_is_no_arp_of_one_machine_is_refused() {
    let good = request().to_frame();
    assert_eq!(Packet::from_frame(&good), Some(request()));
    let with = |at: usize, byte: u8| {
        let mut frame = good;
        frame[at] = byte;
        frame
    };
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("cut short", good[..FRAME - 1].to_vec()),
        ("empty", vec![]),
        ("IPv4 frame", with(13, 0x00).to_vec()),
        ("other hardware", with(15, 6).to_vec()),
        ("IPv6 addresses", with(17, 0xdd).to_vec()),
        ("long hardware addresses", with(18, 8).to_vec()),
        ("long addresses", with(19, 16).to_vec()),
        ("reverse ARP", with(21, 3).to_vec()),
        ("sender is a group", with(22, 3).to_vec()),
    ];
    for (name, frame) in rows {
        assert_eq!(Packet::from_frame(&frame), None, "{name}");
    }
    let mut nobody = request();
    nobody.sender_mac = [0; 6];
    assert_eq!(Packet::from_frame(&nobody.to_frame()), None, "sender is nobody");
    let padded = [&good[..], &[0; 18]].concat();
    assert_eq!(Packet::from_frame(&padded), Some(request()), "Ethernet pads to 60 bytes");
}

proptest! {
    #[test]
    fn frames_survive_encoding_and_decoding(
        macs in uniform4(uniform6(any::<u8>())),
        addresses in any::<([u8; 4], [u8; 4])>(),
        reply in any::<bool>(),
    ) {
        let [destination, source, mut sender_mac, target_mac] = macs;
        sender_mac[0] = (sender_mac[0] & 0xfe) | 2;
        let operation = if reply { Operation::Reply } else { Operation::Request };
        let (sender, target) = (addresses.0.into(), addresses.1.into());
        let packet = Packet { destination, source, operation, sender_mac, sender, target_mac, target };
        prop_assert_eq!(Packet::from_frame(&packet.to_frame()), Some(packet));
    }

    #[test]
    fn arbitrary_frames_never_panic(frame in proptest::collection::vec(any::<u8>(), 0..80)) {
        _ = Packet::from_frame(&frame);
    }
}

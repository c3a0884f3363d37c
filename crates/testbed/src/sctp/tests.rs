use super::*;

#[test]
fn sums_are_those_of_the_standard() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
}

#[test]
fn packets_survive_encoding_and_decoding_and_broken_ones_do_not() {
    let packet = Packet {
        source: 4000,
        destination: 80,
        verification: 7,
        kind: INIT_ACK,
        initiate: 0xdead_beef,
        cookie: b"a:8080 10.0.0.1:4000\n".to_vec(),
    };
    let bytes = packet.encode();
    assert_eq!(bytes.len() % 4, 0);
    assert_eq!(Packet::decode(&bytes), Some(packet));
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        assert_eq!(Packet::decode(&broken), None, "byte {at}");
        assert_eq!(Packet::decode(&bytes[..at]), None);
    }
}

use proptest::prelude::*;

use super::*;

fn packet() -> Packet {
    Packet {
        diagnostic: Diagnostic::Expired,
        state: State::Init,
        poll: true,
        is_final: false,
        multiplier: 3,
        mine: 0x0102_0304,
        yours: 7,
        transmit: Duration::from_secs(1),
        receive: Duration::from_micros(100_000),
    }
}

#[test]
fn bytes_are_those_of_the_rfc() {
    let wanted = [0x21, 0xa0, 3, 24, 1, 2, 3, 4, 0, 0, 0, 7, 0, 0x0f, 0x42, 0x40, 0, 1, 0x86, 0xa0, 0, 0, 0, 0];
    assert_eq!(packet().to_bytes(), wanted);
    assert_eq!(Packet::from_bytes(&wanted), Some(packet()));
}

#[test]
fn what_must_be_passed_over_is() {
    let good = packet().to_bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = good;
        bytes[at] = byte;
        bytes
    };
    let no_number = Packet { mine: 0, ..packet() }.to_bytes();
    let not_addressed = Packet { yours: 0, ..packet() }.to_bytes();
    // Another version; longer than it is, shorter than any; no multiplier; signed; for many.
    let rows =
        [with(0, 0x41), with(3, 25), with(3, 23), with(2, 0), with(1, 0xa4), with(1, 0xa1), no_number, not_addressed];
    for bytes in rows {
        assert_eq!(Packet::from_bytes(&bytes), None, "{bytes:?}");
    }
    assert_eq!(Packet::from_bytes(&good[..23]), None);
    let begin = Packet { yours: 0, state: State::Down, ..packet() };
    assert_eq!(Packet::from_bytes(&begin.to_bytes()), Some(begin));
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Some(packet) = Packet::from_bytes(&bytes) {
            prop_assert_eq!(Packet::from_bytes(&packet.to_bytes()), Some(packet));
        }
    }
}

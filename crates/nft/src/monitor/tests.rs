use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::Writer;

const FAMILY_IP: u8 = 2;

/// A message as the kernel sends it, from the socket with a port.
fn told(kind: u16, family: u8, port: u32, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    let start = writer.begin_message(NFTABLES | kind, 0, 7, family, 3);
    write(&mut writer);
    writer.end_message(start);
    let mut bytes = writer.finish().unwrap();
    bytes[12..16].copy_from_slice(&port.to_ne_bytes());
    bytes
}

fn portolan() -> TableId {
    TableId::new(Family::Ip, "portolan")
}

#[test]
fn a_message_says_which_table_which_object_and_whose_socket() {
    let bytes = [
        told(message::NEWSETELEM, FAMILY_IP, 77, |w| {
            w.text(number::element::LIST_TABLE, "portolan");
            w.text(number::element::LIST_SET, "services");
        }),
        told(message::DELCHAIN, FAMILY_IP, 77, |w| {
            w.text(number::chain::TABLE, "portolan");
            w.text(number::chain::NAME, "output");
        }),
        told(message::NEWGEN, 0, 77, |w| {
            w.u32(number::generation::ID, 12);
            w.u32(number::generation::PROCESS, 4321);
            w.text(number::generation::PROCESS_NAME, "nft");
        }),
    ]
    .concat();
    let heard = Notification::parse(&bytes);
    assert!(heard.iter().all(|n| n.port == 77));
    let changes: Vec<Change> = heard.into_iter().map(|n| n.change).collect();
    assert_eq!(
        changes,
        [
            Change::Elements(portolan(), "services".into(), true),
            Change::Chain(portolan(), "output".into(), false),
            Change::Generation { id: 12, thread: 4321, name: "nft".to_owned() },
        ]
    );
    assert_eq!((changes[0].table(), changes[2].table()), (Some(&portolan()), None));
}

#[test]
fn what_is_not_spoken_of_is_left_out_and_hides_nothing() {
    let bytes = [
        // A family without a name here (bridge), another subsystem, a message without its name.
        told(message::NEWTABLE, 7, 1, |w| w.text(number::table::NAME, "portolan")),
        told(0x0100, FAMILY_IP, 1, |w| w.text(number::table::NAME, "portolan")),
        told(message::NEWCHAIN, FAMILY_IP, 1, |w| w.text(number::chain::TABLE, "portolan")),
        told(message::DELTABLE, FAMILY_IP, 1, |w| w.text(number::table::NAME, "portolan")),
    ]
    .concat();
    let heard = Notification::parse(&bytes);
    assert_eq!(heard, [Notification { port: 1, change: Change::Table(portolan(), false) }]);
}

/// Messages that are right but for some bytes get further than such that are random altogether.
fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
    let one = (0u16..40, any::<u8>(), any::<u32>(), vec((0u16..12, vec(any::<u8>(), 0..20)), 0..6));
    let written = vec(one, 0..6).prop_map(|messages| {
        let parts = messages.into_iter().map(|(kind, family, port, attributes)| {
            told(kind, family, port, |w| attributes.iter().for_each(|(kind, value)| w.bytes(*kind, value)))
        });
        parts.collect::<Vec<_>>().concat()
    });
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (written, damage, any::<prop::sample::Index>()).prop_map(|(mut bytes, damage, end)| {
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let end = end.index(bytes.len() + 1);
        bytes.truncate(end.max(bytes.len() / 2));
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..400)) {
        Notification::parse(&bytes);
    }

    #[test]
    fn messages_that_are_nearly_right_are_read_without_panic(bytes in nearly_right()) {
        let whole = Notification::parse(&bytes);
        // What is behind the end changes nothing of what is before it.
        let more = [bytes.clone(), vec![0; 16]].concat();
        prop_assert!(Notification::parse(&more).starts_with(&whole));
    }
}

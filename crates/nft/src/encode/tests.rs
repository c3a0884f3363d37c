use std::sync::Arc;

use super::{EncodeError, encode};
use crate::element::Element;
use crate::expr::{Expr, Field, Lookup, Register};
use crate::value::hex;
use crate::wire::{Attributes, Messages};
use crate::{Batch, Chain, ChainType, Family, Hook, Rule, Set, Table, TableId, Type, Value, Verdict};

/// The bytes of a batch's messages but its begin and end, in hexadecimal, four bytes a word.
fn messages(batch: &Batch) -> Vec<String> {
    let encoded = encode(batch, 7).unwrap();
    let words = |bytes: &[u8]| bytes.chunks(4).map(|word| hex(word)[2..].to_owned()).collect::<Vec<_>>().join(" ");
    let mut rest = &encoded.bytes[..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
        all.push(words(&rest[..len]));
        rest = &rest[len..];
    }
    let last = all.pop().unwrap();
    assert!(last.contains("11000100"), "{last}");
    assert_eq!(all.remove(0), "14000000 10000100 07000000 00000000 0000000a");
    all
}

fn table() -> TableId {
    TableId::new(Family::Ip, "t")
}

// The golden bytes are those of a little-endian machine, as all machines are for which images are built.
#[test]
#[cfg(target_endian = "little")]
fn tables_chains_and_rules_have_their_bytes() {
    let mut batch = Batch::new();
    batch.add_table(Table::new(table()));
    batch.add_chain(Chain::base(&table(), "c", ChainType::Nat, Hook::Prerouting, -100));
    let mut exprs = vec![Field::ThDport.load(Register::R0)];
    exprs.push(Expr::Lookup { set: "m".into(), key: Register::R0, result: Lookup::Verdict });
    batch.add_rule(Rule::new(&table(), "c", exprs));
    let expected = [
        // NEWTABLE, CREATE; family ip; NAME "t", FLAGS 0.
        "24000000 000a0104 08000000 00000000 02000000 06000100 74000000 08000200 00000000",
        // NEWCHAIN; TABLE, NAME, HOOK { NUM 0, PRIORITY -100 }, POLICY accept, TYPE "nat".
        "48000000 030a0104 09000000 00000000 02000000 06000100 74000000 06000300 63000000 \
         14000480 08000100 00000000 08000200 ffffff9c 08000500 00000001 08000700 6e617400",
        // NEWRULE, CREATE | APPEND | ACK; payload of register 8, base 2, offset 2, length 2; lookup into register 0.
        "88000000 060a050c 0a000000 00000000 02000000 06000100 74000000 06000200 63000000 \
         64000480 34000180 0c000100 7061796c 6f616400 24000280 08000100 00000008 08000200 00000002 \
         08000300 00000002 08000400 00000002 \
         2c000180 0b000100 6c6f6f6b 75700000 1c000280 06000100 6d000000 08000200 00000008 08000300 00000000",
    ];
    let got = messages(&batch);
    for (got, wanted) in got.iter().zip(expected) {
        let (got, wanted): (Vec<&str>, Vec<&str>) = (got.split(' ').collect(), wanted.split_whitespace().collect());
        assert_eq!(got, wanted);
    }
}

#[test]
#[cfg(target_endian = "little")]
fn maps_and_elements_have_their_bytes() {
    let key = [Type::Ipv4Addr, Type::InetService];
    let map = Arc::new(Set::map(&table(), "m", &key, &[Type::Mark]).with_size(9));
    let mut batch = Batch::new();
    batch.add_set(&map);
    let key = Value::new().ipv4([10, 96, 0, 1].into()).u16(80);
    batch.add_elements(&map, vec![Element::value(key, Value::new().host_u32(5))]);
    let ports = Arc::new(Set::verdict_map(&table(), "p", &[Type::InetService]));
    batch.add_elements(&ports, vec![Element::verdict(Value::new().u16(80), Verdict::Goto("c".into()))]);
    let got = messages(&batch);
    // NEWSET: flags map | concat; key type 7 << 6 | 13, 8 bytes; data type mark, 4 bytes; size and field lengths.
    let flags_and_types = "08000300 00000088 08000400 000001cd 08000500 00000008 08000600 00000013 08000700 00000004";
    assert!(got[0].contains(flags_and_types), "{}", got[0]);
    assert!(got[0].contains("28000980 08000100 00000009 1c000280 0c000180 08000100 00000004"), "{}", got[0]);
    // One element: key of two padded fields in network order, data in the machine's.
    assert!(got[1].ends_with("0c000100 0a600001 00500000 0c000280 08000100 05000000"), "{}", got[1]);
    // A single field is not padded; a verdict is its code and its chain.
    let element = "0c000180 06000100 00500000 18000280 14000280 08000100 fffffffc 06000200 63000000";
    assert!(got[2].ends_with(element), "{}", got[2]);
}

#[test]
fn elements_are_cut_into_messages_that_an_attribute_can_hold() {
    let set = Arc::new(Set::new(&table(), "s", &[Type::Ipv4Addr, Type::InetProto, Type::InetService]));
    let element = |n: u32| Element::new(Value::new().ipv4(n.into()).u8(6).u16(80));
    let mut batch = Batch::new();
    batch.add_set(&set);
    batch.add_elements(&set, (0..20_000).map(element).collect());
    let encoded = encode(&batch, u32::MAX - 3).unwrap();
    let mut count = 0;
    for (message, origin) in Messages(&encoded.bytes).skip(2).zip(&encoded.origins[1..]) {
        assert_eq!((origin.operation, origin.element), (1, count));
        let list = Attributes(&message.body[4..]).nested(3).unwrap();
        count += list.count() as u32;
    }
    assert_eq!(count, 20_000);
    let sequences: Vec<u32> = Messages(&encoded.bytes).map(|m| m.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{sequences:?}");
    let acknowledged = Messages(&encoded.bytes).filter(|m| m.flags & libc::NLM_F_ACK as u16 != 0).count();
    assert_eq!(acknowledged, 1);
}

#[test]
fn what_does_not_fit_its_type_or_an_attribute_is_refused() {
    let set = Arc::new(Set::new(&table(), "s", &[Type::InetService]));
    let mut batch = Batch::new();
    batch.add_elements(&set, vec![Element::new(Value::new().host_u32(u32::MAX))]);
    let wanted = EncodeError::Length { set: "s".to_owned(), part: "key", got: 4, wanted: 2 };
    assert_eq!(encode(&batch, 1).unwrap_err(), wanted);
    let mut batch = Batch::new();
    batch.add_rule(Rule::new(&table(), "c", vec![Expr::counter(); 3000]));
    assert_eq!(encode(&batch, 1).unwrap_err(), EncodeError::TooLong);
}

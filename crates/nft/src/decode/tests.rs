use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::element::{Counter, Data, Element, Role};
use crate::encode::encode;
use crate::set::{Set, SetData};
use crate::value::{Type, Value};
use crate::verdict::Verdict;
use crate::wire::{Attributes, Messages};
use crate::{Batch, Family, TableId};

fn any_type() -> impl Strategy<Value = Type> {
    prop_oneof![
        Just(Type::Ipv4Addr),
        Just(Type::Ipv6Addr),
        Just(Type::InetProto),
        Just(Type::InetService),
        Just(Type::Mark),
        Just(Type::IfName),
        Just(Type::EtherAddr),
    ]
}

fn value_of(types: &[Type]) -> impl Strategy<Value = Value> + use<> {
    let fields: Vec<_> = types.iter().map(|t| vec(any::<u8>(), usize::from(t.len()))).collect();
    fields.prop_map(|fields| fields.iter().fold(Value::new(), |value, field| value.field(field)))
}

fn data_of(data: &Option<SetData>) -> BoxedStrategy<Option<Data>> {
    match data {
        Some(SetData::Value(types)) => value_of(types).prop_map(|v| Some(Data::Value(v))).boxed(),
        Some(SetData::Verdict) => prop_oneof![
            Just(Verdict::Drop),
            Just(Verdict::Return),
            "[a-z]{1,20}".prop_map(|chain| Verdict::Jump(chain.into())),
            "[a-z]{1,20}".prop_map(|chain| Verdict::Goto(chain.into())),
        ]
        .prop_map(|v| Some(Data::Verdict(v)))
        .boxed(),
        Some(SetData::Object(_)) => "[a-z]{1,20}".prop_map(|name| Some(Data::Object(name.into()))).boxed(),
        None => Just(None).boxed(),
    }
}

fn element_of(set: &Set) -> impl Strategy<Value = Element> + use<> {
    let timeout = option::of((1..1u64 << 40).prop_map(Duration::from_millis));
    let comment = option::of("\\PC{0,30}".prop_map(String::into_boxed_str));
    let key =
        (value_of(&set.key), option::of(value_of(&set.key)), prop_oneof![Just(Role::Key), Just(Role::IntervalEnd)]);
    let counter = option::of(any::<(u64, u64)>().prop_map(|(packets, bytes)| Counter { packets, bytes }));
    (key, data_of(&set.data), timeout, comment, counter).prop_map(
        |((key, key_end, role), data, timeout, comment, counter)| Element {
            key,
            key_end,
            data,
            timeout,
            expires: None,
            comment,
            counter,
            role,
        },
    )
}

fn set_with_elements() -> impl Strategy<Value = (Set, Vec<Element>)> {
    let data = prop_oneof![
        Just(None),
        Just(Some(SetData::Verdict)),
        Just(Some(SetData::Object(crate::expr::ObjectKind::Counter))),
        vec(any_type(), 1..4).prop_map(|types| Some(SetData::Value(types))),
    ];
    (vec(any_type(), 1..5), data)
        .prop_map(|(key, data)| Set { data, ..Set::new(&TableId::new(Family::Inet, "t"), "s", &key) })
        .prop_flat_map(|set| {
            let elements = vec(element_of(&set), 1..40);
            (Just(set), elements)
        })
}

/// All attributes of the messages of a batch, but its begin and end.
fn bodies(bytes: &[u8]) -> impl Iterator<Item = (u16, Attributes<'_>)> {
    let inner = |kind: u16| kind & 0xff00 == 10 << 8;
    Messages(bytes).filter(move |m| inner(m.kind)).map(|m| (m.kind & 0xff, m.generic().unwrap().1))
}

proptest! {
    #[test]
    fn elements_survive_encoding_and_decoding((set, elements) in set_with_elements()) {
        let mut batch = Batch::new();
        batch.add_elements(&Arc::new(set), elements.clone());
        let encoded = encode(&batch, 1).unwrap();
        let mut found = Vec::new();
        for (_, attributes) in bodies(&encoded.bytes) {
            super::elements(attributes, |element| found.push(element)).unwrap();
        }
        prop_assert_eq!(found, elements);
    }

    #[test]
    fn the_types_of_sets_survive_encoding_and_decoding((set, _) in set_with_elements()) {
        let mut batch = Batch::new();
        batch.add_set(&Arc::new(set.clone()));
        let mut bytes = encode(&batch, 1).unwrap().bytes;
        // What the kernel adds: a handle (NFTA_SET_HANDLE), in the message that follows the begin of 20 bytes.
        let len = u32::from_ne_bytes(bytes[20..24].try_into().unwrap()) as usize;
        bytes.truncate(20 + len);
        bytes.extend_from_slice(&[12, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
        bytes[20..24].copy_from_slice(&(len as u32 + 12).to_ne_bytes());
        let (_, attributes) = bodies(&bytes).next().unwrap();
        let (handle, found) = super::set(Family::Inet, attributes).unwrap();
        prop_assert_eq!(handle, 3);
        let ambiguous = matches!(&set.data, Some(SetData::Value(types)) if types.len() > 5);
        prop_assert!(ambiguous || found == set, "{} {}", found, set);
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_panic(bytes in vec(any::<u8>(), 0..300)) {
        for message in Messages(&bytes) {
            _ = message.generic();
        }
        let attributes = Attributes(&bytes);
        _ = super::table(Family::Ip, attributes);
        _ = super::chain(Family::Ip, attributes);
        _ = super::rule(Family::Ip, attributes);
        _ = super::set(Family::Ip, attributes);
        _ = super::counter(Family::Ip, attributes);
        _ = super::elements(attributes, |_| ());
    }

    #[test]
    fn broken_messages_are_refused_without_panic(
        (set, elements) in set_with_elements(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut batch = Batch::new();
        batch.add_elements(&Arc::new(set), elements);
        let mut bytes = encode(&batch, 1).unwrap().bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        for message in Messages(&bytes) {
            if let Some((_, attributes)) = message.generic() {
                _ = super::elements(attributes, |_| ());
                _ = super::rule(Family::Ip, attributes);
            }
        }
    }
}

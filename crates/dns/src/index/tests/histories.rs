//! However the index came to know something, it answers the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::cluster::{at, external, ports, service, slice};
use crate::asking;
use crate::index::{Index, IndexOptions, IndexStats, ServiceRecord, Shape, SliceRecord};
use crate::protocol::rtype;
use crate::reply::Transport;

#[derive(Debug, Clone)]
enum Change {
    Service(ServiceRecord),
    RemoveService(String, String),
    Slice(SliceRecord),
    RemoveSlice(String, String),
    Namespace(String),
    RemoveNamespace(String),
}

type Key = (String, String);

/// What is so after some changes.
#[derive(Default)]
struct State {
    services: BTreeMap<Key, ServiceRecord>,
    slices: BTreeMap<Key, SliceRecord>,
    namespaces: BTreeMap<String, ()>,
}

impl State {
    fn take(&mut self, change: &Change) {
        match change.clone() {
            Change::Service(record) => {
                self.services.insert((record.namespace.clone(), record.name.clone()), record);
            }
            Change::RemoveService(namespace, name) => drop(self.services.remove(&(namespace, name))),
            Change::Slice(record) => {
                self.slices.insert((record.namespace.clone(), record.name.clone()), record);
            }
            Change::RemoveSlice(namespace, name) => drop(self.slices.remove(&(namespace, name))),
            Change::Namespace(name) => drop(self.namespaces.insert(name, ())),
            Change::RemoveNamespace(name) => drop(self.namespaces.remove(&name)),
        }
    }

    /// An index that is told of nothing but what is so.
    fn index(&self) -> Index {
        let index = Index::new(&IndexOptions::default()).unwrap();
        self.namespaces.keys().for_each(|name| index.set_namespace(name).unwrap());
        self.services.values().for_each(|record| index.set_service(record).unwrap());
        self.slices.values().rev().for_each(|record| index.set_slice(record).unwrap());
        index.set_synced(true);
        index
    }
}

fn tell(index: &Index, change: &Change) {
    match change {
        Change::Service(record) => index.set_service(record).unwrap(),
        Change::RemoveService(namespace, name) => index.remove_service(namespace, name),
        Change::Slice(record) => index.set_slice(record).unwrap(),
        Change::RemoveSlice(namespace, name) => index.remove_slice(namespace, name),
        Change::Namespace(name) => index.set_namespace(name).unwrap(),
        Change::RemoveNamespace(name) => index.remove_namespace(name),
    }
}

fn change() -> impl Strategy<Value = Change> {
    let name = prop_oneof![Just("s".to_owned()), Just("t".to_owned()), Just("10-0-0-1".to_owned())];
    let namespace = prop_oneof![Just("n".to_owned()), Just("m".to_owned())];
    let shape = prop_oneof![
        3 => Just(Shape::Headless),
        2 => Just(at("10.0.0.1")),
        1 => Just(at("10.0.0.2 fd00::1")),
        1 => Just(external("s.n.svc.cluster.local")),
        1 => Just(external("10.0.0.1")),
    ];
    let port_list = prop_oneof![Just(""), Just("a/1"), Just("a/1 b/UDP/2"), Just("b/1"), Just("a/")];
    let endpoint = prop_oneof![
        Just("10.0.0.1"),
        Just("10.0.0.2"),
        Just("10.0.0.3=h"),
        Just("10.0.0.4=h"),
        Just("!10.0.0.5"),
        Just("fd00::1=h"),
        Just("fd00::2"),
        Just("10.0.0.1=10-0-0-1"),
        Just("10.0.0.1,fd00::1=g"),
    ];
    let endpoints = prop::collection::vec(endpoint, 0..5).prop_map(|list| list.join(" "));
    let slice_name = prop_oneof![Just("1"), Just("2"), Just("3")];
    prop_oneof![
        3 => (namespace.clone(), name.clone(), shape, port_list.clone()).prop_map(|(namespace, name, shape, list)| {
            Change::Service(ServiceRecord { ports: ports(list), ..service(&namespace, &name, shape, "") })
        }),
        1 => (namespace.clone(), name.clone()).prop_map(|(namespace, name)| Change::RemoveService(namespace, name)),
        5 => (namespace.clone(), slice_name.clone(), name, endpoints, port_list).prop_map(
            |(namespace, name, of, endpoints, list)| Change::Slice(slice(&namespace, name, &of, &endpoints, list))
        ),
        1 => (namespace.clone(), slice_name).prop_map(|(namespace, name)| {
            Change::RemoveSlice(namespace, name.to_owned())
        }),
        1 => namespace.clone().prop_map(Change::Namespace),
        1 => namespace.prop_map(Change::RemoveNamespace),
    ]
}

/// Every question whose answer could tell two indexes apart, with its answer.
fn answers(index: &Index) -> Vec<(String, u16, String)> {
    let mut names = vec![];
    for namespace in ["n", "m"] {
        names.push(format!("{namespace}.svc.cluster.local"));
        for service in ["s", "t", "10-0-0-1"] {
            for below in ["", "h.", "g.", "10-0-0-1.", "10-0-0-2.", "fd00--2.", "_a._tcp.", "_b._udp.", "_b._."] {
                names.push(format!("{below}{service}.{namespace}.svc.cluster.local"));
            }
        }
    }
    names.extend((1..6).map(|host| format!("{host}.0.0.10.in-addr.arpa")));
    names.extend((1..3).map(|host| format!("{host}{}.0.0.d.f.ip6.arpa", ".0".repeat(27))));
    let types = [rtype::A, rtype::AAAA, rtype::SRV, rtype::CNAME, rtype::PTR];
    let ask = |name: &String, qtype| {
        let (_, message) = asking::ask(index, &asking::question(name, qtype, None), Transport::Tcp);
        (name.clone(), qtype, asking::told(&message))
    };
    names.iter().flat_map(|name| types.map(|qtype| ask(name, qtype))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn an_index_answers_from_what_is_so_however_it_came_about(changes in prop::collection::vec(change(), 0..40)) {
        let index = Index::new(&IndexOptions::default()).unwrap();
        index.set_synced(true);
        let mut state = State::default();
        for change in &changes {
            tell(&index, change);
            state.take(change);
        }
        let fresh = state.index();
        for (got, want) in answers(&index).into_iter().zip(answers(&fresh)) {
            prop_assert_eq!(got, want);
        }
        let sizes = |index: &Index| IndexStats { serial: 0, ..index.stats() };
        prop_assert_eq!(sizes(&index), sizes(&fresh));
        prop_assert_eq!(index.services(), state.services.keys().cloned().collect::<Vec<_>>());
        prop_assert_eq!(index.slices(), state.slices.keys().cloned().collect::<Vec<_>>());
        prop_assert_eq!(index.namespaces(), state.namespaces.keys().cloned().collect::<Vec<_>>());
    }
}

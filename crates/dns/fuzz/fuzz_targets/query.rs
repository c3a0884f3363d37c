//! Whatever octets come: the reader does not panic, and what it reads, hickory reads alike. The answer from an index can
//! be read by hickory and is no larger than was asked for.
//!
//! `cargo +nightly fuzz run query` in `crates/dns`. The same oracle runs, bounded, in `src/query/tests.rs`.
#![no_main]

use std::sync::LazyLock;

use dns::index::{PortRecord, ServiceRecord, Shape, Verdict};
use dns::query::Query;
use dns::reply::{Flags, Reply, Transport};
use dns::{Index, IndexOptions};
use hickory_proto::op::Message;
use libfuzzer_sys::fuzz_target;

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let index = Index::new(&IndexOptions::default()).expect("the default zones are zones");
    let ports = vec![PortRecord { name: "http".to_owned(), number: Some(80), ..PortRecord::default() }];
    for (name, shape) in [
        ("web", Shape::ClusterIp(vec![[10, 96, 0, 9].into()])),
        ("alias", Shape::ExternalName("web.shop.svc.cluster.local".to_owned())),
    ] {
        let record = ServiceRecord { namespace: "shop".to_owned(), name: name.to_owned(), shape, ports: ports.clone() };
        index.set_service(&record).expect("the names are labels");
    }
    index.set_synced(true);
    index
});

fuzz_target!(|packet: &[u8]| {
    let Ok(query) = Query::parse(packet) else { return };
    // Hickory also looks into records and options that are only walked over here: what it refuses says nothing.
    if let Ok(message) = Message::from_vec(packet) {
        assert_eq!(message.metadata.id, query.id);
        assert_eq!(message.metadata.recursion_desired, query.recursion_desired);
        let [asked] = message.queries.as_slice() else { panic!("{} questions", message.queries.len()) };
        assert_eq!((u16::from(asked.query_type()), u16::from(asked.query_class())), (query.qtype, query.qclass));
        let theirs: Vec<Vec<u8>> = asked.name().iter().map(<[u8]>::to_ascii_lowercase).collect();
        let ours: Vec<Vec<u8>> = (0..query.name.label_count()).map(|at| query.name.label(at).to_vec()).collect();
        assert_eq!(ours, theirs);
        assert_eq!(message.edns.is_some(), query.edns.is_some());
    }
    if !query.is_internet() {
        return;
    }
    let transport = Transport::Udp { most: 1232 };
    let mut buffer = [0; 1232];
    let mut reply = Reply::start(&mut buffer, &query, transport);
    let code = match INDEX.answer(&query, &mut reply, 0) {
        Verdict::Answered(code) | Verdict::Fallthrough(code) => code,
        Verdict::Continue(_) | Verdict::NotOurs | Verdict::Search(_) => 0,
    };
    let length = reply.finish(code, Flags::default());
    assert!(length <= transport.room(&query));
    Message::from_vec(&buffer[..length]).expect("an answer can be read");
});

//! Transactions: all or nothing, refusals that name their cause, generations, size.
#![allow(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

use std::sync::Arc;
use std::time::Duration;

use nft::{
    Batch, Chain, CommitError, Committed, Data, DumpError, Element, Expr, Family, ObjectId, Rule, Set, Socket, Table,
    TableId, Type, Value,
};
use testbed::{Namespace, skip_unless_root};

fn inside(test: impl FnOnce(&mut Socket) + Send) {
    if skip_unless_root().is_some() {
        return;
    }
    let namespace = Namespace::new("nft").unwrap();
    namespace.run(|| test(&mut Socket::in_current_netns().unwrap())).unwrap();
}

fn table() -> TableId {
    TableId::new(Family::Ip, "t")
}

fn services() -> Arc<Set> {
    let key = [Type::Ipv4Addr, Type::InetProto, Type::InetService];
    Arc::new(Set::map(&table(), "services", &key, &[Type::Mark]))
}

fn element(n: u32) -> Element {
    let key = Value::new().ipv4((0x0a60_0000 + n).into()).u8(6).u16(80);
    Element::value(key, Value::new().host_u32(n))
}

fn prepared() -> Batch {
    let mut batch = Batch::new();
    batch.add_table(Table::new(table()));
    batch.add_chain(Chain::regular(&table(), "c"));
    batch.add_set(&services());
    batch
}

#[track_caller]
fn refusal(result: Result<Committed, CommitError>) -> nft::Refusal {
    match result {
        Err(CommitError::Refused(refusal)) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ten_thousand_elements_are_one_transaction() {
    inside(|socket| {
        let mut batch = prepared();
        let elements: Vec<Element> = (0..10_000).map(element).collect();
        batch.add_elements(&services(), elements.clone());
        socket.commit(&batch).unwrap();
        // While the kernel makes the set's table larger, a dump of several messages tells elements twice, and then may leave
        // others out. One that tells none twice is whole: that is what readers go by.
        let whole = || {
            let mut found = Vec::new();
            socket.each_element(&table(), "services", |element| found.push(element)).unwrap();
            found.sort_by_key(|e| match &e.data {
                Some(Data::Value(value)) => u32::from_ne_bytes(value.as_slice().try_into().unwrap()),
                other => panic!("{other:?}"),
            });
            let told = found.len();
            found.dedup();
            if found.len() < told {
                return false;
            }
            assert_eq!(found, elements);
            true
        };
        testbed::wait_until(Duration::from_secs(30), "the dump is what was written", whole).unwrap();
    });
}

#[test]
fn a_refusal_names_operation_and_element_and_changes_nothing() {
    inside(|socket| {
        socket.commit(&prepared()).unwrap();
        let set = services();
        let mut batch = Batch::new();
        batch.add_elements(&set, (0..3000).map(element).collect());
        let mut other: Vec<Element> = (3000..6000).map(element).collect();
        other[2345] = element(17);
        other[2345].data = Some(Data::Value(Value::new().host_u32(99)));
        batch.add_elements(&set, other);
        batch.add_rule(Rule::new(&table(), "c", vec![Expr::counter()]));
        let refused = refusal(socket.commit(&batch));
        assert_eq!((refused.index, refused.errno), (1, libc::EEXIST), "{refused}");
        assert_eq!(refused.element, Some(2345), "{refused}");
        assert!(refused.to_string().contains("10.96.0.17 . tcp . 80 : 0x00000063"), "{refused}");
        assert!(socket.elements(&table(), "services").unwrap().is_empty());
        assert!(socket.rules(&table()).unwrap().is_empty());

        let mut batch = Batch::new();
        batch.add_rule(Rule::new(&table(), "c", vec![Expr::counter()]));
        batch.add_rule(Rule::new(&table(), "nowhere", vec![Expr::counter()]));
        batch.delete(ObjectId::Chain(table(), "c".into()));
        batch.delete(ObjectId::Set(table(), "unknown".into()));
        let refused = refusal(socket.commit(&batch));
        assert_eq!((refused.index, refused.errno, refused.others), (1, libc::ENOENT, 1), "{refused}");
        assert!(refused.to_string().contains("add rule ip t nowhere counter"), "{refused}");

        let mut batch = Batch::new();
        batch.delete_elements(&set, vec![element(1)]);
        assert_eq!(refusal(socket.commit(&batch)).errno, libc::ENOENT);
        let mut batch = Batch::new();
        batch.add_rule(Rule::new(&table(), "c", vec![Expr::goto("nowhere")]));
        let refused = refusal(socket.commit(&batch));
        assert_eq!((refused.index, refused.errno), (0, libc::ENOENT));
    });
}

#[test]
fn data_is_changed_by_deleting_and_adding_in_one_transaction() {
    inside(|socket| {
        let mut batch = prepared();
        let set = services();
        batch.add_elements(&set, (0..10).map(element).collect());
        socket.commit(&batch).unwrap();
        let changed = Element { data: Some(Data::Value(Value::new().host_u32(77))), ..element(3) };
        let mut batch = Batch::new();
        batch.add_elements(&set, vec![element(3)]);
        batch.delete_elements(&set, vec![element(3)]);
        batch.add_elements(&set, vec![changed.clone()]);
        socket.commit(&batch).unwrap();
        let found = socket.elements(&table(), "services").unwrap();
        assert_eq!(found.len(), 10);
        assert!(found.contains(&changed));
    });
}

#[test]
fn keys_of_a_wrong_length_are_refused_before_the_kernel_sees_them() {
    inside(|socket| {
        let mut batch = prepared();
        batch.add_elements(&services(), vec![Element::new(Value::new().u8(1))]);
        let error = socket.commit(&batch).unwrap_err();
        assert_eq!(error.to_string(), "services: a key of 4 bytes where its type has 12");
        assert!(socket.tables().unwrap().is_empty());
    });
}

#[test]
fn a_transaction_for_another_generation_is_stale() {
    inside(|socket| {
        let before = socket.generation().unwrap();
        socket.commit(&Batch { generation: Some(before), ..prepared() }).unwrap();
        assert_ne!(socket.generation().unwrap(), before);
        let stale = Batch { generation: Some(before), ..prepared() };
        assert!(matches!(socket.commit(&stale), Err(CommitError::Stale)));
        let mut other = Socket::in_current_netns().unwrap();
        other.commit(&prepared()).unwrap();
    });
}

#[test]
fn what_is_not_there_is_not_listed() {
    inside(|socket| {
        assert!(socket.rules(&table()).unwrap().is_empty());
        let error = socket.elements(&table(), "services").unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
        socket.commit(&prepared()).unwrap();
        assert!(matches!(socket.elements(&table(), "nothing"), Err(DumpError::Refused(_))));
        assert_eq!(socket.commit(&Batch::new()).map_err(|e| e.to_string()), Ok(Committed::default()));
    });
}

#[test]
fn a_socket_stays_in_its_namespace() {
    if skip_unless_root().is_some() {
        return;
    }
    let (here, there) = (Namespace::new("here").unwrap(), Namespace::new("there").unwrap());
    let mut socket = here.run(Socket::in_current_netns).unwrap().unwrap();
    there.run(|| socket.commit(&prepared()).unwrap()).unwrap();
    assert_eq!(socket.tables().unwrap().len(), 1);
    assert!(there.run(|| Socket::in_current_netns().unwrap().tables().unwrap()).unwrap().is_empty());
}

//! Notifications: who changed what, in which namespace; what is lost is told.
#![allow(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nft::{
    Batch, Chain, Change, Element, Expr, Family, Heard, Monitor, Notification, ObjectId, Rule, Set, Socket, Table,
    TableId, Type, Value,
};
use testbed::{Namespace, skip_unless_root};

fn table() -> TableId {
    TableId::new(Family::Ip, "t")
}

fn set() -> Arc<Set> {
    Arc::new(Set::new(&table(), "addresses", &[Type::Ipv4Addr]))
}

fn elements(count: u32) -> Vec<Element> {
    (0..count).map(|n| Element::new(Value::new().ipv4((0x0a60_0000 + n).into()))).collect()
}

fn prepared() -> Batch {
    let mut batch = Batch::new();
    batch.add_table(Table::new(table()));
    batch.add_chain(Chain::regular(&table(), "c"));
    batch.add_set(&set());
    batch
}

/// Everything up to the end of the next transaction.
fn transaction(monitor: &mut Monitor) -> Vec<Notification> {
    let mut heard: Vec<Notification> = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while !heard.iter().any(|n| matches!(n.change, Change::Generation { .. })) {
        assert!(Instant::now() < end, "{heard:?}");
        match monitor.next(Duration::from_millis(100)).unwrap() {
            Heard::Notifications(more) => heard.extend(more),
            Heard::Nothing => {}
            Heard::Lost => panic!("some were lost"),
        }
    }
    heard
}

fn is_readable(monitor: &Monitor) -> bool {
    let mut file = libc::pollfd { fd: monitor.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one live pollfd.
    unsafe { libc::poll(&raw mut file, 1, 0) == 1 }
}

#[test]
fn a_monitor_hears_who_changed_what() {
    if skip_unless_root().is_some() {
        return;
    }
    let namespace = Namespace::new("monitor").unwrap();
    let test = || {
        let mut socket = Socket::in_current_netns().unwrap();
        let mut monitor = Monitor::in_current_netns().unwrap();
        assert_eq!(monitor.next(Duration::ZERO).unwrap(), Heard::Nothing);
        assert!(!is_readable(&monitor));
        let mut batch = prepared();
        batch.add_elements(&set(), elements(1));
        batch.add_rule(Rule::new(&table(), "c", vec![Expr::counter()]));
        socket.commit(&batch).unwrap();
        assert!(is_readable(&monitor));
        let heard = transaction(&mut monitor);
        assert!(heard.iter().all(|n| n.port == socket.port()), "{heard:?}");
        let changes: Vec<Change> = heard.into_iter().map(|n| n.change).collect();
        assert_eq!(
            changes[..5],
            [
                Change::Table(table(), true),
                Change::Chain(table(), "c".into(), true),
                Change::Set(table(), "addresses".into(), true),
                Change::Elements(table(), "addresses".into(), true),
                Change::Rule(table(), "c".into(), true),
            ]
        );
        let Change::Generation { id, thread, .. } = &changes[5] else { panic!("{changes:?}") };
        let link = std::fs::read_link("/proc/thread-self").unwrap();
        let own: u32 = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!((*id, *thread), (socket.generation().unwrap(), own));
        assert_eq!(monitor.next(Duration::ZERO).unwrap(), Heard::Nothing);

        // Somebody else, who has another socket; a whole table is told part by part.
        let mut other = Socket::in_current_netns().unwrap();
        let mut batch = Batch::new();
        batch.delete(ObjectId::Table(table()));
        other.commit(&batch).unwrap();
        let heard = transaction(&mut monitor);
        assert!(heard.iter().all(|n| n.port == other.port() && n.port != socket.port()), "{heard:?}");
        assert!(heard.iter().any(|n| n.change == Change::Table(table(), false)), "{heard:?}");
    };
    namespace.run(test).unwrap();
}

#[test]
fn a_full_socket_is_told_and_what_comes_after_is_heard() {
    if skip_unless_root().is_some() {
        return;
    }
    let namespace = Namespace::new("lost").unwrap();
    let test = || {
        let mut socket = Socket::in_current_netns().unwrap();
        let mut monitor = Monitor::in_current_netns().unwrap();
        monitor.set_buffer(16 << 10);
        let mut batch = prepared();
        batch.add_elements(&set(), elements(5000));
        socket.commit(&batch).unwrap();
        assert!(is_readable(&monitor));
        assert_eq!(monitor.next(Duration::ZERO).unwrap(), Heard::Lost);
        assert_eq!(monitor.next(Duration::ZERO).unwrap(), Heard::Nothing);
        let mut batch = Batch::new();
        batch.delete_elements(&set(), elements(1));
        socket.commit(&batch).unwrap();
        assert_eq!(transaction(&mut monitor)[0].change, Change::Elements(table(), "addresses".into(), false));
    };
    namespace.run(test).unwrap();
}

#[test]
fn what_was_done_during_a_pause_is_not_heard() {
    if skip_unless_root().is_some() {
        return;
    }
    let namespace = Namespace::new("pause").unwrap();
    let test = || {
        let mut socket = Socket::in_current_netns().unwrap();
        let mut monitor = Monitor::in_current_netns().unwrap();
        monitor.pause().unwrap();
        socket.commit(&prepared()).unwrap();
        monitor.resume().unwrap();
        assert_eq!(monitor.next(Duration::ZERO).unwrap(), Heard::Nothing);
        let mut batch = Batch::new();
        batch.add_elements(&set(), elements(1));
        socket.commit(&batch).unwrap();
        assert_eq!(transaction(&mut monitor).len(), 2);
    };
    namespace.run(test).unwrap();
}

#[test]
fn a_monitor_hears_its_own_namespace_alone() {
    if skip_unless_root().is_some() {
        return;
    }
    let (here, there) = (Namespace::new("here").unwrap(), Namespace::new("there").unwrap());
    let mut monitor = here.run(Monitor::in_current_netns).unwrap().unwrap();
    there.run(|| Socket::in_current_netns().unwrap().commit(&prepared()).unwrap()).unwrap();
    assert_eq!(monitor.next(Duration::ZERO).unwrap(), Heard::Nothing);
    here.run(|| Socket::in_current_netns().unwrap().commit(&prepared()).unwrap()).unwrap();
    assert_eq!(transaction(&mut monitor).len(), 4);
}

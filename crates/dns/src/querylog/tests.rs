use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use super::*;
use crate::asking;
use crate::name::Name;
use crate::protocol::rtype;
use crate::query::Query;
use crate::reply::{Flags, Reply, Transport};

const PATIENCE: Duration = Duration::from_secs(10);

fn entry(name: &str, rcode: u16, addresses: u8) -> Entry {
    let packet = asking::question(name, rtype::A, Some(1232));
    let query = Query::parse(&packet).unwrap();
    let mut buffer = [0; 512];
    let mut reply = Reply::start(&mut buffer, &query, Transport::Tcp);
    for host in 0..addresses {
        let owner = crate::reply::Spelled::at(crate::reply::Pointer::QUESTION);
        assert!(reply.address(crate::reply::Section::Answer, owner, 5, [192, 0, 2, host].into()));
    }
    let length = reply.finish(rcode, Flags { recursion_available: true, ..Flags::default() });
    let (client, took) = ("10.1.2.3:4444".parse().unwrap(), Duration::from_micros(1500));
    Entry::of(&packet, &buffer[..length], client, Transport::Udp { most: 4096 }, took).unwrap()
}

#[test]
fn a_line_says_who_asked_what_and_what_was_answered() {
    let mut entry = entry("Web.shop.svc.cluster.local", 0, 2);
    entry.asked = std::time::SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 999_000_000);
    entry.server = Some("[::ffff:10.96.0.10]:53".parse().unwrap());
    let line = entry.line("node-1", 10);
    assert!(!line.contains('\n'));
    let value: Value = serde_json::from_str(&line).unwrap();
    let want = serde_json::json!({
        "type": "CLIENT_RESPONSE", "identity": "node-1", "socket_family": "INET", "socket_protocol": "UDP",
        "query_address": "10.1.2.3", "query_port": 4444, "response_address": "10.96.0.10", "response_port": 53,
        "query_time_sec": 1_700_000_000, "query_time_nsec": 999_000_000,
        "response_time_sec": 1_700_000_001, "response_time_nsec": 500_000, "duration_us": 1500,
        "id": 0x1234, "name": "web.shop.svc.cluster.local.", "qtype": "A", "class": "IN", "query_octets": 55,
        "bufsize": 1232, "do": false, "rcode": "NOERROR", "flags": ["qr", "rd", "ra"], "answers": 2,
        "response_octets": 87, "one_in": 10,
    });
    assert_eq!(value, want);
}

#[test]
fn what_is_no_question_makes_no_line() {
    let packet = asking::question("a.example", rtype::A, None);
    let client = "10.1.2.3:4444".parse().unwrap();
    let of = |packet: &[u8], answer: &[u8]| Entry::of(packet, answer, client, Transport::Tcp, Duration::ZERO).is_some();
    assert!(of(&packet, &[0; 12]));
    assert!(!of(&packet, &[0; 11]));
    assert!(!of(&packet[..11], &[0; 12]));
}

/// A sink that can be held up, and fails when it is told to.
#[derive(Clone, Default)]
struct Held(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    is_held: bool,
    fails: bool,
    waits: bool,
    text: String,
}

impl Held {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.0.lock());
        self.0.1.notify_all();
    }

    fn lines(&self) -> Vec<Value> {
        self.0.0.lock().text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Held {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock();
        while state.is_held {
            state.waits = true;
            self.0.1.wait(&mut state);
        }
        if state.fails {
            return Err(io::Error::other("told to"));
        }
        state.text.push_str(std::str::from_utf8(octets).unwrap());
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_does_not_fit_is_counted_and_left_out() {
    let sink = Held::default();
    sink.change(|state| state.is_held = true);
    let log = QueryLog::to(Settings { queue: 3, ..Settings::default() }, Box::new(sink.clone())).unwrap();
    log.put(entry("first.example", 0, 1));
    testbed::wait_until(PATIENCE, "the writer is held up", || sink.0.0.lock().waits).unwrap();
    for n in 0..10 {
        log.put(entry(&format!("n{n}.example"), 0, 1));
    }
    assert_eq!(log.counts().dropped, 7);
    sink.change(|state| state.is_held = false);
    testbed::wait_until(PATIENCE, "the rest is written", || log.counts().written == 4).unwrap();
    drop(log);
    let names: Vec<_> = sink.lines().iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["first.example.", "n0.example.", "n1.example.", "n2.example."]);
}

#[test]
fn a_reader_that_stopped_does_not_stop_the_service() {
    let sink = Held::default();
    sink.change(|state| state.is_held = true);
    let log = QueryLog::to(Settings::default(), Box::new(sink.clone())).unwrap();
    log.put(entry("held.example", 0, 1));
    testbed::wait_until(PATIENCE, "the writer is held up", || sink.0.0.lock().waits).unwrap();
    drop(log);
    sink.change(|state| state.is_held = false);
    testbed::wait_until(PATIENCE, "it is written after all", || sink.lines().len() == 1).unwrap();
}

#[test]
fn a_sink_that_fails_stops_nothing() {
    let sink = Held::default();
    sink.change(|state| state.fails = true);
    let log = QueryLog::to(Settings::default(), Box::new(sink.clone())).unwrap();
    log.put(entry("lost.example", 0, 1));
    testbed::wait_until(PATIENCE, "it failed", || log.counts().failed == 1).unwrap();
    sink.change(|state| state.fails = false);
    log.put(entry("kept.example", 0, 1));
    testbed::wait_until(PATIENCE, "it is written", || log.counts().written == 1).unwrap();
}

#[test]
fn zones_and_classes_choose_lines_and_sampling_does() {
    let kept = |settings: Settings| {
        let sink = Held::default();
        let log = QueryLog::to(settings, Box::new(sink.clone())).unwrap();
        let entries =
            [entry("a.example", 0, 1), entry("b.example", 0, 0), entry("c.test", 3, 0), entry("d.test", 2, 0)];
        for _ in 0..3 {
            for entry in &entries {
                if log.wants_next() {
                    log.put(entry.clone());
                }
            }
        }
        drop(log);
        sink.lines().iter().map(|line| line["name"].as_str().unwrap()[..1].to_owned()).collect::<String>()
    };
    assert_eq!(kept(Settings::default()), "abcdabcdabcd");
    assert_eq!(kept(Settings { one_in: 4, ..Settings::default() }), "aaa");
    assert_eq!(kept(Settings { one_in: 5, ..Settings::default() }), "abc");
    let zones = vec![Name::parse("test").unwrap()];
    assert_eq!(kept(Settings { zones, ..Settings::default() }), "cdcdcd");
    let only = |classes| kept(Settings { classes, ..Settings::default() });
    assert_eq!(only(Classes { success: true, ..Classes::NONE }), "aaa");
    assert_eq!(only(Classes { denial: true, ..Classes::NONE }), "bcbcbc");
    assert_eq!(only(Classes { error: true, ..Classes::NONE }), "ddd");
}

#[test]
fn a_file_is_appended_to() {
    let path = std::env::temp_dir().join(format!("dns-query-log-{}", std::process::id()));
    for _ in 0..2 {
        let log = QueryLog::start(Settings { sink: Sink::File(path.clone()), ..Settings::default() }).unwrap();
        log.put(entry("a.example", 0, 1));
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    std::fs::remove_file(&path).unwrap();
    let nowhere = Settings { sink: Sink::File("/nonexistent/log".into()), ..Settings::default() };
    assert!(QueryLog::start(nowhere).unwrap_err().to_string().contains("/nonexistent/log"));
}

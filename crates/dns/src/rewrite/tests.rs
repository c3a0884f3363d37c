use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::{RData, Record, rdata};
use regex::Regex;

use super::text::{present, read};
use super::*;
use crate::asking;
use crate::name::Name;
use crate::protocol::rtype;
use crate::query::Query;

fn rule(matching: Matching, answers: Vec<AnswerRule>) -> Rule {
    Rule { zones: Vec::new(), except: Vec::new(), matching, answers, goes_on: false }
}

fn regex(from: &str, to: &str) -> Matching {
    Matching::Regex { from: Regex::new(from).unwrap(), to: to.to_owned() }
}

fn own(from: &str, to: &str) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

fn exact(from: &str, to: &str) -> Matching {
    let (from, to) = own(from, to);
    Matching::Exact { from, to }
}

fn suffix(from: &str, to: &str) -> Matching {
    let (from, to) = own(from, to);
    Matching::Suffix { from, to }
}

/// What a name is asked for as; `-` where no rule is for it.
fn asked_as(rewriter: &Rewriter, name: &str) -> String {
    let packet = asking::question(name, rtype::A, Some(1232));
    match rewriter.question(&Query::parse(&packet).unwrap(), &packet) {
        Ok(None) => "-".to_owned(),
        Ok(Some(rewritten)) => {
            let query = Query::parse(rewritten.packet()).unwrap();
            assert_eq!((query.id, query.qtype, query.edns.unwrap().udp_size), (0x1234, rtype::A, 1232));
            present(query.name.wire())
        }
        Err(unnameable) => unnameable.to_string(),
    }
}

/// What an asker gets, from the answers to the name that the question became.
fn told(rules: Vec<Rule>, name: &str, answers: &[(&str, RData)]) -> String {
    let packet = asking::question(name, rtype::A, None);
    let rewritten = Rewriter::new(rules).question(&Query::parse(&packet).unwrap(), &packet).unwrap().unwrap();
    let mut message = Message::new(0x1234, MessageType::Response, OpCode::Query);
    message.add_queries(Message::from_vec(rewritten.packet()).unwrap().queries);
    for (owner, data) in answers {
        message.add_answer(Record::from_rdata(owner.parse().unwrap(), 60, data.clone()));
    }
    let answer = rewritten.answer(&message.to_vec().unwrap(), 512).unwrap();
    let message = Message::from_vec(&answer).unwrap();
    assert_eq!(message.queries[0].name().to_string(), name, "the question comes back as it was asked");
    asking::told(&message)
}

fn a() -> RData {
    RData::A(rdata::A::new(192, 0, 2, 1))
}

#[test]
fn names_become_what_rules_say() {
    let (from, to) = own("shop-", "store-");
    let prefix = Matching::Prefix { from, to };
    let (from, to) = own("us-west", "eu");
    let substring = Matching::Substring { from, to };
    let rows = [
        (exact("old.example.com.", "new.example.com."), "OLD.example.com", "new.example.com."),
        (exact("old.example.com.", "new.example.com."), "a.old.example.com", "-"),
        (prefix.clone(), "shop-web.example.com", "store-web.example.com."),
        (prefix, "web.shop-x.example.com", "-"),
        (suffix(".corp.", ".example.com."), "db.corp", "db.example.com."),
        (suffix(".corp.", ".svc.cluster.local."), "db.shop.corp", "db.shop.svc.cluster.local."),
        (suffix(".corp.", ".example.com."), "db.xcorp", "-"),
        (substring.clone(), "a.us-west-1.us-west.example.com", "a.eu-1.eu.example.com."),
        (substring, "a.us-east.example.com", "-"),
        (
            regex(r"(.*)-(us-west-1)\.example\.org", "{1}.service.{2}.consul"),
            "ftp-us-west-1.example.org",
            "ftp.service.us-west-1.consul.",
        ),
        (regex(r"^(.*)\.corp\.$", "{1}.example.com."), "a.corp.example.com", "-"),
        (regex(r"(a)?(b)\.corp\.", "x{1}y{2}.corp."), "b.corp", "xyb.corp."),
    ];
    for (matching, name, want) in rows {
        let rewriter = Rewriter::new(vec![rule(matching, Vec::new())]);
        assert_eq!(asked_as(&rewriter, name), want, "{name}");
    }
    assert!(Rewriter::default().is_empty());
}

#[test]
fn rules_stop_or_go_on_and_have_zones() {
    let first = rule(suffix(".corp.", ".example.com."), Vec::new());
    let second = rule(suffix(".example.com.", ".example.net."), Vec::new());
    let stops = Rewriter::new(vec![first.clone(), second.clone()]);
    assert_eq!(asked_as(&stops, "a.corp"), "a.example.com.");
    let goes_on = Rewriter::new(vec![Rule { goes_on: true, ..first.clone() }, second.clone()]);
    assert_eq!(asked_as(&goes_on, "a.corp"), "a.example.net.");
    assert_eq!(asked_as(&goes_on, "b.example.com"), "b.example.net.");
    let zones = vec![Name::parse("b.corp").unwrap()];
    let except = Rewriter::new(vec![Rule { except: zones.clone(), ..first.clone() }]);
    assert_eq!(asked_as(&except, "a.corp"), "a.example.com.");
    assert_eq!(asked_as(&except, "a.b.corp"), "-");
    let scoped = Rewriter::new(vec![Rule { zones, ..first }, second]);
    assert_eq!(asked_as(&scoped, "a.corp"), "-");
    assert_eq!(asked_as(&scoped, "a.b.corp"), "a.b.example.com.");
}

#[test]
fn what_is_no_name_is_said() {
    let long = "x".repeat(64);
    for (to, name) in [("a..b.", "a..b."), (".", "."), (long.as_str(), &format!("{long}."))] {
        let rewriter = Rewriter::new(vec![rule(regex("^old.*", to), Vec::new())]);
        let want = if name == "." {
            ".".to_owned()
        } else {
            format!("old.example. was rewritten to {name:?}, which is no name")
        };
        assert_eq!(asked_as(&rewriter, "old.example"), want);
    }
}

#[test]
fn an_exact_rule_turns_its_answer_back() {
    let rules = vec![rule(exact("red.example.", "blue.example."), Vec::new())];
    assert_eq!(
        told(rules.clone(), "Red.example.", &[("blue.example.", a())]).to_lowercase(),
        "red.example. a 192.0.2.1"
    );
    let below = [("_x.blue.example.", RData::CNAME(rdata::CNAME("blue.example.".parse().unwrap())))];
    assert_eq!(told(rules, "red.example.", &below), "_x.red.example. CNAME red.example.");
}

#[test]
fn other_rules_turn_answers_back_when_told_to() {
    let answers = [
        ("db.example.com.", RData::CNAME(rdata::CNAME("db2.example.com.".parse().unwrap()))),
        ("db2.example.com.", a()),
        ("other.org.", a()),
    ];
    let plain = vec![rule(suffix(".corp.", ".example.com."), Vec::new())];
    let want = "db.example.com. CNAME db2.example.com. + db2.example.com. A 192.0.2.1 + other.org. A 192.0.2.1";
    assert_eq!(told(plain, "db.corp.", &answers), want, "the question alone is turned back");
    let auto = vec![rule(suffix(".corp.", ".example.com."), vec![AnswerRule::Auto])];
    let want = "db.corp. CNAME db2.corp. + db2.corp. A 192.0.2.1 + other.org. A 192.0.2.1";
    assert_eq!(told(auto, "db.corp.", &answers), want);
    let auto = vec![rule(regex(r"^(.*)\.corp\.$", "{1}.example.com."), vec![AnswerRule::Auto])];
    let want = "db.corp. CNAME db2.example.com. + db2.example.com. A 192.0.2.1 + other.org. A 192.0.2.1";
    assert_eq!(told(auto, "db.corp.", &answers), want);
    let expression = |text| Regex::new(text).unwrap();
    let explicit = vec![
        AnswerRule::Name { from: expression(r"(.*)\.example\.com\."), to: "{1}.corp".to_owned() },
        AnswerRule::Value { from: expression(r"(.*)2\.example\.com\."), to: "{1}.second.corp".to_owned() },
    ];
    let explicit = vec![rule(regex(r"^(.*)\.corp\.$", "{1}.example.com."), explicit)];
    let want = "db.corp. CNAME db.second.corp. + db2.corp. A 192.0.2.1 + other.org. A 192.0.2.1";
    assert_eq!(told(explicit, "db.corp.", &answers), want);
}

#[test]
fn several_rules_are_turned_back_in_the_opposite_order() {
    let goes_on = |matching| Rule { goes_on: true, ..rule(matching, vec![AnswerRule::Auto]) };
    let rules = vec![goes_on(suffix(".corp.", ".example.com.")), goes_on(suffix(".example.com.", ".example.net."))];
    assert_eq!(told(rules, "a.corp.", &[("a.example.net.", a())]), "a.corp. A 192.0.2.1");
}

#[test]
fn an_answer_that_grows_is_cut_to_its_room() {
    let packet = asking::question("a.a-very-long-name-to-come-back-to.corp", rtype::A, None);
    let rewriter =
        Rewriter::new(vec![rule(suffix(".a-very-long-name-to-come-back-to.corp.", ".x."), vec![AnswerRule::Auto])]);
    let rewritten = rewriter.question(&Query::parse(&packet).unwrap(), &packet).unwrap().unwrap();
    let mut message = Message::new(0x1234, MessageType::Response, OpCode::Query);
    message.add_queries(Message::from_vec(rewritten.packet()).unwrap().queries);
    for host in 0..25 {
        message.add_answer(Record::from_rdata(format!("h{host}.x.").parse().unwrap(), 60, a()));
    }
    let answer = message.to_vec().unwrap();
    assert!(answer.len() < 600);
    let cut = rewritten.answer(&answer, 512).unwrap();
    assert!(cut.len() <= 512 && Message::from_vec(&cut).unwrap().metadata.truncation);
    assert_eq!(Message::from_vec(&rewritten.answer(&answer, 65_535).unwrap()).unwrap().answers.len(), 25);
}

#[test]
fn names_survive_being_written() {
    for wire in [&b"\x03www\x07example\x00"[..], b"\x00", b"\x04a.b\\\x00", b"\x03\x00\xff \x01z\x00"] {
        assert_eq!(read(&present(wire)).unwrap().wire(), wire);
    }
    assert_eq!(present(b"\x03a.b\x01\x07\x00"), "a\\.b.\\007.");
    for text in ["", "a..b", ".a", "a\\25", "a\\999", "a\\"] {
        assert!(read(text).is_none(), "{text:?}");
    }
}

use std::time::{Duration, Instant};

use super::*;
use crate::forward::chase;

#[test]
fn an_answer_serves_equal_questions_with_their_own_capitals_and_counts_down() {
    let now = Instant::now();
    let kept = stored(
        "www.example.com.",
        &["www.example.com. 300 CNAME a.example.com.", "a.example.com. 60 A 192.0.2.1"],
        now,
    );
    let message = served(&kept, &asking::question("WWW.Example.com", rtype::A, Some(1232)), 10);
    assert_eq!(message.queries[0].name().to_string(), "WWW.Example.com.");
    assert_eq!(asking::told(&message), "WWW.Example.com. CNAME a.Example.com. + a.Example.com. A 192.0.2.1");
    assert_eq!(message.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [290, 50]);
    assert!(message.edns.is_some());
    assert_eq!(kept.age(now + Duration::from_secs(59)), 59);
    assert!(kept.is_fresh(59) && !kept.is_fresh(60) && !kept.is_stale(60));
}

#[test]
fn what_does_not_fit_is_left_out() {
    let now = Instant::now();
    let many: Vec<String> = (0..50).map(|n| format!("m.example.com. 60 A 192.0.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let kept = stored("m.example.com.", &many, now);
    let message = served(&kept, &asking::question("m.example.com", rtype::A, None), 0);
    assert!(message.metadata.truncation);
    assert_eq!(message.answers.len(), (512 - 12 - 19) / 16);
    let whole = served(&kept, &asking::question("m.example.com", rtype::A, Some(4096)), 0);
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (50, false));
}

#[test]
fn an_authority_that_does_not_fit_is_no_truncation() {
    let now = Instant::now();
    let text = "t".repeat(240);
    let (one, two) = (format!("x.org. 60 TXT {text}"), format!("x.org. 60 TXT {}", text.replace('t', "u")));
    let message = answer("x.org.", rtype::TXT, ResponseCode::NoError, &[&one], &[&two]);
    let kept = Stored::new(message, &wanted("x.org", rtype::TXT), &keep(), now).unwrap();
    let message = served(&kept, &asking::question("x.org", rtype::TXT, None), 0);
    assert_eq!((message.answers.len(), message.authorities.len(), message.metadata.truncation), (1, 0, false));
}

#[test]
fn lifetimes_follow_the_shortest_record_and_the_soa() {
    let now = Instant::now();
    let lifetime = |code, answers: &[&str], authority: &[&str]| {
        let message = answer("x.org.", rtype::A, code, answers, authority);
        let kept = Stored::new(message, &wanted("x.org", rtype::A), &keep(), now).unwrap();
        (0..4000).take_while(|age| kept.is_fresh(*age)).count()
    };
    let ok = ResponseCode::NoError;
    let no = ResponseCode::NXDomain;
    assert_eq!(lifetime(ok, &["x.org. 60 A 192.0.2.1", "x.org. 30 A 192.0.2.2"], &[]), 30);
    assert_eq!(lifetime(ok, &["x.org. 90000 A 192.0.2.1"], &[]), 3600);
    assert_eq!(lifetime(ok, &["x.org. 0 A 192.0.2.1"], &[]), 0);
    assert_eq!(
        lifetime(ok, &["x.org. 4294967295 A 192.0.2.1"], &[]),
        0,
        "a TTL with its first bit set is 0 (RFC 2181)"
    );
    assert_eq!(lifetime(no, &[], &["org. 900 SOA 300"]), 300);
    assert_eq!(lifetime(no, &[], &["org. 100 SOA 300"]), 100);
    assert_eq!(lifetime(no, &[], &["org. 90000 SOA 90000"]), 1800);
    assert_eq!(lifetime(no, &[], &[]), 0, "a denial without SOA is not kept");
    assert_eq!(lifetime(ok, &[], &["org. 900 SOA 300"]), 300);
    assert_eq!(lifetime(ok, &["x.org. 60 CNAME y.org."], &[]), 0, "an alias that leads nowhere is a denial");
    assert_eq!(lifetime(ok, &["x.org. 60 CNAME y.org."], &["org. 900 SOA 300"]), 60);
    assert_eq!(lifetime(ResponseCode::ServFail, &[], &[]), 1);
    assert_eq!(lifetime(ResponseCode::Refused, &[], &[]), 1);
}

#[test]
fn what_answers_another_question_is_not_kept() {
    let now = Instant::now();
    let is_kept = |message| Stored::new(message, &wanted("x.org", rtype::A), &keep(), now).is_some();
    let ok = ResponseCode::NoError;
    assert!(is_kept(answer("X.ORG.", rtype::A, ok, &["x.org. 60 A 192.0.2.1"], &[])));
    assert!(!is_kept(answer("y.org.", rtype::A, ok, &["y.org. 60 A 192.0.2.1"], &[])));
    assert!(!is_kept(answer("x.org.", rtype::AAAA, ok, &[], &[])));
    let mut question = answer("x.org.", rtype::A, ok, &[], &[]);
    question.metadata.message_type = MessageType::Query;
    assert!(!is_kept(question));
    let mut two = answer("x.org.", rtype::A, ok, &[], &[]);
    two.add_query(HickoryQuery::query(name("x.org."), RecordType::A));
    assert!(!is_kept(two));
}

#[test]
fn codes_between_servers_are_failures_to_askers() {
    let now = Instant::now();
    let code = |code| {
        let message = answer("x.org.", rtype::A, code, &[], &[]);
        Stored::new(message, &wanted("x.org", rtype::A), &keep(), now).unwrap().rcode()
    };
    assert_eq!(code(ResponseCode::NXDomain), 3);
    assert_eq!(code(ResponseCode::Refused), 5);
    for failure in [ResponseCode::ServFail, ResponseCode::FormErr, ResponseCode::NotImp, ResponseCode::BADVERS] {
        assert_eq!(code(failure), 2, "{failure:?}");
    }
    let failure = Stored::failure(&wanted("x.org", rtype::A), &keep(), now);
    let message = served(&failure, &asking::question("x.org", rtype::A, None), 0);
    assert_eq!(asking::told(&message), "SERVFAIL");
    assert_eq!(failure.wanted(), wanted("x.org", rtype::A).borrow());
}

#[test]
fn a_question_to_an_upstream_says_what_the_asker_wants() {
    let mut wanted = wanted("x.org", rtype::A);
    (wanted.dnssec_ok, wanted.checking_disabled) = (true, true);
    let message = Message::from_vec(&wanted.message(99, true)).unwrap();
    assert_eq!(message.metadata.id, 99);
    assert!(
        message.metadata.recursion_desired && message.metadata.checking_disabled && message.metadata.authentic_data
    );
    assert_eq!(message.queries[0].to_string(), "x.org. IN A");
    let edns = message.edns.unwrap();
    assert_eq!((edns.max_payload(), edns.flags().dnssec_ok), (1232, true));
    assert!(Message::from_vec(&wanted.message(99, false)).unwrap().edns.is_none());
}

#[test]
fn an_alias_is_answered_with_its_target() {
    let now = Instant::now();
    let question = asking::question("ext.shop.svc.cluster.local", rtype::A, Some(1232));
    let query = Query::parse(&question).unwrap();
    let mut buffer = [0; 512];
    let mut reply = Reply::start(&mut buffer, &query, Transport::Tcp);
    let (owner, target) = (crate::reply::Spelled::at(crate::reply::Pointer::QUESTION), asking::name("t.example.com"));
    reply.named(crate::reply::Section::Answer, owner, rtype::CNAME, 5, crate::reply::Spelled::whole(target.wire()));
    let length = reply.finish(0, Flags { authoritative: true, ..Flags::default() });
    let alias = &buffer[..length];
    let answers: Vec<String> = (0..40).map(|n| format!("t.example.com. 60 A 192.0.2.{n}")).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let kept = stored("t.example.com.", &answers, now);
    let whole = Message::from_vec(&chase(alias, Some((&kept, 20)), 4096).unwrap()).unwrap();
    assert_eq!((whole.answers.len(), whole.metadata.truncation, whole.metadata.authoritative), (41, false, true));
    assert_eq!((whole.answers[0].ttl, whole.answers[1].ttl), (5, 40));
    let cut = chase(alias, Some((&kept, 20)), 512).unwrap();
    assert!(cut.len() <= 512 && cut.len() > 460);
    let cut = Message::from_vec(&cut).unwrap();
    assert!(cut.metadata.truncation && cut.edns.is_some());
    assert_eq!(asking::line(&cut.answers[0]), "ext.shop.svc.cluster.local. CNAME t.example.com.");
    let alone = Message::from_vec(&chase(alias, None, 512).unwrap()).unwrap();
    assert_eq!(asking::told(&alone), "ext.shop.svc.cluster.local. CNAME t.example.com.");
}

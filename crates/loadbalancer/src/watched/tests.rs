use super::*;
use crate::arp;

const OWN: Mac = [2, 0, 0, 0, 0, 1];
const OWNER: Mac = [2, 0, 0, 0, 0, 7];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The owner's answer to a question.
fn answer(frame: &[u8]) -> Packet {
    Packet::from_frame(&Packet::from_frame(frame).unwrap().answer(OWNER).unwrap()).unwrap()
}

#[test]
fn an_address_is_asked_for_until_it_is_answered_and_then_seldom() {
    for address in ["10.0.0.200", "fd00::c8"].map(ip) {
        let begin = Instant::now();
        let mut watched = Watched::new(OWN);
        assert!(watched.set(&BTreeSet::from([address]), begin));
        assert!(!watched.set(&BTreeSet::from([address]), begin));
        let mut times = Vec::new();
        let mut last = Vec::new();
        for _ in 0..7 {
            let due = watched.next_due().unwrap();
            times.push((due - begin).as_millis());
            last = watched.due(due).remove(0);
            assert!(watched.due(due).is_empty());
        }
        assert_eq!(times, [0, 50, 150, 350, 750, 1550, 2550]);
        assert!(watched.answers().is_empty());

        let heard = begin + Duration::from_secs(10);
        assert!(watched.hear(&answer(&last), heard));
        assert!(!watched.hear(&answer(&last), heard), "nothing was asked since");
        assert_eq!(watched.answers(), BTreeMap::from([(address, OWNER)]));
        assert_eq!(watched.next_due(), Some(heard + GAP));
        // Three questions without an answer, and a fourth: it is not answered for any more.
        for _ in 0..3 {
            watched.due(watched.next_due().unwrap());
            assert_eq!(watched.answers().len(), 1);
        }
        watched.due(watched.next_due().unwrap());
        assert!(watched.answers().is_empty());
        watched.set(&BTreeSet::new(), heard);
        assert_eq!(watched.next_due(), None);
    }
}

#[test]
fn an_announcement_is_no_answer() {
    let now = Instant::now();
    let mut watched = Watched::new(OWN);
    let address = std::net::Ipv4Addr::new(10, 0, 0, 200);
    watched.set(&BTreeSet::from([address.into()]), now);
    watched.due(now);
    for operation in [arp::Operation::Request, arp::Operation::Reply] {
        let unasked = Packet::Arp(arp::Packet::gratuitous(operation, address, OWNER));
        assert!(!watched.hear(&unasked, now));
    }
    assert!(watched.answers().is_empty());
}

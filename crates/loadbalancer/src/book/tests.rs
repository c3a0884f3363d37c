use proptest::prelude::*;

use super::*;
use crate::settings::Settings;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn book(yaml: &str) -> Book<&'static str> {
    Book::new(Settings::parse(yaml).unwrap().pools)
}

fn request(owner: &'static str) -> Request<&'static str> {
    Request {
        owner,
        namespace: "shop".to_owned(),
        namespace_labels: Labels::new(),
        labels: Labels::new(),
        families: vec![false],
        all_families: false,
        pool: None,
        addresses: Vec::new(),
        sharing: None,
        shown: Vec::new(),
    }
}

fn shares(key: &str, ports: &[u16], backends: Option<&str>) -> Option<Sharing> {
    let ports = ports.iter().map(|port| ("TCP".to_owned(), *port)).collect();
    Some(Sharing { key: key.to_owned(), ports, backends: backends.map(str::to_owned) })
}

const TWO: &str = "pools: [{name: a, addresses: [10.0.0.1-10.0.0.2]}, {name: b, addresses: [10.1.0.0/30, 'fd00::1']}]";

#[test]
fn pools_are_tried_in_order_and_a_refusal_says_what_was_tried() {
    let mut book = book(TWO);
    let mut given = Vec::new();
    for owner in ["1", "2", "3", "4", "5", "6"] {
        given.extend(book.assign(&request(owner)).unwrap());
    }
    assert_eq!(given, ["10.0.0.1", "10.0.0.2", "10.1.0.0", "10.1.0.1", "10.1.0.2", "10.1.0.3"].map(ip));
    let refused = book.assign(&request("7")).unwrap_err();
    assert_eq!(refused.to_string(), "all 6 IPv4 addresses of the pools a, b are taken");
    assert_eq!(book.release(&"4", &[]), [ip("10.1.0.1")]);
    assert_eq!(book.assign(&request("7")).unwrap(), [ip("10.1.0.1")]);
    assert_eq!(book.assign(&request("7")).unwrap(), [ip("10.1.0.1")], "what it has it keeps");
}

#[test]
fn what_is_asked_for_is_given_or_refused_with_the_reason() {
    let yaml = "pools:
      - {name: a, addresses: [10.0.0.0/24], autoAssign: false}
      - {name: b, addresses: [10.1.0.0/24], namespaces: [other]}
      - {name: c, addresses: [10.2.0.0/24], avoidBuggyIPs: true}";
    let mut book = book(yaml);
    let asks = |owner, address: &str| Request { addresses: vec![ip(address)], ..request(owner) };
    let named = |owner, pool: &str| Request { pool: Some(pool.to_owned()), ..request(owner) };
    assert_eq!(book.assign(&request("auto")).unwrap(), [ip("10.2.0.1")]);
    assert_eq!(book.assign(&named("named", "a")).unwrap(), [ip("10.0.0.0")]);
    assert_eq!(book.assign(&asks("exact", "10.2.0.255")).unwrap(), [ip("10.2.0.255")]);
    let mut refused = |request| book.assign(&request).unwrap_err().to_string();
    assert_eq!(refused(named("x", "b")), "the pool b is not for this Service: its selectors say for which it is");
    assert_eq!(refused(named("x", "z")), "there is no pool called z");
    assert_eq!(refused(asks("x", "10.2.0.1")), "10.2.0.1 is taken by auto");
    assert_eq!(refused(asks("x", "10.1.0.1")), "10.1.0.1 is not in the pools a, c");
    assert_eq!(
        refused(Request { pool: Some("a".to_owned()), ..asks("x", "10.2.0.9") }),
        "10.2.0.9 is not in the pool a"
    );
    assert_eq!(
        refused(asks("x", "fd00::1")),
        "fd00::1 is of a family that the Service does not have (spec.ipFamilies)"
    );
    assert_eq!(refused(Request { families: vec![true], ..request("x") }), "the pool c has no IPv6 address");
    assert_eq!(Book::new(Vec::new()).assign(&request("x")).unwrap_err().to_string(), "there is no pool of addresses");
}

#[test]
fn both_families_where_they_are_wanted() {
    let both = |owner| Request { families: vec![false, true], ..request(owner) };
    let needs = |owner| Request { all_families: true, ..both(owner) };
    let mut book = book(TWO);
    assert_eq!(book.assign(&both("1")).unwrap(), [ip("10.0.0.1"), ip("fd00::1")]);
    assert_eq!(book.assign(&both("2")).unwrap(), [ip("10.0.0.2")], "one is better than none");
    assert_eq!(book.assign(&needs("3")).unwrap_err().to_string(), "all 1 IPv6 addresses of the pool b are taken");
    assert!(book.addresses(&"3").is_empty(), "nothing is kept of what was refused");
}

#[test]
fn an_address_is_shared_by_who_says_the_same_key_and_is_not_confused() {
    let mut book = book(TWO);
    let asks = |owner, sharing| Request { sharing, ..request(owner) };
    let exact = |owner, sharing| Request { addresses: vec![ip("10.0.0.1")], ..asks(owner, sharing) };
    assert_eq!(book.assign(&asks("web", shares("k", &[80], None))).unwrap(), [ip("10.0.0.1")]);
    assert_eq!(book.assign(&asks("tls", shares("k", &[443], None))).unwrap(), [ip("10.0.0.1")]);
    assert_eq!(book.assign(&asks("other", shares("j", &[25], None))).unwrap(), [ip("10.0.0.2")]);
    assert_eq!(book.owners(ip("10.0.0.1")), [&"web", &"tls"]);
    let mut refused = |request| book.assign(&request).unwrap_err().to_string();
    let cannot = "10.0.0.1 is taken by web, and cannot be shared: ";
    assert_eq!(refused(exact("x", shares("k", &[80], None))), format!("{cannot}they have a port in common"));
    assert_eq!(refused(exact("x", shares("j", &[81], None))), format!("{cannot}their sharing keys differ"));
    let local = format!("{cannot}with externalTrafficPolicy Local both need the same selector and policy");
    assert_eq!(refused(exact("x", shares("k", &[81], Some("app=x")))), local);
    assert_eq!(refused(exact("x", None)), "10.0.0.1 is taken by web");
    assert_eq!(book.release(&"web", &[]), [ip("10.0.0.1")]);
    assert_eq!(book.owners(ip("10.0.0.1")), [&"tls"]);
}

#[test]
fn who_has_an_address_keeps_it_when_the_pools_change() {
    let mut book = book(TWO);
    let shown = |address: &str| Request { shown: vec![ip(address)], ..request("web") };
    assert_eq!(book.assign(&request("web")).unwrap(), [ip("10.0.0.1")]);
    book.set_pools(Settings::parse("pools: [{name: new, addresses: [10.9.0.0/24]}]").unwrap().pools);
    assert_eq!(book.assign(&shown("10.0.0.1")).unwrap(), [ip("10.0.0.1")]);
    assert!(book.pool_of(ip("10.0.0.1")).is_none());
    let named = Request { pool: Some("new".to_owned()), ..shown("10.0.0.1") };
    assert_eq!(book.assign(&named).unwrap(), [ip("10.9.0.0")], "it asks for another");
    assert_eq!(book.release(&"web", &[ip("10.9.0.0")]), [ip("10.0.0.1")]);
}

/// What may happen to a book.
#[derive(Clone, Debug)]
enum Step {
    Assign { owner: u8, address: Option<u8>, sharing: Option<(u8, u16)> },
    Note { owner: u8, address: u8 },
    Release { owner: u8, keep: u8 },
    Pools(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let sharing = prop::option::of((0..2_u8, 0..3_u16));
    prop_oneof![
        4 => (0..8_u8, prop::option::of(0..12_u8), sharing)
            .prop_map(|(owner, address, sharing)| Step::Assign { owner, address, sharing }),
        1 => (0..8_u8, 0..12_u8).prop_map(|(owner, address)| Step::Note { owner, address }),
        2 => (0..8_u8, 0..12_u8).prop_map(|(owner, keep)| Step::Release { owner, keep }),
        1 => any::<bool>().prop_map(Step::Pools),
    ]
}

proptest! {
    /// Over any history an address has one owner, or several that share it by the same key with different ports, and
    /// nobody loses what it has without asking for it.
    #[test]
    fn nothing_is_ever_given_twice(steps in prop::collection::vec(step(), 1..150)) {
        let pools = |large| {
            let yaml = if large { "pools: [{name: a, addresses: [10.0.0.0-10.0.0.9]}]" } else { "pools: [{name: a, addresses: [10.0.0.4-10.0.0.6]}]" };
            Settings::parse(yaml).unwrap().pools
        };
        let mut book: Book<u8> = Book::new(pools(true));
        let mut model: BTreeMap<IpAddr, BTreeMap<u8, Option<(u8, u16)>>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Assign { owner, address, sharing } => {
                    let address = address.map(|last| IpAddr::from([10, 0, 0, last]));
                    let terms = sharing.and_then(|(key, port)| shares(&key.to_string(), &[port], None));
                    let asked = Request {
                        owner, namespace: String::new(), namespace_labels: Labels::new(), labels: Labels::new(),
                        families: vec![false], all_families: false, pool: None,
                        addresses: address.into_iter().collect(), sharing: terms, shown: book.addresses(&owner),
                    };
                    if let Ok(given) = book.assign(&asked) {
                        prop_assert_eq!(given.len(), 1);
                        prop_assert!(address.is_none_or(|address| address == given[0]));
                        model.entry(given[0]).or_default().insert(owner, sharing);
                    }
                }
                Step::Note { owner, address } => {
                    let address = IpAddr::from([10, 0, 0, address]);
                    let free = model.get(&address).is_none_or(|owners| owners.keys().all(|other| *other == owner));
                    prop_assert_eq!(book.note(address, &owner, None), free);
                    if free {
                        model.entry(address).or_default().insert(owner, None);
                    }
                }
                Step::Release { owner, keep } => {
                    let keep = IpAddr::from([10, 0, 0, keep]);
                    book.release(&owner, &[keep]);
                    for (address, owners) in &mut model {
                        if *address != keep {
                            owners.remove(&owner);
                        }
                    }
                    model.retain(|_, owners| !owners.is_empty());
                }
                Step::Pools(large) => book.set_pools(pools(large)),
            }
            for (address, owners) in &model {
                let held: BTreeSet<u8> = book.owners(*address).into_iter().copied().collect();
                prop_assert_eq!(&held, &owners.keys().copied().collect::<BTreeSet<_>>());
                let terms: Vec<_> = owners.values().collect();
                for (i, one) in terms.iter().enumerate() {
                    for other in &terms[..i] {
                        let (Some((key, port)), Some((other_key, other_port))) = (one, other) else {
                            return Err(TestCaseError::fail(format!("{address} is shared by who does not share")));
                        };
                        prop_assert!(key == other_key && port != other_port);
                    }
                }
            }
            prop_assert_eq!(book.taken(), model.len());
        }
    }
}

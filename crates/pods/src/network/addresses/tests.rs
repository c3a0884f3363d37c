use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn open(dir: &std::path::Path, range: &str) -> Addresses {
    Addresses::open(range.parse().unwrap(), dir.join("addresses.json")).unwrap()
}

#[test]
fn addresses_are_kept_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut addresses = open(dir.path(), "10.244.1.0/24");
    assert_eq!(addresses.gateway(), Ipv4Addr::new(10, 244, 1, 1));
    assert_eq!(addresses.allocate("a").unwrap(), Ipv4Addr::new(10, 244, 1, 2));
    assert_eq!(addresses.allocate("b").unwrap(), Ipv4Addr::new(10, 244, 1, 3));
    let mut again = open(dir.path(), "10.244.1.0/24");
    assert_eq!(again.allocate("a").unwrap(), Ipv4Addr::new(10, 244, 1, 2));
    assert_eq!(again.allocate("c").unwrap(), Ipv4Addr::new(10, 244, 1, 4));
}

#[test]
fn what_was_given_back_comes_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut addresses = open(dir.path(), "10.0.0.0/29");
    assert_eq!(addresses.allocate("a").unwrap(), Ipv4Addr::new(10, 0, 0, 2));
    addresses.release("a").unwrap();
    let rest: Vec<u8> = (0..5).map(|n| addresses.allocate(&format!("p{n}")).unwrap().octets()[3]).collect();
    assert_eq!(rest, [3, 4, 5, 6, 2]);
    assert!(matches!(addresses.allocate("one more"), Err(AllocateError::Exhausted(_))));
}

#[test]
fn a_range_without_room() {
    let dir = tempfile::tempdir().unwrap();
    for range in ["10.0.0.0/32", "10.0.0.0/31", "10.0.0.0/30"] {
        let mut addresses = open(dir.path(), range);
        let got = addresses.allocate("a");
        assert_eq!(got.is_ok(), range.ends_with("/30"), "{range}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn never_two_pods_with_one_address(steps in proptest::collection::vec((0u8..20, any::<bool>()), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut addresses = open(dir.path(), "10.0.0.0/28");
        let mut held: BTreeMap<String, Ipv4Addr> = BTreeMap::new();
        for (pod, give) in steps {
            let uid = pod.to_string();
            if give {
                match addresses.allocate(&uid) {
                    Ok(ip) => {
                        prop_assert!(held.iter().all(|(u, other)| *u == uid || *other != ip));
                        prop_assert!(held.insert(uid, ip).is_none_or(|old| old == ip));
                    }
                    Err(AllocateError::Exhausted(_)) => prop_assert_eq!(held.len(), 13),
                    Err(e) => return Err(TestCaseError::fail(e.to_string())),
                }
            } else {
                addresses.release(&uid).unwrap();
                held.remove(&uid);
            }
        }
    }
}

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn pool(text: &str) -> Pool {
    text.parse().unwrap()
}

/// A text, and the pool that it is: as it prints itself, and how many IPv4 addresses it has.
type Row = (&'static str, Result<(&'static str, u128), PoolError>);

#[test]
fn a_pool_is_read_or_refused_with_the_reason() {
    let rows: &[Row] = &[
        ("172.30.0.200-172.30.0.250", Ok(("172.30.0.200-172.30.0.250", 51))),
        ("78.11.24.0/24", Ok(("78.11.24.0-78.11.24.255", 256))),
        (" 10.0.0.1 , 10.0.0.3 - 10.0.0.4,", Ok(("10.0.0.1,10.0.0.3-10.0.0.4", 3))),
        ("10.0.0.7/30", Ok(("10.0.0.4-10.0.0.7", 4))),
        ("fd00::/126", Ok(("fd00::-fd00::3", 0))),
        ("0.0.0.0/0", Ok(("0.0.0.0-255.255.255.255", 1 << 32))),
        ("", Err(PoolError::Empty)),
        (" , ", Err(PoolError::Empty)),
        ("10.0.0.300", Err(PoolError::Malformed("10.0.0.300".to_owned()))),
        ("10.0.0.1-", Err(PoolError::Malformed("10.0.0.1-".to_owned()))),
        ("10.0.0.1/33", Err(PoolError::Malformed("10.0.0.1/33".to_owned()))),
        ("10.0.0.9-10.0.0.1", Err(PoolError::Backwards("10.0.0.9-10.0.0.1".to_owned()))),
        ("10.0.0.9-fd00::1", Err(PoolError::Mixed("10.0.0.9-fd00::1".to_owned()))),
        (
            "10.0.0.0/30,10.0.0.3-10.0.0.9",
            Err(PoolError::Overlap("10.0.0.0/30".parse().unwrap(), "10.0.0.3-10.0.0.9".parse().unwrap())),
        ),
    ];
    for (text, wanted) in rows {
        let found = text.parse::<Pool>();
        match wanted {
            Ok((printed, size)) => {
                let found = found.unwrap();
                assert_eq!((found.to_string().as_str(), found.size(false)), (*printed, *size), "{text}");
                assert_eq!(found.to_string().parse::<Pool>().unwrap(), found, "{text} is read back");
            }
            Err(error) => assert_eq!(found.unwrap_err(), *error, "{text}"),
        }
    }
}

#[test]
fn a_pool_of_all_ipv6_addresses_has_a_size() {
    assert_eq!(pool("::/0").size(true), u128::MAX);
}

#[test]
fn addresses_are_given_in_order_and_taken_back() {
    let mut all = Allocator::new(pool("10.0.0.8/31,10.0.0.1,fd00::1"));
    all.claim(ip("10.0.0.9"), &"kept").unwrap();
    assert_eq!(all.allocate(false, &"a"), Ok(ip("10.0.0.8")));
    assert_eq!(all.allocate(false, &"b"), Ok(ip("10.0.0.1")));
    let full = all.allocate(false, &"c").unwrap_err();
    assert_eq!(full.to_string(), "all 3 addresses of the pool 10.0.0.8-10.0.0.9,10.0.0.1,fd00::1 are taken");
    assert_eq!(all.allocate(true, &"c"), Ok(ip("fd00::1")));
    assert_eq!(all.release(&"a", &[]), [ip("10.0.0.8")]);
    assert_eq!(all.owner(ip("10.0.0.8")), None);
    assert_eq!(all.allocate(false, &"d"), Ok(ip("10.0.0.8")));
    assert!(all.release(&"d", &[ip("10.0.0.8")]).is_empty());
    assert_eq!(all.taken(), 4);
}

#[test]
fn an_address_is_given_to_one_owner_only() {
    let mut all = Allocator::new(pool("10.0.0.0/30"));
    all.claim(ip("10.0.0.1"), &"a").unwrap();
    all.claim(ip("10.0.0.1"), &"a").unwrap();
    assert_eq!(all.claim(ip("10.0.0.1"), &"b").unwrap_err().to_string(), "10.0.0.1 is taken by a");
    assert_eq!(all.owner(ip("10.0.0.1")), Some(&"a"));
    assert_eq!(
        all.claim(ip("10.0.0.4"), &"b").unwrap_err().to_string(),
        "10.0.0.4 is not in the pool 10.0.0.0-10.0.0.3"
    );
    assert_eq!(all.allocate(true, &"b").unwrap_err().to_string(), "the pool 10.0.0.0-10.0.0.3 has no IPv6 address");
}

proptest! {
    /// Whatever is asked for, an address has one owner, is of the pool, and the pool is full only when it is.
    #[test]
    fn nothing_is_ever_given_twice(steps in prop::collection::vec((0..4_u8, 0..6_u8, 0..24_u8), 1..200)) {
        let mut all = Allocator::new(pool("10.0.0.3-10.0.0.9,10.0.0.16/30"));
        let mut model: BTreeMap<IpAddr, u8> = BTreeMap::new();
        for (what, owner, address) in steps {
            let address = IpAddr::from([10, 0, 0, address]);
            match what {
                0 | 1 => match all.allocate(false, &owner) {
                    Ok(given) => prop_assert!(model.insert(given, owner).is_none() && all.pool().contains(given)),
                    Err(_) => prop_assert_eq!(model.len(), 11),
                },
                2 => {
                    let free = all.pool().contains(address) && model.get(&address).is_none_or(|o| *o == owner);
                    prop_assert_eq!(all.claim(address, &owner).is_ok(), free);
                    if free {
                        model.insert(address, owner);
                    }
                }
                _ => {
                    let freed = all.release(&owner, &[address]);
                    model.retain(|a, o| *o != owner || *a == address);
                    prop_assert!(freed.iter().all(|a| !model.contains_key(a)));
                }
            }
            prop_assert_eq!(&all.taken, &model);
        }
    }
}

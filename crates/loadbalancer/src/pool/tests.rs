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
fn the_first_free_address_steps_over_what_is_taken_and_what_is_buggy() {
    let taken = |all: &[&str]| all.iter().map(|a| (ip(a), ())).collect::<BTreeMap<_, _>>();
    let pool = pool("10.0.0.254-10.0.1.1,10.0.9.0,fd00::ff");
    let free = |avoid, all: &[&str]| pool.first_free(false, avoid, &taken(all));
    assert_eq!(free(false, &[]), Some(ip("10.0.0.254")));
    assert_eq!(free(false, &["10.0.0.254"]), Some(ip("10.0.0.255")));
    assert_eq!(free(true, &["10.0.0.254"]), Some(ip("10.0.1.1")));
    assert_eq!(free(true, &["10.0.0.254", "10.0.1.1"]), None);
    assert_eq!(free(false, &["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]), Some(ip("10.0.9.0")));
    assert_eq!(pool.first_free(true, true, &taken(&[])), Some(ip("fd00::ff")));
}

#[test]
fn two_pools_that_overlap_name_an_address_of_both() {
    let one = pool("10.0.0.0/24,10.0.2.0/24");
    assert_eq!(one.overlap(&pool("10.0.1.0-10.0.2.3")), Some(ip("10.0.2.0")));
    assert_eq!(one.overlap(&pool("10.0.1.0/24,fd00::/64")), None);
}

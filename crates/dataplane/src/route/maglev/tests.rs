use std::collections::BTreeMap;

use super::*;

fn endpoints(count: u8) -> Vec<Endpoint> {
    let port = 8080.try_into().unwrap();
    (0..count).map(|n| Endpoint { address: [10, 244, n / 100, n].into(), port }).collect()
}

fn shares(table: &[Endpoint]) -> BTreeMap<Endpoint, usize> {
    let mut shares = BTreeMap::new();
    for endpoint in table {
        *shares.entry(*endpoint).or_default() += 1;
    }
    shares
}

#[test]
fn all_slots_are_given_and_shares_are_about_equal() {
    assert!(table(&[]).is_empty());
    for count in [1, 2, 3, 10, 100] {
        let table = table(&endpoints(count));
        assert_eq!(table.len(), SLOTS, "{count}");
        let shares = shares(&table);
        let (least, most) = (shares.values().min().unwrap(), shares.values().max().unwrap());
        assert!(shares.len() == usize::from(count) && most - least <= 1, "{count}: {least} to {most}");
    }
}

#[test]
fn the_order_of_endpoints_does_not_matter() {
    let mut backwards = endpoints(17);
    backwards.reverse();
    assert_eq!(table(&backwards), table(&endpoints(17)));
}

#[test]
fn when_an_endpoint_goes_few_others_lose_slots() {
    for count in [3, 10, 50] {
        let before = table(&endpoints(count));
        let after = table(&endpoints(count - 1));
        let gone = *endpoints(count).last().unwrap();
        let moved = before.iter().zip(&after).filter(|(before, after)| **before != gone && before != after).count();
        // A choice by remainder would move nearly all.
        assert!(moved < SLOTS / 5, "{count}: {moved}");
    }
}

#[test]
fn the_table_is_the_same_in_every_version() {
    let table = table(&endpoints(5));
    let first: Vec<u8> = table.iter().take(12).map(|endpoint| endpoint.to_string().as_bytes()[9] - b'0').collect();
    assert_eq!(first, [4, 4, 2, 0, 0, 4, 3, 2, 3, 0, 3, 2]);
}

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use store::{Expect, Transaction};

use super::addresses::Range;
use super::claims::Claims;
use super::ports::{PortError, Ports, lower_band};

fn range(network: &str) -> Range {
    Range::new(network.parse().unwrap())
}

#[test]
fn the_lower_band_of_addresses_grows_with_the_range() {
    let cases =
        [("10.0.0.0/28", 0), ("10.0.0.0/27", 16), ("10.0.0.0/24", 16), ("10.0.0.0/20", 256), ("10.0.0.0/8", 256)];
    for (network, band) in cases {
        assert_eq!(range(network).lower_band(), band, "{network}");
    }
    assert_eq!(range("fd00::/64").lower_band(), 256);
}

#[test]
fn the_lower_band_of_ports_grows_with_the_range() {
    let cases = [(30_000..=32_767, 86), (30_000..=30_015, 0), (30_000..=30_016, 16), (1..=65_535, 128)];
    for (range, band) in cases {
        assert_eq!(lower_band(&range), band, "{range:?}");
    }
}

#[test]
fn the_network_and_broadcast_addresses_are_not_given() {
    let range = range("10.0.0.0/30");
    let given: Vec<bool> = (0..4u8).map(|last| range.gives(IpAddr::from([10, 0, 0, last]))).collect();
    assert_eq!(given, [false, true, true, false]);
    assert!(!range.gives("fd00::1".parse().unwrap()));
}

#[test]
fn every_address_is_given_once_and_the_lower_band_last() {
    let range = range("10.0.0.0/27");
    let mut random = StdRng::seed_from_u64(1);
    let mut taken: BTreeSet<IpAddr> = BTreeSet::new();
    let mut order = Vec::new();
    while let Some(address) = range.next(&mut random, |a| taken.contains(&a)) {
        assert!(range.gives(address) && taken.insert(address), "{address} is given twice");
        order.push(address);
    }
    assert_eq!(order.len(), 30);
    let lower = |a: &IpAddr| *a <= IpAddr::from([10, 0, 0, 16]);
    assert_eq!(order.iter().position(lower), Some(14));
}

#[test]
fn every_port_is_given_once_and_the_lower_band_last() {
    let mut random = StdRng::seed_from_u64(1);
    let mut ports = Ports::new(30_000..=30_031, false, |_| false);
    let mut order = Vec::new();
    let full = loop {
        match ports.take_next(&mut random) {
            Ok(port) => order.push(port),
            Err(error) => break error,
        }
    };
    assert_eq!(full, PortError::Full);
    assert_eq!(order.len(), 32);
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 32);
    assert_eq!(order.iter().position(|p| *p < 30_016), Some(16));
}

#[test]
fn a_dry_run_makes_ports_up() {
    let mut ports = Ports::new(30_000..=30_031, true, |_| true);
    let mut random = StdRng::seed_from_u64(1);
    assert_eq!(ports.take_next(&mut random), Ok(32_769));
    assert_eq!(ports.take_next(&mut random), Ok(32_770));
    assert_eq!(ports.take(30_001), Err(PortError::Taken));
    assert_eq!(
        ports.take(80).unwrap_err().to_string(),
        "provided port is not in the valid range. The range of valid ports is 30000-30031"
    );
}

#[test]
fn what_is_given_back_and_taken_again_stays() {
    let claims = Claims {
        taken: vec![("/a".to_owned(), "1".into()), ("/b".to_owned(), "2".into())],
        released: vec!["/a".to_owned(), "/c".to_owned()],
        ..Claims::default()
    };
    let want = Transaction::new().expect("/b", Expect::Absent).put("/b", "2").delete("/c");
    assert_eq!(claims.add_to(Transaction::new()), want);
}

proptest! {
    /// Transactions that take and give back in any order never hold a port twice, and never lose one.
    #[test]
    fn ports_are_never_held_twice(steps in prop::collection::vec((any::<bool>(), 0..8usize), 1..80), seed in any::<u64>()) {
        let held: RefCell<Vec<u16>> = RefCell::default();
        let mut random = StdRng::seed_from_u64(seed);
        for (take, which) in steps {
            let mut ports = Ports::new(30_000..=30_019, false, |p| held.borrow().contains(&p));
            if take {
                match ports.take_next(&mut random) {
                    Ok(port) => prop_assert!(!held.borrow().contains(&port)),
                    Err(error) => {
                        prop_assert_eq!(error, PortError::Full);
                        prop_assert_eq!(held.borrow().len(), 20);
                    }
                }
            } else if !held.borrow().is_empty() {
                let index = which % held.borrow().len();
                let port = held.borrow()[index];
                ports.release(port);
            }
            let (taken, released) = (ports.taken.clone(), ports.released.clone());
            drop(ports);
            held.borrow_mut().retain(|p| !released.contains(p));
            held.borrow_mut().extend(taken);
        }
    }
}

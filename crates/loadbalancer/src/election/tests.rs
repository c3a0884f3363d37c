use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::{Claim, elect, winner};

fn anywhere(address: impl Into<IpAddr>) -> Claim {
    Claim { address: address.into(), only: None }
}

fn pool(count: u32) -> Vec<Claim> {
    (0..count).map(|n| anywhere(Ipv4Addr::from(0xac1e_0000 + n))).collect()
}

fn live<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().collect()
}

#[test]
fn the_choice_is_the_same_in_every_version() {
    let nodes = ["node-1", "node-2", "node-3"];
    let addresses = ["172.30.0.200", "172.30.0.201", "172.30.0.202", "78.11.24.19", "fd00::c8"];
    let chosen = addresses.map(|a| winner(a.parse().unwrap(), nodes).unwrap());
    assert_eq!(chosen, ["node-3", "node-3", "node-3", "node-2", "node-1"]);
}

#[test]
fn a_node_without_local_endpoints_never_announces_a_local_service() {
    let address: IpAddr = "172.30.0.200".parse().unwrap();
    let only = |names: &[&str]| Claim { address, only: Some(names.iter().map(|n| n.to_string()).collect()) };
    let nodes = live(&["a", "b", "c"]);
    assert_eq!(elect(&[only(&["b"])], &nodes), BTreeMap::from([(address, "b")]));
    assert_eq!(elect(&[only(&["gone"])], &nodes), BTreeMap::new());
    assert_eq!(elect(&[only(&[])], &nodes), BTreeMap::new());
    assert_eq!(elect(&[anywhere(address)], &live(&[])), BTreeMap::new());
}

#[test]
fn addresses_spread_over_the_nodes() {
    let chosen = elect(&pool(3000), &live(&["a", "b", "c"]));
    for node in ["a", "b", "c"] {
        let count = chosen.values().filter(|chosen| **chosen == node).count();
        assert!((850..1150).contains(&count), "{node} has {count} of 3000");
    }
}

proptest! {
    #[test]
    fn only_eligible_nodes_win_and_everything_that_can_be_announced_is(
        claims in vec((any::<u32>(), proptest::option::of(btree_set("[a-e]", 0..4))), 0..20),
        nodes in btree_set("[a-e]", 0..5),
    ) {
        let claims: Vec<Claim> =
            claims.into_iter().map(|(n, only)| Claim { address: Ipv4Addr::from(n).into(), only }).collect();
        let nodes: BTreeSet<&str> = nodes.iter().map(String::as_str).collect();
        let chosen = elect(&claims, &nodes);
        for claim in &claims {
            let eligible = |node: &&&str| claim.only.as_ref().is_none_or(|only| only.contains(**node));
            let any = nodes.iter().any(|node| eligible(&node));
            // The same address twice: the last claim decides, so only look at those that are alone.
            if claims.iter().filter(|c| c.address == claim.address).count() > 1 {
                continue;
            }
            match chosen.get(&claim.address) {
                Some(node) => prop_assert!(nodes.contains(node) && eligible(&node)),
                None => prop_assert!(!any),
            }
        }
    }

    #[test]
    fn a_node_that_goes_moves_only_its_own_addresses(
        nodes in btree_set("[a-z]{1,8}", 2..8),
        gone in any::<prop::sample::Index>(),
    ) {
        let before: BTreeSet<&str> = nodes.iter().map(String::as_str).collect();
        let gone = *gone.get(&before.iter().copied().collect::<Vec<_>>());
        let mut after = before.clone();
        after.remove(gone);
        let claims = pool(100);
        let (old, new) = (elect(&claims, &before), elect(&claims, &after));
        for (address, node) in &old {
            prop_assert!(*node == gone || new[address] == *node);
        }
        // And back again it takes exactly what it had.
        prop_assert_eq!(elect(&claims, &before), old);
    }

    #[test]
    fn order_does_not_matter(nodes in vec("[a-z]{1,8}", 1..8), address in any::<u32>()) {
        let address = Ipv4Addr::from(address).into();
        let forward = winner(address, nodes.iter().map(String::as_str));
        let backward = winner(address, nodes.iter().rev().map(String::as_str));
        prop_assert_eq!(forward, backward);
    }
}

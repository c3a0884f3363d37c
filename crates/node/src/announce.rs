//! Load-balancer addresses on the wire: this node answers ARP for those that it wins.
//!
//! Every node computes the same winner from the same addresses and ready nodes. When a node dies, its lease runs out,
//! it is no longer ready, and others win its addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use loadbalancer::Announcer;
use loadbalancer::election::{Claim, elect};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::neighbours::Neighbours;

/// Announces what this node wins until told to stop; then nothing any more.
pub async fn keep(
    own: String,
    announcer: Announcer,
    mut addresses: watch::Receiver<Addresses>,
    mut neighbours: watch::Receiver<Neighbours>,
    stop: CancellationToken,
) {
    let mut held = BTreeSet::new();
    loop {
        let won = won(&own, &addresses.borrow_and_update(), &neighbours.borrow_and_update());
        if won != held {
            tracing::info!(addresses = ?won, "announcing load-balancer addresses");
            announcer.set(&won);
            held = won;
        }
        tokio::select! {
            () = stop.cancelled() => return announcer.release_all(),
            changed = addresses.changed() => if changed.is_err() { return },
            changed = neighbours.changed() => if changed.is_err() { return },
        }
    }
}

fn won(own: &str, claims: &[Claim], neighbours: &Neighbours) -> BTreeSet<Ipv4Addr> {
    let live: BTreeSet<&str> = neighbours.ready.iter().map(|n| &**n).collect();
    let mine = elect(claims, &live).into_iter().filter(|(_, node)| *node == own);
    mine.filter_map(|(address, _)| if let IpAddr::V4(address) = address { Some(address) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_won_by_one_node_and_another_takes_over_when_it_is_not_ready() {
        let claims: Vec<Claim> =
            (0..50).map(|n| Claim { address: Ipv4Addr::new(172, 30, 0, 200 + n).into(), only: None }).collect();
        let ready =
            |names: &[&str]| Neighbours { ready: names.iter().map(|&n| n.into()).collect(), ..Neighbours::default() };
        let all = ready(&["a", "b", "c"]);
        let counts: Vec<usize> = ["a", "b", "c"].iter().map(|n| won(n, &claims, &all).len()).collect();
        assert_eq!(counts.iter().sum::<usize>(), 50);
        assert!(counts.iter().all(|c| *c > 5), "{counts:?}");
        let two = ready(&["a", "b"]);
        assert_eq!(won("a", &claims, &two).len() + won("b", &claims, &two).len(), 50);
        assert!(won("a", &claims, &two).is_superset(&won("a", &claims, &all)), "what a node has it keeps");
    }
}

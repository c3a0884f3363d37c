//! What the nodes wrote of themselves, in the order in which the server took it; and whether what was said on the wire
//! is told by it.
//!
//! A node says nothing for an address before it has seen its own claim and no other, and nothing more when it has let the
//! claim go or its epoch was ended. So each change of the speaker has its place in what was written: the one before is
//! out of the claims, and later (or then) the next is in them. No time is compared with any other but the kernel's stamps
//! of the words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use loadbalancer::report::{CLAIMS, LABEL, LIFE, NAMESPACE};
use loadbalancer::seat::{Claims, Kind, Life, Record, Seen};
use node::announce::records;
use testbed::wait_until;
use tokio::runtime::Runtime;

use crate::world::SOON;

/// All that was written.
#[derive(Default)]
struct Pages {
    lives: BTreeMap<String, Life>,
    claims: BTreeMap<String, Claims>,
    /// After each change, who claims what in an epoch that lives.
    standings: Vec<BTreeMap<IpAddr, BTreeSet<String>>>,
}

impl Pages {
    fn note(&mut self, seen: Seen) {
        match seen {
            Seen::All(records) => {
                (self.lives, self.claims) = Default::default();
                records.into_iter().for_each(|record| self.put(record));
            }
            Seen::One(record) => self.put(record),
            Seen::Gone(Kind::Life, node) => drop(self.lives.remove(&node)),
            Seen::Gone(Kind::Claims, node) => drop(self.claims.remove(&node)),
        }
        let mut standing = BTreeMap::<IpAddr, BTreeSet<String>>::new();
        for claims in self.claims.values() {
            if self.lives.get(&claims.node).is_some_and(|life| life.epoch.as_ref() == Some(&claims.epoch)) {
                for address in &claims.addresses {
                    standing.entry(*address).or_default().insert(claims.node.clone());
                }
            }
        }
        if self.standings.last() != Some(&standing) {
            self.standings.push(standing);
        }
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::Life(life) => drop(self.lives.insert(life.node.clone(), life)),
            Record::Claims(claims) => drop(self.claims.insert(claims.node.clone(), claims)),
        }
    }

    /// Whether all of a list has been seen, or newer.
    fn has(&self, listed: &[Lease]) -> bool {
        let number = |version: &str| version.parse::<u64>().unwrap();
        listed.iter().filter_map(records::read).all(|record| {
            let (seen, listed) = match &record {
                Record::Life(life) => (self.lives.get(&life.node).map(|life| &life.version), &life.version),
                Record::Claims(claims) => {
                    (self.claims.get(&claims.node).map(|claims| &claims.version), &claims.version)
                }
            };
            seen.is_some_and(|seen| number(seen) >= number(listed))
        })
    }
}

/// The pages, as they are written.
pub struct Ledger {
    client: Client,
    pages: Arc<Mutex<Pages>>,
}

impl Ledger {
    /// Reads from now on.
    pub fn follow(client: Client, runtime: &Runtime) -> Self {
        let pages = Arc::<Mutex<Pages>>::default();
        let (held, watched) = (pages.clone(), client.clone());
        runtime.spawn(async move {
            let mut seen = std::pin::pin!(records::watch(watched));
            while let Some(seen) = seen.next().await {
                held.lock().unwrap().note(seen);
            }
        });
        Self { client, pages }
    }

    /// Who claimed an address, after each change up to now.
    pub fn claimants(&self, address: IpAddr, runtime: &Runtime) -> Vec<BTreeSet<String>> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        let ours = ListParams::default().labels(&format!("{LABEL} in ({LIFE},{CLAIMS})"));
        let listed = runtime.block_on(leases.list(&ours)).unwrap().items;
        assert!(listed.iter().all(|lease| lease.resource_version().is_some()));
        wait_until(SOON, "the ledger has what is written", || self.pages.lock().unwrap().has(&listed)).unwrap();
        let pages = self.pages.lock().unwrap();
        pages.standings.iter().map(|standing| standing.get(&address).cloned().unwrap_or_default()).collect()
    }
}

/// Whether speakers, each in its turn, are told by who claimed when. The first that is not is the error.
pub fn told(speakers: &[String], claimants: &[BTreeSet<String>]) -> Result<(), usize> {
    // The earliest places: if these do not do, later ones do not either.
    let mut place = 0;
    let mut before: Option<&String> = None;
    for (turn, speaker) in speakers.iter().enumerate() {
        let mut from = |holds: &dyn Fn(&BTreeSet<String>) -> bool| {
            let at = claimants.get(place..)?.iter().position(holds)?;
            place += at;
            Some(())
        };
        let free = before.is_none_or(|before| from(&|claimants| !claimants.contains(before)).is_some());
        if !free || from(&|claimants| claimants.contains(speaker)).is_none() {
            return Err(turn);
        }
        before = Some(speaker);
    }
    Ok(())
}

#[test]
fn turns_are_told_by_claims_and_two_at_once_are_not() {
    let claimants = |pages: &[&str]| -> Vec<BTreeSet<String>> {
        pages.iter().map(|page| page.chars().map(String::from).collect()).collect()
    };
    let rows = [
        // Claims after each change; who spoke; who of them spoke out of turn.
        (&["a"][..], "a", None),
        (&["a", "", "b"], "ab", None),
        // The next waits with its claim; however short a turn is, it is one.
        (&["a", "ab", "b", "ba", "a"], "aba", None),
        // Who has gone claims again while the other holds it.
        (&["a", "", "b", "ab", "a"], "aba", None),
        // Not each turn is heard.
        (&["a", "", "b", "", "c", "", "a"], "aca", None),
        // Two in turns, of whom one never let go.
        (&["a", "ab"], "ab", Some(1)),
        (&["a", "ab", "b"], "aba", Some(2)),
        // One late word of who has let go.
        (&["a", "", "b"], "aba", Some(2)),
        // More turns than were written.
        (&["a", "b", "a", "b"], "ababab", Some(4)),
        // Without any claim.
        (&["a"], "b", Some(0)),
    ];
    for (pages, spoke, wrong) in rows {
        let speakers: Vec<String> = spoke.chars().map(String::from).collect();
        assert_eq!(told(&speakers, &claimants(pages)).err(), wrong, "{pages:?} {spoke}");
    }
}

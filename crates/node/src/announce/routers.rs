//! The routers that this node speaks to, and what it tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use loadbalancer::bfd::Hub;
use loadbalancer::bgp::door::Door;
use loadbalancer::bgp::{Peer, Phase, Shared, Speaker};

use super::admission::Admission;

/// A session a router.
#[derive(Default)]
pub(super) struct Routers {
    speakers: Vec<(Peer, Speaker)>,
    /// What of it one of them wants is there.
    shared: Shared,
    addresses: BTreeSet<IpAddr>,
    aggregation: (u8, u8),
}

impl Routers {
    /// Speaks to exactly these.
    pub(super) fn set(&mut self, chosen: &Admission) {
        self.listen(chosen);
        let mut old = std::mem::take(&mut self.speakers);
        for peer in &chosen.peers {
            match old.iter().position(|(held, _)| held == peer) {
                Some(at) => self.speakers.push(old.swap_remove(at)),
                None => self.speakers.push((peer.clone(), Speaker::start(peer.clone(), &self.shared))),
            }
        }
        for (_, speaker) in old {
            // It says that it ends while others are spoken to.
            tokio::spawn(speaker.end());
        }
        self.aggregation = chosen.aggregation;
        self.tell();
    }

    /// Opens what sessions share, as far as there are such; closes it with the last one.
    fn listen(&mut self, chosen: &Admission) {
        if chosen.peers.iter().all(|peer| peer.bfd.is_none()) {
            self.shared.bfd = None;
        } else if self.shared.bfd.is_none() {
            match Hub::start() {
                Ok(hub) => self.shared.bfd = Some(hub),
                Err(error) => tracing::warn!(%error, "no BFD: routers miss this node after the hold time alone"),
            }
        }
        if !chosen.peers.iter().any(|peer| peer.passive) {
            self.shared.door = None;
        } else if self.shared.door.is_none() {
            match Door::open() {
                Ok(door) => self.shared.door = Some(door),
                Err(error) => tracing::warn!(%error, "routers cannot begin BGP sessions with this node"),
            }
        }
    }

    /// Tells all of exactly these addresses.
    pub(super) fn announce(&mut self, addresses: BTreeSet<IpAddr>) {
        if addresses != self.addresses {
            self.addresses = addresses;
            self.tell();
        }
    }

    fn tell(&self) {
        let (v4, v6) = self.aggregation;
        let prefix = |address: &IpAddr| {
            let length = if address.is_ipv4() { v4 } else { v6 };
            IpNet::new(*address, length).ok().map(|prefix| prefix.trunc())
        };
        let prefixes: BTreeSet<IpNet> = self.addresses.iter().filter_map(prefix).collect();
        for (_, speaker) in &self.speakers {
            speaker.announce(prefixes.clone());
        }
    }

    /// How far the session with each is.
    pub(super) fn phases(&self) -> BTreeMap<String, String> {
        let shown = |phase: Phase| match phase {
            Phase::Idle(Some(why)) => format!("Idle: {why}"),
            Phase::Idle(None) => "Idle".to_owned(),
            phase => format!("{phase:?}"),
        };
        let session = |speaker: &Speaker| match speaker.bfd() {
            Some(bfd) => format!("{}; BFD {bfd:?}", shown(speaker.phase())),
            None => shown(speaker.phase()),
        };
        self.speakers.iter().map(|(peer, speaker)| (peer.address.to_string(), session(speaker))).collect()
    }

    /// The addresses of which a router was told that listens.
    pub(super) fn routed(&self) -> BTreeSet<IpAddr> {
        let heard = self.speakers.iter().any(|(_, speaker)| speaker.phase() == Phase::Established);
        if heard { self.addresses.clone() } else { BTreeSet::new() }
    }

    /// Ends all sessions: with a word, unless the router was asked to keep the routes over a restart.
    pub(super) async fn end(self) {
        let with_a_word = self.speakers.into_iter().filter(|(peer, _)| peer.restart.is_none());
        futures::future::join_all(with_a_word.map(|(_, speaker)| speaker.end())).await;
    }
}

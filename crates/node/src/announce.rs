//! Load-balancer addresses on the wire: this node answers ARP and neighbour discovery for those that it holds.
//!
//! Which it may hold is decided by its [`Seat`](loadbalancer::seat) among those that announce; here are the seat's hands
//! and eyes. In reading order: [`admission`] (may this node at all; `passwords` of its sessions), [`records`] and `writes` (the leases that all watch),
//! `voices` (the interfaces), `handover` (connections that another node knows), `routers` (those that are told by BGP), `report` (what is said of it).
//!
//! The order of things in the loop is what the seat relies on: what is no longer held is given up before anything is
//! written, and the fence is set before anything new is announced.

pub mod admission;
mod handover;
mod passwords;
pub mod records;
mod report;
mod routers;
mod voices;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dataplane::model;
use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use loadbalancer::election::{Claim, winner};
use loadbalancer::fence::{Fence, Moment};
use loadbalancer::report::Report;
use loadbalancer::seat::{Outcome, Seat, Write};
use loadbalancer::settings::LEASE;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use admission::Admission;
use handover::Handover;
use routers::Routers;
use voices::Voices;
use writes::Writer;

/// How often interfaces are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long may be waited when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Announces what this node holds until told to stop; then it says that it leaves. Tells the data plane of the nodes that
/// take what is passed on to them: those that announce, or did.
pub async fn keep(
    client: Client,
    own: String,
    addresses: watch::Receiver<Addresses>,
    tell_node: watch::Sender<model::Node>,
    stop: CancellationToken,
) {
    let (tell_admission, admission) = watch::channel(Admission::default());
    let (tell_report, reports) = watch::channel(Report::default());
    let writer = Writer { client: client.clone(), own: own.clone(), addresses: Vec::new(), lasts: LEASE };
    let fence = Arc::new(Fence::default());
    let speaker = Speaker {
        seat: Seat::new(own.clone(), LEASE),
        voices: Voices::new(Arc::clone(&fence)),
        handover: Handover::default(),
        routers: Routers::default(),
        tell_node,
        fence,
        writer: writer.clone(),
        under_way: JoinSet::new(),
        held: BTreeMap::new(),
        report: tell_report,
        own: own.clone(),
    };
    tokio::join!(
        speaker.run(client.clone(), addresses, admission, stop.clone()),
        admission::keep(client, own, tell_admission, stop.clone()),
        report::keep(writer, reports, stop),
    );
}

/// Tells when an interface of this machine changes: a cable is pulled, or put in.
fn links() -> futures::stream::BoxStream<'static, ()> {
    match rtnetlink::new_multicast_connection(&[rtnetlink::MulticastGroup::Link]) {
        Ok((connection, _, messages)) => {
            tokio::spawn(connection);
            messages.map(drop).chain(futures::stream::pending()).boxed()
        }
        Err(error) => {
            tracing::warn!(%error, "changes of interfaces are noticed only every {LOOK_EVERY:?}");
            futures::stream::pending().boxed()
        }
    }
}

/// A write that has been made, or not: what, when it was sent, what became of it.
type Made = (Write, Moment, Outcome);

struct Speaker {
    own: String,
    seat: Seat,
    voices: Voices,
    handover: Handover,
    routers: Routers,
    tell_node: watch::Sender<model::Node>,
    fence: Arc<Fence>,
    writer: Writer,
    under_way: JoinSet<Made>,
    /// What is held, and since when.
    held: BTreeMap<IpAddr, String>,
    report: watch::Sender<Report>,
}

impl Speaker {
    async fn run(
        mut self,
        client: Client,
        mut addresses: watch::Receiver<Addresses>,
        mut admission: watch::Receiver<Admission>,
        stop: CancellationToken,
    ) {
        let mut records = std::pin::pin!(records::watch(client));
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut links = links();
        let mut balanced: Vec<Claim> = addresses.borrow_and_update().clone();
        self.seat.admit(false);
        self.seat.balance(balanced.clone());
        loop {
            self.act(&balanced);
            let now = Moment::now();
            let wait = self.seat.due(now).map_or(IDLE, |due| due.since(now));
            tokio::select! {
                // In this order: what is known is taken in before anything new is begun.
                biased;
                () = stop.cancelled() => break,
                seen = records.next() => match seen {
                    Some(seen) => self.seat.see(seen, Moment::now()),
                    None => break,
                },
                Some(made) = self.under_way.join_next() => self.made(made),
                changed = addresses.changed() => {
                    if changed.is_err() { break }
                    balanced = addresses.borrow_and_update().clone();
                    self.seat.balance(balanced.clone());
                }
                changed = admission.changed() => {
                    if changed.is_err() { break }
                    let now = admission.borrow_and_update().clone();
                    self.routers.set(&now);
                    self.look(&now);
                }
                _ = look.tick() => {
                    let now = admission.borrow().clone();
                    self.look(&now);
                }
                _ = links.next() => {
                    let now = admission.borrow().clone();
                    self.look(&now);
                }
                () = self.voices.news() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.leave().await;
    }

    /// Does what the seat says, in the order that it relies on.
    fn act(&mut self, balanced: &[Claim]) {
        match self.seat.fence() {
            Some(until) => self.fence.set(until),
            None => self.fence.close(),
        }
        let now = Moment::now();
        // Before clients are told to send here.
        self.handover.set(&self.seat, now);
        self.voices.set(self.seat.held());
        for write in self.seat.writes(now) {
            // What the seat gives up together with a write is given up before it.
            self.voices.set(self.seat.held());
            if let Write::Join { lease, .. } = &write {
                self.writer.lasts = *lease;
            }
            let writer = self.writer.clone();
            self.under_way.spawn(async move {
                let outcome = writer.perform(&write).await;
                (write, now, outcome)
            });
        }
        // Routers may lead packets to several nodes at a time: to each that can serve an address.
        let mine = balanced.iter().filter(|claim| claim.only.as_ref().is_none_or(|only| only.contains(&self.own)));
        self.routers.announce(mine.map(|claim| claim.address).collect());
        self.look_after(balanced);
        self.tell();
        self.tell_takers();
    }

    fn tell_takers(&self) {
        let takers = self.seat.others().map(|life| (life.node.as_str().into(), life.addresses.clone())).collect();
        self.tell_node.send_if_modified(|node| {
            let changed = node.takers != takers;
            node.takers = takers;
            changed
        });
    }

    fn made(&mut self, made: Result<Made, tokio::task::JoinError>) {
        match made {
            Ok((write, sent, outcome)) => self.seat.answered(&write, sent, &outcome, Moment::now()),
            // The seat asks for it again when it has no answer.
            Err(error) => tracing::error!(%error, "a write of a lease died"),
        }
    }

    fn look(&mut self, admission: &Admission) {
        self.writer.addresses.clone_from(&admission.addresses);
        self.seat.lease(admission.lease);
        self.voices.look(admission);
        self.seat.admit(admission.admitted && self.voices.is_heard());
    }

    /// Of each address that another holds, one node looks whether it is answered for: the one that would hold it next.
    fn look_after(&mut self, balanced: &[Claim]) {
        let members = self.seat.members();
        let mut watched = BTreeSet::new();
        if members.contains(self.own.as_str()) {
            for claim in balanced {
                let holders = self.seat.claimants(claim.address);
                let others = members.iter().copied().filter(|node| !holders.contains(node));
                if !holders.is_empty() && winner(claim.address, others) == Some(self.own.as_str()) {
                    watched.insert(claim.address);
                }
            }
        }
        self.voices.watch(watched);
    }

    fn tell(&mut self) {
        let held = self.seat.held();
        self.held.retain(|address, _| held.contains(address));
        for address in held {
            self.held.entry(*address).or_insert_with(|| Timestamp::now().to_string());
        }
        let now = Report {
            epoch: self.seat.epoch().unwrap_or_default().to_owned(),
            interfaces: self.voices.interfaces(),
            held: self.held.clone(),
            seen: self.voices.observed(),
            routers: self.routers.phases(),
            routed: self.routers.routed(),
        };
        self.report.send_if_modified(|told| {
            let changed = *told != now;
            *told = now;
            changed
        });
    }

    /// Gives everything up, and says so, so that others need not wait for the fence.
    async fn leave(mut self) {
        let nothing = BTreeSet::new();
        self.voices.set(&nothing);
        self.fence.close();
        self.routers.end().await;
        self.under_way.shutdown().await;
        for write in self.seat.farewell() {
            self.writer.perform(&write).await;
        }
    }
}

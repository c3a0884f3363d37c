//! A node's seat among those that announce: when it may answer for which address. Pure: time, what is seen and what
//! became of writes are given, so that a test can play every order of events.
//!
//! Each node writes two records, which all watch: its *life*, renewed several times a second, and its *claims*, the
//! addresses that it answers for or wants to. Three rules make sure that no two nodes ever answer for one address:
//!
//! 1. **The fence.** A node answers only until a lease's length after it *sent* the last renewal that succeeded. Who has
//!    *seen* no renewal for longer than that may end the node's epoch, by a write that succeeds only if the life is still
//!    what was seen. So an epoch is ended only after its node has stopped, however late anything was seen; and a node
//!    whose epoch was ended learns it from its next renewal, and begins a new one with no claims.
//! 2. **Claim, then look.** A node answers for an address only after it has seen its own claim of it, and no other claim
//!    of a living epoch among what came before. Of two claims, one was written first, and who wrote the other sees it.
//! 3. **Stop, then let go.** A node that gives an address up stops answering, and only then writes its claims without it.
//!    Of two that claim, the one that the election prefers stays and the other gives up. A node that leaves lets all go
//!    first, so that those who follow know that it is well and knows its connections ([`Seat::predecessor`]).
//!
//! The list of records must be taken as a whole and changes in the order of their versions, of both kinds together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::election::{Claim, elect, winner};
use crate::fence::Moment;

/// Renewals in a lease's length.
const RENEWALS: u32 = 5;
/// How long after it began its epoch a node claims nothing: those who begin with it are seen first.
const SETTLING: Duration = Duration::from_millis(100);
/// How much longer than a lease's length nothing must have been seen: clocks do not all run at one speed.
const MARGIN: Duration = Duration::from_millis(50);
/// How long a write, renewals apart, may take to be answered until it is given again. Who writes gives up before.
pub const UNANSWERED: Duration = Duration::from_secs(6);
/// Between tries of a write that failed.
const RETRY: Duration = Duration::from_millis(100);

/// A node's sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// The node.
    pub node: String,
    /// Its epoch; `None`: it left, or its epoch was ended.
    pub epoch: Option<String>,
    /// How long a renewal lasts.
    pub lease: Duration,
    /// Where packets reach the node itself.
    pub addresses: Vec<IpAddr>,
    /// The record's version, as the server has it.
    pub version: String,
}

/// What a node answers for, or wants to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The node.
    pub node: String,
    /// The epoch in which it was written.
    pub epoch: String,
    /// Which of its writes this is.
    pub sequence: u64,
    /// The addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The record's version, as the server has it.
    pub version: String,
}

/// One of the two records of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Its life.
    Life(Life),
    /// Its claims.
    Claims(Claims),
}

/// Which of the two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Life.
    Life,
    /// Claims.
    Claims,
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// All records that there are.
    All(Vec<Record>),
    /// One came, or changed.
    One(Record),
    /// One is gone.
    Gone(Kind, String),
}

/// What is to be written. A version is what the record must still be; `None`: it must not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The own life, with a new epoch.
    Join {
        /// What the record must still be.
        version: Option<String>,
        /// The epoch.
        epoch: String,
        /// How long its renewals last.
        lease: Duration,
    },
    /// The own life again, whatever it is. That there is none any more is a conflict.
    Renew,
    /// The own life without an epoch, if it is still in this one.
    Leave {
        /// The epoch.
        epoch: String,
    },
    /// Another's life without an epoch.
    Fence {
        /// Whose.
        node: String,
        /// What the record must still be.
        version: String,
    },
    /// The own claims.
    Claim {
        /// What the record must still be.
        version: Option<String>,
        /// The own epoch.
        epoch: String,
        /// Which write this is.
        sequence: u64,
        /// The addresses.
        addresses: BTreeSet<IpAddr>,
    },
}

/// What became of a write.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was made: this is the record now.
    Written(Record),
    /// The record is not what it must be. It was not made.
    Conflict,
    /// It is not known.
    Unknown,
}

/// The own epoch.
#[derive(Debug)]
struct Epoch {
    name: String,
    /// When the last renewal was sent that succeeded.
    renewed: Moment,
}

/// What was tried with the own claims and not seen yet.
#[derive(Debug, Default)]
struct Tried {
    sequence: u64,
    /// The addresses that all tries have had which were not seen yet; `None`: the last one was seen.
    common: Option<BTreeSet<IpAddr>>,
}

/// A node's seat.
#[derive(Debug)]
pub struct Seat {
    own: String,
    lease: Duration,
    /// The length of the leases of later epochs.
    chosen: Duration,
    synced: bool,
    admitted: bool,
    epoch: Option<Epoch>,
    epochs: u64,
    lives: BTreeMap<String, (Life, Moment)>,
    claims: BTreeMap<String, Claims>,
    balanced: Vec<Claim>,
    held: BTreeSet<IpAddr>,
    /// Who let each address go last, of those who did so themselves.
    let_go: BTreeMap<IpAddr, String>,
    /// What is to stand in the own claims.
    target: BTreeSet<IpAddr>,
    tried: Tried,
    /// When each kind of write may be tried next; the own life's and claims' under the own name.
    life_due: Moment,
    claims_due: Moment,
    fences_due: BTreeMap<String, Moment>,
}

impl Seat {
    /// A node that knows nothing yet. Its renewals last for `lease`.
    pub fn new(own: String, lease: Duration) -> Self {
        Self {
            own,
            lease,
            chosen: lease,
            synced: false,
            admitted: true,
            epoch: None,
            epochs: 0,
            lives: BTreeMap::new(),
            claims: BTreeMap::new(),
            balanced: Vec::new(),
            held: BTreeSet::new(),
            let_go: BTreeMap::new(),
            target: BTreeSet::new(),
            tried: Tried::default(),
            life_due: Moment::default(),
            claims_due: Moment::default(),
            fences_due: BTreeMap::new(),
        }
    }

    /// The addresses that are to be answered for by somebody.
    pub fn balance(&mut self, addresses: Vec<Claim>) {
        self.balanced = addresses;
        let balanced: BTreeSet<IpAddr> = self.balanced.iter().map(|claim| claim.address).collect();
        self.let_go.retain(|address, _| balanced.contains(address));
        self.decide();
    }

    /// How long a renewal is to last. Others know the length of an epoch's lease, so it is that of the next: a node in an
    /// epoch of another length leaves and comes again.
    pub fn lease(&mut self, lease: Duration) {
        self.chosen = lease;
        self.decide();
    }

    /// Whether this node may announce at all.
    pub fn admit(&mut self, admitted: bool) {
        self.admitted = admitted;
        self.decide();
    }

    /// Something was seen.
    pub fn see(&mut self, seen: Seen, now: Moment) {
        match seen {
            Seen::All(records) => {
                let nodes = |kind: Kind| {
                    let of_kind = records.iter().filter(move |record| record.kind() == kind);
                    of_kind.map(|record| record.node().to_owned()).collect::<BTreeSet<String>>()
                };
                let (lives, claims) = (nodes(Kind::Life), nodes(Kind::Claims));
                self.lives.retain(|node, _| lives.contains(node));
                self.claims.retain(|node, _| claims.contains(node));
                records.into_iter().for_each(|record| self.put(record, now));
                self.synced = true;
            }
            // A renewal changes nothing but the time.
            Seen::One(Record::Life(life)) if self.is_renewal(&life) => return self.put(Record::Life(life), now),
            Seen::One(record) => self.put(record, now),
            Seen::Gone(Kind::Life, node) => {
                self.lives.remove(&node);
            }
            Seen::Gone(Kind::Claims, node) => {
                self.claims.remove(&node);
            }
        }
        self.decide();
    }

    /// A write has an answer; it was sent at `sent`.
    pub fn answered(&mut self, write: &Write, sent: Moment, outcome: &Outcome, now: Moment) {
        match (write, outcome) {
            (Write::Join { epoch, .. }, Outcome::Written(Record::Life(_))) => {
                self.epoch = Some(Epoch { name: epoch.clone(), renewed: sent });
                self.tried.common = None;
                self.claims_due = now.plus(SETTLING);
                self.life_due = sent.plus(self.lease / RENEWALS);
            }
            (Write::Renew, Outcome::Written(Record::Life(life))) => match &mut self.epoch {
                Some(epoch) if life.epoch.as_ref() == Some(&epoch.name) => epoch.renewed = epoch.renewed.max(sent),
                // It was ended. What this renewal has written means nothing without an epoch.
                _ => self.epoch = None,
            },
            (Write::Renew, Outcome::Conflict) => self.epoch = None,
            (Write::Renew, _) => self.life_due = self.life_due.min(now.plus(RETRY.min(self.lease / RENEWALS))),
            (Write::Join { .. } | Write::Leave { .. }, _) => self.life_due = now.plus(RETRY),
            (Write::Claim { .. }, Outcome::Written(_)) => {}
            (Write::Claim { .. }, _) => self.claims_due = now.plus(RETRY),
            (Write::Fence { node, .. }, _) => {
                self.fences_due.insert(node.clone(), now.plus(RETRY));
            }
        }
        self.decide();
    }

    /// What is to be written now. What is given here is under way until it has an answer; what has none after a while
    /// is given again.
    pub fn writes(&mut self, now: Moment) -> Vec<Write> {
        if !self.synced {
            return Vec::new();
        }
        let mut writes = Vec::new();
        writes.extend(self.life_write(now));
        writes.extend(self.claim_write(now));
        writes.extend(self.fence_writes(now));
        writes
    }

    /// When something may be to be written, if nothing happens before.
    pub fn due(&self, now: Moment) -> Option<Moment> {
        if !self.synced {
            return None;
        }
        let Some(epoch) = &self.epoch else {
            let earliest = match self.lives.get(&self.own) {
                Some((life, since)) if life.epoch.is_some() => since.plus(self.patience(life)),
                _ => Moment::default(),
            };
            return self.wanted().then(|| self.life_due.max(earliest).max(now));
        };
        let overdue = self.strangers().map(|(life, since)| {
            let due = since.plus(self.patience(life));
            due.max(self.fences_due.get(&life.node).copied().unwrap_or_default())
        });
        let open = now < epoch.renewed.plus(self.lease);
        let claims = (open && self.claims_differ()).then_some(self.claims_due);
        let overdue = overdue.filter(|_| open);
        overdue.chain([self.life_due]).chain(claims).min().map(|due| due.max(now))
    }

    /// The addresses to answer for, while the fence is open.
    pub fn held(&self) -> &BTreeSet<IpAddr> {
        &self.held
    }

    /// Until when the fence is open; `None`: it is closed.
    pub fn fence(&self) -> Option<Moment> {
        self.epoch.as_ref().map(|epoch| epoch.renewed.plus(self.lease))
    }

    /// The own epoch; `None`: this node does not announce.
    pub fn epoch(&self) -> Option<&str> {
        self.epoch.as_ref().map(|epoch| epoch.name.as_str())
    }

    /// The nodes that announce, this one among them.
    pub fn members(&self) -> BTreeSet<&str> {
        self.lives.values().filter(|(life, _)| life.epoch.is_some()).map(|(life, _)| life.node.as_str()).collect()
    }

    /// The other nodes that announce, or did.
    pub fn others(&self) -> impl Iterator<Item = &Life> {
        self.lives.values().map(|(life, _)| life).filter(|life| life.node != self.own && !life.addresses.is_empty())
    }

    /// Who claims an address, of those that announce.
    pub fn claimants(&self, address: IpAddr) -> Vec<&str> {
        let has = self.claims.values().filter(|claims| claims.addresses.contains(&address) && self.is_alive(claims));
        has.map(|claims| claims.node.as_str()).collect()
    }

    /// The node that had an address last, if it let it go itself: it knows the connections, if it still is there.
    pub fn predecessor(&self, address: IpAddr) -> Option<&Life> {
        let node = self.let_go.get(&address).filter(|node| **node != self.own)?;
        self.lives.get(node).map(|(life, _)| life)
    }

    /// The last writes, one after the other, of a node that answers for nothing any more: it lets go, and leaves.
    pub fn farewell(&mut self) -> Vec<Write> {
        let claims = self.own_claims().filter(|claims| !claims.addresses.is_empty());
        let (version, sequence) = (claims.map(|claims| claims.version.clone()), self.tried.sequence + 1);
        let Some(Epoch { name: epoch, .. }) = self.epoch.take() else { return Vec::new() };
        self.held.clear();
        let nothing = version.is_some().then(|| Write::Claim {
            version,
            epoch: epoch.clone(),
            sequence,
            addresses: BTreeSet::new(),
        });
        nothing.into_iter().chain([Write::Leave { epoch }]).collect()
    }

    /// Notes who lets go what, before that is put into the records.
    fn note_let_go(&mut self, record: &Record) {
        let Some(had) = self.claims.get(record.node()).filter(|claims| self.is_alive(claims)) else { return };
        match record {
            Record::Claims(claims) => {
                let gone: Vec<IpAddr> = had.addresses.difference(&claims.addresses).copied().collect();
                self.let_go.extend(gone.into_iter().map(|address| (address, claims.node.clone())));
            }
            // It was silent: nobody knows what became of it.
            Record::Life(life) if life.epoch.as_ref() != Some(&had.epoch) => {
                self.let_go.retain(|address, _| !had.addresses.contains(address));
            }
            Record::Life(_) => {}
        }
    }

    fn put(&mut self, record: Record, now: Moment) {
        self.note_let_go(&record);
        match record {
            Record::Life(life) => {
                // The same version again, of a new list, is no new sign of life.
                let same = self.lives.get(&life.node).filter(|(held, _)| held.version == life.version);
                let since = same.map_or(now, |(_, since)| *since);
                self.lives.insert(life.node.clone(), (life, since));
            }
            Record::Claims(claims) => {
                let own = claims.node == self.own && self.epoch.as_ref().is_some_and(|e| e.name == claims.epoch);
                if own && claims.sequence == self.tried.sequence {
                    self.tried.common = None;
                    self.claims_due = Moment::default();
                    if !self.wanted() {
                        // It has let go, and leaves at once.
                        self.life_due = Moment::default();
                    }
                }
                self.claims.insert(claims.node.clone(), claims);
            }
        }
    }

    fn is_renewal(&self, life: &Life) -> bool {
        self.lives.get(&life.node).is_some_and(|(held, _)| held.epoch == life.epoch)
    }

    fn is_alive(&self, claims: &Claims) -> bool {
        self.lives.get(&claims.node).is_some_and(|(life, _)| life.epoch.as_ref() == Some(&claims.epoch))
    }

    /// Others with an epoch, and since when nothing newer was seen of each.
    fn strangers(&self) -> impl Iterator<Item = (&Life, Moment)> {
        let others = self.lives.values().filter(|(life, _)| life.node != self.own && life.epoch.is_some());
        others.map(|(life, since)| (life, *since))
    }

    /// How long nothing must have been seen of a node before its epoch is ended by this one. Those that announce take
    /// turns, so that not all of them write at once.
    fn patience(&self, life: &Life) -> Duration {
        let others = self.members().into_iter().filter(|node| *node != life.node);
        let rank = others.take_while(|node| *node != self.own).count();
        let turn = life.lease / 16;
        life.lease + MARGIN + turn * u32::try_from(rank.min(8)).unwrap_or(8)
    }

    fn wanted(&self) -> bool {
        let fits = self.epoch.is_none() || self.lease == self.chosen;
        self.admitted && !self.balanced.is_empty() && fits
    }

    /// Whether this node may answer for an address, as far as the address goes.
    fn may(&self, claim: &Claim) -> bool {
        self.wanted() && claim.only.as_ref().is_none_or(|only| only.contains(&self.own))
    }

    /// Other living claims of an address: whether there are any, and whether one goes before ours.
    fn rivals(&self, address: IpAddr) -> (bool, bool) {
        let others: Vec<&str> = self.claimants(address).into_iter().filter(|node| *node != self.own).collect();
        let all = others.iter().copied().chain([self.own.as_str()]);
        (!others.is_empty(), winner(address, all) != Some(self.own.as_str()))
    }

    /// What is held now: an address that is claimed, seen to be so, and disputed by none that goes before us.
    fn decide(&mut self) {
        let mut held = BTreeSet::new();
        if let Some(record) = self.own_claims() {
            let confirmed = |address: &IpAddr| {
                record.addresses.contains(address)
                    && self.tried.common.as_ref().is_none_or(|common| common.contains(address))
            };
            for claim in self.balanced.iter().filter(|claim| self.may(claim) && confirmed(&claim.address)) {
                let (any, better) = self.rivals(claim.address);
                if !better && (!any || self.held.contains(&claim.address)) {
                    held.insert(claim.address);
                }
            }
        }
        self.held = held;
        self.target = self.target();
    }

    fn own_claims(&self) -> Option<&Claims> {
        let epoch = self.epoch.as_ref()?;
        self.claims.get(&self.own).filter(|claims| claims.epoch == epoch.name)
    }

    /// The addresses that are to stand in the own claims.
    fn target(&self) -> BTreeSet<IpAddr> {
        let live = self.members();
        let elected = elect(&self.balanced, &live);
        let wins = |address: &IpAddr| elected.get(address) == Some(&self.own.as_str());
        // What is held and goes to another is held until that one claims it.
        self.balanced
            .iter()
            .filter(|claim| self.may(claim) && (wins(&claim.address) || self.held.contains(&claim.address)))
            .filter(|claim| !self.rivals(claim.address).1)
            .map(|claim| claim.address)
            .collect()
    }

    fn claims_differ(&self) -> bool {
        match self.own_claims() {
            Some(claims) => self.tried.common.is_some() || claims.addresses != self.target,
            None => !self.target.is_empty(),
        }
    }

    fn life_write(&mut self, now: Moment) -> Option<Write> {
        if now < self.life_due {
            return None;
        }
        if let Some(epoch) = &self.epoch {
            let open = now < epoch.renewed.plus(self.lease);
            if !(self.wanted() || open && self.claims_differ()) {
                let epoch = epoch.name.clone();
                self.epoch = None;
                self.decide();
                self.life_due = now.plus(RETRY);
                return Some(Write::Leave { epoch });
            }
            self.life_due = now.plus(self.lease / RENEWALS);
            return Some(Write::Renew);
        }
        if !self.wanted() {
            return None;
        }
        let version = match self.lives.get(&self.own) {
            // An epoch of an earlier process of this node, which may still live.
            Some((life, since)) if life.epoch.is_some() && now < since.plus(self.patience(life)) => return None,
            Some((life, _)) => Some(life.version.clone()),
            None => None,
        };
        self.epochs += 1;
        self.lease = self.chosen;
        self.life_due = now.plus(UNANSWERED);
        let epoch = format!("{:x}-{}", now.since(Moment::default()).as_nanos(), self.epochs);
        Some(Write::Join { version, epoch, lease: self.lease })
    }

    fn claim_write(&mut self, now: Moment) -> Option<Write> {
        if now < self.claims_due || !self.claims_differ() {
            return None;
        }
        let epoch = self.epoch.as_ref()?.name.clone();
        // A renewal that was too long ago: nothing new is begun, for it may have been ended.
        if self.fence().is_none_or(|until| now >= until) {
            return None;
        }
        let addresses = self.target.clone();
        let common = self.tried.common.take();
        self.tried = Tried {
            sequence: self.tried.sequence + 1,
            common: Some(common.map_or_else(|| addresses.clone(), |common| &common & &addresses)),
        };
        self.decide();
        self.claims_due = now.plus(UNANSWERED);
        let version = self.claims.get(&self.own).map(|claims| claims.version.clone());
        Some(Write::Claim { version, epoch, sequence: self.tried.sequence, addresses })
    }

    fn fence_writes(&mut self, now: Moment) -> Vec<Write> {
        // Who was stopped or cut off itself knows nothing of others' silence.
        if self.fence().is_none_or(|until| now >= until) {
            return Vec::new();
        }
        let overdue = |(life, since): &(&Life, Moment)| {
            now >= since.plus(self.patience(life)) && self.fences_due.get(&life.node).is_none_or(|due| now >= *due)
        };
        let late: Vec<(String, String)> =
            self.strangers().filter(overdue).map(|(life, _)| (life.node.clone(), life.version.clone())).collect();
        for (node, _) in &late {
            self.fences_due.insert(node.clone(), now.plus(UNANSWERED));
        }
        late.into_iter().map(|(node, version)| Write::Fence { node, version }).collect()
    }
}

impl Record {
    /// Whose it is.
    pub fn node(&self) -> &str {
        match self {
            Self::Life(life) => &life.node,
            Self::Claims(claims) => &claims.node,
        }
    }

    /// Which of the two.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Life(_) => Kind::Life,
            Self::Claims(_) => Kind::Claims,
        }
    }
}

#[cfg(test)]
mod tests;

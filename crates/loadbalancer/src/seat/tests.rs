//! A server and nodes in simulated time: requests, answers and events are late or lost, nodes are cut off, stopped and
//! started anew. Whatever happens, no two nodes ever answer for one address; and when it is over, one does for each.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const LEASE: Duration = Duration::from_millis(700);
const TICK: Duration = Duration::from_millis(10);
const NODES: [&str; 3] = ["a", "b", "c"];

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The API server: records, and every change in order.
#[derive(Default)]
struct Server {
    version: u64,
    lives: BTreeMap<String, Life>,
    claims: BTreeMap<String, Claims>,
    log: Vec<Record>,
}

impl Server {
    fn commit(&mut self, mut record: Record) -> Outcome {
        self.version += 1;
        let version = self.version.to_string();
        match &mut record {
            Record::Life(life) => {
                life.version = version;
                self.lives.insert(life.node.clone(), life.clone());
            }
            Record::Claims(claims) => {
                claims.version = version;
                self.claims.insert(claims.node.clone(), claims.clone());
            }
        }
        self.log.push(record.clone());
        Outcome::Written(record)
    }

    fn write(&mut self, from: &str, write: &Write) -> Outcome {
        let node = from.to_owned();
        match write {
            Write::Join { version, epoch, lease } => {
                if self.lives.get(from).map(|life| &life.version) != version.as_ref() {
                    return Outcome::Conflict;
                }
                let (epoch, lease) = (Some(epoch.clone()), *lease);
                let life = Life { node, epoch, lease, addresses: Vec::new(), version: String::new() };
                self.commit(Record::Life(life))
            }
            Write::Renew => match self.lives.get(from).cloned() {
                Some(life) => self.commit(Record::Life(life)),
                None => Outcome::Conflict,
            },
            Write::Leave { epoch } => match self.lives.get(from).cloned() {
                Some(life) if life.epoch.as_ref() == Some(epoch) => {
                    self.commit(Record::Life(Life { epoch: None, ..life }))
                }
                _ => Outcome::Conflict,
            },
            Write::Fence { node, version } => match self.lives.get(node).cloned() {
                Some(life) if life.version == *version => self.commit(Record::Life(Life { epoch: None, ..life })),
                _ => Outcome::Conflict,
            },
            Write::Claim { version, epoch, sequence, addresses } => {
                if self.claims.get(from).map(|claims| &claims.version) != version.as_ref() {
                    return Outcome::Conflict;
                }
                let (epoch, addresses) = (epoch.clone(), addresses.clone());
                self.commit(Record::Claims(Claims {
                    node,
                    epoch,
                    sequence: *sequence,
                    addresses,
                    version: String::new(),
                }))
            }
        }
    }

    fn all(&self) -> Vec<Record> {
        let lives = self.lives.values().cloned().map(Record::Life);
        lives.chain(self.claims.values().cloned().map(Record::Claims)).collect()
    }
}

/// A node with its own clock, and how its network and its process are.
struct Node {
    name: &'static str,
    seat: Seat,
    /// How often it was started.
    starts: u32,
    /// How far its clock is ahead.
    ahead: Duration,
    seen: usize,
    listed: bool,
    cut_until: Moment,
    stopped_until: Moment,
    watch_late_until: Moment,
}

/// A message on its way.
struct Flight {
    at: Moment,
    node: usize,
    /// Of which start of the node.
    start: u32,
    write: Write,
    sent: Moment,
    /// `None`: on the way to the server.
    outcome: Option<Outcome>,
}

struct World {
    now: Moment,
    dice: Dice,
    server: Server,
    nodes: Vec<Node>,
    flights: Vec<Flight>,
    balanced: Vec<Claim>,
}

impl World {
    fn new(seed: u64, addresses: u8) -> Self {
        let address = |n: u8| Claim { address: Ipv4Addr::new(10, 0, 0, n).into(), only: None };
        let balanced: Vec<Claim> = (0..addresses).map(address).collect();
        let mut world = Self {
            now: Moment::after_start(Duration::from_secs(10)),
            dice: Dice(seed | 1),
            server: Server::default(),
            nodes: Vec::new(),
            flights: Vec::new(),
            balanced,
        };
        for (i, name) in NODES.into_iter().enumerate() {
            let node = world.boot(name, Duration::from_secs(1000 * i as u64));
            world.nodes.push(node);
        }
        world
    }

    fn boot(&self, name: &'static str, ahead: Duration) -> Node {
        let mut seat = Seat::new(name.to_owned(), LEASE);
        seat.balance(self.balanced.clone());
        let (seen, listed) = (0, false);
        let never = Moment::default();
        Node {
            name,
            seat,
            starts: 0,
            ahead,
            seen,
            listed,
            cut_until: never,
            stopped_until: never,
            watch_late_until: never,
        }
    }

    fn balance(&mut self, balanced: Vec<Claim>) {
        for node in &mut self.nodes {
            node.seat.balance(balanced.clone());
        }
        self.balanced = balanced;
    }

    fn tick(&mut self) {
        self.now = self.now.plus(TICK);
        self.server_works();
        for i in 0..self.nodes.len() {
            if self.now >= self.nodes[i].stopped_until {
                self.node_works(i);
            }
        }
    }

    /// Requests arrive; their answers are sent.
    fn server_works(&mut self) {
        for mut flight in std::mem::take(&mut self.flights) {
            if flight.at > self.now || flight.outcome.is_some() {
                self.flights.push(flight);
                continue;
            }
            let outcome = self.server.write(self.nodes[flight.node].name, &flight.write);
            let lost = self.now < self.nodes[flight.node].cut_until;
            flight.at = self.now.plus(if lost { LEASE / 2 } else { Duration::from_millis(self.dice.below(30)) });
            flight.outcome = Some(if lost { Outcome::Unknown } else { outcome });
            self.flights.push(flight);
        }
    }

    fn node_works(&mut self, i: usize) {
        let (now, cut) = (self.now, self.now < self.nodes[i].cut_until);
        let own = now.plus(self.nodes[i].ahead);
        if !cut && now >= self.nodes[i].watch_late_until {
            let node = &mut self.nodes[i];
            if !node.listed || self.dice.below(400) == 0 {
                node.seat.see(Seen::All(self.server.all()), own);
                (node.listed, node.seen) = (true, self.server.log.len());
            }
            // As much as has come by now.
            let more = usize::try_from(self.dice.below(4)).unwrap();
            for _ in 0..more {
                let Some(record) = self.server.log.get(node.seen) else { break };
                node.seat.see(Seen::One(record.clone()), own);
                node.seen += 1;
            }
        }
        for flight in std::mem::take(&mut self.flights) {
            match &flight.outcome {
                Some(outcome) if flight.node == i && flight.at <= now => {
                    // Who asked may have been ended meanwhile.
                    if flight.start == self.nodes[i].starts {
                        self.nodes[i].seat.answered(&flight.write, flight.sent, outcome, own);
                    }
                }
                _ => self.flights.push(flight),
            }
        }
        for write in self.nodes[i].seat.writes(own) {
            let late = Duration::from_millis(self.dice.below(30));
            // One that is cut off does not know whether what it sends arrives; some of it does, much later.
            let (at, outcome) = match cut {
                true if self.dice.below(3) == 0 => (now.plus(Duration::from_millis(self.dice.below(3000))), None),
                true => (now.plus(LEASE / 2), Some(Outcome::Unknown)),
                false => (now.plus(late), None),
            };
            self.flights.push(Flight { at, node: i, start: self.nodes[i].starts, write, sent: own, outcome });
        }
    }

    /// Who would answer for an address now.
    fn owners(&self, address: IpAddr) -> Vec<&'static str> {
        let answers = |node: &&Node| {
            let open = node.seat.fence().is_some_and(|until| self.now.plus(node.ahead) < until);
            self.now >= node.stopped_until && open && node.seat.held().contains(&address)
        };
        self.nodes.iter().filter(answers).map(|node| node.name).collect()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for claim in &self.balanced {
            let owners = self.owners(claim.address);
            prop_assert!(owners.len() <= 1, "{} is answered for by {owners:?} at {:?}", claim.address, self.now);
        }
        Ok(())
    }

    fn run(&mut self, time: Duration) -> Result<(), TestCaseError> {
        let end = self.now.plus(time);
        while self.now < end {
            self.tick();
            self.check()?;
        }
        Ok(())
    }

    fn all_owned(&self) -> bool {
        self.balanced.iter().all(|claim| self.owners(claim.address).len() == 1)
    }

    /// Runs until each address has an owner; how long that took.
    fn until_owned(&mut self, limit: Duration) -> Result<Duration, TestCaseError> {
        let begin = self.now;
        while !self.all_owned() {
            self.tick();
            self.check()?;
            prop_assert!(self.now.since(begin) < limit, "not all have an owner");
        }
        Ok(self.now.since(begin))
    }
}

/// What befalls a node.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Cut,
    Stop,
    WatchLate,
    Restart,
    Services,
}

fn blows() -> impl Strategy<Value = Vec<(Blow, usize, u64, u64)>> {
    let blow = prop_oneof![
        Just(Blow::Cut),
        Just(Blow::Stop),
        Just(Blow::WatchLate),
        Just(Blow::Restart),
        Just(Blow::Services)
    ];
    prop::collection::vec((blow, 0..NODES.len(), 5..2500_u64, 0..1200_u64), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_two_ever_answer_for_one_address(seed in any::<u64>(), blows in blows()) {
        let mut world = World::new(seed, 6);
        let everything = world.balanced.clone();
        world.run(Duration::from_millis(seed % 600))?;
        for (blow, i, length, wait) in blows {
            let until = world.now.plus(Duration::from_millis(length));
            match blow {
                Blow::Cut => world.nodes[i].cut_until = until,
                Blow::Stop => world.nodes[i].stopped_until = until,
                Blow::WatchLate => world.nodes[i].watch_late_until = until,
                Blow::Restart => {
                    // What the process that ended has sent may still arrive; nobody hears the answer.
                    let Node { name, ahead, starts, cut_until, .. } = world.nodes[i];
                    world.nodes[i] = Node { starts: starts + 1, cut_until, ..world.boot(name, ahead) };
                }
                Blow::Services => {
                    let some = everything.iter().filter(|_| world.dice.below(2) == 0).cloned();
                    let mut some: Vec<Claim> = some.collect();
                    for claim in &mut some {
                        claim.only = (length % 3 == 0).then(|| BTreeSet::from([NODES[i].to_owned()]));
                    }
                    world.balance(some);
                }
            }
            world.run(Duration::from_millis(wait))?;
        }
        let healed = Moment::default();
        for node in &mut world.nodes {
            (node.cut_until, node.stopped_until, node.watch_late_until) = (healed, healed, healed);
        }
        world.balance(everything);
        world.run(Duration::from_secs(8))?;
        let nodes = NODES.into_iter().collect();
        for (address, node) in elect(&world.balanced, &nodes) {
            prop_assert_eq!(world.owners(address), vec![node]);
        }
    }

    #[test]
    fn what_a_dead_node_had_is_taken_over_soon(seed in any::<u64>(), dead in 0..NODES.len()) {
        let mut world = World::new(seed, 9);
        world.until_owned(Duration::from_secs(3))?;
        world.run(Duration::from_secs(2) + Duration::from_millis(seed % 200))?;
        world.nodes[dead].stopped_until = world.now.plus(Duration::from_secs(3600));
        let taken = world.until_owned(Duration::from_secs(5))?;
        prop_assert!(taken < Duration::from_millis(1000), "{taken:?}");
    }
}

#[test]
fn a_node_that_leaves_is_succeeded_at_once() {
    let mut world = World::new(7, 9);
    world.until_owned(Duration::from_secs(3)).unwrap();
    world.run(Duration::from_secs(2)).unwrap();
    world.nodes[0].seat.admit(false);
    assert!(world.nodes[0].seat.held().is_empty());
    let gap = world.until_owned(Duration::from_secs(3)).unwrap();
    assert!(gap < Duration::from_millis(300), "{gap:?}");
    assert_eq!(world.nodes[1].seat.members(), BTreeSet::from(["b", "c"]));
}

/// The addresses that a node holds, and whom it has each from.
fn held_from(world: &World, node: usize) -> Vec<(IpAddr, Option<&str>)> {
    let seat = &world.nodes[node].seat;
    let from = |address: &IpAddr| seat.predecessor(*address).map(|life| life.node.as_str());
    seat.held().iter().map(|address| (*address, from(address))).collect()
}

#[test]
fn who_follows_knows_whom_if_that_one_let_go_itself() {
    for leaves in [true, false] {
        let mut world = World::new(7, 9);
        world.until_owned(Duration::from_secs(3)).unwrap();
        world.run(Duration::from_secs(2)).unwrap();
        let lost = world.nodes[0].seat.held().clone();
        assert!(!lost.is_empty());
        if leaves {
            world.nodes[0].seat.admit(false);
        } else {
            world.nodes[0].stopped_until = world.now.plus(Duration::from_secs(3));
        }
        world.run(Duration::from_secs(2)).unwrap();
        for (address, from) in [held_from(&world, 1), held_from(&world, 2)].concat() {
            let wanted = (leaves && lost.contains(&address)).then_some("a");
            assert_eq!(from, wanted, "{address}");
        }
        // What it has again is passed on by those who had it meanwhile, whatever became of it.
        world.nodes[0].seat.admit(true);
        world.run(Duration::from_secs(4)).unwrap();
        let again = held_from(&world, 0);
        assert_eq!(again.len(), lost.len());
        assert!(again.iter().all(|(_, from)| matches!(from, Some("b" | "c"))), "{again:?}");
    }
}

#[test]
fn a_lease_of_another_length_is_the_next_epochs() {
    let mut world = World::new(7, 9);
    world.until_owned(Duration::from_secs(3)).unwrap();
    let longer = LEASE * 3;
    world.nodes.iter_mut().for_each(|node| node.seat.lease(longer));
    world.run(Duration::from_secs(4)).unwrap();
    assert!(world.all_owned());
    assert!(world.server.lives.values().all(|life| life.lease == longer));
}

#[test]
fn a_farewell_lets_go_and_leaves() {
    let mut world = World::new(7, 9);
    world.until_owned(Duration::from_secs(3)).unwrap();
    world.run(Duration::from_secs(2)).unwrap();
    let writes = world.nodes[0].seat.farewell();
    assert!(matches!(&writes[..], [Write::Claim { addresses, .. }, Write::Leave { .. }] if addresses.is_empty()));
    for write in &writes {
        assert!(matches!(world.server.write("a", write), Outcome::Written(_)), "{write:?}");
    }
    assert!(world.nodes[0].seat.held().is_empty() && world.nodes[0].seat.farewell().is_empty());
}

#[test]
fn nobody_writes_anything_when_there_is_nothing_to_announce() {
    let mut world = World::new(7, 0);
    world.run(Duration::from_secs(3)).unwrap();
    assert_eq!(world.server.version, 0);
    for node in &world.nodes {
        assert_eq!(node.seat.due(world.now), None);
    }
}

//! What is chosen about routers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use crate::bfd::Timers;
use crate::bgp::PORT;
use crate::selector::Selector;

/// The hold time if none is said (RFC 4271, 10).
const HOLD: u16 = 90;
/// The longest key that the kernel signs with.
const LONGEST_PASSWORD: usize = 80;
/// The shortest and longest times of BFD, in milliseconds: a process is not woken much more exactly.
const BFD_TIMES: std::ops::RangeInclusive<u32> = 10..=60_000;

/// Which routers are told, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bgp {
    /// The own AS number.
    pub asn: u32,
    /// The prefix length at which addresses are announced, of IPv4 and IPv6.
    pub aggregation: (u8, u8),
    /// The routers.
    pub peers: Vec<Router>,
}

/// A router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its AS number.
    pub asn: u32,
    /// Without a word for so long, a session is over.
    pub hold: Duration,
    /// Whether it begins the session.
    pub passive: bool,
    /// Over how many hops it is reached.
    pub hops: u8,
    /// What signs the session.
    pub password: Option<String>,
    /// The Secret in `kube-system` that has it, and the key there.
    pub password_secret: Option<(String, String)>,
    /// For how many seconds it keeps routes when the session breaks.
    pub restart: Option<u16>,
    /// How much the routes are liked, within the own AS.
    pub preference: Option<u32>,
    /// Communities of the routes.
    pub communities: Vec<u32>,
    /// BFD beside the session.
    pub bfd: Option<Timers>,
    /// Which nodes speak to it, by their labels.
    pub node_selector: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wire {
    #[serde(rename = "as")]
    asn: u32,
    #[serde(default = "all_of_v4")]
    aggregation_length: u8,
    #[serde(default = "all_of_v6", rename = "aggregationLengthV6")]
    aggregation_length_v6: u8,
    peers: Vec<WirePeer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WirePeer {
    address: IpAddr,
    #[serde(rename = "as")]
    asn: u32,
    #[serde(default = "port")]
    port: u16,
    #[serde(default = "hold")]
    hold_time: u16,
    #[serde(default)]
    passive: bool,
    #[serde(default = "one")]
    hops: u8,
    password: Option<String>,
    password_secret: Option<WireSecret>,
    graceful_restart: Option<u16>,
    local_preference: Option<u32>,
    #[serde(default)]
    communities: Vec<String>,
    bfd: Option<WireBfd>,
    node_selector: Option<Selector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireSecret {
    pub name: String,
    pub key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WireBfd {
    transmit_milliseconds: u32,
    receive_milliseconds: u32,
    multiplier: u8,
}

impl Default for WireBfd {
    fn default() -> Self {
        Self { transmit_milliseconds: 100, receive_milliseconds: 100, multiplier: 3 }
    }
}

fn all_of_v4() -> u8 {
    32
}

fn all_of_v6() -> u8 {
    128
}

fn port() -> u16 {
    PORT
}

fn hold() -> u16 {
    HOLD
}

fn one() -> u8 {
    1
}

impl Wire {
    pub(super) fn check(self, mistakes: &mut Vec<String>) -> Bgp {
        let mut wrong = |why: String| mistakes.push(format!("bgp: {why}"));
        if self.asn == 0 {
            wrong("as: 0 is no AS number".to_owned());
        }
        if self.aggregation_length > 32 || self.aggregation_length_v6 > 128 {
            wrong("aggregationLength is at most 32, aggregationLengthV6 at most 128".to_owned());
        }
        let peers: Vec<Router> = self.peers.into_iter().map(|peer| peer.check(mistakes)).collect();
        for (i, peer) in peers.iter().enumerate() {
            if peers[..i].iter().any(|other| other.address == peer.address) {
                mistakes.push(format!("bgp: two peers are {}", peer.address));
            }
        }
        Bgp { asn: self.asn, aggregation: (self.aggregation_length, self.aggregation_length_v6), peers }
    }
}

impl WirePeer {
    fn check(self, mistakes: &mut Vec<String>) -> Router {
        let name = self.address;
        let mut wrong = |why: String| mistakes.push(format!("bgp: peer {name}: {why}"));
        if self.asn == 0 {
            wrong("as: 0 is no AS number".to_owned());
        }
        if matches!(self.hold_time, 1 | 2) {
            wrong("holdTime is at least 3 seconds, or 0 for never".to_owned());
        }
        if self.hops == 0 {
            wrong("hops is at least 1".to_owned());
        }
        if self.password.as_ref().is_some_and(|password| password.is_empty() || password.len() > LONGEST_PASSWORD) {
            wrong(format!("password has 1 to {LONGEST_PASSWORD} bytes"));
        }
        if self.password.is_some() && self.password_secret.is_some() {
            wrong("password and passwordSecret say the same: give one".to_owned());
        }
        if self.passive && self.port != PORT {
            wrong(format!("port is that of a router that is spoken to; one that begins comes to {PORT} (passive)"));
        }
        if self.graceful_restart.is_some_and(|seconds| seconds > 4095) {
            wrong("gracefulRestart is at most 4095 seconds".to_owned());
        }
        let times = self.bfd.iter().flat_map(|bfd| [bfd.transmit_milliseconds, bfd.receive_milliseconds]);
        if times.into_iter().any(|time| !BFD_TIMES.contains(&time)) {
            let (from, to) = (BFD_TIMES.start(), BFD_TIMES.end());
            wrong(format!("bfd: transmitMilliseconds and receiveMilliseconds are at least {from} and at most {to}"));
        }
        if self.bfd.as_ref().is_some_and(|bfd| bfd.multiplier == 0) {
            wrong("bfd: multiplier is at least 1".to_owned());
        }
        let time = |milliseconds: u32| Duration::from_millis(milliseconds.into());
        let bfd = self.bfd.as_ref().map(|bfd| Timers {
            transmit: time(bfd.transmit_milliseconds),
            receive: time(bfd.receive_milliseconds),
            multiplier: bfd.multiplier,
        });
        let mut communities = Vec::new();
        for text in &self.communities {
            match community(text) {
                Some(community) => communities.push(community),
                None => wrong(format!("{text:?} is no community: give AS:VALUE, each at most 65535")),
            }
        }
        self.node_selector.iter().flat_map(Selector::mistakes).for_each(|why| wrong(format!("nodeSelector: {why}")));
        Router {
            address: SocketAddr::new(self.address, self.port),
            asn: self.asn,
            hold: Duration::from_secs(self.hold_time.into()),
            passive: self.passive,
            hops: self.hops,
            password: self.password,
            password_secret: self.password_secret.map(|secret| {
                let key = secret.key.unwrap_or_else(|| "password".to_owned());
                (secret.name, key)
            }),
            restart: self.graceful_restart,
            preference: self.local_preference,
            communities,
            bfd,
            node_selector: self.node_selector,
        }
    }
}

fn community(text: &str) -> Option<u32> {
    let (asn, value) = text.split_once(':')?;
    let (asn, value): (u16, u16) = (asn.parse().ok()?, value.parse().ok()?);
    Some(u32::from(asn) << 16 | u32::from(value))
}

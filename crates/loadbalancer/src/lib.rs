//! Load-balancer address pools and their announcement.
//!
//! Reading order:
//! 1. [`pool`]: which addresses there are, and who has which.
//! 2. [`election`]: which node announces which address.
//! 3. [`arp`]: the packets that say where an address is.
//! 4. `claims`: what a node announces, and when. Pure, as all before.
//! 5. [`announcer`]: does it, on an interface.

pub mod announcer;
pub mod arp;
mod claims;
pub mod election;
pub mod pool;

pub use announcer::{AnnounceError, Announcer, Counters, Interface};

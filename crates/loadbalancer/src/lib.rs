//! Load-balancer address pools and their announcement.
//!
//! Reading order:
//! 1. [`pool`]: ranges of addresses; [`settings`]: the pools, for whom they are ([`selector`]), and who announces.
//! 2. [`book`]: who has which address.
//! 3. [`election`]: which node announces which address. [`seat`]: when it may; [`fence`]: until when.
//! 4. [`arp`] and [`ndp`]: the packets that say where an address is; `packet`: either of them.
//! 5. `claims`: what a node announces, and when; `watched`: what it asks others for. Pure, as all before but the fence's
//!    clock.
//! 6. [`announcer`]: does it, on an interface. [`report`]: what a node says of it.
//! 7. [`bgp`]: addresses are announced to routers; [`bfd`]: whether these are there.

pub mod announcer;
pub mod arp;
pub mod bfd;
pub mod bgp;
pub mod book;
mod claims;
pub mod election;
pub mod fence;
pub mod ndp;
mod packet;
pub mod pool;
pub mod report;
pub mod seat;
pub mod selector;
pub mod settings;
mod watched;

pub use announcer::{AnnounceError, Announcer, Counters, Interface};

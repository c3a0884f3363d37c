//! nf_tables and conntrack over netlink: typed objects, batches, dumps. Knows nothing of Services.
//!
//! Reading order:
//! 1. [`value`]: what registers and map keys hold, byte by byte, and how nft calls such types.
//! 2. [`table`], [`chain`], [`verdict`]: where rules live and how they end.
//! 3. [`expr`] and [`rule`]: the instructions of the kernel's small machine; rules print as nft prints them.
//! 4. [`set`] and [`element`]: sets, maps and what is in them.
//! 5. [`operation`] and [`batch`]: what a transaction is made of.
//! 6. [`socket`]: the door to the kernel; [`commit`] and [`dump`] say what may fail there, [`monitor`] who else changed
//!    something. `netlink` and `wire` are the format, `encode` and `decode` objects in it.
//! 7. [`conntrack`]: the connections that the rules have made.
//!
//! Up to 5 everything is a plain value: comparable, printable, made without privileges.

pub mod batch;
pub mod chain;
pub mod commit;
pub mod conntrack;
mod decode;
pub mod dump;
pub mod element;
mod encode;
pub mod expr;
pub mod monitor;
mod netlink;
pub mod operation;
pub mod rule;
pub mod set;
pub mod socket;
pub mod table;
mod text;
mod userdata;
pub mod value;
pub mod verdict;
mod wire;

pub use batch::Batch;
pub use chain::{BaseChain, Chain, ChainType, Hook, Policy};
pub use commit::{CommitError, Committed, Refusal};
pub use conntrack::{Conntrack, ConntrackError};
pub use decode::DecodeError;
pub use dump::{DumpError, Listed};
pub use element::{Counter, Data, Element, Role};
pub use encode::EncodeError;
pub use expr::{Expr, Field, Register};
pub use monitor::{Change, Heard, Monitor, Notification};
pub use netlink::SocketError;
pub use operation::{Object, ObjectId, Operation};
pub use rule::Rule;
pub use set::{Set, SetData, SetFlags};
pub use socket::Socket;
pub use table::{Family, Table, TableId};
pub use value::{Type, Value};
pub use verdict::Verdict;

//! nf_tables and conntrack over netlink: typed objects, batches, dumps. Knows nothing of Services.
//!
//! Reading order:
//! 1. [`value`]: what registers and map keys hold, byte by byte, and how nft calls such types.
//! 2. [`table`], [`chain`], [`verdict`]: where rules live and how they end.
//! 3. [`expr`] and [`rule`]: the instructions of the kernel's small machine; rules print as nft prints them.
//! 4. [`set`] and [`element`]: sets, maps and what is in them.
//! 5. [`operation`] and [`batch`]: what a transaction is made of.
//!
//! Everything here is a plain value: comparable, printable, made without privileges.

pub mod batch;
pub mod chain;
pub mod element;
pub mod expr;
pub mod operation;
pub mod rule;
pub mod set;
pub mod table;
mod text;
pub mod value;
pub mod verdict;

pub use batch::Batch;
pub use chain::{BaseChain, Chain, ChainType, Hook, Policy};
pub use element::{Data, Element, Role};
pub use expr::{Expr, Field, Register};
pub use operation::{Object, ObjectId, Operation};
pub use rule::Rule;
pub use set::{Set, SetData, SetFlags};
pub use table::{Family, Table, TableId};
pub use value::{Type, Value};
pub use verdict::Verdict;

//! From Services to the rules of a node's kernel.
//!
//! In reading order, which is the order in which a change travels:
//! 1. [`model`]: what the node must know, changed in place.
//! 2. [`route`]: which endpoints serve which traffic; every policy is decided here, and nowhere else.
//! 3. [`compile`]: routes become rules and elements, typed and printable.
//! 4. [`ruleset`] and [`trace`]: rules as plain values, and what becomes of a packet that meets them.
//! 5. [`plan`]: rules wanted − rules held = changes.
//! 6. [`backend`]: the kernel, or a rule set in memory: the only IO. [`flows`]: UDP connections that must end with it.
//! 7. [`counters`]: what came of it, Service by Service.
//! 8. [`dataplane`]: all of it behind one door.

pub mod backend;
pub mod compile;
pub mod counters;
pub mod dataplane;
pub mod flows;
pub mod model;
pub mod plan;
pub mod route;
pub mod ruleset;
pub mod trace;

pub use backend::Backend;
pub use compile::{Config, ConfigError};
pub use counters::ServiceCounters;
pub use dataplane::{Dataplane, FlowsReport, Mended, Phases, Refusal, SyncError, SyncReport};
pub use model::{Family, Model, NamespacedName, Node, Problem};

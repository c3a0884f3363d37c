//! The Kubernetes API over HTTPS: who, may they, decode, validate, commit, watch.
//!
//! A [`Server`] is started with a [`Config`]. A request travels through these modules, in this order:
//!
//! 1. `https` takes the connection; [`handler`] answers the request, whatever happens, when it is its user's turn
//!    (`fairness`), counts it (`metrics`) and writes it down ([`audit`]).
//! 2. [`authn`] finds out who asks ([`identity`], `impersonation`), `authz` whether they may; `request` is what they
//!    ask, `query` its parameters, `negotiate` the form they take it in.
//! 3. `routes` finds the code: `health`, `version`, `discovery` and `documents` ([`openapi`]), `reviews`; for objects
//!    `verbs`, one file each (`events` shows some otherwise), and `subresources`; some of them, and `proxy`, ask `nodes` and Pods, and `relay` what is said.
//!    `websocket` tells what a watch tells to programs in browsers.
//! 4. A read comes from the `cache`, which holds every object once, encoded; [`selector`]s select, `show` shows.
//! 5. A write is a document: read ([`body`], `protobuf`), made of the old one ([`patch`]), owned
//!    ([`managed_fields`], `ownership`), let in (`admission`), given its defaults and checked by its kind (crate `kinds`),
//!    given addresses and ports if it is a Service (`alloc`), and committed to the store (`api`, `keys`) in one transaction. It
//!    is answered when the cache has it.
//! 6. [`response`] is the answer, [`status`] a refusal.
//!
//! Beside that, `bootstrap` makes and keeps what every cluster has, `expiry` forgets old events, [`pki`] is the
//! cluster's certificate authority and has the keys that seal Secrets (`resealing` with new ones), and `operations` are
//! backups and the like.

pub mod audit;
pub mod authn;
pub mod body;
pub mod config;
pub mod handler;
pub mod identity;
pub mod managed_fields;
pub mod openapi;
pub mod patch;
pub mod pki;
pub mod protobuf;
pub mod response;
pub mod selector;
pub mod server;
pub mod status;

mod admission;
mod aggregation;
mod alloc;
mod api;
mod authz;
mod bootstrap;
mod cache;
mod clock;
mod discovery;
mod documents;
mod events;
mod expiry;
mod fairness;
mod front;
mod go_text;
mod health;
mod https;
mod impersonation;
mod keys;
mod metrics;
mod negotiate;
mod node_restriction;
mod nodes;
mod operations;
mod ownership;
mod proxy;
mod query;
mod quota;
mod recount;
mod relay;
mod repair;
mod request;
mod resealing;
mod resources;
mod reviews;
mod routes;
mod show;
mod subresources;
mod turns;
mod verbs;
mod version;
mod websocket;

pub use authn::tokens::StaticToken;
pub use cache::CacheError;
pub use config::{Config, RangesError, ServiceRanges};
pub use handler::Handler;
pub use https::ListenError;
pub use identity::User;
pub use response::Body;
pub use server::{Server, StartError};
pub use status::Status;

//! The Kubernetes API over HTTPS: who, may they, decode, validate, commit, watch.
//!
//! A request travels through these modules, in this order: [`https`](crate::server) takes the connection, `handler`
//! asks who it is (`authn`) and whether they may (`authz`), `routes` finds the code, `verbs` has one file for each
//! verb. Reads come from the `cache`, which holds every object once, encoded. A write is a document that is decoded,
//! given its defaults and checked by its kind (crate `kinds`), allocated for if it is a Service (`alloc`), and
//! committed to the store in one transaction; it is answered when the cache has it.

pub mod authn;
pub mod body;
pub mod config;
pub mod handler;
pub mod identity;
pub mod managed_fields;
pub mod patch;
pub mod pki;
pub mod response;
pub mod selector;
pub mod server;
pub mod status;

mod admission;
mod alloc;
mod api;
mod authz;
mod bootstrap;
mod cache;
mod clock;
mod discovery;
mod expiry;
mod front;
mod go_text;
mod health;
mod https;
mod impersonation;
mod keys;
mod negotiate;
mod ownership;
mod protobuf;
mod query;
mod request;
mod resources;
mod reviews;
mod routes;
mod show;
mod subresources;
mod verbs;
mod version;

pub use authn::tokens::StaticToken;
pub use cache::CacheError;
pub use config::Config;
pub use handler::Handler;
pub use https::ListenError;
pub use identity::User;
pub use response::Body;
pub use server::{Server, StartError};
pub use status::Status;

//! The life of a cluster: started, ended, killed, started again, beside another one, without its server. Each test runs
//! the real binary on a machine of its own ([`host`]), on which nothing may be left.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what it could not do")]

mod host;

mod background;
mod ends;
mod loss;
mod nodes;
mod programmed;
mod server_alone;
mod side_by_side;
mod starts;

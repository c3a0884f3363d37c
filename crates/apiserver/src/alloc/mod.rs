//! Allocation for Services: families, cluster IPs, node ports, health-check node ports, in this order.
//!
//! Nothing is taken here. What a Service needs is written into its document, and what it takes and gives back is
//! answered as [`Claims`], which are committed together with it: when the commit fails, nothing was taken.
//!
//! In reading order: [`claims`], [`addresses`] and [`ports`] (pure), `service` (what a Service needs).

mod addresses;
pub(crate) mod claims;
mod ports;
mod service;
#[cfg(test)]
mod tests;

pub(crate) use service::{create, release, update};

//! The load balancer's addresses, for whoever announces them.

use dataplane::model::{self, Model};
use dataplane::{SyncError, SyncReport};
use tokio::sync::watch;

use super::listener::Listener;
use crate::addresses::{Addresses, BalancedAddresses};
use crate::follow::ObjectKey;
use crate::views::{EndpointSlice, Service};

/// Tells which addresses are balanced each time that they change, after the kernel knows them.
#[derive(Debug)]
pub struct Balanced {
    addresses: BalancedAddresses,
    tell: watch::Sender<Addresses>,
}

impl Balanced {
    /// With none yet.
    pub fn new(tell: watch::Sender<Addresses>) -> Self {
        Self { addresses: BalancedAddresses::default(), tell }
    }
}

impl Listener for Balanced {
    fn set_service(&mut self, key: &ObjectKey, _: &Service, traffic: Option<&model::Service>) {
        match traffic {
            Some(traffic) => self.addresses.set_service(key, traffic),
            None => self.addresses.remove_service(key),
        }
    }

    fn remove_service(&mut self, key: &ObjectKey) {
        self.addresses.remove_service(key);
    }

    fn set_slice(&mut self, key: &ObjectKey, _: &EndpointSlice, traffic: Option<&model::EndpointSlice>) {
        match traffic {
            Some(traffic) => self.addresses.set_slice(key, traffic),
            None => self.addresses.remove_slice(key),
        }
    }

    fn remove_slice(&mut self, key: &ObjectKey) {
        self.addresses.remove_slice(key);
    }

    fn synced(&mut self, _: &Result<SyncReport, SyncError>, _: &Model) {
        let now = self.addresses.snapshot();
        self.tell.send_if_modified(|held| {
            let changed = *held != now;
            if changed {
                *held = now;
            }
            changed
        });
    }
}

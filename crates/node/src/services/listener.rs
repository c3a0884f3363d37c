//! Who follows Services beside the kernel.

use std::time::Duration;

use dataplane::model::{self, Model, NamespacedName};
use dataplane::{Phases, SyncError, SyncReport};

use crate::follow::ObjectKey;
use crate::views::{EndpointSlice, Service};

/// How a start went: when which part of it was done, and how long the first sync took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Since the server was asked for the lists: until all Services were there.
    pub services: Duration,
    /// The same of slices.
    pub slices: Duration,
    /// Until all that was listed was taken over.
    pub taken: Duration,
    /// Until it was in the kernel.
    pub programmed: Duration,
    /// The first sync.
    pub sync: Phases,
}

/// Somebody who is told of Services and slices as they come, and of each time that the kernel was told of them. What is
/// not of interest need not be written down: every call does nothing by default. None may wait for anything: the
/// kernel is told after them.
pub trait Listener: Send {
    /// A Service is there; `traffic` is what the kernel is told of it, `None` for an ExternalName.
    fn set_service(&mut self, key: &ObjectKey, service: &Service, traffic: Option<&model::Service>) {
        let _ = (key, service, traffic);
    }

    /// A Service is gone.
    fn remove_service(&mut self, key: &ObjectKey) {
        let _ = key;
    }

    /// A slice is there; `traffic` is what the kernel is told of it, `None` where it belongs to no Service or holds
    /// names instead of addresses.
    fn set_slice(&mut self, key: &ObjectKey, slice: &EndpointSlice, traffic: Option<&model::EndpointSlice>) {
        let _ = (key, slice, traffic);
    }

    /// A slice is gone.
    fn remove_slice(&mut self, key: &ObjectKey) {
        let _ = key;
    }

    /// The endpoints of a Service may have changed: a slice of it came, changed or went. The Service itself need not be
    /// there.
    fn touched(&mut self, service: &NamespacedName) {
        let _ = service;
    }

    /// Whether namespaces are of interest. Nobody asks the API for them when they are not.
    fn wants_namespaces(&self) -> bool {
        false
    }

    /// A namespace is there.
    fn set_namespace(&mut self, name: &str) {
        let _ = name;
    }

    /// A namespace is gone.
    fn remove_namespace(&mut self, name: &str) {
        let _ = name;
    }

    /// Everything has been listed once; said again each time before the kernel is told.
    fn listed(&mut self) {}

    /// The kernel was told of everything for the first time.
    fn started(&mut self, start: &Start) {
        let _ = start;
    }

    /// The kernel was told, and answered so.
    fn synced(&mut self, done: &Result<SyncReport, SyncError>, model: &Model) {
        let _ = (done, model);
    }
}

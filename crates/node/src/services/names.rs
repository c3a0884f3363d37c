//! The names of Services, for the node's DNS.

use std::sync::Arc;

use dataplane::model;
use dns::Index;

use super::listener::Listener;
use super::to_dns;
use crate::follow::ObjectKey;
use crate::views::{EndpointSlice, Service};

/// Keeps the DNS index true. Until everything was listed once it knows that it does not know all.
#[derive(Debug)]
pub struct Names(pub Arc<Index>);

impl Listener for Names {
    fn set_service(&mut self, key: &ObjectKey, service: &Service, _: Option<&model::Service>) {
        if let Err(error) = self.0.set_service(&to_dns::service(service)) {
            tracing::warn!(namespace = key.0, service = key.1, %error, "a Service cannot be named in DNS");
            self.0.remove_service(&key.0, &key.1);
        }
    }

    fn remove_service(&mut self, key: &ObjectKey) {
        self.0.remove_service(&key.0, &key.1);
    }

    fn set_slice(&mut self, key: &ObjectKey, slice: &EndpointSlice, _: Option<&model::EndpointSlice>) {
        match to_dns::slice(slice) {
            Some(record) => {
                if let Err(error) = self.0.set_slice(&record) {
                    tracing::warn!(namespace = key.0, slice = key.1, %error, "a slice's Service cannot be named in DNS");
                }
            }
            None => self.0.remove_slice(&key.0, &key.1),
        }
    }

    fn remove_slice(&mut self, key: &ObjectKey) {
        self.0.remove_slice(&key.0, &key.1);
    }

    fn wants_namespaces(&self) -> bool {
        true
    }

    fn set_namespace(&mut self, name: &str) {
        if let Err(error) = self.0.set_namespace(name) {
            tracing::warn!(namespace = name, %error, "a namespace cannot be named in DNS");
        }
    }

    fn remove_namespace(&mut self, name: &str) {
        self.0.remove_namespace(name);
    }

    fn listed(&mut self) {
        self.0.set_synced(true);
    }
}

//! A Corefile that changes while the service runs.
//!
//! What is new is prepared beside what runs, and then takes its place: no question is dropped, and none is answered by
//! an index that does not know every name yet. What needs other ports is refused; a Corefile with a mistake changes
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use dns::Server;
use dns::corefile::Corefile;
use dns::service::{CorefileOnDisk, Pieces};
use kube::Client;
use rand::Rng as _;

use super::contact::Contact;
use super::http::Status;
use super::{Beside, DnsError, Names};

/// How often it is looked whether a new index knows every name.
const SYNC_POLL: Duration = Duration::from_millis(50);

/// What runs.
pub(super) struct Running {
    pub(super) whole: Corefile,
    pub(super) file: Option<CorefileOnDisk>,
    pub(super) beside: Beside,
    pub(super) pieces: Pieces,
    pub(super) names: Names,
    pub(super) client: Option<Client>,
    pub(super) contact: Arc<Contact>,
}

impl Running {
    /// Follows the Corefile for ever, where that is wanted.
    pub(super) async fn follow_file(&mut self, server: &Server, status: &Status) {
        loop {
            let Some(reload) = self.whole.reload.filter(|_| self.file.is_some()) else {
                return std::future::pending().await;
            };
            let jitter = reload.jitter.mul_f64(rand::rng().random_range(0.0..=1.0));
            tokio::time::sleep(reload.interval + jitter).await;
            let changed = self.file.as_mut().map_or(Ok(None), CorefileOnDisk::changed);
            let taken = match changed {
                Ok(None) => continue,
                Ok(Some(whole)) => self.take(whole, server).await,
                Err(error) => Err(DnsError::Corefile(error)),
            };
            match taken {
                Ok(()) => tracing::info!("the Corefile has changed, and is followed"),
                Err(error) => {
                    status.count_failed_reload();
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the Corefile has changed and cannot be followed: all stays as it was");
                }
            }
        }
    }

    /// Lets what a Corefile says take the place of what runs.
    async fn take(&mut self, mut whole: Corefile, server: &Server) -> Result<(), DnsError> {
        self.beside.apply(&mut whole);
        let (new, old) = (&whole.config, &self.whole.config);
        let kubeconfig = |config: &dns::config::Config| config.cluster.as_ref().map(|held| held.kubeconfig.clone());
        if kubeconfig(new) != kubeconfig(old) {
            return Err(DnsError::OtherApi);
        }
        let ports = |config: &dns::config::Config| {
            (config.server.listen.clone(), config.server.workers, config.health, config.ready, config.metrics)
        };
        if ports(new) != ports(old) {
            return Err(DnsError::OtherPorts);
        }
        let pieces = self.pieces.after(&whole)?;
        let names = if new.cluster == old.cluster {
            None
        } else {
            Some(Names::follow(new.cluster.as_ref(), self.client.as_ref(), &self.contact)?)
        };
        if let Some(index) = names.as_ref().and_then(Names::index) {
            while !index.is_synced() {
                tokio::time::sleep(SYNC_POLL).await;
            }
        }
        let index = names.as_ref().unwrap_or(&self.names).index();
        server.set_sources(pieces.sources(&whole, index))?;
        (self.whole, self.pieces) = (whole, pieces);
        if let Some(names) = names {
            self.names = names;
        }
        Ok(())
    }
}

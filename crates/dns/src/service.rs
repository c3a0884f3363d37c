//! What a service answers from besides the cluster's names, made from a Corefile and kept over a reload where nothing
//! changed: a cache stays warm, a log goes on, a file is not read anew.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::corefile::{self, Corefile, Mistake};
use crate::forward::{Forwarder, ForwarderConfigError, Settings};
use crate::hosts::{self, Hosts};
use crate::index::Index;
use crate::querylog::{self, QueryLog, QueryLogError};
use crate::rewrite::Rewriter;
use crate::server::Sources;

/// What is configured cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Upstream servers cannot be asked.
    #[error(transparent)]
    Forwarder(#[from] ForwarderConfigError),
    /// Questions cannot be written down.
    #[error(transparent)]
    QueryLog(#[from] QueryLogError),
}

/// A Corefile cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum CorefileError {
    /// It cannot be read.
    #[error("cannot read the Corefile {path}", path = path.display())]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says something wrong.
    #[error("{path}", path = path.display())]
    Mistake {
        /// Where it is.
        path: PathBuf,
        /// What.
        source: Mistake,
    },
}

/// The pieces of a service, each with what it was made from.
#[derive(Debug, Default)]
pub struct Pieces {
    forwarder: Option<(Settings, Arc<Forwarder>)>,
    hosts: Vec<Followed>,
    log: Option<(querylog::Settings, Arc<QueryLog>)>,
}

#[derive(Debug)]
struct Followed {
    settings: hosts::Settings,
    hosts: Arc<Hosts>,
    /// Ends following when nobody has it any more.
    stop: Arc<DropGuard>,
}

impl Pieces {
    /// What a Corefile asks for, taken from what there is where that was made from the same. Needs a tokio runtime.
    ///
    /// # Errors
    /// What is asked for cannot be had.
    pub fn after(&self, whole: &Corefile) -> Result<Self, ServiceError> {
        let forwarder = match (&whole.config.forward, &self.forwarder) {
            (None, _) => None,
            (Some(wanted), Some((settings, forwarder))) if settings == wanted => {
                Some((settings.clone(), Arc::clone(forwarder)))
            }
            (Some(wanted), _) => Some((wanted.clone(), Arc::new(Forwarder::new(wanted.clone())?))),
        };
        let log = match (&whole.log, &self.log) {
            (None, _) => None,
            (Some(wanted), Some((settings, log))) if settings == wanted => Some((settings.clone(), Arc::clone(log))),
            (Some(wanted), _) => Some((wanted.clone(), Arc::new(QueryLog::start(wanted.clone())?))),
        };
        let hosts = whole.hosts.iter().map(|wanted| self.hosts_as(wanted)).collect();
        Ok(Self { forwarder, hosts, log })
    }

    fn hosts_as(&self, wanted: &hosts::Settings) -> Followed {
        if let Some(have) = self.hosts.iter().find(|have| have.settings == *wanted) {
            let (hosts, stop) = (Arc::clone(&have.hosts), Arc::clone(&have.stop));
            return Followed { settings: wanted.clone(), hosts, stop };
        }
        let (hosts, stop) = (Arc::new(Hosts::new(wanted.clone())), CancellationToken::new());
        tokio::spawn(Arc::clone(&hosts).follow(stop.clone()));
        Followed { settings: wanted.clone(), hosts, stop: Arc::new(stop.drop_guard()) }
    }

    /// What a server answers from.
    #[must_use]
    pub fn sources(&self, whole: &Corefile, index: Option<Arc<Index>>) -> Sources {
        Sources {
            index,
            forwarder: self.forwarder.as_ref().map(|(_, forwarder)| Arc::clone(forwarder)),
            clients: whole.config.clients.clone(),
            transfer: whole.config.transfer.clone(),
            rewriter: Rewriter::new(whole.rewrites.clone()),
            hosts: self.hosts.iter().map(|followed| Arc::clone(&followed.hosts)).collect(),
            log: self.log.as_ref().map(|(_, log)| Arc::clone(log)),
        }
    }

    /// Who looks names up outside, if anybody.
    #[must_use]
    pub fn forwarder(&self) -> Option<&Arc<Forwarder>> {
        self.forwarder.as_ref().map(|(_, forwarder)| forwarder)
    }
}

/// A Corefile on disk, and what it said when it was read last.
#[derive(Debug)]
pub struct CorefileOnDisk {
    path: PathBuf,
    text: String,
}

impl CorefileOnDisk {
    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or says something wrong.
    pub fn open(path: &Path) -> Result<(Self, Corefile), CorefileError> {
        let text = read(path)?;
        let whole = parse(path, &text)?;
        Ok((Self { path: path.to_owned(), text }, whole))
    }

    /// What it says now, if that is not what it said when it was read last.
    ///
    /// # Errors
    /// It cannot be read, or says something wrong; a mistake is told once.
    pub fn changed(&mut self) -> Result<Option<Corefile>, CorefileError> {
        let text = read(&self.path)?;
        if text == self.text {
            return Ok(None);
        }
        self.text = text;
        parse(&self.path, &self.text).map(Some)
    }
}

fn read(path: &Path) -> Result<String, CorefileError> {
    corefile::Surroundings::read(&corefile::Machine, &path.to_string_lossy())
        .map_err(|source| CorefileError::Read { path: path.to_owned(), source })
}

fn parse(path: &Path, text: &str) -> Result<Corefile, CorefileError> {
    corefile::parse(text).map_err(|source| CorefileError::Mistake { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;

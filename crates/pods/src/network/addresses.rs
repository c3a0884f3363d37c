//! Which Pod has which address. On disk before it is used, so no two Pods ever have one, and given away again as late
//! as may be: the search goes on where it ended, so what a Pod left is not soon another's.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::durable::{self, Lasting};

/// Why no address was given.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// Every address of the range is a Pod's.
    #[error("no address of {0} is free")]
    Exhausted(Ipv4Net),
    /// It could not be put on disk.
    #[error("keeping {}: {source}", path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// What the machine said.
        source: io::Error,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ledger {
    /// The address that was given last.
    last: Option<Ipv4Addr>,
    /// Address and uid of its Pod.
    given: BTreeMap<Ipv4Addr, String>,
}

/// The addresses of a node's Pods.
#[derive(Debug)]
pub struct Addresses {
    range: Ipv4Net,
    path: PathBuf,
    ledger: Ledger,
}

impl Addresses {
    /// Those that the file at `path` says were given out of `range`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(range: Ipv4Net, path: PathBuf) -> Result<Self, AllocateError> {
        let ledger: Option<Ledger> =
            durable::read_json(&path).map_err(|source| AllocateError::Keep { path: path.clone(), source })?;
        Ok(Self { range, path, ledger: ledger.unwrap_or_default() })
    }

    /// The node's own end of every link.
    pub fn gateway(&self) -> Ipv4Addr {
        gateway(self.range)
    }

    /// The Pod's address: the one that it has, or the next that is free.
    ///
    /// # Errors
    /// No address is free, or it could not be put on disk; then it is not given.
    pub fn allocate(&mut self, uid: &str) -> Result<Ipv4Addr, AllocateError> {
        let has = self.ledger.given.iter().find(|(ip, owner)| *owner == uid && self.range.contains(*ip));
        if let Some((ip, _)) = has {
            return Ok(*ip);
        }
        let ip = self.next().ok_or(AllocateError::Exhausted(self.range))?;
        let mut ledger = self.ledger.clone();
        ledger.given.retain(|_, owner| owner != uid);
        ledger.given.insert(ip, uid.to_owned());
        ledger.last = Some(ip);
        self.keep(ledger)?;
        Ok(ip)
    }

    /// Takes the Pod's address back.
    ///
    /// # Errors
    /// It could not be put on disk; then the Pod still has it.
    pub fn release(&mut self, uid: &str) -> Result<(), AllocateError> {
        let mut ledger = self.ledger.clone();
        ledger.given.retain(|_, owner| owner != uid);
        if ledger == self.ledger { Ok(()) } else { self.keep(ledger) }
    }

    fn keep(&mut self, ledger: Ledger) -> Result<(), AllocateError> {
        durable::write_json(&self.path, &ledger, 0o600, Lasting::Disk)
            .map_err(|source| AllocateError::Keep { path: self.path.clone(), source })?;
        self.ledger = ledger;
        Ok(())
    }

    /// The first free address after the last one that was given, around the range once.
    fn next(&self) -> Option<Ipv4Addr> {
        let first = u32::from(self.gateway()) + 1;
        let last = u32::from(self.range.broadcast()).saturating_sub(1);
        if first > last {
            return None;
        }
        let begin = self.ledger.last.map(u32::from).filter(|l| (first..last).contains(l)).map_or(first, |l| l + 1);
        (begin..=last).chain(first..begin).map(Ipv4Addr::from).find(|ip| !self.ledger.given.contains_key(ip))
    }
}

/// The first address of a node's Pod range: the node's own end of every Pod's link.
#[must_use]
pub fn gateway(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()).saturating_add(1))
}

#[cfg(test)]
mod tests;

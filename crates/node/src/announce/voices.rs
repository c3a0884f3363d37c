//! The node's announcers, one an interface. An interface that comes, or is made anew, gets one; one that is gone loses it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use loadbalancer::announcer::shown;
use loadbalancer::fence::Fence;
use loadbalancer::{Announcer, Interface};

use super::admission::Admission;

/// The announcers.
pub(super) struct Voices {
    fence: Arc<Fence>,
    announcers: Vec<Announcer>,
    held: BTreeSet<IpAddr>,
    watched: BTreeSet<IpAddr>,
    /// What was said of interfaces that are not there.
    said: String,
}

impl Voices {
    /// None yet.
    pub(super) fn new(fence: Arc<Fence>) -> Self {
        let (held, watched) = (BTreeSet::new(), BTreeSet::new());
        Self { fence, announcers: Vec::new(), held, watched, said: String::new() }
    }

    /// Looks at the machine's interfaces again. True: something changed.
    pub(super) fn look(&mut self, chosen: &Admission) -> bool {
        let found: Vec<Interface> = match interfaces(chosen) {
            Ok(found) => {
                self.said.clear();
                found
            }
            Err(error) => {
                if error != self.said {
                    tracing::warn!(error, "load-balancer addresses cannot be announced; it is tried again");
                    self.said = error;
                }
                Vec::new()
            }
        };
        let held: Vec<&Interface> = self.announcers.iter().map(Announcer::interface).collect();
        if held.iter().copied().eq(&found) {
            return false;
        }
        let mut old = std::mem::take(&mut self.announcers);
        for interface in found {
            match old.iter().position(|announcer| *announcer.interface() == interface) {
                Some(at) => self.announcers.push(old.swap_remove(at)),
                None => self.start(interface),
            }
        }
        true
    }

    fn start(&mut self, interface: Interface) {
        let name = interface.name.clone();
        match Announcer::start(interface, Arc::clone(&self.fence)) {
            Ok(announcer) => {
                announcer.set(&self.held);
                announcer.watch(&self.watched);
                self.announcers.push(announcer);
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, interface = name, "no announcements on an interface; it is tried again");
            }
        }
    }

    /// Announces exactly these. What is not among them is not answered for any more when this returns.
    pub(super) fn set(&mut self, held: &BTreeSet<IpAddr>) {
        if *held != self.held {
            self.announcers.iter().for_each(|announcer| announcer.set(held));
            self.held.clone_from(held);
        }
    }

    /// Asks who answers for exactly these.
    pub(super) fn watch(&mut self, watched: BTreeSet<IpAddr>) {
        if watched != self.watched {
            self.announcers.iter().for_each(|announcer| announcer.watch(&watched));
            self.watched = watched;
        }
    }

    /// Who answers, as Ethernet addresses.
    pub(super) fn observed(&self) -> BTreeMap<IpAddr, String> {
        let all = self.announcers.iter().flat_map(Announcer::observed);
        all.map(|(address, mac)| (address, shown(mac))).collect()
    }

    /// The interfaces, with their Ethernet addresses.
    pub(super) fn interfaces(&self) -> BTreeMap<String, String> {
        let interfaces = self.announcers.iter().map(Announcer::interface);
        interfaces.map(|interface| (interface.name.clone(), shown(interface.mac))).collect()
    }

    /// Whether there is an interface to announce on.
    pub(super) fn is_heard(&self) -> bool {
        !self.announcers.is_empty()
    }

    /// Waits until who answers for another's address is known better.
    pub(super) async fn news(&self) {
        if self.announcers.is_empty() {
            return std::future::pending().await;
        }
        let waiting = self.announcers.iter().map(|announcer| Box::pin(announcer.news()));
        futures::future::select_all(waiting).await;
    }
}

/// Those that clients can be reached by: a node whose cable is out leaves its addresses to others.
fn interfaces(chosen: &Admission) -> Result<Vec<Interface>, String> {
    let mut found = chosen_interfaces(chosen)?;
    let names: Vec<String> = found.iter().map(|interface| interface.name.clone()).collect();
    found.retain(Interface::is_running);
    if found.is_empty() && !names.is_empty() {
        return Err(format!("no carrier on {}", names.join(", ")));
    }
    Ok(found)
}

fn chosen_interfaces(chosen: &Admission) -> Result<Vec<Interface>, String> {
    if !chosen.interfaces.is_empty() {
        // Not every node has every interface.
        let found: Vec<Interface> = chosen.interfaces.iter().filter_map(|name| Interface::by_name(name).ok()).collect();
        return if found.is_empty() {
            Err(format!("no interface {}", chosen.interfaces.join(", ")))
        } else {
            Ok(found)
        };
    }
    let mut found: Vec<Interface> = Vec::new();
    for address in &chosen.addresses {
        let interface = Interface::by_address(*address).map_err(|error| error.to_string())?;
        if !found.contains(&interface) {
            found.push(interface);
        }
    }
    Ok(found)
}

//! Whether an upstream server sends our questions back to us.
//!
//! As CoreDNS' `loop`: a question that nobody else can ask, HINFO of a random name, goes to each server when the
//! server starts. If it comes in by our own door, somebody out there forwards to us, and every question would go round
//! until somebody's patience ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::name::Name;
use crate::protocol::rtype;

use super::exchange::Reach;
use super::upstream::Upstream;
use super::wanted::Wanted;

/// An upstream server sends our questions back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "forwarding loop: a question to the upstream server {upstream} came back to this server. Name upstream servers \
     that do not ask this one: in a Corefile `forward . ADDRESS` instead of a file whose name servers are local; where \
     systemd-resolved runs, /run/systemd/resolve/resolv.conf has the real ones"
)]
pub struct LoopFound {
    /// The server.
    pub upstream: SocketAddr,
}

/// The questions that must not come back.
#[derive(Default)]
pub(super) struct Loops {
    /// How many there are, so that every other question costs one load.
    out: AtomicUsize,
    names: Mutex<HashMap<Name, SocketAddr>>,
    found: Mutex<Option<SocketAddr>>,
    told: Notify,
}

impl Loops {
    /// Whether a question is one of ours that has come back.
    pub(super) fn came_back(&self, wanted: &Wanted) -> bool {
        if wanted.qtype != rtype::HINFO || self.out.load(Ordering::Acquire) == 0 {
            return false;
        }
        let Some(upstream) = self.names.lock().get(&wanted.name).copied() else {
            return false;
        };
        *self.found.lock() = Some(upstream);
        self.told.notify_waiters();
        true
    }

    /// Asks every server a question of its own. Those that say nothing within `patience` are not looked into.
    pub(super) async fn look(&self, upstreams: &[(Name, Arc<Upstream>)], patience: Duration) -> Result<(), LoopFound> {
        let mut asking = JoinSet::new();
        for (zone, upstream) in upstreams {
            let name = random_name(zone);
            self.names.lock().insert(name.clone(), upstream.reach.address);
            self.out.fetch_add(1, Ordering::AcqRel);
            let upstream = Arc::clone(upstream);
            asking.spawn(async move { ask(&upstream.reach, name, patience).await });
        }
        let all = async { while asking.join_next().await.is_some() {} };
        let mut told = std::pin::pin!(self.told.notified());
        told.as_mut().enable();
        tokio::select! {
            () = all => {}
            () = told => {}
        }
        asking.shutdown().await;
        self.out.store(0, Ordering::Release);
        self.names.lock().clear();
        match self.found.lock().take() {
            Some(upstream) => Err(LoopFound { upstream }),
            None => Ok(()),
        }
    }
}

async fn ask(reach: &Reach, name: Name, patience: Duration) {
    let wanted = Wanted { name, qtype: rtype::HINFO, dnssec_ok: false, checking_disabled: false };
    if let Err(error) = reach.ask(&wanted, false, patience).await {
        tracing::debug!(%error, "no answer to a question that looks for loops");
    }
}

/// Two random labels in a zone, as long as there is room for them.
fn random_name(zone: &Name) -> Name {
    let mut wire = Vec::new();
    for _ in 0..2 {
        crate::name::push_label(&mut wire, rand::random::<u64>().to_string().as_bytes());
    }
    let rest = if wire.len() + zone.wire().len() > crate::protocol::NAME_MAX { &[0] } else { zone.wire() };
    wire.extend(rest);
    Name::from_wire(&wire)
}

//! TCP connections to endpoints that left without a word.
//!
//! When a process ends its kernel tells its clients. When a machine ends nobody does: a client that sends waits for a
//! quarter of an hour (`tcp_retries2`), one that only listens for ever. What is known is that at some time no slice of
//! the Service names the endpoint any more. That alone is no reason to cut anything: a Pod that merely lost its label
//! keeps its connections, as everywhere in Kubernetes. So:
//!
//! 1. An address leaves a slice. [`GRACE`] later, if TCP connections to Services still lead there and no slice of theirs
//!    names it, its endpoint is asked: a connect from this node. An answer of any kind, be it a refusal, says that
//!    somebody lives there. Silence for [`TRIES`] tries of [`TRY`], or word that there is no way to it, says that nobody
//!    does. In doubt (this node may not ask) somebody does.
//! 2. If nobody does, and still no slice names it, conntrack forgets those connections. Whatever a client sends now is
//!    new to it, is sent to an endpoint that lives, whose kernel knows nothing of the connection and resets it; or is
//!    reset by the rule that rejects.
//! 3. Clients that send nothing are provoked to ([`provoke`]).
//! 4. Where somebody lives, it is looked at again from time to time as long as there are such connections.
//!
//! What it cannot do: a Service whose policy drops what it has no local endpoint for resets nobody; nor does an endpoint
//! whose firewall is silent; a Pod that lives behind a firewall that is silent to its own cluster's nodes is taken for
//! dead when it leaves its Service. A Service may choose not to have any of it
//! ([`dataplane::model::ANNOTATION_RESET_DEPARTED`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dataplane::flows::answered_by;
use dataplane::{Backend, Dataplane};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::counters::Counters;

mod provoke;

/// How long after an address has left it is looked at: it may be on its way from one slice to another.
pub const GRACE: Duration = Duration::from_secs(2);
/// How often an endpoint is asked whether it lives.
pub const TRIES: usize = 3;
/// How long it may take to answer each time.
pub const TRY: Duration = Duration::from_secs(1);
/// So many are asked at once.
const PROBES: usize = 64;
/// So many addresses may wait, and so many may live although they have left.
const MOST_ADDRESSES: usize = 16_384;

/// Addresses that have left, on their way through the steps.
#[derive(Debug)]
pub struct Departed {
    counters: Arc<Counters>,
    /// In the order of their times.
    waiting: VecDeque<(Instant, Left)>,
    probes: JoinSet<(IpAddr, Life)>,
    /// Those that are being asked.
    asked: BTreeSet<IpAddr>,
    /// Those that answered.
    alive: BTreeSet<IpAddr>,
    places: Arc<Semaphore>,
}

/// Who has left.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Left {
    /// These.
    Addresses(BTreeSet<IpAddr>),
    /// Nobody knows: the agent was away.
    Anybody,
}

/// Whether somebody lives at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// It answered, or could not be asked.
    Answers,
    /// It did not.
    Silent,
}

/// A step is due.
#[derive(Debug, PartialEq, Eq)]
pub struct Due(Step);

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Look(Left),
    Probed(IpAddr, Life),
    Nothing,
}

impl Departed {
    /// Nobody has left yet.
    pub fn new(counters: Arc<Counters>) -> Departed {
        Departed {
            counters,
            waiting: VecDeque::new(),
            probes: JoinSet::new(),
            asked: BTreeSet::new(),
            alive: BTreeSet::new(),
            places: Arc::new(Semaphore::new(PROBES)),
        }
    }

    /// These have left a slice.
    pub fn note(&mut self, addresses: BTreeSet<IpAddr>) {
        if addresses.is_empty() {
            return;
        }
        let waiting: usize = self.waiting.iter().map(|(_, left)| left.len()).sum();
        if waiting + addresses.len() > MOST_ADDRESSES {
            // One look at all costs no more than a look at so many.
            self.counters.departed_overlooked.add(addresses.len());
            return self.anybody();
        }
        self.waiting.push_back((Instant::now() + GRACE, Left::Addresses(addresses)));
    }

    /// Any may have left: nobody looked.
    pub fn anybody(&mut self) {
        if !self.waiting.iter().any(|(_, left)| *left == Left::Anybody) {
            self.waiting.push_back((Instant::now() + GRACE, Left::Anybody));
        }
    }

    /// Looks again at those that have left and live.
    pub fn look_again(&mut self) {
        let alive = std::mem::take(&mut self.alive);
        self.note(alive);
    }

    /// Waits for the next step. Nothing is lost when it is not waited for to the end.
    pub async fn due(&mut self) -> Due {
        let first = self.waiting.front().map(|(at, _)| *at);
        let grace = async {
            match first {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = grace => Due(self.waiting.pop_front().map_or(Step::Nothing, |(_, left)| Step::Look(left))),
            Some(probed) = self.probes.join_next() => Due(match probed {
                Ok((address, life)) => Step::Probed(address, life),
                // None is cancelled, and none panics.
                Err(_) => Step::Nothing,
            }),
        }
    }

    /// Takes a step. Blocks while the kernel answers.
    pub fn act<B: Backend>(&mut self, due: Due, dataplane: &mut Dataplane<B>) {
        let done = match due.0 {
            Step::Look(left) => self.look(&left, dataplane),
            Step::Probed(address, life) => self.probed(address, life, dataplane),
            Step::Nothing => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "connections to endpoints that left were not seen to"
            );
            self.anybody();
        }
    }

    fn look<B: Backend>(
        &mut self,
        left: &Left,
        dataplane: &mut Dataplane<B>,
    ) -> Result<(), dataplane::backend::FlowsError> {
        let flows = dataplane.departed_flows(left.addresses())?;
        let endpoints = flows.iter().filter_map(answered_by);
        // Any port of an address will do: a refusal is an answer.
        let endpoints: BTreeMap<IpAddr, u16> = endpoints.map(|e| (e.address, e.port.get())).collect();
        for (address, port) in endpoints {
            if self.asked.insert(address) {
                self.counters.departed_probes.increment();
                let places = self.places.clone();
                self.probes.spawn(async move {
                    let _place = places.acquire().await;
                    (address, probe(SocketAddr::new(address, port)).await)
                });
            }
        }
        Ok(())
    }

    fn probed<B: Backend>(
        &mut self,
        address: IpAddr,
        life: Life,
        dataplane: &mut Dataplane<B>,
    ) -> Result<(), dataplane::backend::FlowsError> {
        self.asked.remove(&address);
        if life == Life::Answers {
            if self.alive.len() < MOST_ADDRESSES {
                self.alive.insert(address);
            }
            return Ok(());
        }
        self.counters.departed_dead.increment();
        // It may have come back meanwhile.
        let flows = dataplane.departed_flows(Some(&BTreeSet::from([address])))?;
        let ended = dataplane.end(&flows)?;
        self.counters.departed_flows_reset.add(ended);
        if ended > 0 {
            tracing::info!(%address, connections = ended, "an endpoint left without a word: its clients are reset");
        }
        provoke::all(&flows);
        Ok(())
    }
}

impl Left {
    fn addresses(&self) -> Option<&BTreeSet<IpAddr>> {
        match self {
            Left::Addresses(addresses) => Some(addresses),
            Left::Anybody => None,
        }
    }

    fn len(&self) -> usize {
        self.addresses().map_or(0, BTreeSet::len)
    }
}

/// Asks an endpoint whether it lives.
async fn probe(endpoint: SocketAddr) -> Life {
    for _ in 0..TRIES {
        let end = Instant::now() + TRY;
        match timeout(TRY, TcpStream::connect(endpoint)).await {
            Ok(Ok(_)) => return Life::Answers,
            Ok(Err(error)) if is_silence(&error) => sleep_until(end).await,
            Ok(Err(error)) => {
                if ![ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset].contains(&error.kind()) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%endpoint, error, "an endpoint that left cannot be asked whether it lives");
                }
                return Life::Answers;
            }
            Err(_) => {}
        }
    }
    Life::Silent
}

/// Nobody said anything, or somebody said that there is no way there. That may be for a moment: it is tried again.
fn is_silence(error: &io::Error) -> bool {
    let silent = [ErrorKind::TimedOut, ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable];
    silent.contains(&error.kind())
}

#[cfg(test)]
mod tests;

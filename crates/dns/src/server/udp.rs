//! A thread for each UDP socket.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::reply::Transport;

use super::counters::Tally;
use super::datagram::{Batch, Path, send_one};
use super::fairness::Fairness;
use super::respond::{Asker, Handled, Later};
use super::sources::{Copied, Sources};

/// What a UDP thread works with.
pub(super) struct Worker {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) sources: Copied,
    pub(super) fairness: Arc<Fairness>,
    pub(super) tally: Arc<Tally>,
    /// Where answers that wait do so.
    pub(super) runtime: Handle,
    /// How many more may wait.
    pub(super) waiting: Arc<Semaphore>,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) udp_most: usize,
}

impl Worker {
    /// Answers until the server stops; then once more what had come by then.
    pub(super) fn run(mut self) {
        let mut batch = Batch::new(self.udp_most);
        let mut turn = 0u32;
        loop {
            let stopping = self.stopping.load(Ordering::Acquire);
            match batch.receive(&self.socket, !stopping) {
                Ok(count) => {
                    let start = Instant::now();
                    self.sources.refresh();
                    for at in 0..count {
                        turn = turn.wrapping_add(1);
                        // By reference: a count of references would be written to by all threads.
                        self.answer(self.sources.sources(), &mut batch, at, turn, start);
                    }
                    let ready = batch.ready();
                    for _ in 0..batch.send(&self.socket) {
                        self.tally.unsent();
                    }
                    self.tally.took(start.elapsed(), ready);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An ICMP error about an answer that was sent: it concerns nobody else.
                Err(error) if !stopping => tracing::debug!(%error, "receiving failed"),
                Err(_) => {}
            }
            if stopping {
                return;
            }
        }
    }

    fn answer(&self, sources: &Arc<Sources>, batch: &mut Batch, at: usize, turn: u32, start: Instant) {
        let (question, buffer, path) = batch.exchange(at);
        let Some(peer) = path.peer() else {
            return;
        };
        let client = peer.ip();
        if !sources.serves(client) {
            return self.tally.stranger();
        }
        let transport = Transport::Udp { most: self.udp_most };
        let asker = Asker { client, transport, tally: &self.tally, fairness: &self.fairness };
        match sources.respond(question, buffer, asker, turn) {
            // Zones go over TCP alone.
            Handled::Silence | Handled::Transfer(_) => {}
            Handled::Answer(length) => {
                sources.note(question, &buffer[..length], peer, transport, start);
                batch.answered(at, length);
            }
            Handled::Later(later) => {
                let so_far = later.so_far(buffer);
                if self.wait(sources, question, path, peer, later, so_far) {
                    return;
                }
                let length = sources.turn_away(question, buffer, asker);
                sources.note(question, &buffer[..length], peer, transport, start);
                batch.answered(at, length);
            }
        }
    }

    /// Lets an answer wait in the runtime; `false` when too many do already, or too many of this client's.
    fn wait(
        &self,
        sources: &Arc<Sources>,
        question: &[u8],
        path: &Path,
        peer: SocketAddr,
        later: Later,
        so_far: Vec<u8>,
    ) -> bool {
        let Some(share) = self.fairness.wait(peer.ip()) else {
            return false;
        };
        let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return false;
        };
        let start = Instant::now();
        let transport = Transport::Udp { most: self.udp_most };
        let (socket, sources, tally) = (Arc::clone(&self.socket), Arc::clone(sources), Arc::clone(&self.tally));
        let (question, path) = (question.to_vec(), Box::new(*path));
        self.runtime.spawn(async move {
            let answer = sources.respond_later(&question, later, &so_far, transport, &tally).await;
            if let Some(answer) = answer {
                sources.note(&question, &answer, peer, transport, start);
                if send_one(&socket, &path, &answer).is_err() {
                    tally.unsent();
                }
                tally.took(start.elapsed(), 1);
            }
            drop((permit, share));
        });
        true
    }
}

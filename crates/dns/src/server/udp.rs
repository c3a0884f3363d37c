//! A thread for each UDP socket.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::reply::Transport;

use super::counters::Tally;
use super::datagram::{Batch, Path, send_one};
use super::respond::{Handled, Later, Responder};

/// What a UDP thread works with.
pub(super) struct Worker {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) responder: Arc<Responder>,
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
    pub(super) fn run(self) {
        let mut batch = Batch::new(self.udp_most);
        let mut turn = 0u32;
        loop {
            let stopping = self.stopping.load(Ordering::Acquire);
            match batch.receive(&self.socket, !stopping) {
                Ok(count) => {
                    for at in 0..count {
                        turn = turn.wrapping_add(1);
                        self.answer(&mut batch, at, turn);
                    }
                    for _ in 0..batch.send(&self.socket) {
                        self.tally.unsent();
                    }
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

    fn answer(&self, batch: &mut Batch, at: usize, turn: u32) {
        let (question, buffer, path) = batch.exchange(at);
        let Some(client) = path.client() else {
            return;
        };
        if !self.responder.serves(client) {
            return self.tally.silence();
        }
        let transport = Transport::Udp { most: self.udp_most };
        match self.responder.respond(question, buffer, transport, turn, &self.tally) {
            Handled::Silence => {}
            Handled::Answer(length) => batch.answered(at, length),
            Handled::Later(later) => {
                if self.wait(question, buffer, path, later, transport) {
                    return;
                }
                let length = self.responder.turn_away(question, buffer, transport, &self.tally);
                batch.answered(at, length);
            }
        }
    }

    /// Lets an answer wait in the runtime; `false` when too many do already.
    fn wait(&self, question: &[u8], buffer: &[u8], path: &Path, later: Later, transport: Transport) -> bool {
        let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return false;
        };
        let so_far = match &later {
            Later::Chase { length, .. } => buffer[..*length].to_vec(),
            Later::Look => Vec::new(),
        };
        let (socket, responder, tally) =
            (Arc::clone(&self.socket), Arc::clone(&self.responder), Arc::clone(&self.tally));
        let (question, path) = (question.to_vec(), Box::new(*path));
        self.runtime.spawn(async move {
            let answer = responder.respond_later(&question, later, &so_far, transport, &tally).await;
            if let Some(answer) = answer
                && send_one(&socket, &path, &answer).is_err()
            {
                tally.unsent();
            }
            drop(permit);
        });
        true
    }
}

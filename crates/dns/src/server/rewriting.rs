//! Questions that are answered in place of the ones that were asked.

use std::net::SocketAddr;
use std::time::Instant;

use crate::protocol::rcode;
use crate::query::Query;
use crate::querylog::Entry;
use crate::reply::{Flags, Reply, Transport};

use super::counters::{Maker, Tally};
use super::respond::{Asker, Handled, Later, Pending};
use super::sources::Sources;

impl Later {
    /// What was answered before the wait, out of the buffer that it was written to.
    pub(super) fn so_far(&self, buffer: &[u8]) -> Vec<u8> {
        match self {
            Self::Chase { length, .. } => buffer[..*length].to_vec(),
            Self::Look | Self::Search(_) | Self::Rewritten(_) => Vec::new(),
        }
    }
}

impl Sources {
    /// Answers the question that a rule makes of one, or the question itself where none does.
    pub(super) fn rewrite(
        &self,
        query: &Query<'_>,
        packet: &[u8],
        buffer: &mut [u8],
        asker: Asker<'_>,
        turn: u32,
    ) -> Handled {
        let rewritten = match self.rewriter.question(query, packet) {
            Ok(None) => return self.answer(query, buffer, asker, turn),
            Ok(Some(rewritten)) => rewritten,
            Err(error) => {
                tracing::debug!(%error, "a question cannot be rewritten");
                return self.fail(query, buffer, asker.transport, asker.tally);
            }
        };
        let Ok(other) = Query::parse(rewritten.packet()) else {
            return self.fail(query, buffer, asker.transport, asker.tally);
        };
        let room = asker.transport.room(query).min(buffer.len());
        match self.answer(&other, buffer, asker, turn) {
            Handled::Answer(length) => match rewritten.answer(&buffer[..length], room) {
                Some(answer) => {
                    buffer[..answer.len()].copy_from_slice(&answer);
                    Handled::Answer(answer.len())
                }
                None => self.fail(query, buffer, asker.transport, asker.tally),
            },
            Handled::Later(later) => {
                let so_far = later.so_far(buffer);
                Handled::Later(Later::Rewritten(Box::new(Pending { rewritten, later, so_far })))
            }
            other @ (Handled::Silence | Handled::Transfer(_)) => other,
        }
    }

    /// The answer to a rewritten question whose answer had to wait.
    pub(super) async fn rewritten_later(
        &self,
        packet: &[u8],
        pending: Pending,
        transport: Transport,
        tally: &Tally,
    ) -> Option<Vec<u8>> {
        let Pending { rewritten, later, so_far } = pending;
        // Boxed because it is what called this.
        let answer = Box::pin(self.respond_later(rewritten.packet(), later, &so_far, transport, tally)).await?;
        let query = Query::parse(packet).ok()?;
        rewritten.answer(&answer, transport.room(&query))
    }

    fn fail(&self, query: &Query<'_>, buffer: &mut [u8], transport: Transport, tally: &Tally) -> Handled {
        let mut reply = Reply::start(buffer, query, transport);
        Handled::Answer(self.finish(&mut reply, Maker::Server, rcode::SERVFAIL, Flags::default(), tally))
    }

    /// Writes a question and its answer down, where that is wanted.
    pub(super) fn note(&self, packet: &[u8], answer: &[u8], peer: SocketAddr, transport: Transport, start: Instant) {
        let Some(log) = self.log.as_ref().filter(|log| log.wants_next()) else {
            return;
        };
        if let Some(entry) = Entry::of(packet, answer, peer, transport, start.elapsed()) {
            log.put(entry);
        }
    }
}

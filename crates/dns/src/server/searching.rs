//! Names that a search path leads to, in place of the one that was denied.

use std::sync::Arc;
use std::time::Instant;

use crate::forward::stored::Stored;
use crate::forward::wanted::Wanted;
use crate::forward::{Forwarder, chase};
use crate::index::{Index, Verdict};
use crate::name::Name;
use crate::protocol::{rcode, rtype};
use crate::query::Query;
use crate::reply::{Flags, Pointer, Reply, Section, Spelled, Transport};

use super::counters::{Maker, Tally};
use super::respond::{Asker, Handled, Later};
use super::sources::Sources;

/// Seconds for which the way that a search took may be kept.
const TTL: u32 = 5;

/// What one of the names has come to.
enum Known {
    /// The search ends here, with this answer.
    Answer(Vec<u8>),
    /// There is no such name.
    Denied,
    /// Nobody can say: the search ends without an answer.
    Failed,
}

impl Sources {
    /// Goes on with a question that the index denied.
    pub(super) fn search(
        &self,
        index: &Index,
        query: &Query<'_>,
        reply: &mut Reply<'_>,
        asker: Asker<'_>,
        turn: u32,
    ) -> Verdict {
        let outside = self.forwarder.is_some() && query.recursion_desired;
        let found = index.search(query, asker.client, outside, reply, turn);
        if matches!(found, Some(Verdict::Answered(rcode::NOERROR))) {
            asker.tally.searched();
        }
        found.unwrap_or(Verdict::Answered(rcode::NXDOMAIN))
    }

    /// Goes through names outside the cluster as far as the cache knows them.
    pub(super) fn searched(
        &self,
        query: &Query<'_>,
        reply: Reply<'_>,
        names: Vec<Name>,
        forwarder: &Arc<Forwarder>,
        asker: Asker<'_>,
    ) -> Handled {
        let buffer = reply.into_buffer();
        let mut rest = names.as_slice();
        while let Some((name, further)) = rest.split_first() {
            let wanted = Wanted::named(name.clone(), query);
            let known = forwarder.cached(wanted.borrow(), Instant::now(), |stored, age| {
                self.found(query, name, stored, age, asker.transport)
            });
            asker.tally.cache(known.is_some());
            match known {
                Some(Known::Answer(answer)) if answer.len() <= buffer.len() => {
                    buffer[..answer.len()].copy_from_slice(&answer);
                    count(asker.tally, &answer);
                    return Handled::Answer(answer.len());
                }
                Some(Known::Denied) => rest = further,
                Some(_) => break,
                None => return Handled::Later(Later::Search(rest.to_vec())),
            }
        }
        Handled::Answer(self.denied(query, buffer, asker.transport, asker.tally))
    }

    /// The same, with names that have to be asked for.
    pub(super) async fn searched_later(
        &self,
        query: &Query<'_>,
        names: Vec<Name>,
        forwarder: &Arc<Forwarder>,
        transport: Transport,
        tally: &Tally,
    ) -> Vec<u8> {
        for name in names {
            let known = match forwarder.look_up(Wanted::named(name.clone(), query)).await {
                Ok(found) => self.found(query, &name, &found.stored, found.age, transport),
                Err(_) => Known::Failed,
            };
            match known {
                Known::Answer(answer) => {
                    count(tally, &answer);
                    return answer;
                }
                Known::Denied => {}
                Known::Failed => break,
            }
        }
        let mut buffer = vec![0; transport.room(query)];
        let length = self.denied(query, &mut buffer, transport, tally);
        buffer.truncate(length);
        buffer
    }

    /// What an upstream's answer means for the search.
    fn found(&self, query: &Query<'_>, name: &Name, stored: &Stored, age: u32, transport: Transport) -> Known {
        match stored.rcode() {
            rcode::NXDOMAIN => return Known::Denied,
            rcode::NOERROR => {}
            _ => return Known::Failed,
        }
        let room = transport.room(query);
        let mut buffer = vec![0; room];
        let mut reply = Reply::start(&mut buffer, query, transport);
        let (owner, target) = (Spelled::at(Pointer::QUESTION), Spelled::whole(name.wire()));
        reply.named(Section::Answer, owner, rtype::CNAME, TTL, target);
        let flags = Flags { authoritative: true, recursion_available: true, ..Flags::default() };
        let length = reply.finish(rcode::NOERROR, flags);
        chase(&buffer[..length], Some((stored, age)), room).map_or(Known::Failed, Known::Answer)
    }

    /// The denial that stands when the search has found nothing: the asker goes on by itself.
    fn denied(&self, query: &Query<'_>, buffer: &mut [u8], transport: Transport, tally: &Tally) -> usize {
        let mut reply = Reply::start(buffer, query, transport);
        let verdict = self.index.as_ref().map(|index| index.answer(query, &mut reply, 0));
        let (maker, code) = match verdict {
            Some(Verdict::Answered(code)) => (Maker::Index, code),
            // The zones have changed meanwhile.
            _ => {
                reply.clear();
                (Maker::Server, rcode::SERVFAIL)
            }
        };
        self.finish(&mut reply, maker, code, Flags { authoritative: true, ..Flags::default() }, tally)
    }
}

fn count(tally: &Tally, answer: &[u8]) {
    tally.searched();
    tally.answer(Maker::Index, rcode::NOERROR, answer.get(2).is_some_and(|flags| flags & 2 != 0));
}

//! One message becomes an answer: at once, or later when an upstream server has spoken.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;

use crate::forward::wanted::{Wanted, WantedRef};
use crate::forward::{Forwarder, chase};
use crate::index::{Index, Verdict};
use crate::name::Name;
use crate::protocol::{rcode, rtype};
use crate::query::{Query, Refusal};
use crate::reply::{Flags, Reply, Transport, write_bare};

use super::counters::Tally;

/// What answers are made from.
#[derive(Debug)]
pub(super) struct Responder {
    pub(super) index: Option<Arc<Index>>,
    pub(super) forwarder: Option<Arc<Forwarder>>,
    pub(super) clients: Option<Vec<IpNet>>,
}

/// What becomes of a message.
#[derive(Debug)]
pub(super) enum Handled {
    /// It gets no answer.
    Silence,
    /// The answer's length in the buffer.
    Answer(usize),
    /// The answer has to wait.
    Later(Later),
}

/// What an answer waits for.
#[derive(Debug)]
pub(super) enum Later {
    /// The name that is asked for.
    Look,
    /// The target of an alias. The answer so far, which stands where the target is of no help, has this length in the
    /// buffer.
    Chase { target: Name, length: usize },
}

impl Responder {
    /// Whether questions from an address are answered.
    pub(super) fn serves(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.clients.as_ref().is_none_or(|networks| networks.iter().any(|network| network.contains(&client)))
    }

    /// Answers a message from memory, or says what its answer waits for. `buffer` takes the answer.
    pub(super) fn respond(
        &self,
        packet: &[u8],
        buffer: &mut [u8],
        transport: Transport,
        turn: u32,
        tally: &Tally,
    ) -> Handled {
        tally.query(transport);
        let query = match Query::parse(packet) {
            Ok(query) => query,
            Err(Refusal::Silence) => {
                tally.silence();
                return Handled::Silence;
            }
            Err(Refusal::Bare(bare)) => {
                tally.answer(bare.rcode, false);
                return Handled::Answer(write_bare(buffer, bare));
            }
        };
        let mut reply = Reply::start(buffer, &query, transport);
        if let Some(code) = refusal(&query) {
            return Handled::Answer(self.finish(&mut reply, code, Flags::default(), tally));
        }
        let ours = Flags { authoritative: true, ..Flags::default() };
        let verdict = self.index.as_ref().map_or(Verdict::NotOurs, |index| index.answer(&query, &mut reply, turn));
        match (verdict, &self.forwarder) {
            (Verdict::Answered(code), _) | (Verdict::Fallthrough(code), None) => {
                Handled::Answer(self.finish(&mut reply, code, ours, tally))
            }
            (Verdict::Continue(target), Some(_)) if query.recursion_desired => {
                let length = reply.finish(rcode::NOERROR, Flags { recursion_available: true, ..ours });
                Handled::Later(Later::Chase { target, length })
            }
            (Verdict::Continue(_), _) => Handled::Answer(self.finish(&mut reply, rcode::NOERROR, ours, tally)),
            (Verdict::Fallthrough(_), Some(forwarder)) => {
                reply.clear();
                self.outside(&query, reply, forwarder, tally)
            }
            (Verdict::NotOurs, Some(forwarder)) => self.outside(&query, reply, forwarder, tally),
            (Verdict::NotOurs, None) => {
                Handled::Answer(self.finish(&mut reply, rcode::REFUSED, Flags::default(), tally))
            }
        }
    }

    fn outside(&self, query: &Query<'_>, mut reply: Reply<'_>, forwarder: &Forwarder, tally: &Tally) -> Handled {
        let found = forwarder.cache().read(WantedRef::of(query), Instant::now(), |stored, age| {
            stored.write(&mut reply, age);
            (stored.rcode(), stored.authentic_data())
        });
        tally.cache(found.is_some());
        match found {
            Some((code, authentic_data)) => {
                let flags = Flags { authentic_data: authentic_data && understands_ad(query), ..Flags::default() };
                Handled::Answer(self.finish(&mut reply, code, flags, tally))
            }
            // Nobody is asked on behalf of who does not want that; the cache may be looked into.
            None if !query.recursion_desired => {
                Handled::Answer(self.finish(&mut reply, rcode::REFUSED, Flags::default(), tally))
            }
            None => Handled::Later(Later::Look),
        }
    }

    /// The answer to a message whose answer had to wait. `so_far` is what was answered before. `None` is silence.
    pub(super) async fn respond_later(
        &self,
        packet: &[u8],
        later: Later,
        so_far: &[u8],
        transport: Transport,
        tally: &Tally,
    ) -> Option<Vec<u8>> {
        let (query, forwarder) = (Query::parse(packet).ok()?, self.forwarder.as_ref()?);
        let room = transport.room(&query);
        match later {
            Later::Look => {
                let found = forwarder.look_up(Wanted::of(&query)).await;
                let mut buffer = vec![0; room];
                let mut reply = Reply::start(&mut buffer, &query, transport);
                let length = match found {
                    Ok(stored) => {
                        stored.write(&mut reply, stored.age(Instant::now()).unwrap_or(0));
                        let authentic_data = stored.authentic_data() && understands_ad(&query);
                        let flags = Flags { authentic_data, ..Flags::default() };
                        self.finish(&mut reply, stored.rcode(), flags, tally)
                    }
                    Err(_) => self.finish(&mut reply, rcode::SERVFAIL, Flags::default(), tally),
                };
                buffer.truncate(length);
                Some(buffer)
            }
            Later::Chase { target, .. } => {
                let found = forwarder.look_up(Wanted::named(target, &query)).await.ok();
                let age = |now| found.as_ref().and_then(|stored| stored.age(now)).unwrap_or(0);
                let target = found.as_deref().map(|stored| (stored, age(Instant::now())));
                let answer = chase(so_far, target, room).unwrap_or_else(|| so_far.to_vec());
                tally.answer(rcode::NOERROR, answer.get(2).is_some_and(|flags| flags & 2 != 0));
                Some(answer)
            }
        }
    }

    /// The answer to a message whose answer would have to wait where too many wait already. Returns its length.
    pub(super) fn turn_away(&self, packet: &[u8], buffer: &mut [u8], transport: Transport, tally: &Tally) -> usize {
        tally.turned_away();
        let Ok(query) = Query::parse(packet) else {
            return 0;
        };
        let mut reply = Reply::start(buffer, &query, transport);
        self.finish(&mut reply, rcode::SERVFAIL, Flags::default(), tally)
    }

    fn finish(&self, reply: &mut Reply<'_>, code: u16, flags: Flags, tally: &Tally) -> usize {
        tally.answer(code, reply.is_truncated());
        reply.finish(code, Flags { recursion_available: self.forwarder.is_some(), ..flags })
    }
}

/// What is not answered whatever the name: other classes, zone transfers, types that are no types of records.
fn refusal(query: &Query<'_>) -> Option<u16> {
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Some(rcode::BADVERS);
    }
    if !query.is_internet() {
        return Some(rcode::REFUSED);
    }
    match query.qtype {
        rtype::OPT => Some(rcode::FORMERR),
        rtype::AXFR | rtype::IXFR | rtype::TKEY | rtype::TSIG => Some(rcode::REFUSED),
        rtype::MAILA | rtype::MAILB => Some(rcode::NOTIMP),
        _ => None,
    }
}

/// Whether the AD bit may be set in an answer (RFC 6840 section 5.8).
fn understands_ad(query: &Query<'_>) -> bool {
    query.authentic_data || query.dnssec_ok()
}

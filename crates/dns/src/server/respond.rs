//! One message becomes an answer: at once, or later when an upstream server has spoken.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::forward::wanted::{Wanted, WantedRef};
use crate::forward::{ForwardError, Forwarder, LookedUp, chase};
use crate::hosts;
use crate::index::{Transfer, Verdict};
use crate::name::Name;
use crate::protocol::{rcode, rtype};
use crate::query::{Query, Refusal};
use crate::reply::{Flags, Reply, Transport, write_bare};
use crate::rewrite::Rewritten;

use super::counters::{Maker, Tally};
use super::fairness::Fairness;
use super::sources::Sources;

/// Who asks, and how; and who counts it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) client: IpAddr,
    pub(super) transport: Transport,
    pub(super) tally: &'a Tally,
    pub(super) fairness: &'a Fairness,
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
    /// The answer is all of a zone, in many messages.
    Transfer(Box<Transfer>),
}

/// What an answer waits for.
#[derive(Debug)]
pub(super) enum Later {
    /// The name that is asked for.
    Look,
    /// The target of an alias. The answer so far, which stands where the target is of no help, has this length in the
    /// buffer.
    Chase { target: Name, length: usize },
    /// The next name of a search path, and those after it.
    Search(Vec<Name>),
    /// The answer to the question that this one was rewritten to.
    Rewritten(Box<Pending>),
}

/// A rewritten question whose answer waits.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) rewritten: Rewritten,
    pub(super) later: Later,
    pub(super) so_far: Vec<u8>,
}

impl Sources {
    /// Answers a message from memory, or says what its answer waits for. `buffer` takes the answer.
    pub(super) fn respond(&self, packet: &[u8], buffer: &mut [u8], asker: Asker<'_>, turn: u32) -> Handled {
        let handled = match Query::parse(packet) {
            Ok(query) => {
                asker.tally.question(asker.transport, asker.client.is_ipv6(), &query, packet.len());
                match self.rewriter.is_empty() {
                    true => self.answer(&query, buffer, asker, turn),
                    false => self.rewrite(&query, packet, buffer, asker, turn),
                }
            }
            Err(refusal) => {
                asker.tally.unread(asker.transport);
                match refusal {
                    Refusal::Bare(bare) if asker.fairness.may_err(asker.client) => {
                        asker.tally.answer(Maker::Server, bare.rcode, false);
                        Handled::Answer(write_bare(buffer, bare))
                    }
                    _ => {
                        asker.tally.silence();
                        Handled::Silence
                    }
                }
            }
        };
        if let Handled::Answer(length) = handled {
            asker.tally.answer_octets(asker.transport, length);
        }
        handled
    }

    pub(super) fn answer(&self, query: &Query<'_>, buffer: &mut [u8], asker: Asker<'_>, turn: u32) -> Handled {
        if let Some(transfer) = self.transfer(query, asker) {
            return Handled::Transfer(transfer);
        }
        let mut reply = Reply::start(buffer, query, asker.transport);
        let answer = |reply: &mut Reply<'_>, maker, code, flags| {
            Handled::Answer(self.finish(reply, maker, code, flags, asker.tally))
        };
        if let Some(code) = refusal(query) {
            return answer(&mut reply, Maker::Server, code, Flags::default());
        }
        let ours = Flags { authoritative: true, ..Flags::default() };
        for hosts in &self.hosts {
            if let hosts::Verdict::Answered(code) = hosts.answer(query, &mut reply) {
                return answer(&mut reply, Maker::Hosts, code, ours);
            }
        }
        let verdict = self.index.as_ref().map_or(Verdict::NotOurs, |index| index.answer(query, &mut reply, turn));
        let verdict = match (verdict, &self.index) {
            (Verdict::Answered(rcode::NXDOMAIN), Some(index)) if index.searches() => {
                self.search(index, query, &mut reply, asker, turn)
            }
            (verdict, _) => verdict,
        };
        match (verdict, &self.forwarder) {
            (Verdict::Answered(code), _) | (Verdict::Fallthrough(code), None) => {
                answer(&mut reply, Maker::Index, code, ours)
            }
            (Verdict::Continue(target), Some(_)) if query.recursion_desired => {
                let length = reply.finish(rcode::NOERROR, Flags { recursion_available: true, ..ours });
                Handled::Later(Later::Chase { target, length })
            }
            (Verdict::Search(names), Some(forwarder)) => self.searched(query, reply, names, forwarder, asker),
            // It is only said where there is somebody to ask.
            (Verdict::Search(_), None) => answer(&mut reply, Maker::Server, rcode::SERVFAIL, Flags::default()),
            (Verdict::Continue(_), _) => answer(&mut reply, Maker::Index, rcode::NOERROR, ours),
            (Verdict::Fallthrough(_), Some(forwarder)) => {
                reply.clear();
                self.outside(query, reply, forwarder, asker.tally)
            }
            (Verdict::NotOurs, Some(forwarder)) => self.outside(query, reply, forwarder, asker.tally),
            (Verdict::NotOurs, None) => answer(&mut reply, Maker::Server, rcode::REFUSED, Flags::default()),
        }
    }

    /// The whole zone, where that is asked for and allowed. An incremental transfer is answered by a full one, as RFC
    /// 1995 section 4 lets a server that keeps no history do.
    fn transfer(&self, query: &Query<'_>, asker: Asker<'_>) -> Option<Box<Transfer>> {
        let wanted = matches!(query.qtype, rtype::AXFR | rtype::IXFR) && query.is_internet();
        if !wanted || asker.transport != Transport::Tcp || !self.may_transfer(asker.client) {
            return None;
        }
        self.index.as_ref()?.transfer(query).map(Box::new)
    }

    fn outside(&self, query: &Query<'_>, mut reply: Reply<'_>, forwarder: &Arc<Forwarder>, tally: &Tally) -> Handled {
        let found = forwarder.cached(WantedRef::of(query), Instant::now(), |stored, age| {
            stored.write(&mut reply, age);
            (stored.rcode(), stored.authentic_data())
        });
        tally.cache(found.is_some());
        match found {
            Some((code, authentic_data)) => {
                let flags = Flags { authentic_data: authentic_data && understands_ad(query), ..Flags::default() };
                Handled::Answer(self.finish(&mut reply, Maker::Cache, code, flags, tally))
            }
            // Nobody is asked on behalf of who does not want that; the cache may be looked into.
            None if !query.recursion_desired => {
                Handled::Answer(self.finish(&mut reply, Maker::Server, rcode::REFUSED, Flags::default(), tally))
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
        let answer = match later {
            Later::Look => {
                let found = forwarder.look_up(Wanted::of(&query)).await;
                let mut buffer = vec![0; room];
                let mut reply = Reply::start(&mut buffer, &query, transport);
                let length = match found {
                    Ok(LookedUp { stored, age }) => {
                        stored.write(&mut reply, age);
                        let authentic_data = stored.authentic_data() && understands_ad(&query);
                        let flags = Flags { authentic_data, ..Flags::default() };
                        self.finish(&mut reply, Maker::Upstream, stored.rcode(), flags, tally)
                    }
                    Err(ForwardError::NoRoute) => {
                        self.finish(&mut reply, Maker::Server, rcode::REFUSED, Flags::default(), tally)
                    }
                    Err(_) => self.finish(&mut reply, Maker::Upstream, rcode::SERVFAIL, Flags::default(), tally),
                };
                buffer.truncate(length);
                buffer
            }
            Later::Chase { target, .. } => {
                let found = forwarder.look_up(Wanted::named(target, &query)).await.ok();
                let target = found.as_ref().map(|found| (&*found.stored, found.age));
                let answer = chase(so_far, target, room).unwrap_or_else(|| so_far.to_vec());
                let truncated = answer.get(2).is_some_and(|flags| flags & 2 != 0);
                tally.answer(Maker::Index, rcode::NOERROR, truncated);
                answer
            }
            Later::Search(names) => self.searched_later(&query, names, forwarder, transport, tally).await,
            // Its octets are counted when it comes back; they are those of the question that was answered.
            Later::Rewritten(pending) => return self.rewritten_later(packet, *pending, transport, tally).await,
        };
        tally.answer_octets(transport, answer.len());
        Some(answer)
    }

    /// The answer to a message whose answer would have to wait where too many wait already. Returns its length.
    pub(super) fn turn_away(&self, packet: &[u8], buffer: &mut [u8], asker: Asker<'_>) -> usize {
        asker.tally.turned_away();
        let Ok(query) = Query::parse(packet) else {
            return 0;
        };
        let mut reply = Reply::start(buffer, &query, asker.transport);
        let length = self.finish(&mut reply, Maker::Server, rcode::SERVFAIL, Flags::default(), asker.tally);
        asker.tally.answer_octets(asker.transport, length);
        length
    }

    pub(super) fn finish(&self, reply: &mut Reply<'_>, maker: Maker, code: u16, flags: Flags, tally: &Tally) -> usize {
        tally.answer(maker, code, reply.is_truncated());
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

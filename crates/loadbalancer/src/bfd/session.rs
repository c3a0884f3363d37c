//! A session's state machine and its times (RFC 5880, 6.8). Pure: time and chance are given.

use std::time::{Duration, Instant};

use super::packet::{Diagnostic, Packet, State};

/// Who is not up does not send more often (RFC 5880, 6.8.3).
const SLOW: Duration = Duration::from_secs(1);

/// What is chosen of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// How often is sent at most.
    pub transmit: Duration,
    /// How often the other is to send at most.
    pub receive: Duration,
    /// So many packets in a row, lost, end the session.
    pub multiplier: u8,
}

/// What the other said last.
#[derive(Clone, Copy, Debug)]
struct Other {
    number: u32,
    multiplier: u8,
    transmit: Duration,
    receive: Duration,
    heard: Instant,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    number: u32,
    timers: Timers,
    state: State,
    diagnostic: Diagnostic,
    other: Option<Other>,
    /// An answer to a change of times is waited for.
    polling: bool,
    due: Instant,
}

impl Session {
    /// One that has heard nothing. Its number is not 0, and no other session's here.
    pub fn new(number: u32, timers: Timers, now: Instant) -> Self {
        let (state, diagnostic) = (State::Down, Diagnostic::None);
        Self { number: number.max(1), timers, state, diagnostic, other: None, polling: false, due: now }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// A packet has come; the answer that it wants at once.
    pub fn hear(&mut self, packet: &Packet, now: Instant, chance: u64) -> Option<Packet> {
        if packet.yours != 0 && packet.yours != self.number {
            return None;
        }
        let interval = self.interval();
        self.other = Some(Other {
            number: packet.mine,
            multiplier: packet.multiplier,
            transmit: packet.transmit,
            receive: packet.receive,
            heard: now,
        });
        self.polling &= !packet.is_final;
        match (self.state, packet.state) {
            (State::AdminDown, _) => return None,
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                self.go(State::Down, Diagnostic::NeighbourDown, now);
            }
            (State::Down, State::Down) => self.go(State::Init, Diagnostic::None, now),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.go(State::Up, Diagnostic::None, now);
            }
            _ => {}
        }
        if self.interval() < interval {
            self.due = self.due.min(now + self.jittered(chance));
        }
        packet.poll.then(|| Packet { is_final: true, poll: false, ..self.packet() })
    }

    /// When [`Session::tick`] is to be called next.
    pub fn due(&self) -> Instant {
        self.expires().map_or(self.due, |expires| expires.min(self.due))
    }

    /// Time has passed: what is to be sent.
    pub fn tick(&mut self, now: Instant, chance: u64) -> Option<Packet> {
        if self.expires().is_some_and(|expires| expires <= now) {
            self.go(State::Down, Diagnostic::Expired, now);
            self.other = None;
        }
        if self.due > now {
            return None;
        }
        self.due = now + self.jittered(chance);
        // Who wants nothing is sent nothing.
        let is_wanted = self.other.is_none_or(|other| !other.receive.is_zero());
        is_wanted.then(|| self.packet())
    }

    /// Holds it down from now on; what is to be sent about it.
    pub fn end(&mut self, now: Instant) -> Packet {
        self.go(State::AdminDown, Diagnostic::AdminDown, now);
        self.packet()
    }

    fn go(&mut self, state: State, diagnostic: Diagnostic, now: Instant) {
        // From then on is sent as often as was chosen, which the other is asked to confirm.
        self.polling = state == State::Up;
        // A change is told at once.
        self.due = now;
        // Why it went down is told until it is up again.
        if state != State::Init {
            self.diagnostic = diagnostic;
        }
        self.state = state;
    }

    fn transmit(&self) -> Duration {
        if self.state == State::Up { self.timers.transmit } else { self.timers.transmit.max(SLOW) }
    }

    /// How often is sent.
    fn interval(&self) -> Duration {
        self.other.map_or(Duration::ZERO, |other| other.receive).max(self.transmit())
    }

    /// A quarter less at most, so that nobody falls into step; at least a tenth, where not one packet may be lost.
    fn jittered(&self, chance: u64) -> Duration {
        let least = if self.timers.multiplier == 1 { 10 } else { 0 };
        let less = least + u32::try_from(chance % u64::from(26 - least)).unwrap_or(0);
        self.interval() * (100 - less) / 100
    }

    /// When nothing will have been heard for too long.
    fn expires(&self) -> Option<Instant> {
        let other = self.other?;
        let between = other.transmit.max(self.timers.receive);
        Some(other.heard + between * u32::from(other.multiplier))
    }

    fn packet(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling,
            is_final: false,
            multiplier: self.timers.multiplier,
            mine: self.number,
            yours: self.other.map_or(0, |other| other.number),
            transmit: self.transmit(),
            receive: self.timers.receive,
        }
    }
}

#[cfg(test)]
mod tests;

//! BFD's control packets as bytes (RFC 5880, 4.1), without authentication. Pure.

use std::time::Duration;

/// Bytes of a packet without authentication.
pub const LENGTH: usize = 24;
const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const AUTHENTICATED: u8 = 0x04;
const MULTIPOINT: u8 = 0x01;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is held down on purpose.
    AdminDown,
    /// Nothing is heard.
    Down,
    /// The other is heard.
    Init,
    /// Both hear each other.
    Up,
}

/// Why a session is not up any more (`Diag`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// No reason.
    None,
    /// Nothing was heard for the detection time.
    Expired,
    /// The other said that it is down.
    NeighbourDown,
    /// It is held down on purpose.
    AdminDown,
    /// Another one, by its number.
    Other(u8),
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why it is not up any more.
    pub diagnostic: Diagnostic,
    /// How far the sender is.
    pub state: State,
    /// The sender wants an answer at once.
    pub poll: bool,
    /// This is that answer.
    pub is_final: bool,
    /// So many packets may be lost.
    pub multiplier: u8,
    /// The sender's number of the session.
    pub mine: u32,
    /// The receiver's number, as far as it is known; else 0.
    pub yours: u32,
    /// The sender does not send more often.
    pub transmit: Duration,
    /// The sender is not to be sent more often; zero: not at all.
    pub receive: Duration,
}

impl State {
    fn number(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    fn of_number(number: u8) -> Self {
        match number & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
}

impl Diagnostic {
    fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Expired => 1,
            Self::NeighbourDown => 3,
            Self::AdminDown => 7,
            Self::Other(number) => number & 0x1f,
        }
    }

    fn of_number(number: u8) -> Self {
        match number & 0x1f {
            0 => Self::None,
            1 => Self::Expired,
            3 => Self::NeighbourDown,
            7 => Self::AdminDown,
            other => Self::Other(other),
        }
    }
}

fn microseconds(time: Duration) -> [u8; 4] {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX).to_be_bytes()
}

impl Packet {
    /// As bytes.
    pub fn to_bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION << 5 | self.diagnostic.number();
        bytes[1] = self.state.number() << 6;
        bytes[1] |= if self.poll { POLL } else { 0 } | if self.is_final { FINAL } else { 0 };
        bytes[2] = self.multiplier;
        bytes[3] = LENGTH as u8;
        bytes[4..8].copy_from_slice(&self.mine.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.yours.to_be_bytes());
        bytes[12..16].copy_from_slice(&microseconds(self.transmit));
        bytes[16..20].copy_from_slice(&microseconds(self.receive));
        // Echo packets are not taken: the last word is zero.
        bytes
    }

    /// From bytes; `None`: it is none, or one that must be passed over (RFC 5880, 6.8.6).
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let packet = bytes.get(..LENGTH)?;
        let word = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        let length = usize::from(packet[3]);
        let (state, flags) = (State::of_number(packet[1] >> 6), packet[1]);
        let (mine, yours) = (word(4), word(8));
        let is_begin = matches!(state, State::Down | State::AdminDown);
        let valid = packet[0] >> 5 == VERSION
            && (LENGTH..=bytes.len()).contains(&length)
            && packet[2] != 0
            && flags & (AUTHENTICATED | MULTIPOINT) == 0
            && mine != 0
            && (yours != 0 || is_begin);
        let time = |at: usize| Duration::from_micros(word(at).into());
        valid.then(|| Self {
            diagnostic: Diagnostic::of_number(packet[0]),
            state,
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            multiplier: packet[2],
            mine,
            yours,
            transmit: time(12),
            receive: time(16),
        })
    }
}

#[cfg(test)]
mod tests;

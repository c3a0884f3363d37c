//! A packet of either family that asks for an address or says who has it.

use std::net::IpAddr;

use crate::arp::{self, Mac, Operation};
use crate::ndp::{self, Message};

/// Bytes of the longest frame that is read.
pub(crate) const FRAME: usize = ndp::FRAME + 64;

/// A packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet {
    /// For IPv4.
    Arp(arp::Packet),
    /// For IPv6.
    Neighbour(Message),
}

impl Packet {
    /// From a frame; `None`: it is neither, or not valid.
    pub(crate) fn from_frame(frame: &[u8]) -> Option<Packet> {
        let neighbour = || Message::from_frame(frame).map(Packet::Neighbour);
        arp::Packet::from_frame(frame).map(Packet::Arp).or_else(neighbour)
    }

    /// Whom it comes from.
    pub(crate) fn mac(&self) -> Mac {
        match self {
            Packet::Arp(packet) => packet.sender_mac,
            Packet::Neighbour(Message::Solicitation(question)) => question.mac,
            Packet::Neighbour(Message::Advertisement(answer)) => answer.mac,
        }
    }

    /// The address that its sender says to have.
    pub(crate) fn claimed(&self) -> Option<IpAddr> {
        match self {
            Packet::Arp(packet) => Some(packet.sender.into()),
            Packet::Neighbour(Message::Solicitation(_)) => None,
            Packet::Neighbour(Message::Advertisement(answer)) => Some(answer.target.into()),
        }
    }

    /// The address that is asked for.
    pub(crate) fn asked(&self) -> Option<IpAddr> {
        match self {
            Packet::Arp(packet) if packet.operation == Operation::Request => Some(packet.target.into()),
            Packet::Neighbour(Message::Solicitation(question)) => Some(question.target.into()),
            Packet::Arp(_) | Packet::Neighbour(Message::Advertisement(_)) => None,
        }
    }

    /// The answer: what is asked for is at `mac`. `None`: it asks for nothing.
    pub(crate) fn answer(&self, mac: Mac) -> Option<Vec<u8>> {
        match self {
            Packet::Arp(packet) if packet.operation == Operation::Request => {
                Some(arp::Packet::reply_to(packet, mac).to_frame().to_vec())
            }
            Packet::Neighbour(Message::Solicitation(question)) => Some(question.answer(mac)),
            Packet::Arp(_) | Packet::Neighbour(Message::Advertisement(_)) => None,
        }
    }

    /// The address for which it is an answer to who has `mac`, and that of who answers.
    pub(crate) fn answers(&self, mac: Mac) -> Option<(IpAddr, Mac)> {
        match self {
            Packet::Arp(packet) if packet.operation == Operation::Reply && packet.target_mac == mac => {
                Some((packet.sender.into(), packet.sender_mac))
            }
            // Who asks without an address is answered together with everybody.
            Packet::Neighbour(Message::Advertisement(answer)) => Some((answer.target.into(), answer.mac)),
            _ => None,
        }
    }
}

/// What tells everybody unasked that an address is at `mac`, in all forms that somebody listens to.
pub(crate) fn announcement(address: IpAddr, mac: Mac) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => [Operation::Request, Operation::Reply]
            .map(|operation| arp::Packet::gratuitous(operation, address, mac).to_frame().to_vec())
            .into(),
        IpAddr::V6(address) => vec![ndp::unsolicited(address, mac)],
    }
}

/// The question who has an address, of a machine that names none of its own.
pub(crate) fn probe(address: IpAddr, mac: Mac) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp::Packet::probe(address, mac).to_frame().to_vec(),
        IpAddr::V6(address) => ndp::Solicitation::probe(address, mac),
    }
}

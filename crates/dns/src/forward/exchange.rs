//! One exchange with one upstream server.
//!
//! Each question leaves from a socket of its own, whose port the kernel draws at random, with an ID drawn at random.
//! The socket is connected, so only the server's own datagrams arrive; what then does not match ID and question is
//! overlooked, and after some of those the question is asked over TCP, where guessing does not help (RFC 5452).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::matching::matches;
use super::stream::Streams;
use super::wanted::Wanted;

/// So many datagrams that do not match look like somebody guessing.
const MISMATCHES: usize = 8;

/// An exchange came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// The server cannot be reached.
    #[error("{upstream}: {source}")]
    Io { upstream: SocketAddr, source: io::Error },
    /// It said nothing in time.
    #[error("{upstream} did not answer within {after:?}")]
    TimedOut { upstream: SocketAddr, after: Duration },
    /// It said something that is no answer to the question.
    #[error("{upstream} answered with something that is no answer")]
    Unreadable { upstream: SocketAddr },
}

/// How an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Datagram,
    /// On a connection, which was there already or not.
    Stream {
        reused: bool,
    },
}

/// How a server is reached.
pub(super) struct Reach {
    pub(super) address: SocketAddr,
    pub(super) source: Option<IpAddr>,
    /// Not over UDP: the server speaks TLS, or TCP is wanted.
    pub(super) streams_only: bool,
    pub(super) streams: Streams,
}

impl Reach {
    /// Asks over UDP, and over TCP when the answer does not fit a datagram. `patience` bounds all of it.
    pub(super) async fn ask(
        &self,
        wanted: &Wanted,
        edns: bool,
        patience: Duration,
    ) -> Result<(Message, Carrier), ExchangeError> {
        let question = wanted.message(rand::random(), edns);
        self.ask_message(&question, patience).await
    }

    /// Asks a question that is a whole message.
    pub(super) async fn ask_message(
        &self,
        question: &[u8],
        patience: Duration,
    ) -> Result<(Message, Carrier), ExchangeError> {
        let upstream = self.address;
        let failed = |source| ExchangeError::Io { upstream, source };
        let whole = async {
            if !self.streams_only {
                match over_udp(upstream, self.source, question).await.map_err(failed)? {
                    Some(packet) => {
                        let message = read(upstream, &packet)?;
                        if !message.metadata.truncation {
                            return Ok((message, Carrier::Datagram));
                        }
                    }
                    None => tracing::warn!(%upstream, "answers that nobody asked for: asking over TCP"),
                }
            }
            let answered = self.streams.ask(question).await.map_err(failed)?;
            Ok((read(upstream, &answered.packet)?, Carrier::Stream { reused: answered.reused }))
        };
        timeout(patience, whole).await.unwrap_or(Err(ExchangeError::TimedOut { upstream, after: patience }))
    }
}

fn read(upstream: SocketAddr, packet: &[u8]) -> Result<Message, ExchangeError> {
    Message::from_vec(packet).map_err(|_| ExchangeError::Unreadable { upstream })
}

/// The datagram that answers, or `None` when too many came that do not.
async fn over_udp(upstream: SocketAddr, source: Option<IpAddr>, question: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let any: IpAddr = match upstream {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((source.unwrap_or(any), 0)).await?;
    socket.connect(upstream).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; 4096];
    for _ in 0..MISMATCHES {
        let length = socket.recv(&mut buffer).await?;
        if matches(&buffer[..length], question) {
            buffer.truncate(length);
            return Ok(Some(buffer));
        }
    }
    Ok(None)
}

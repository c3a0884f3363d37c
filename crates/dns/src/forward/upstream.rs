//! One exchange with one upstream server.
//!
//! Each question leaves from a socket of its own, whose port the kernel draws at random, with an ID drawn at random.
//! The socket is connected, so only the server's own datagrams arrive; what then does not match ID and question is
//! overlooked, and after some of those the question is asked over TCP, where guessing does not help (RFC 5452).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::protocol::HEADER;

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

/// Asks over UDP, and over TCP when the answer does not fit a datagram. `patience` bounds all of it.
pub(super) async fn exchange(
    upstream: SocketAddr,
    wanted: &Wanted,
    edns: bool,
    patience: Duration,
) -> Result<Message, ExchangeError> {
    let id = rand::random();
    let question = wanted.message(id, edns);
    let whole = async {
        match over_udp(upstream, &question).await.map_err(|source| ExchangeError::Io { upstream, source })? {
            Some(packet) => {
                let message = read(upstream, &packet)?;
                if !message.metadata.truncation {
                    return Ok(message);
                }
            }
            None => tracing::warn!(%upstream, name = %wanted.name, "answers that nobody asked for: asking over TCP"),
        }
        let packet = over_tcp(upstream, &question).await.map_err(|source| ExchangeError::Io { upstream, source })?;
        if !matches(&packet, &question) {
            return Err(ExchangeError::Unreadable { upstream });
        }
        read(upstream, &packet)
    };
    timeout(patience, whole).await.unwrap_or(Err(ExchangeError::TimedOut { upstream, after: patience }))
}

fn read(upstream: SocketAddr, packet: &[u8]) -> Result<Message, ExchangeError> {
    Message::from_vec(packet).map_err(|_| ExchangeError::Unreadable { upstream })
}

/// The datagram that answers, or `None` when too many came that do not.
async fn over_udp(upstream: SocketAddr, question: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let any: SocketAddr = match upstream {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
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

async fn over_tcp(upstream: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let mut framed = Vec::with_capacity(question.len() + 2);
    framed.extend((question.len() as u16).to_be_bytes());
    framed.extend(question);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

/// Whether a message is a response with the question's ID and, if it repeats a question at all, with that question.
/// Servers that refuse or fail may leave the question out.
fn matches(packet: &[u8], question: &[u8]) -> bool {
    let Some(header) = packet.first_chunk::<HEADER>() else {
        return false;
    };
    if header[..2] != question[..2] || header[2] & 0x80 == 0 {
        return false;
    }
    let asked = &question[HEADER..crate::query::skip_name(question, HEADER).map_or(HEADER, |end| end + 4)];
    match (header[5], header[3] & 0xf) {
        (0, code) => header[4] == 0 && code != 0,
        (1, _) => packet.get(HEADER..HEADER + asked.len()).is_some_and(|echo| echo.eq_ignore_ascii_case(asked)),
        _ => false,
    }
}

//! Connections to one upstream server, kept open between questions.
//!
//! A connection carries one question at a time. What goes wrong on one that was kept open says little, because the
//! server may have closed it meanwhile: the question is then asked once more on a new one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::matching::matches;
use super::tls::Connector;

/// Something that octets go to and come from.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

type Connection = Box<dyn Duplex>;

/// How connections are made and kept.
pub(super) struct Streams {
    address: SocketAddr,
    source: Option<IpAddr>,
    tls: Option<Connector>,
    idle: Duration,
    idle_most: usize,
    kept: Mutex<Vec<(Connection, Instant)>>,
}

/// An answer, and whether a connection was there already.
pub(super) struct Answered {
    pub(super) packet: Vec<u8>,
    pub(super) reused: bool,
}

impl Streams {
    pub(super) fn new(
        address: SocketAddr,
        source: Option<IpAddr>,
        tls: Option<Connector>,
        idle: Duration,
        idle_most: usize,
    ) -> Self {
        Self { address, source, tls, idle, idle_most, kept: Mutex::default() }
    }

    /// Asks a question. The caller bounds the time; a connection that is given up is closed.
    pub(super) async fn ask(&self, question: &[u8]) -> io::Result<Answered> {
        if let Some(mut connection) = self.take() {
            match exchange(&mut connection, question).await {
                Ok(packet) => {
                    self.keep(connection);
                    return Ok(Answered { packet, reused: true });
                }
                Err(error) => tracing::debug!(upstream = %self.address, %error, "a connection that was kept is gone"),
            }
        }
        let mut connection = self.connect().await?;
        let packet = exchange(&mut connection, question).await?;
        self.keep(connection);
        Ok(Answered { packet, reused: false })
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = match self.source {
            None => TcpStream::connect(self.address).await?,
            Some(source) => {
                let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.bind((source, 0).into())?;
                socket.connect(self.address).await?
            }
        };
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => Ok(Box::new(tls.connect(stream).await?)),
        }
    }

    /// The connection that was used last, if it is not too old. Those that are too old are closed.
    fn take(&self) -> Option<Connection> {
        let mut kept = self.kept.lock();
        kept.retain(|(_, since)| since.elapsed() < self.idle);
        kept.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: Connection) {
        let mut kept = self.kept.lock();
        if kept.len() < self.idle_most && !self.idle.is_zero() {
            kept.push((connection, Instant::now()));
        }
    }
}

async fn exchange(connection: &mut Connection, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut framed = Vec::with_capacity(question.len() + 2);
    framed.extend((question.len() as u16).to_be_bytes());
    framed.extend(question);
    connection.write_all(&framed).await?;
    connection.flush().await?;
    let length = connection.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    connection.read_exact(&mut packet).await?;
    if matches(&packet, question) {
        Ok(packet)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "an answer to another question"))
    }
}

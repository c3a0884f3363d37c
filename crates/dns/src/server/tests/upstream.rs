//! An upstream server that does as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record, rdata};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What it does with a question. Over TCP, everything but `Silence` is answered in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// `A 192.0.2.1` for every name, with this TTL.
    Knows(u32),
    /// The same, a while later.
    Slow(Duration),
    /// Nothing.
    Silence,
    /// This code, without records.
    Code(u16),
    /// FORMERR to questions with an OPT record.
    NoEdns,
    /// A short answer with TC.
    Truncates,
    /// So many answers with another ID first, then the right one.
    Forged(usize),
    /// An answer to another question first, then the right one.
    Astray,
    /// Octets that are no message, under the right ID.
    Garbage,
    /// The question back in capitals, and the answer.
    Shouts,
    /// Answers with another ID alone.
    OtherId,
}

pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    manner: Mutex<Manner>,
    asked: AtomicUsize,
    probed: AtomicUsize,
    streams: AtomicUsize,
    open: AtomicUsize,
    /// Grows when connections are to be closed.
    closing: watch::Sender<usize>,
}

impl Upstream {
    pub(super) async fn start(manner: Manner) -> Self {
        Self::start_with(manner, None).await
    }

    /// A server whose connections speak TLS.
    pub(super) async fn start_tls(manner: Manner, tls: TlsAcceptor) -> Self {
        Self::start_with(manner, Some(tls)).await
    }

    async fn start_with(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).await.unwrap();
        let none = || AtomicUsize::new(0);
        let shared = Arc::new(Shared {
            manner: Mutex::new(manner),
            asked: none(),
            probed: none(),
            streams: none(),
            open: none(),
            closing: watch::channel(0).0,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_datagrams(socket, Arc::clone(&shared)));
        tasks.spawn(serve_streams(listener, tls, Arc::clone(&shared)));
        Self { address, shared, _tasks: tasks }
    }

    /// From now on it does something else.
    pub(super) fn set_manner(&self, manner: Manner) {
        *self.shared.manner.lock() = manner;
    }

    /// Closes every connection.
    pub(super) async fn close_streams(&self) {
        self.shared.closing.send_modify(|times| *times += 1);
        super::net::eventually("connections are closed", || self.shared.open.load(Ordering::SeqCst) == 0).await;
    }

    /// Datagrams that came, probes apart.
    pub(super) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// Probes that came over UDP.
    pub(super) fn probed(&self) -> usize {
        self.shared.probed.load(Ordering::SeqCst)
    }

    /// Connections that came.
    pub(super) fn streams(&self) -> usize {
        self.shared.streams.load(Ordering::SeqCst)
    }
}

async fn serve_datagrams(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut buffer = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
        // A probe asks for the root's name servers.
        let is_probe = buffer[..length].get(12..15) == Some(&[0, 0, 2]);
        (if is_probe { &shared.probed } else { &shared.asked }).fetch_add(1, Ordering::SeqCst);
        let (socket, packet, manner) = (Arc::clone(&socket), buffer[..length].to_vec(), *shared.manner.lock());
        tokio::spawn(async move {
            if let Manner::Slow(delay) = manner {
                tokio::time::sleep(delay).await;
            }
            for answer in datagrams(manner, &packet) {
                socket.send_to(&answer, peer).await.unwrap();
            }
        });
    }
}

async fn serve_streams(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.streams.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let mut closing = shared.closing.subscribe();
            // An asker that does not trust the certificate leaves: that is no mistake of the server's.
            let served = async {
                match tls {
                    Some(tls) => serve_stream(tls.accept(stream).await?, &shared).await,
                    None => serve_stream(stream, &shared).await,
                }
            };
            tokio::select! {
                _ended = served => {}
                _changed = closing.changed() => {}
            }
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve_stream(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut packet = vec![0; usize::from(length)];
        stream.read_exact(&mut packet).await?;
        if *shared.manner.lock() != Manner::Silence {
            let answer = full(&packet, 60).to_vec().unwrap();
            stream.write_u16(answer.len() as u16).await?;
            stream.write_all(&answer).await?;
            stream.flush().await?;
        }
    }
}

fn reply(packet: &[u8], code: u16) -> Message {
    let question = Message::from_vec(packet).unwrap();
    let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.response_code = ResponseCode::from(0, code as u8);
    message.add_queries(question.queries);
    message
}

fn full(packet: &[u8], ttl: u32) -> Message {
    let mut message = reply(packet, 0);
    let name = message.queries[0].name().clone();
    message.add_answer(Record::from_rdata(name, ttl, RData::A(rdata::A::new(192, 0, 2, 1))));
    message
}

fn datagrams(manner: Manner, packet: &[u8]) -> Vec<Vec<u8>> {
    let encode = |message: Message| message.to_vec().unwrap();
    match manner {
        Manner::Knows(ttl) => vec![encode(full(packet, ttl))],
        Manner::Slow(_) => vec![encode(full(packet, 60))],
        Manner::Silence => vec![],
        Manner::Code(code) => vec![encode(reply(packet, code))],
        Manner::NoEdns if Message::from_vec(packet).unwrap().edns.is_some() => vec![encode(reply(packet, 1))],
        Manner::NoEdns => vec![encode(full(packet, 60))],
        Manner::Truncates => {
            let mut short = reply(packet, 0);
            short.metadata.truncation = true;
            vec![encode(short)]
        }
        Manner::Forged(count) => {
            let mut forged = full(packet, 60);
            forged.answers[0].data = RData::A(rdata::A::new(203, 0, 113, 66));
            let right = full(packet, 60);
            let forgeries = (1..=count).map(|n| {
                let mut other = forged.clone();
                other.metadata.id = right.metadata.id.wrapping_add(n as u16);
                encode(other)
            });
            forgeries.chain([encode(right.clone())]).collect()
        }
        Manner::Astray => {
            let mut other = full(packet, 60);
            other.queries[0].name = "elsewhere.example.com.".parse().unwrap();
            vec![encode(other), encode(full(packet, 60))]
        }
        Manner::Shouts => {
            let mut loud = encode(full(packet, 60));
            let end = loud.iter().skip(12).position(|octet| *octet == 0).map_or(12, |end| end + 12);
            loud[12..end].make_ascii_uppercase();
            vec![loud]
        }
        Manner::OtherId => {
            let mut other = full(packet, 60);
            other.metadata.id = other.metadata.id.wrapping_add(1);
            vec![encode(other)]
        }
        Manner::Garbage => {
            let mut garbage = encode(full(packet, 60));
            let at = garbage.len() - 5;
            garbage[at] = 200;
            vec![garbage]
        }
    }
}

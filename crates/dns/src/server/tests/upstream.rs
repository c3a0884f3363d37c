//! An upstream server that does as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record, rdata};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

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
}

pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Arc::new(UdpSocket::bind(address).await.unwrap());
        let (asked, streams) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        let count = Arc::clone(&asked);
        tasks.spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (socket, packet) = (Arc::clone(&socket), buffer[..length].to_vec());
                tokio::spawn(async move {
                    if let Manner::Slow(delay) = manner {
                        tokio::time::sleep(delay).await;
                    }
                    for answer in datagrams(manner, &packet) {
                        socket.send_to(&answer, peer).await.unwrap();
                    }
                });
            }
        });
        let count = Arc::clone(&streams);
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let length = stream.read_u16().await.unwrap();
                let mut packet = vec![0; usize::from(length)];
                stream.read_exact(&mut packet).await.unwrap();
                if manner != Manner::Silence {
                    let answer = full(&packet, 60).to_vec().unwrap();
                    stream.write_u16(answer.len() as u16).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        });
        Self { address, asked, streams, _tasks: tasks }
    }

    /// Datagrams that came.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Connections that came.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
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
        Manner::Garbage => {
            let mut garbage = encode(full(packet, 60));
            let at = garbage.len() - 5;
            garbage[at] = 200;
            vec![garbage]
        }
    }
}

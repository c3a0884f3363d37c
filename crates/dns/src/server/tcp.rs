//! TCP connections (RFC 7766): pipelined, answered in whatever order answers come, bounded in every way.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::index::Transfer;
use crate::protocol::TCP_MAX;
use crate::reply::Transport;

use super::config::TcpLimits;
use super::counters::Tally;
use super::fairness::Fairness;
use super::respond::{Asker, Handled, Later};
use super::sources::{Current, Sources};

/// More than any question has, EDNS options included.
const QUESTION_MAX: u16 = 4096;

/// What all connections share.
pub(super) struct Shared {
    pub(super) current: Arc<Current>,
    pub(super) fairness: Arc<Fairness>,
    pub(super) tally: Arc<Tally>,
    pub(super) limits: TcpLimits,
    pub(super) waiting: Arc<Semaphore>,
    pub(super) open: Arc<Open>,
    pub(super) stop: CancellationToken,
}

/// The connections that are open, by who opened them.
#[derive(Default)]
pub(super) struct Open {
    by_client: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// One of them.
struct Admitted {
    open: Arc<Open>,
    client: IpAddr,
}

impl Open {
    fn admit(self: &Arc<Self>, client: IpAddr, limits: TcpLimits) -> Option<Admitted> {
        let mut by_client = self.by_client.lock();
        let (all, clients) = &mut *by_client;
        let own = clients.get(&client).copied().unwrap_or(0);
        if *all >= limits.connections || own >= limits.per_client {
            return None;
        }
        *all += 1;
        clients.insert(client, own + 1);
        Some(Admitted { open: Arc::clone(self), client })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut by_client = self.open.by_client.lock();
        by_client.0 -= 1;
        if let Some(own) = by_client.1.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                by_client.1.remove(&self.client);
            }
        }
    }
}

/// Accepts connections until the server stops, and sees them off.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, &shared, &mut connections),
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                // Out of descriptors, most likely: trying again at once would only burn the processor.
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn admit(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    let client = peer.ip().to_canonical();
    if !shared.current.get().serves(client) {
        return shared.tally.stranger();
    }
    let Some(admitted) = shared.open.admit(client, shared.limits) else {
        return shared.tally.turned_away();
    };
    let shared = Arc::clone(shared);
    connections.spawn(async move {
        if let Err(error) = serve(stream, peer, &shared).await {
            tracing::debug!(%error, %peer, "a connection ended");
        }
        drop(admitted);
    });
}

/// Serves one connection: this task reads, another writes.
async fn serve(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reading, writing) = stream.into_split();
    let (answers, queue) = mpsc::channel(shared.limits.pipelined.max(1));
    let limits = shared.limits;
    let writer = tokio::spawn(write(writing, queue, limits));
    let outcome = read(BufReader::with_capacity(2048, reading), peer, answers, shared).await;
    // All senders are gone when every answer that waited has come: the writer ends by itself, or at an error.
    let written = writer.await.map_err(io::Error::other)?;
    outcome.and(written)
}

/// Reads questions until the connection or the server ends, or nothing comes and nothing waits.
async fn read(
    mut stream: BufReader<OwnedReadHalf>,
    peer: SocketAddr,
    answers: mpsc::Sender<Vec<u8>>,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let mut waiting = JoinSet::new();
    let (mut turn, client) = (0u32, peer.ip().to_canonical());
    let end = loop {
        let question = match next(&mut stream, &mut waiting, &answers, shared).await {
            Ok(Some(question)) => question,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        turn = turn.wrapping_add(1);
        let start = Instant::now();
        let sources = shared.current.get();
        let asker = Asker { client, transport: Transport::Tcp, tally: &shared.tally, fairness: &shared.fairness };
        let mut buffer = vec![0; TCP_MAX];
        let length = match sources.respond(&question, &mut buffer, asker, turn) {
            Handled::Silence => break Ok(()),
            Handled::Answer(length) => length,
            Handled::Transfer(transfer) => {
                if send_all(*transfer, &answers).await.is_err() {
                    break Ok(());
                }
                continue;
            }
            Handled::Later(later) => {
                while waiting.len() >= shared.limits.pipelined && waiting.join_next().await.is_some() {}
                match wait(&question, &buffer, later, (peer, &sources), &answers, shared) {
                    Some(answer) => {
                        waiting.spawn(answer);
                        continue;
                    }
                    None => sources.turn_away(&question, &mut buffer, asker),
                }
            }
        };
        sources.note(&question, &buffer[..length], peer, Transport::Tcp, start);
        if answers.send(framed(&buffer[..length])).await.is_err() {
            break Ok(());
        }
        shared.tally.took(start.elapsed(), 1);
    };
    // Who closes its half of the connection may still wait for answers.
    while !answers.is_closed() && waiting.join_next().await.is_some() {}
    end
}

/// The next question, or `None` when there will be none.
async fn next(
    stream: &mut BufReader<OwnedReadHalf>,
    waiting: &mut JoinSet<()>,
    answers: &mpsc::Sender<Vec<u8>>,
    shared: &Shared,
) -> io::Result<Option<Vec<u8>>> {
    let mut question = pin!(message(stream));
    loop {
        tokio::select! {
            question = &mut question => return question,
            () = shared.stop.cancelled() => return Ok(None),
            // The other end does not take answers any more.
            () = answers.closed() => return Ok(None),
            () = sleep(shared.limits.idle) => {
                while waiting.try_join_next().is_some() {}
                if waiting.is_empty() {
                    return Ok(None);
                }
            }
        }
    }
}

/// Reads a message; `None` at the end of the stream, and for a message that is longer than any question.
async fn message(stream: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) if length <= QUESTION_MAX => length,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut question = vec![0; usize::from(length)];
    stream.read_exact(&mut question).await?;
    Ok(Some(question))
}

/// An answer that waits, as a task to start; `None` when too many wait already.
fn wait(
    question: &[u8],
    buffer: &[u8],
    later: Later,
    (peer, sources): (SocketAddr, &Arc<Sources>),
    answers: &mpsc::Sender<Vec<u8>>,
    shared: &Arc<Shared>,
) -> Option<impl Future<Output = ()> + Send + 'static> {
    let share = shared.fairness.wait(peer.ip().to_canonical())?;
    let permit = Arc::clone(&shared.waiting).try_acquire_owned().ok()?;
    let start = Instant::now();
    let so_far = later.so_far(buffer);
    let (question, answers, shared) = (question.to_vec(), answers.clone(), Arc::clone(shared));
    let sources = Arc::clone(sources);
    Some(async move {
        let later = sources.respond_later(&question, later, &so_far, Transport::Tcp, &shared.tally).await;
        if let Some(answer) = later {
            sources.note(&question, &answer, peer, Transport::Tcp, start);
            // A reader that is gone needs no answer.
            let _gone = answers.send(framed(&answer)).await;
            shared.tally.took(start.elapsed(), 1);
        }
        drop((permit, share));
    })
}

/// Sends a zone, as fast as it is taken.
async fn send_all(transfer: Transfer, answers: &mpsc::Sender<Vec<u8>>) -> Result<(), Gone> {
    for message in transfer {
        answers.send(framed(&message)).await.map_err(|_| Gone)?;
    }
    Ok(())
}

/// The other end does not take answers any more.
struct Gone;

/// A message with its length before it, as a stream carries it.
fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

async fn write(mut stream: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>, limits: TcpLimits) -> io::Result<()> {
    while let Some(answer) = queue.recv().await {
        timeout(limits.idle, stream.write_all(&answer)).await.map_err(io::Error::from)??;
    }
    stream.shutdown().await
}

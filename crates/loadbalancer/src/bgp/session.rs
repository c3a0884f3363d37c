//! One session with a router, from its first word to its last.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::message::{self, Attributes, Family, HEADER, Malformed, Message, Notification, Open};
use super::{Peer, Phase};
use crate::bfd::Watch;

/// How long the other may take for its first words.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a message may take to be taken by the other.
const SENDING: Duration = Duration::from_secs(10);
/// Messages that were received and wait.
const WAITING: usize = 64;

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection was not made, or broke.
    #[error("the connection: {0}")]
    Connection(#[from] io::Error),
    /// The other ended it.
    #[error("the router ended it: code {}, {}", .0.code, .0.subcode)]
    Ended(Notification),
    /// The other said what cannot be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The other is of another AS than was said.
    #[error("the router is of AS {found}, and not of {wanted}")]
    OtherAs {
        /// The one that was said.
        wanted: u32,
        /// The one that it is of.
        found: u32,
    },
    /// The other said nothing for as long as was agreed.
    #[error("the router said nothing for {0:?}")]
    Silent(Duration),
    /// The other said something at the wrong time.
    #[error("the router said {0} at the wrong time")]
    OutOfTurn(&'static str),
    /// BFD says that the other is gone.
    #[error("BFD has lost the router")]
    Lost,
    /// This side was told to end it.
    #[error("told to end")]
    Stopped,
}

impl SessionError {
    /// What the other is told.
    fn notification(&self) -> Option<Notification> {
        match self {
            Self::Connection(_) | Self::Ended(_) => None,
            Self::Malformed(malformed) => Some(malformed.notification.clone()),
            Self::OtherAs { .. } => Some(Notification::new(2, 2)),
            Self::Silent(_) => Some(Notification::new(4, 0)),
            Self::OutOfTurn(_) => Some(Notification::new(5, 0)),
            // RFC 9384
            Self::Lost => Some(Notification::new(6, 10)),
            Self::Stopped => Some(Notification::new(6, 2)),
        }
    }
}

/// What a session is given to do.
pub(super) struct Session<'a> {
    pub peer: &'a Peer,
    pub routes: watch::Receiver<BTreeSet<IpNet>>,
    pub phase: &'a watch::Sender<Phase>,
    pub bfd: &'a mut Option<Watch>,
    pub stop: &'a CancellationToken,
}

/// What both agreed on.
struct Agreed {
    hold: Duration,
    wide: bool,
    families: Vec<Family>,
    local: IpAddr,
}

struct Wire {
    write: tokio::net::tcp::OwnedWriteHalf,
    messages: mpsc::Receiver<Result<Message, SessionError>>,
}

impl Session<'_> {
    /// Speaks until it is over, and says why it is.
    pub(super) async fn run(mut self, stream: TcpStream) -> SessionError {
        let local = match stream.local_addr() {
            Ok(local) => local.ip(),
            Err(error) => return error.into(),
        };
        let (read, write) = stream.into_split();
        let (tell, messages) = mpsc::channel(WAITING);
        let reading = tokio::spawn(listen(read, tell));
        let mut wire = Wire { write, messages };
        let error = self.speak(&mut wire, local).await;
        reading.abort();
        if let Some(notification) = error.notification() {
            // The other may be gone already.
            let _ = wire.send(&message::notification(&notification)).await;
        }
        error
    }

    async fn speak(&mut self, wire: &mut Wire, local: IpAddr) -> SessionError {
        let agreed = match self.open(wire, local).await {
            Ok(agreed) => agreed,
            Err(error) => return error,
        };
        self.phase.send_replace(Phase::Established);
        match self.established(wire, &agreed).await {
            Ok(()) => SessionError::Stopped,
            Err(error) => error,
        }
    }

    async fn open(&mut self, wire: &mut Wire, local: IpAddr) -> Result<Agreed, SessionError> {
        let peer = self.peer;
        let families: Vec<Family> = peer.next_hops(local).into_keys().collect();
        let own = Open {
            asn: peer.local_as,
            hold: u16::try_from(peer.hold.as_secs()).unwrap_or(u16::MAX),
            router: peer.router,
            families: families.clone(),
            wide: true,
            restart: peer.restart,
        };
        wire.send(&own.to_bytes()).await?;
        self.phase.send_replace(Phase::OpenSent);
        let other = match wire.next(PATIENCE, self.stop).await? {
            Message::Open(open) => open,
            _ => return Err(SessionError::OutOfTurn("something before OPEN")),
        };
        if other.asn != peer.peer_as {
            return Err(SessionError::OtherAs { wanted: peer.peer_as, found: other.asn });
        }
        wire.send(&message::keepalive()).await?;
        self.phase.send_replace(Phase::OpenConfirm);
        let hold = Duration::from_secs(own.hold.min(other.hold).into());
        match wire.next(PATIENCE, self.stop).await? {
            Message::Keepalive => {}
            _ => return Err(SessionError::OutOfTurn("something before KEEPALIVE")),
        }
        let families = families.into_iter().filter(|family| other.families.contains(family)).collect();
        Ok(Agreed { hold, wide: other.wide, families, local })
    }

    async fn established(&mut self, wire: &mut Wire, agreed: &Agreed) -> Result<(), SessionError> {
        let mut said: BTreeSet<IpNet> = BTreeSet::new();
        self.update(wire, agreed, &mut said).await?;
        for family in &agreed.families {
            wire.send(&message::end_of_routes(*family)).await?;
        }
        let forever = Duration::from_secs(u32::MAX.into());
        let (hold, every) = if agreed.hold.is_zero() { (forever, forever) } else { (agreed.hold, agreed.hold / 3) };
        let mut alive = tokio::time::interval(every);
        let mut silent = Instant::now() + hold;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                () = lost(self.bfd) => return Err(SessionError::Lost),
                _ = alive.tick() => wire.send(&message::keepalive()).await?,
                () = tokio::time::sleep_until(silent) => return Err(SessionError::Silent(hold)),
                changed = self.routes.changed() => {
                    if changed.is_err() { return Ok(()) }
                    self.update(wire, agreed, &mut said).await?;
                }
                received = wire.messages.recv() => {
                    let closed = || SessionError::Connection(io::ErrorKind::UnexpectedEof.into());
                    silent = Instant::now() + hold;
                    match received.ok_or_else(closed)?? {
                        Message::Keepalive | Message::Update => {}
                        Message::Notification(why) => return Err(SessionError::Ended(why)),
                        Message::Open(_) => return Err(SessionError::OutOfTurn("OPEN")),
                        Message::Refresh(family) => {
                            said.retain(|prefix| Some(family_of(prefix)) != family);
                            self.update(wire, agreed, &mut said).await?;
                        }
                    }
                }
            }
        }
    }

    /// Says what changed since what was said.
    async fn update(
        &mut self,
        wire: &mut Wire,
        agreed: &Agreed,
        said: &mut BTreeSet<IpNet>,
    ) -> Result<(), SessionError> {
        let wanted = self.routes.borrow_and_update().clone();
        let next_hops: BTreeMap<Family, IpAddr> = self.peer.next_hops(agreed.local);
        for family in &agreed.families {
            let of_family = |one: &BTreeSet<IpNet>, other: &BTreeSet<IpNet>| -> Vec<IpNet> {
                one.difference(other).filter(|prefix| family_of(prefix) == *family).copied().collect()
            };
            for bytes in message::withdraw(&of_family(said, &wanted), *family) {
                wire.send(&bytes).await?;
            }
            let Some(next_hop) = next_hops.get(family) else { continue };
            let external = self.peer.local_as != self.peer.peer_as;
            let attributes = Attributes {
                path: external.then_some(self.peer.local_as),
                wide: agreed.wide,
                next_hop: *next_hop,
                preference: (!external).then_some(self.peer.preference.unwrap_or(100)),
                communities: self.peer.communities.clone(),
            };
            for bytes in message::announce(&of_family(&wanted, said), &attributes) {
                wire.send(&bytes).await?;
            }
        }
        *said = wanted;
        Ok(())
    }
}

/// Waits until BFD has lost the router, if there is BFD.
async fn lost(bfd: &mut Option<Watch>) {
    match bfd {
        Some(watch) => watch.lost().await,
        None => std::future::pending().await,
    }
}

fn family_of(prefix: &IpNet) -> Family {
    Family::of(prefix.network())
}

impl Wire {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        let sent = tokio::time::timeout(SENDING, self.write.write_all(bytes)).await;
        Ok(sent.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??)
    }

    /// The next message; a notification is the end.
    async fn next(&mut self, patience: Duration, stop: &CancellationToken) -> Result<Message, SessionError> {
        let received = tokio::select! {
            () = stop.cancelled() => return Err(SessionError::Stopped),
            received = tokio::time::timeout(patience, self.messages.recv()) => received,
        };
        let received = received.map_err(|_| SessionError::Silent(patience))?;
        match received.ok_or_else(|| SessionError::Connection(io::ErrorKind::UnexpectedEof.into()))?? {
            Message::Notification(why) => Err(SessionError::Ended(why)),
            message => Ok(message),
        }
    }
}

/// Reads messages until that fails, which is the last thing that it tells.
async fn listen(mut read: OwnedReadHalf, tell: mpsc::Sender<Result<Message, SessionError>>) {
    loop {
        let received = receive(&mut read).await;
        let failed = received.is_err();
        if tell.send(received).await.is_err() || failed {
            return;
        }
    }
}

async fn receive(read: &mut OwnedReadHalf) -> Result<Message, SessionError> {
    let mut header = [0; HEADER];
    read.read_exact(&mut header).await?;
    let mut bytes = header.to_vec();
    bytes.resize(message::length(&header)?, 0);
    read.read_exact(&mut bytes[HEADER..]).await?;
    Ok(message::read(&bytes)?)
}

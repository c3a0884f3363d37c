//! The door for routers that begin sessions themselves: one port for all of them. Who is not expected is turned away.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{PORT, Peer, connection};

/// Connections that have come and are not yet looked at.
const BACKLOG: u32 = 64;
/// How long nothing is accepted after that failed: there are too many files, or no memory.
const PAUSE: Duration = Duration::from_millis(200);

/// Those who may come in: one connection of each waits.
type Expected = Arc<Mutex<BTreeMap<IpAddr, mpsc::Sender<TcpStream>>>>;

/// An open door.
#[derive(Debug)]
pub struct Door {
    expected: Expected,
    listeners: [Option<Arc<TcpListener>>; 2],
    _accepting: JoinSet<()>,
}

/// What comes of one router.
#[derive(Debug)]
pub(super) struct Guest {
    streams: mpsc::Receiver<TcpStream>,
    hops: u8,
}

impl Guest {
    /// The next connection of the router.
    pub(super) async fn next(&mut self) -> io::Result<TcpStream> {
        let stream = self.streams.recv().await.ok_or(io::ErrorKind::NotConnected)?;
        connection::set_hops(&stream, stream.peer_addr()?, self.hops)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Door {
    /// Listens at every address of the calling thread's network namespace.
    ///
    /// # Errors
    /// When the port is another's, or not for this process.
    pub fn open() -> io::Result<Self> {
        let v4 = listener((Ipv4Addr::UNSPECIFIED, PORT).into())?;
        let v6 = match listener((Ipv6Addr::UNSPECIFIED, PORT).into()) {
            Ok(listener) => Some(Arc::new(listener)),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => return Err(error),
        };
        let listeners = [Some(Arc::new(v4)), v6];
        let expected = Expected::default();
        let mut accepting = JoinSet::new();
        for listener in listeners.iter().flatten() {
            accepting.spawn(accept(Arc::clone(listener), Arc::clone(&expected)));
        }
        Ok(Self { expected, listeners, _accepting: accepting })
    }

    /// Expects a router, from now on and until what is answered is dropped.
    pub(super) fn expect(&self, peer: &Peer) -> io::Result<Guest> {
        let listener = &self.listeners[usize::from(peer.address.is_ipv6())];
        let listener = listener.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        // One that was expected with a password before may be expected without.
        let password = peer.password.as_deref();
        match connection::sign(listener.as_ref(), peer.address, password.unwrap_or_default()) {
            Err(error) if password.is_none() && error.raw_os_error() != Some(libc::EINVAL) => {
                tracing::debug!(router = %peer.address, %error, "there was no password to forget");
            }
            done => done?,
        }
        let (tell, streams) = mpsc::channel(1);
        lock(&self.expected).insert(peer.address.ip(), tell);
        Ok(Guest { streams, hops: peer.hops })
    }
}

fn lock(expected: &Expected) -> MutexGuard<'_, BTreeMap<IpAddr, mpsc::Sender<TcpStream>>> {
    // A panic elsewhere leaves the map whole: each change is one call.
    expected.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if at.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

async fn accept(listener: Arc<TcpListener>, expected: Expected) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let mut expected = lock(&expected);
                expected.retain(|_, tell| !tell.is_closed());
                let sent = expected.get(&from.ip()).map(|tell| tell.try_send(stream));
                if !matches!(sent, Some(Ok(()))) {
                    // Unknown, or one of its connections waits already: this one is closed.
                    tracing::debug!(%from, "a BGP connection is turned away");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a BGP connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

//! Connections.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use dataplane::model::Node;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;
use crate::loopback::own_address;

/// How long an endpoint may take to accept.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A connection on which nothing is sent is asked for a sign of life after this, and again, until it is given up.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long to wait after the process has no more files.
const NO_FILES: Duration = Duration::from_millis(100);

/// All connections of a relay.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    places: Arc<Semaphore>,
    node: watch::Receiver<Node>,
    counters: Arc<Counters>,
}

impl Connections {
    pub(super) fn new(most: usize, node: watch::Receiver<Node>, counters: Arc<Counters>) -> Connections {
        Connections { places: Arc::new(Semaphore::new(most)), node, counters }
    }

    /// Accepts until told to stop; connections end then too.
    pub(super) async fn accept(self, listener: TcpListener, own: NonZeroU16, stop: CancellationToken) {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = open.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => match self.places.clone().try_acquire_owned() {
                        Ok(place) => drop(open.spawn(self.clone().relay(client, own, place))),
                        Err(_) => self.refuse(&client, &io::Error::from(io::ErrorKind::QuotaExceeded)),
                    },
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a connection to a node port of loopback was not accepted");
                        tokio::time::sleep(NO_FILES).await;
                    }
                }
            }
        }
    }

    /// One connection to its end. The place is given back with it.
    async fn relay(self, mut client: TcpStream, own: NonZeroU16, _place: OwnedSemaphorePermit) {
        let mut server = match self.connect(&client, own).await {
            Ok(server) => server,
            Err(error) => return self.refuse(&client, &error),
        };
        self.counters.loopback_connections.increment();
        self.counters.loopback_connections_open.increment();
        if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a connection to a node port of loopback was cut"
            );
            reset(&client);
            reset(&server);
        }
        self.counters.loopback_connections_open.decrement();
    }

    async fn connect(&self, client: &TcpStream, own: NonZeroU16) -> io::Result<TcpStream> {
        let asked = asked(client)?;
        // Somebody who connected to the relay itself.
        if asked.port() == own.get() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let address = own_address(&self.node.borrow(), asked.ip()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let connecting = TcpStream::connect(SocketAddr::new(address, asked.port()));
        let server = tokio::time::timeout(CONNECT_WITHIN, connecting).await??;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        for stream in [client, &server] {
            stream.set_nodelay(true)?;
            SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
        }
        Ok(server)
    }

    fn refuse(&self, client: &TcpStream, error: &io::Error) {
        self.counters.loopback_connections_refused.increment();
        tracing::debug!(error = error as &dyn std::error::Error, "a connection to a node port of loopback is refused");
        reset(client);
    }
}

/// What the client connected to, before it was redirected (`SO_ORIGINAL_DST`, `IP6T_SO_ORIGINAL_DST`).
fn asked(client: &TcpStream) -> io::Result<SocketAddr> {
    let socket = SockRef::from(client);
    let asked = if client.local_addr()?.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    asked?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// When it is closed, the other side hears a reset rather than an orderly end.
fn reset(stream: &TcpStream) {
    // A connection that is gone needs none.
    _ = stream.set_zero_linger();
}

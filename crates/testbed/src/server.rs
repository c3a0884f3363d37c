//! Servers that say who they are and whom they see, then echo.
//!
//! TCP: each connection is greeted with one line, `NAME CLIENT-ADDRESS`, then every byte comes back.
//! UDP: each datagram is answered with the same line and, behind it, the datagram.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::namespace::Namespace;

/// Connections that one server holds at once; a test that needs more is wrong.
const MOST_CONNECTIONS: usize = 4096;

/// A thread that ends when the value is dropped.
pub(crate) struct Worker {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The other end sees the hang-up.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server shows in the test that asked it.
            _ = thread.join();
        }
    }
}

pub(crate) fn start(name: String, body: impl FnOnce(UnixStream) + Send + 'static) -> Result<Worker> {
    let (stop, stopped) = UnixStream::pair()?;
    let thread = thread::Builder::new().name(name).spawn(move || body(stopped))?;
    Ok(Worker { stop: Some(stop), thread: Some(thread) })
}

/// Waits until there is something to read. False: the server is to stop.
pub(crate) fn readable(source: BorrowedFd<'_>, stopped: &UnixStream) -> bool {
    let mut files = [PollFd::new(source, PollFlags::POLLIN), PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut files, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
            Ok(_) => return !files[1].any().unwrap_or(true),
        }
    }
}

/// A TCP server in a namespace. Stops, and closes its connections, when dropped.
pub struct TcpServer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _worker: Worker,
}

impl TcpServer {
    /// Listens at once; port 0 takes a free one.
    pub fn start(namespace: &Namespace, address: SocketAddr, name: &str) -> Result<TcpServer> {
        let listener = namespace.run(|| TcpListener::bind(address))?;
        let listener = listener.with_context(|| format!("listening on {address} in {}", namespace.name()))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, greeting) = (Arc::clone(&connections), name.to_owned());
        let worker = start(format!("tcp-{name}"), move |stopped| accept(&listener, &stopped, &greeting, &count))?;
        Ok(TcpServer { address, connections, _worker: worker })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

fn accept(listener: &TcpListener, stopped: &UnixStream, name: &str, count: &AtomicUsize) {
    let open = &AtomicUsize::new(0);
    thread::scope(|scope| {
        while readable(listener.as_fd(), stopped) {
            let Ok((stream, peer)) = listener.accept() else { continue };
            count.fetch_add(1, Ordering::AcqRel);
            if open.fetch_add(1, Ordering::AcqRel) >= MOST_CONNECTIONS {
                open.fetch_sub(1, Ordering::AcqRel);
                continue;
            }
            scope.spawn(move || {
                // A client that goes away ends its connection and nothing else.
                _ = greet_and_echo(stream, peer, stopped, name);
                open.fetch_sub(1, Ordering::AcqRel);
            });
        }
    });
}

fn greet_and_echo(mut stream: TcpStream, peer: SocketAddr, stopped: &UnixStream, name: &str) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.write_all(format!("{name} {peer}\n").as_bytes())?;
    let mut buffer = [0; 4096];
    while readable(stream.as_fd(), stopped) {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => stream.write_all(&buffer[..len])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A UDP server in a namespace. Stops when dropped.
pub struct UdpServer {
    address: SocketAddr,
    datagrams: Arc<AtomicUsize>,
    _worker: Worker,
}

impl UdpServer {
    /// Listens at once; port 0 takes a free one.
    pub fn start(namespace: &Namespace, address: SocketAddr, name: &str) -> Result<UdpServer> {
        let socket = namespace.run(|| UdpSocket::bind(address))?;
        let socket = socket.with_context(|| format!("listening on {address} in {}", namespace.name()))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let datagrams = Arc::new(AtomicUsize::new(0));
        let (count, greeting) = (Arc::clone(&datagrams), name.to_owned());
        let worker = start(format!("udp-{name}"), move |stopped| {
            let mut buffer = [0; 65536];
            while readable(socket.as_fd(), &stopped) {
                let Ok((len, peer)) = socket.recv_from(&mut buffer) else { continue };
                count.fetch_add(1, Ordering::AcqRel);
                let mut answer = format!("{greeting} {peer}\n").into_bytes();
                answer.extend_from_slice(&buffer[..len]);
                // A client that went away does not hear the answer.
                _ = socket.send_to(&answer, peer);
            }
        })?;
        Ok(UdpServer { address, datagrams, _worker: worker })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Datagrams received so far.
    pub fn datagrams(&self) -> usize {
        self.datagrams.load(Ordering::Acquire)
    }
}

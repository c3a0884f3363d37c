//! How a server is set up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// Bounds on TCP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpLimits {
    /// The most connections at once.
    pub connections: usize,
    /// The most connections at once from one address.
    pub per_client: usize,
    /// The most questions of one connection that wait for upstream servers at once; reading stops above.
    pub pipelined: usize,
    /// How long a connection may be silent, and how long writing an answer may take.
    pub idle: Duration,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self { connections: 512, per_client: 128, pipelined: 32, idle: Duration::from_secs(10) }
    }
}

/// How a server is set up. It listens in the network namespace of the thread that starts it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses for UDP and TCP. Port 0 stands for a free port.
    pub listen: Vec<SocketAddr>,
    /// UDP threads for each address; 0 stands for one a processor, at most eight.
    pub workers: usize,
    /// Whose questions are answered; others meet silence, so that a forged address cannot be flooded with answers.
    /// `None` stands for everybody.
    pub clients: Option<Vec<IpNet>>,
    /// The most octets of a UDP answer, whatever the asker says it can take.
    pub udp_most: usize,
    /// Bounds on TCP connections.
    pub tcp: TcpLimits,
    /// The most questions that wait for upstream servers at once; above, they fail at once.
    pub waiting: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: Vec::new(), workers: 0, clients: None, udp_most: 4096, tcp: TcpLimits::default(), waiting: 4000 }
    }
}

/// A server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No address is given.
    #[error("no address to listen on")]
    NoAddress,
    /// Neither an index nor a forwarder is given.
    #[error("nothing to answer from: neither an index nor upstream servers")]
    NoSource,
    /// An upstream server is this server itself.
    #[error("upstream server {upstream} is this server itself, listening on {listen}")]
    Loop {
        /// The upstream.
        upstream: SocketAddr,
        /// The address that it would reach.
        listen: SocketAddr,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {protocol} {address}: {source}")]
    Listen {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// There is no tokio runtime to wait for upstream servers in.
    #[error("not inside a tokio runtime: {0}")]
    Runtime(#[from] tokio::runtime::TryCurrentError),
}

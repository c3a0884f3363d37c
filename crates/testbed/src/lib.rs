//! Network namespaces, topologies, clients and servers for tests.
//!
//! Reading order:
//! 1. [`privilege`]: whether a test can run here at all; it says `skipped` if not.
//! 2. [`namespace`] and [`lab`]: namespaces that vanish with the test, and the links between them.
//! 3. [`isolation`]: a whole test, with the processes that it starts, in a network and mount namespace of its own.
//! 4. [`server`] and [`client`]: who answers and who asks, over TCP and UDP.
//! 5. [`sctp`]: the same over SCTP, as far as the first answer.
//! 6. [`image`]: images made from installed programs.
//! 7. [`wait`]: conditions with a deadline, never a sleep.
//!
//! Namespaces live as open files of the test's process. When it ends, in whatever way, the kernel takes them away
//! with every link, address, rule and route in them. Only pinned ones have a name outside (`TESTBED_PIN=1` pins all).
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let lab = testbed::Lab::new("example");
//! let (client, server) = (lab.namespace("client")?, lab.namespace("server")?);
//! lab.veth((&client, "eth0"), (&server, "eth0"))?;
//! client.add_address("eth0", "10.0.0.1/24".parse()?)?;
//! server.add_address("eth0", "10.0.0.2/24".parse()?)?;
//! let _echo = testbed::TcpServer::start(&server, "10.0.0.2:80".parse()?, "server")?;
//! assert_eq!(testbed::ask_tcp(&client, "10.0.0.2:80".parse()?)?.name, "server");
//! # Ok(())
//! # }
//! ```

pub mod client;
pub mod image;
pub mod isolation;
pub mod lab;
pub mod namespace;
mod netlink;
mod network;
pub mod privilege;
pub mod sctp;
pub mod server;
pub mod wait;

pub use client::{Answer, ask_tcp, ask_tcp_from, ask_udp, ask_udp_from};
pub use image::Image;
pub use isolation::isolate;
pub use lab::Lab;
pub use namespace::{Link, Namespace};
pub use network::Network;
pub use privilege::skip_unless_root;
pub use sctp::{SctpServer, ask_sctp};
pub use server::{TcpServer, UdpServer};
pub use wait::{wait_for, wait_until};

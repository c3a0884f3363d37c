//! Routes: which endpoints serve which traffic. The only place where a policy is decided; what follows, in whatever
//! backend, carries routes out and never sees a Service.
//!
//! A Service has a route for each address and port at which it answers ([`Destination`]). A route says what becomes of
//! a packet ([`Decision`]) and refers to the lists of endpoints of its Service port ([`PortRoutes`]), of which there are
//! three: `cluster`, for traffic that may go anywhere, `local`, for traffic that must stay on this node, and `consistent`,
//! for traffic from outside that all nodes must lead to the same endpoint.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use ipnet::IpNet;

use crate::model::{Family, Protocol};

mod decide;
mod departed;
mod endpoints;
mod faults;
mod health;
mod maglev;
mod numbers;
mod verdict;

pub(crate) use decide::{node_port_ranges, route};
pub(crate) use departed::has_left;
pub use endpoints::MOST_ENDPOINTS;
pub(crate) use faults::faults;
pub use health::{HealthCheck, families_without_local_endpoints, health_checks, local_endpoints};
pub use maglev::SLOTS;
pub use numbers::{Block, Numbers};
pub use verdict::{Choice, Packet, Table, Verdict};

/// Where connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A Pod's address, most often.
    pub address: IpAddr,
    /// The port on which it listens.
    pub port: NonZeroU16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port.get()).fmt(f)
    }
}

/// What packets are recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// One address and port.
    Address {
        /// A cluster IP, external IP or load balancer's address.
        address: IpAddr,
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: NonZeroU16,
    },
    /// A port of every node-port address of this machine, in one family.
    NodePort {
        /// The family of the addresses.
        family: Family,
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: NonZeroU16,
    },
}

impl Destination {
    /// The protocol.
    pub const fn protocol(&self) -> Protocol {
        match self {
            Destination::Address { protocol, .. } | Destination::NodePort { protocol, .. } => *protocol,
        }
    }

    /// The port.
    pub const fn port(&self) -> NonZeroU16 {
        match self {
            Destination::Address { port, .. } | Destination::NodePort { port, .. } => *port,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Address { address, protocol, port } => {
                write!(f, "{}/{protocol}", SocketAddr::new(*address, port.get()))
            }
            Destination::NodePort { protocol, port, .. } => write!(f, "node port {port}/{protocol}"),
        }
    }
}

/// Which Service a destination belongs to when several claim it: the first of these, then the first by name. Nobody
/// takes a cluster IP from its Service by writing it into `externalIPs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// By the address allocator.
    ClusterIp,
    /// By the node-port allocator.
    NodePort,
    /// By a load balancer's controller.
    LoadBalancer,
    /// By whoever may write Services.
    ExternalIp,
}

/// One of a Service port's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// Endpoints anywhere.
    Cluster,
    /// Endpoints of this node.
    Local,
    /// Endpoints anywhere, each as often as Maglev's rule says ([`SLOTS`] in all): the same on all nodes, so that each of
    /// them chooses the same one for a connection.
    Consistent,
}

/// Whether the source address is replaced by the node's own, so that answers come back this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Masquerade {
    /// The endpoint sees who asked.
    Never,
    /// Unless the source is a Pod.
    FromOutside,
    /// In any case.
    Always,
}

/// What becomes of packets to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// There is no endpoint: the sender is told at once.
    Reject,
    /// The policy allows only local endpoints and there are none, but others elsewhere: nothing is answered, as load
    /// balancers may try another node.
    Drop,
    /// To one of a list, chosen for each connection: at random, but by a hash of the source's address and port from
    /// [`List::Consistent`].
    Forward {
        /// Which list.
        to: List,
        /// Whether the source is replaced.
        masquerade: Masquerade,
    },
    /// `externalTrafficPolicy: Local`. What comes from Pods goes to the list `cluster` unchanged; what comes from this
    /// node itself goes there too, masqueraded: both as if it went out to a load balancer and came back. All else goes
    /// to the list `local` unchanged, and is dropped if that is empty.
    BySource,
}

/// What becomes of packets to one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Whose packets.
    pub destination: Destination,
    /// By which right.
    pub claim: Claim,
    /// What becomes of them.
    pub decision: Decision,
    /// Whether only the Service's `sources` are let in; all others are dropped before anything else is decided.
    pub firewalled: bool,
}

/// The routes of one port of a Service in one family. Lists are sorted and free of doubles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRoutes {
    /// The port's protocol.
    pub protocol: Protocol,
    /// The port of the Service's own addresses.
    pub port: NonZeroU16,
    /// For [`List::Cluster`]; empty when no route needs it.
    pub cluster: Vec<Endpoint>,
    /// For [`List::Local`]; empty when no route needs it.
    pub local: Vec<Endpoint>,
    /// For [`List::Consistent`], in the order of slots; empty when no route needs it.
    pub consistent: Vec<Endpoint>,
    /// Of these, endpoints of other nodes that take packets as they are, with the address of the node. What comes from
    /// outside for one of them is passed on, so that the node which knows the connection is the endpoint's own, whichever
    /// node it came to.
    pub elsewhere: BTreeMap<Endpoint, IpAddr>,
    /// UDP only: all endpoints that still answer, whether or not they are given new flows. Flows to others must go.
    pub serving: Vec<Endpoint>,
    /// One a destination.
    pub routes: Vec<Route>,
    /// By which numbers the kernel remembers its endpoints, where clients stay with theirs. Given when the kernel is
    /// told, not by policy.
    pub numbers: Option<Box<Numbers>>,
}

impl PortRoutes {
    /// The endpoints of a list.
    pub fn list(&self, list: List) -> &[Endpoint] {
        match list {
            List::Cluster => &self.cluster,
            List::Local => &self.local,
            List::Consistent => &self.consistent,
        }
    }

    /// Whether they answer at the same address and port.
    pub(crate) fn shares_destination(&self, other: &PortRoutes) -> bool {
        let mut routes = self.routes.iter();
        routes.any(|route| other.routes.iter().any(|other| other.destination == route.destination))
    }
}

/// All routes of a Service in one family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceRoutes {
    /// Its cluster IPs: packets to their other ports are rejected.
    pub cluster_ips: Vec<IpAddr>,
    /// Addresses of endpoints that may be Pods of this node: a connection from one of them to itself must be
    /// masqueraded, else the Pod would see its own address on both sides and answer itself. Sorted.
    pub hairpins: Vec<IpAddr>,
    /// Who is let in by routes that are `firewalled`. Sorted.
    pub sources: Vec<IpNet>,
    /// Seconds for which a client stays with its endpoint after its last connection.
    pub affinity: Option<u32>,
    /// One a port.
    pub ports: Vec<PortRoutes>,
}

#[cfg(test)]
mod tests;

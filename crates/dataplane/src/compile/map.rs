//! The program's sets and maps.

use nft::{Set, SetFlags, TableId, Type};

use crate::compile::Config;
use crate::compile::key::Key;
use crate::model::Family;

/// One of the sets and maps that all Services share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Map {
    /// Class number to chain.
    Classes,
    /// Address, protocol and port to class number.
    Services,
    /// Address, protocol, port and slot to endpoint.
    Endpoints,
    /// The same with affinity: to the endpoint's number.
    AffinitySlots,
    /// Number to endpoint.
    AffinityEndpoints,
    /// Protocol and node port to class number.
    NodePorts,
    /// Protocol, node port and slot to endpoint.
    NodePortEndpoints,
    /// The same with affinity: to the endpoint's number.
    NodePortAffinitySlots,
    /// Client and first number of a port to the number of the endpoint with which it stays. Filled by packets.
    Affinity,
    /// Who may use a firewalled destination: address, protocol, port, network, length of its prefix.
    Sources,
    /// Cluster IPs that a Service has.
    ClusterIps,
    /// The ranges of cluster IPs.
    ServiceCidrs,
    /// The ranges of Pods.
    PodCidrs,
    /// The interfaces of this node's Pods.
    PodInterfaces,
    /// On which of the machine's addresses node ports answer.
    NodePortAddresses,
    /// Addresses that may be connected to themselves, twice each.
    Hairpins,
    /// Protocol to the port of loopback at which a relay listens.
    LoopbackRelay,
    /// Number to a node that takes what is passed on.
    Takers,
    /// Address, protocol, port and slot to the number of the node on which the slot's endpoint is, if it takes what is passed on.
    PassedOn,
    /// Source, destination, protocol and both ports of a connection to the number of the node to which it is passed on. Filled by
    /// packets.
    PassedConnections,
    /// Address, protocol and port: counts connections that were given an endpoint. Filled by packets.
    Connections,
    /// The same for protocol and node port.
    NodePortConnections,
    /// Address, protocol and port: counts packets that were rejected or dropped. Filled by packets.
    Refused,
    /// The same for protocol and node port.
    NodePortRefused,
}

impl Map {
    /// All, in order.
    pub const ALL: [Map; 24] = [
        Map::Classes,
        Map::Services,
        Map::Endpoints,
        Map::AffinitySlots,
        Map::AffinityEndpoints,
        Map::NodePorts,
        Map::NodePortEndpoints,
        Map::NodePortAffinitySlots,
        Map::Affinity,
        Map::Sources,
        Map::ClusterIps,
        Map::ServiceCidrs,
        Map::PodCidrs,
        Map::PodInterfaces,
        Map::NodePortAddresses,
        Map::Hairpins,
        Map::LoopbackRelay,
        Map::Takers,
        Map::PassedOn,
        Map::PassedConnections,
        Map::Connections,
        Map::NodePortConnections,
        Map::Refused,
        Map::NodePortRefused,
    ];

    /// Those that count: the last of all.
    pub const COUNTERS: [Map; 4] = [Map::Connections, Map::NodePortConnections, Map::Refused, Map::NodePortRefused];

    /// Its name in the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Map::Classes => "classes",
            Map::Services => "services",
            Map::Endpoints => "endpoints",
            Map::AffinitySlots => "affinity-slots",
            Map::AffinityEndpoints => "affinity-endpoints",
            Map::NodePorts => "node-ports",
            Map::NodePortEndpoints => "node-port-endpoints",
            Map::NodePortAffinitySlots => "node-port-affinity-slots",
            Map::Affinity => "affinity",
            Map::Sources => "sources",
            Map::ClusterIps => "cluster-ips",
            Map::ServiceCidrs => "service-cidrs",
            Map::PodCidrs => "pod-cidrs",
            Map::PodInterfaces => "pod-interfaces",
            Map::NodePortAddresses => "node-port-addresses",
            Map::Hairpins => "hairpins",
            Map::LoopbackRelay => "loopback-relay",
            Map::Takers => "takers",
            Map::PassedOn => "passed-on",
            Map::PassedConnections => "passed-connections",
            Map::Connections => "connections",
            Map::NodePortConnections => "node-port-connections",
            Map::Refused => "refused",
            Map::NodePortRefused => "node-port-refused",
        }
    }

    /// Whether packets fill it rather than we: its elements are neither read nor changed.
    pub const fn is_filled_by_packets(self) -> bool {
        matches!(
            self,
            Map::Affinity
                | Map::PassedConnections
                | Map::Connections
                | Map::NodePortConnections
                | Map::Refused
                | Map::NodePortRefused
        )
    }

    /// Whether its elements belong to one Service each.
    pub(crate) const fn is_of_services(self) -> bool {
        matches!(
            self,
            Map::Services
                | Map::Endpoints
                | Map::AffinitySlots
                | Map::AffinityEndpoints
                | Map::NodePorts
                | Map::NodePortEndpoints
                | Map::NodePortAffinitySlots
                | Map::Sources
                | Map::PassedOn
        )
    }

    /// What counts connections to destinations of a sort, and what counts refusals.
    pub(crate) const fn counters(key: Key) -> (Map, Map) {
        match key {
            Key::Address => (Map::Connections, Map::Refused),
            Key::NodePort => (Map::NodePortConnections, Map::NodePortRefused),
        }
    }

    /// From destinations to class numbers.
    pub(crate) const fn classes(key: Key) -> Map {
        match key {
            Key::Address => Map::Services,
            Key::NodePort => Map::NodePorts,
        }
    }

    /// From slots to endpoints.
    pub(crate) const fn endpoints(key: Key) -> Map {
        match key {
            Key::Address => Map::Endpoints,
            Key::NodePort => Map::NodePortEndpoints,
        }
    }

    /// From slots to numbers.
    pub(crate) const fn affinity_slots(key: Key) -> Map {
        match key {
            Key::Address => Map::AffinitySlots,
            Key::NodePort => Map::NodePortAffinitySlots,
        }
    }

    /// How it is made.
    pub(super) fn definition(self, table: &TableId, family: Family, config: &Config) -> Set {
        Set { comment: Some(self.comment().to_owned()), ..self.bare_definition(table, family, config) }
    }

    fn bare_definition(self, table: &TableId, family: Family, config: &Config) -> Set {
        use Type::{InetProto, InetService, Mark};
        let ip = match family {
            Family::V4 => Type::Ipv4Addr,
            Family::V6 => Type::Ipv6Addr,
        };
        let endpoint = [ip, InetService];
        let set = |key: &[Type]| Set::new(table, self.name(), key);
        let map = |key: &[Type], data: &[Type]| Set::map(table, self.name(), key, data);
        match self {
            Map::Classes => Set::verdict_map(table, self.name(), &[Mark]),
            Map::Services => map(&[ip, InetProto, InetService], &[Mark]),
            Map::Endpoints => map(&[ip, InetProto, InetService, Mark], &endpoint),
            Map::AffinityEndpoints => map(&[Mark], &endpoint),
            Map::AffinitySlots => map(&[ip, InetProto, InetService, Mark], &[Mark]),
            Map::NodePorts => map(&[InetProto, InetService], &[Mark]),
            Map::NodePortEndpoints => map(&[InetProto, InetService, Mark], &endpoint),
            Map::NodePortAffinitySlots => map(&[InetProto, InetService, Mark], &[Mark]),
            Map::Affinity => map(&[ip, Mark], &[Mark])
                .with_flags(SetFlags::DYNAMIC | SetFlags::TIMEOUT)
                .with_size(config.affinity_size),
            Map::Sources => set(&[ip, InetProto, InetService, ip, Mark]),
            Map::ClusterIps => set(&[ip]),
            Map::ServiceCidrs | Map::PodCidrs | Map::NodePortAddresses => set(&[ip]).with_flags(SetFlags::INTERVAL),
            Map::PodInterfaces => set(&[Type::IfName]).with_flags(SetFlags::INTERVAL),
            Map::Hairpins => set(&[ip, ip]),
            Map::LoopbackRelay => map(&[InetProto], &[InetService]),
            Map::Takers => map(&[Mark], &[ip]),
            Map::PassedOn => map(&[ip, InetProto, InetService, Mark], &[Mark]),
            Map::PassedConnections => map(&[ip, ip, InetProto, InetService, InetService], &[Mark])
                .with_flags(SetFlags::DYNAMIC | SetFlags::TIMEOUT)
                .with_size(config.affinity_size),
            Map::Connections | Map::Refused => {
                set(&[ip, InetProto, InetService]).with_flags(SetFlags::DYNAMIC).with_size(config.counters_size)
            }
            // There are no more ports, and three protocols that Services have.
            Map::NodePortConnections | Map::NodePortRefused => {
                let size = config.counters_size.min(3 * 65_536);
                set(&[InetProto, InetService]).with_flags(SetFlags::DYNAMIC).with_size(size)
            }
        }
    }
}

//! Routes to the Pods of other nodes: each node's Pod range by way of its address.
//!
//! What is wanted is compared with what was set, and only the difference goes to the kernel. Routes carry a protocol
//! number of their own, so that a restart finds those that an earlier process set and that nobody wants any more.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteProtocol};
use rtnetlink::{Handle, RouteMessageBuilder};

/// The protocol number that marks our routes (`rtm_protocol`; 128 to 255 are free for programs).
pub const ROUTE_PROTOCOL: u8 = 207;

/// A route could not be set or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot change the route to {destination}")]
pub struct RouteError {
    /// Whither.
    pub destination: Ipv4Net,
    /// Why.
    #[source]
    pub source: rtnetlink::Error,
}

/// The routes that we set in one namespace.
pub struct Routes {
    handle: Handle,
    held: BTreeMap<Ipv4Net, Ipv4Addr>,
}

impl Routes {
    /// None set yet, where no earlier process can have set any. Others' routes, of another cluster's `up` in the same
    /// namespace say, are left alone.
    pub fn new(handle: Handle) -> Self {
        Self { handle, held: BTreeMap::new() }
    }

    /// Reads the routes that an earlier process set.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub async fn read(handle: Handle) -> Result<Self, rtnetlink::Error> {
        let mut held = BTreeMap::new();
        let mut routes = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
        while let Some(route) = routes.try_next().await? {
            if route.header.protocol != RouteProtocol::Other(ROUTE_PROTOCOL) {
                continue;
            }
            let (mut destination, mut gateway) = (None, None);
            for attribute in &route.attributes {
                match attribute {
                    RouteAttribute::Destination(RouteAddress::Inet(a)) => destination = Some(*a),
                    RouteAttribute::Gateway(RouteAddress::Inet(a)) => gateway = Some(*a),
                    _ => {}
                }
            }
            if let (Some(destination), Some(gateway)) = (destination, gateway)
                && let Ok(network) = Ipv4Net::new(destination, route.header.destination_prefix_length)
            {
                held.insert(network, gateway);
            }
        }
        drop(routes);
        Ok(Self { handle, held })
    }

    /// Makes the kernel hold just these routes of ours. Every one is tried; the first error is told.
    ///
    /// # Errors
    /// When the kernel refuses one; it is tried again at the next call.
    pub async fn set(&mut self, wanted: &BTreeMap<Ipv4Net, Ipv4Addr>) -> Result<(), RouteError> {
        let mut first = Ok(());
        let gone: Vec<Ipv4Net> = self.held.keys().filter(|d| !wanted.contains_key(d)).copied().collect();
        for destination in gone {
            let Some(gateway) = self.held.get(&destination).copied() else { continue };
            match self.handle.route().del(message(destination, gateway)).execute().await {
                Ok(()) => {
                    self.held.remove(&destination);
                }
                // It went with its interface.
                Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == NO_SUCH_ROUTE => {
                    self.held.remove(&destination);
                }
                Err(source) => first = first.and(Err(RouteError { destination, source })),
            }
        }
        for (&destination, &gateway) in wanted {
            if self.held.get(&destination) == Some(&gateway) {
                continue;
            }
            match self.handle.route().add(message(destination, gateway)).replace().execute().await {
                Ok(()) => {
                    self.held.insert(destination, gateway);
                }
                Err(source) => first = first.and(Err(RouteError { destination, source })),
            }
        }
        first
    }
}

/// `-ESRCH`: the kernel knows no such route.
const NO_SUCH_ROUTE: i32 = -3;

fn message(destination: Ipv4Net, gateway: Ipv4Addr) -> rtnetlink::packet_route::route::RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(destination.network(), destination.prefix_len())
        .gateway(gateway)
        .protocol(RouteProtocol::Other(ROUTE_PROTOCOL))
        .build()
}

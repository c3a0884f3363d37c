//! Endpoints that have left: no slice of a Service names them any more, in whatever condition.

use crate::model::{Entry, Protocol, Service};
use crate::route::{Destination, Endpoint};

/// Whether a TCP connection to a destination of the Service leads to an endpoint that has left it. An endpoint that is
/// not ready, or leaving, has not: it says itself when it ends. Nor has any, if the Service chose so.
pub(crate) fn has_left(entry: &Entry, destination: &Destination, endpoint: &Endpoint) -> bool {
    let Some(service) = entry.service.as_ref().filter(|service| service.is_proxied() && !service.keep_departed) else {
        return false;
    };
    if destination.protocol() != Protocol::Tcp {
        return false;
    }
    let slices = || entry.slices.iter().filter(|slice| !slice.ignored);
    let named = |name: &str| {
        slices().any(|slice| {
            let ports = slice.ports.iter().filter(|port| port.protocol == Protocol::Tcp && *port.name == *name);
            ports.into_iter().any(|port| port.port == endpoint.port)
                && slice.endpoints.iter().any(|stored| stored.address == endpoint.address)
        })
    };
    let mut names = port_names(service, destination).peekable();
    names.peek().is_some() && !names.any(named)
}

/// The names of the Service's ports that have a destination: one.
fn port_names<'a>(service: &'a Service, destination: &Destination) -> impl Iterator<Item = &'a str> {
    let tcp = service.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
    let (address, node_port) = match destination {
        Destination::Address { port, .. } => (Some(*port), None),
        Destination::NodePort { port, .. } => (None, Some(*port)),
    };
    let of = tcp.filter(move |port| address == Some(port.port) || node_port.is_some() && node_port == port.node_port);
    of.map(|port| &*port.name)
}

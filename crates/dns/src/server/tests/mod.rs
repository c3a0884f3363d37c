//! Servers in network namespaces of their own, asked over sockets.

mod anything;
mod forwarding;
mod listening;
mod net;
mod refusing;
mod searching;
mod sources;
mod steps;
mod streams;
mod tls;
mod upstream;
mod upstreams;

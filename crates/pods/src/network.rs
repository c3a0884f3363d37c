//! A Pod's network: a namespace with one link, whose other end is the node's.
//!
//! ```text
//!  Pod: eth0 10.244.1.7/32 ──────── vethXXXXXXXXXXX 10.244.1.1/32 :node
//!       default via 10.244.1.1      10.244.1.7 dev vethXXXXXXXXXXX src NODE-IP
//! ```
//! Point to point, no bridge: every packet of a Pod, to a Pod of the same node or to itself through a Service too, goes
//! through the node's IP layer, where the Service rules and conntrack are. The node's end of every link has the first
//! address of the node's Pod range: the Pod's gateway, and what masquerade of a packet towards the Pod takes.

pub mod addresses;
pub mod link;
pub mod namespace;

//! The node agent: watch caches in; data plane, DNS, load balancer and Pods out.
//!
//! It speaks nothing but the Kubernetes API, so that it is the same in `portolan up`, on a machine of its own, and in a
//! cluster that exists. Losing the server changes nothing in the kernel; when the server is back, a list tells what
//! went meanwhile ([`follow`]).
//!
//! In reading order: [`agent`] puts it together. [`config`]; [`views`] (what is decoded of each object), `protobuf` (one of
//! the formats that it is decoded from) and [`follow`] (changes of a kind); [`register`] and [`lease`] (the node's own object and its sign of life); [`neighbours`] and
//! [`routes`] (other nodes and their Pods); [`services`] (into the kernel and into DNS), [`resolver`], [`node_local_dns`], [`addresses`] and [`announce`];
//! [`programmed`] (what the kernel holds), [`health`] (is it in step) and [`health_check`] (for load balancers), both over [`http`];
//! [`events`], [`machine`];
//! [`pods_of_node`] and [`sources`]; [`kubelet`] (its own port), [`sysctls`]; [`connections`], what is done
//! about them beside the rules: [`departed`], endpoints that left without a word; [`loopback`], node ports at 127.0.0.1 and
//! ::1; [`counters`], what is counted.
//! [`dns`](mod@dns) is the cluster's DNS alone, in CoreDNS' place; [`proxy`] is kube-proxy's part of it alone, for nodes of a cluster that is somebody else's.

pub mod addresses;
pub mod agent;
pub mod announce;
pub mod config;
pub mod connections;
pub mod counters;
pub mod departed;
pub mod dns;
pub mod events;
pub mod follow;
pub mod health;
pub mod health_check;
pub mod http;
pub mod kubelet;

pub mod lease;
pub mod loopback;
pub mod machine;
pub mod neighbours;
pub mod node_local_dns;
pub mod pods_of_node;
pub mod process;
pub mod programmed;
mod protobuf;
pub mod proxy;
pub mod register;
pub mod resolver;
pub mod routes;
pub mod services;
pub mod sources;
pub mod sysctls;
pub mod views;

pub use agent::{AgentError, run};
pub use config::Config;

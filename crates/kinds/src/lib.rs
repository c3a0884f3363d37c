//! Every resource kind that is served: one file a kind, no IO.
//!
//! A kind is a [`Kind`]: its names, its scope, and a [`Strategy`] that defaults, validates and shows its objects.
//! Objects are JSON documents ([`serde_json::Value`]); a strategy reads them through k8s-openapi's types where that
//! helps, and never loses a field it does not know. What the fields of each type are (list keys, merge keys, required
//! fields) is data in [`schema`].
//!
//! In reading order: [`field`] (errors that name a field), [`kind`] (what a kind is), [`document`] (reading
//! documents), the rules that kinds share ([`names`], [`addresses`], [`quantity`], [`labels`], [`metadata`]),
//! [`schema`], then the kinds themselves, and [`registry`], which lists them all.

pub mod field;
pub mod kind;

pub mod addresses;
pub mod document;
mod documentation;
pub mod labels;
pub mod metadata;
pub mod names;
pub mod quantity;

pub mod service;

pub mod endpoint_slice;
pub mod endpoints;

pub mod config_map;
pub mod namespace;
pub mod node;
mod resources;

pub mod pod;
mod unified;

pub mod deployment;
pub mod replica_set;
mod replicas;
pub mod scale;

pub mod controller_revision;
pub mod daemon_set;
pub mod pod_disruption_budget;
pub mod pod_template;
pub mod replication_controller;
pub mod stateful_set;

pub mod limit_range;
pub mod quota;
pub mod resource_quota;

pub mod ingress;
pub mod ingress_class;
pub mod network_policy;
pub mod priority_class;
pub mod runtime_class;

pub mod ip_address;
pub mod service_cidr;

pub mod event;
pub mod lease;
pub mod secret;
pub mod service_account;

pub mod cluster_role;
pub mod cluster_role_binding;
pub mod role;
pub mod role_binding;
pub mod rules;

pub mod registry;
pub mod schema;

pub use kind::{Column, Kind, Scope, Strategy, Subresource};

//! How the watch's news gets into the tables: one writer at a time, and only what changed is touched.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::name::{Name, is_label, push_label};

use super::records::{EndpointRecord, IndexError, PortRecord, ServiceRecord, Shape, SliceRecord};
use super::service::{Endpoint, Port, Service, Slice, Spec};
use super::tables::{Namespace, Referrers, Reverse, Tables};

/// What only the writer needs to know.
#[derive(Default)]
pub(super) struct Writer {
    /// Which Service each slice belongs to, by namespace and slice name, because a slice can change its label.
    owners: HashMap<Box<str>, Arc<[u8]>>,
}

impl Writer {
    pub(super) fn set_service(&mut self, tables: &Tables, record: &ServiceRecord) -> Result<(), IndexError> {
        let key = service_key(&record.namespace, &record.name)?;
        let spec = Arc::new(spec(record)?);
        rebuild(tables, &key, |_, slices| (Some(spec), slices));
        Ok(())
    }

    pub(super) fn remove_service(&mut self, tables: &Tables, namespace: &str, name: &str) {
        if let Ok(key) = service_key(namespace, name) {
            rebuild(tables, &key, |_, slices| (None, slices));
        }
    }

    pub(super) fn set_slice(&mut self, tables: &Tables, record: &SliceRecord) -> Result<(), IndexError> {
        let id = slice_id(&record.namespace, &record.name);
        let key = match service_key(&record.namespace, &record.service) {
            Ok(key) => key,
            Err(error) => {
                // A slice that lost its Service is gone from the one that it had.
                self.remove_slice(tables, &record.namespace, &record.name);
                return Err(error);
            }
        };
        let key = tables.services.read(&key, |service| Arc::clone(service.key())).unwrap_or(key);
        let slice = Arc::new(slice(record, tables.zones.endpoint_pod_names));
        match self.owners.get_mut(&id) {
            Some(owner) if **owner == *key => {}
            Some(owner) => {
                let old = std::mem::replace(owner, Arc::clone(&key));
                rebuild(tables, &old, |spec, slices| (spec, without(slices, &record.name)));
            }
            None => {
                self.owners.insert(id, Arc::clone(&key));
            }
        }
        rebuild(tables, &key, |spec, mut slices| {
            match slices.binary_search_by(|have| have.name.cmp(&slice.name)) {
                Ok(at) => slices[at] = slice,
                Err(at) => slices.insert(at, slice),
            }
            (spec, slices)
        });
        Ok(())
    }

    pub(super) fn remove_slice(&mut self, tables: &Tables, namespace: &str, name: &str) {
        if let Some(key) = self.owners.remove(&slice_id(namespace, name)) {
            rebuild(tables, &key, |spec, slices| (spec, without(slices, name)));
        }
    }

    /// The slices that are known, as namespace and name.
    pub(super) fn slices(&self) -> Vec<(String, String)> {
        let mut slices: Vec<_> = self
            .owners
            .keys()
            .filter_map(|id| id.split_once('/'))
            .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
            .collect();
        slices.sort_unstable();
        slices
    }
}

pub(super) fn set_namespace(tables: &Tables, name: &str) -> Result<(), IndexError> {
    let name = label("namespace", name)?;
    if with_namespace(tables, &name, |namespace| !std::mem::replace(&mut namespace.told, true)) {
        tables.count_change();
    }
    Ok(())
}

pub(super) fn remove_namespace(tables: &Tables, name: &str) {
    if let Ok(name) = label("namespace", name)
        && with_namespace(tables, &name, |namespace| std::mem::replace(&mut namespace.told, false))
    {
        tables.count_change();
    }
}

/// Changes a namespace, which is there as long as something speaks for it.
fn with_namespace<R>(tables: &Tables, name: &[u8], change: impl FnOnce(&mut Namespace) -> R) -> R {
    let (told, services) =
        tables.namespaces.read(name, |namespace| (namespace.told, namespace.services)).unwrap_or_default();
    let mut namespace = Namespace { name: name.into(), told, services };
    let result = change(&mut namespace);
    if namespace.told || namespace.services > 0 {
        tables.namespaces.put(namespace);
    } else {
        tables.namespaces.take(name);
    }
    result
}

type Parts = (Option<Arc<Spec>>, Vec<Arc<Slice>>);

/// Replaces one Service by what `change` makes of it, and keeps namespaces and reverse names in step.
fn rebuild(tables: &Tables, key: &Arc<[u8]>, change: impl FnOnce(Option<Arc<Spec>>, Vec<Arc<Slice>>) -> Parts) {
    let old = tables.services.read(key, Arc::clone);
    let (old_spec, old_slices) = match &old {
        Some(old) => (old.spec().cloned(), old.slices().to_vec()),
        None => (None, Vec::new()),
    };
    let had_spec = old_spec.is_some();
    let key = old.as_ref().map_or(key, |old| old.key());
    let (spec, slices) = change(old_spec, old_slices);
    let has_spec = spec.is_some();
    let new = Arc::new(Service::new(Arc::clone(key), spec, slices));
    if new.is_empty() {
        tables.services.take(key);
    } else {
        tables.services.put(Arc::clone(&new));
    }
    if had_spec != has_spec {
        with_namespace(tables, namespace_of(key), |namespace| {
            namespace.services = if has_spec { namespace.services + 1 } else { namespace.services.saturating_sub(1) };
        });
    }
    let before = old.as_ref().map(|old| old.addresses()).unwrap_or_default();
    let after = new.addresses();
    for address in before.iter().filter(|address| after.binary_search(address).is_err()) {
        refer(tables, *address, |keys| keys.retain(|have| have != key));
    }
    for address in after.iter().filter(|address| before.binary_search(address).is_err()) {
        refer(tables, *address, |keys| {
            if let Err(at) = keys.binary_search(key) {
                keys.insert(at, Arc::clone(key));
            }
        });
    }
    tables.count_change();
}

/// Changes what an address leads back to.
fn refer(tables: &Tables, address: IpAddr, change: impl FnOnce(&mut Vec<Arc<[u8]>>)) {
    let mut keys = tables.referrers(address, <[_]>::to_vec).unwrap_or_default();
    change(&mut keys);
    match (address, Referrers::new(keys)) {
        (IpAddr::V4(address), Some(referrers)) => drop(tables.v4.put(Reverse { address, referrers })),
        (IpAddr::V4(address), None) => drop(tables.v4.take(&address)),
        (IpAddr::V6(address), Some(referrers)) => drop(tables.v6.put(Reverse { address, referrers })),
        (IpAddr::V6(address), None) => drop(tables.v6.take(&address)),
    }
}

fn without(mut slices: Vec<Arc<Slice>>, name: &str) -> Vec<Arc<Slice>> {
    slices.retain(|slice| *slice.name != *name);
    slices
}

fn spec(record: &ServiceRecord) -> Result<Spec, IndexError> {
    Ok(match &record.shape {
        Shape::ClusterIp(addresses) => {
            Spec::ClusterIp { addresses: addresses.as_slice().into(), ports: ports(&record.ports) }
        }
        Shape::Headless => Spec::Headless,
        Shape::ExternalName(name) if name.parse::<IpAddr>().is_ok() => Spec::Nothing,
        Shape::ExternalName(name) => Spec::External {
            target: Name::parse(name).map_err(|source| IndexError::ExternalName {
                namespace: record.namespace.clone(),
                name: record.name.clone(),
                source,
            })?,
        },
    })
}

fn slice(record: &SliceRecord, pod_names: bool) -> Slice {
    let hostname = |endpoint: &EndpointRecord| {
        let given = endpoint.hostname.as_deref().filter(|hostname| is_label(hostname));
        let pod = endpoint.pod.as_deref().filter(|pod| pod_names && is_label(pod));
        given.or(pod).map(|label| label.to_ascii_lowercase().into_bytes().into_boxed_slice())
    };
    let endpoints = record
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.ready)
        .flat_map(|endpoint| {
            endpoint.addresses.iter().map(move |address| Endpoint { address: *address, hostname: hostname(endpoint) })
        })
        .collect();
    let ports = if record.ports.is_empty() {
        [Port { name: Box::default(), protocol: super::records::Protocol::Tcp, number: 0 }].into()
    } else {
        ports(&record.ports)
    };
    Slice::new(&record.name, endpoints, ports)
}

fn ports(records: &[PortRecord]) -> Box<[Port]> {
    records
        .iter()
        .map(|record| Port {
            name: record.name.to_ascii_lowercase().into_bytes().into(),
            protocol: record.protocol,
            number: record.number.unwrap_or(0),
        })
        .collect()
}

/// The key of a Service: its label and its namespace's, as they stand in a question.
fn service_key(namespace: &str, name: &str) -> Result<Arc<[u8]>, IndexError> {
    let mut key = Vec::with_capacity(namespace.len() + name.len() + 2);
    push_label(&mut key, checked("Service", name)?);
    push_label(&mut key, checked("namespace", namespace)?);
    Ok(key.into())
}

/// The namespace's part of a Service's key.
fn namespace_of(key: &[u8]) -> &[u8] {
    let name = key.first().map_or(0, |length| usize::from(*length));
    key.get(1 + name..).unwrap_or_default()
}

fn label(what: &'static str, value: &str) -> Result<Vec<u8>, IndexError> {
    let mut wire = Vec::with_capacity(value.len() + 1);
    push_label(&mut wire, checked(what, value)?);
    Ok(wire)
}

fn checked<'v>(what: &'static str, value: &'v str) -> Result<&'v [u8], IndexError> {
    if is_label(value) { Ok(value.as_bytes()) } else { Err(IndexError::Label { what, value: value.to_owned() }) }
}

fn slice_id(namespace: &str, name: &str) -> Box<str> {
    format!("{namespace}/{name}").into_boxed_str()
}

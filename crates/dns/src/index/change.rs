//! How the watch's news gets into the tables: one writer at a time, and only what changed is touched.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::name::{Name, is_label, labels, push_label};

use super::records::{EndpointRecord, IndexError, PodRecord, PortRecord, ServiceRecord, Shape, SliceRecord};
use super::service::{Endpoint, Port, Ports, Service, Slice, Spec};
use super::tables::{Namespace, PodId, PodThere, PodsAt, Referrers, Reverse, Tables};

/// What only the writer needs to know.
#[derive(Default)]
pub(super) struct Writer {
    hasher: DefaultHashBuilder,
    /// Every slice by namespace and name, because a slice can change the label that says whose it is.
    slices: HashTable<Arc<Slice>>,
    /// What was told of every Pod, by its namespace's label and its name.
    pods: HashMap<PodId, PodHeld>,
    /// Lists of ports that are in use, and some that no longer are.
    ports: HashSet<Ports>,
    /// How many lists there may be before those that are not in use are let go.
    ports_bound: usize,
}

/// What was told of a Pod.
#[derive(Clone, Default)]
struct PodHeld {
    addresses: Box<[IpAddr]>,
    searches: bool,
}

impl Writer {
    pub(super) fn set_service(&mut self, tables: &Tables, record: &ServiceRecord) -> Result<(), IndexError> {
        let key = service_key(&record.namespace, &record.name)?;
        let spec = Arc::new(self.spec(record)?);
        replace(tables, &key, |old| old.with_spec(Some(spec)));
        Ok(())
    }

    pub(super) fn remove_service(&mut self, tables: &Tables, namespace: &str, name: &str) {
        if let Ok(key) = service_key(namespace, name) {
            replace(tables, &key, |old| old.with_spec(None));
        }
    }

    pub(super) fn set_slice(&mut self, tables: &Tables, record: &SliceRecord) -> Result<(), IndexError> {
        let key = match service_key(&record.namespace, &record.service) {
            Ok(key) => key,
            Err(error) => {
                // A slice that lost its Service is gone from the one that it had.
                self.remove_slice(tables, &record.namespace, &record.name);
                return Err(error);
            }
        };
        let key = tables.services.read(&key, |service| Arc::clone(service.key())).unwrap_or(key);
        let slice = Arc::new(self.slice(record, &key, tables.zones.endpoint_pod_names));
        if let Some(old) = self.put_slice(Arc::clone(&slice))
            && old.service != key
        {
            replace(tables, &old.service, |service| service.without_slice(&record.name));
        }
        replace(tables, &key, |old| old.with_slice(slice));
        Ok(())
    }

    pub(super) fn remove_slice(&mut self, tables: &Tables, namespace: &str, name: &str) {
        let Ok(namespace) = label("namespace", namespace) else {
            return;
        };
        let hash = self.hasher.hash_one((namespace.as_slice(), name));
        if let Ok(entry) = self.slices.find_entry(hash, |slice| slice_id(slice) == (namespace.as_slice(), name)) {
            let (old, _) = entry.remove();
            replace(tables, &old.service, |service| service.without_slice(name));
        }
    }

    pub(super) fn set_pod(&mut self, tables: &Tables, record: &PodRecord) -> Result<(), IndexError> {
        let namespace: Arc<[u8]> = label("namespace", &record.namespace)?.into();
        let key = (namespace, record.name.as_str().into());
        let addresses: Box<[IpAddr]> = record.addresses.iter().map(IpAddr::to_canonical).collect();
        let new = PodHeld { addresses, searches: record.searches };
        let old = match new.addresses.is_empty() {
            true => self.pods.remove(&key),
            false => self.pods.insert(key.clone(), new.clone()),
        };
        let old = old.unwrap_or_default();
        let same = |one: &PodHeld, other: &PodHeld, address| {
            one.searches == other.searches && one.addresses.contains(address) && other.addresses.contains(address)
        };
        for address in old.addresses.iter().filter(|address| !same(&old, &new, address)) {
            pod_at(tables, *address, |pods| pods.retain(|have| have.id != key));
        }
        for address in new.addresses.iter().filter(|address| !same(&old, &new, address)) {
            pod_at(tables, *address, |pods| pods.push(PodThere { id: key.clone(), searches: new.searches }));
        }
        Ok(())
    }

    /// The Pods that are known, as namespace and name, in order.
    pub(super) fn pods(&self) -> Vec<(String, String)> {
        let mut pods: Vec<_> = self.pods.keys().map(|(label, name)| (text(label), name.to_string())).collect();
        pods.sort_unstable();
        pods
    }

    /// The slices that are known, as namespace and name, in order.
    pub(super) fn slices(&self) -> Vec<(String, String)> {
        let mut slices: Vec<_> = self
            .slices
            .iter()
            .map(|slice| slice_id(slice))
            .map(|(namespace, name)| (text(namespace), name.to_owned()))
            .collect();
        slices.sort_unstable();
        slices
    }

    /// Remembers a slice in place of the one of its name, and returns that.
    fn put_slice(&mut self, slice: Arc<Slice>) -> Option<Arc<Slice>> {
        let hash = self.hasher.hash_one(slice_id(&slice));
        if let Some(old) = self.slices.find_mut(hash, |old| slice_id(old) == slice_id(&slice)) {
            return Some(std::mem::replace(old, slice));
        }
        self.slices.insert_unique(hash, slice, |slice| self.hasher.hash_one(slice_id(slice)));
        None
    }

    fn spec(&mut self, record: &ServiceRecord) -> Result<Spec, IndexError> {
        Ok(match &record.shape {
            Shape::ClusterIp(addresses) => {
                Spec::ClusterIp { addresses: addresses.as_slice().into(), ports: self.ports(&record.ports) }
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

    fn slice(&mut self, record: &SliceRecord, key: &Arc<[u8]>, pod_names: bool) -> Slice {
        let hostname = |endpoint: &EndpointRecord| {
            let given = endpoint.hostname.as_deref().filter(|hostname| is_label(hostname));
            let pod = endpoint.pod.as_deref().filter(|pod| pod_names && is_label(pod));
            given.or(pod).map(|label| label.to_ascii_lowercase().into_bytes().into_boxed_slice())
        };
        let ready = record.endpoints.iter().filter(|endpoint| endpoint.ready);
        let endpoints = ready
            .flat_map(|endpoint| {
                let each = endpoint.addresses.iter();
                each.map(move |address| Endpoint { address: *address, hostname: hostname(endpoint) })
            })
            .collect();
        let ports =
            if record.ports.is_empty() { self.ports(&[PortRecord::default()]) } else { self.ports(&record.ports) };
        Slice::new(Arc::clone(key), &record.name, endpoints, ports)
    }

    fn ports(&mut self, records: &[PortRecord]) -> Ports {
        let ports: Ports = records
            .iter()
            .map(|record| Port {
                name: record.name.to_ascii_lowercase().into_bytes().into(),
                protocol: record.protocol,
                number: record.number.unwrap_or(0),
            })
            .collect();
        if let Some(shared) = self.ports.get(&ports) {
            return Arc::clone(shared);
        }
        if self.ports.len() >= self.ports_bound {
            self.ports.retain(|ports| Arc::strong_count(ports) > 1);
            self.ports_bound = (self.ports.len() * 2).max(64);
        }
        self.ports.insert(Arc::clone(&ports));
        ports
    }
}

/// A label that has its length before it, as text.
fn text(wire: &[u8]) -> String {
    labels(wire).map(String::from_utf8_lossy).collect()
}

/// Changes which Pods have an address.
fn pod_at(tables: &Tables, address: IpAddr, change: impl FnOnce(&mut Vec<PodThere>)) {
    let mut pods = tables.pods.read(&address, |at| at.pods.to_vec()).unwrap_or_default();
    change(&mut pods);
    pods.sort_unstable();
    if pods.is_empty() {
        tables.pods.take(&address);
    } else {
        tables.pods.put(PodsAt { address, pods: pods.into() });
    }
}

/// What a slice is found by: its namespace's label, and its name.
fn slice_id(slice: &Slice) -> (&[u8], &str) {
    (namespace_of(&slice.service), &slice.name)
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
    let (told, services, search_misses) = tables
        .namespaces
        .read(name, |found| (found.told, found.services, Arc::clone(&found.search_misses)))
        .unwrap_or_default();
    let mut namespace = Namespace { name: name.into(), told, services, search_misses };
    let result = change(&mut namespace);
    if namespace.told || namespace.services > 0 {
        tables.namespaces.put(namespace);
    } else {
        tables.namespaces.take(name);
    }
    result
}

/// Replaces one Service by what `change` makes of it, and keeps namespaces and reverse names in step.
fn replace(tables: &Tables, key: &Arc<[u8]>, change: impl FnOnce(&Service) -> Service) {
    let old = tables.services.read(key, Arc::clone).unwrap_or_else(|| Arc::new(Service::empty(Arc::clone(key))));
    let new = Arc::new(change(&old));
    let key = old.key();
    if new.is_empty() {
        tables.services.take(key);
    } else {
        tables.services.put(Arc::clone(&new));
    }
    if old.spec().is_some() != new.spec().is_some() {
        with_namespace(tables, namespace_of(key), |namespace| {
            let services = namespace.services;
            namespace.services = if new.spec().is_some() { services + 1 } else { services.saturating_sub(1) };
        });
    }
    let (gone, come) = (old.addresses_beside(&new), new.addresses_beside(&old));
    for address in gone.iter().filter(|address| come.binary_search(address).is_err() && !new.refers_to(**address)) {
        refer(tables, *address, |keys| keys.retain(|have| have != key));
    }
    for address in come.iter().filter(|address| gone.binary_search(address).is_err()) {
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

/// Whether a Service is known, and headless.
pub(super) fn is_headless(tables: &Tables, namespace: &str, name: &str) -> bool {
    let headless = |service: &Arc<Service>| matches!(service.spec().map(|spec| &**spec), Some(Spec::Headless));
    service_key(namespace, name).is_ok_and(|key| tables.services.read(&key, headless).unwrap_or(false))
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

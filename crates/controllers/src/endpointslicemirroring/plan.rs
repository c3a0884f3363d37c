//! Slices that say what Endpoints say which somebody made by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::caches::SERVICE_NAME;
use crate::change::{Change, ENDPOINT_SLICES, ENDPOINTS, Note, Reference};
use crate::endpointslice::plan::MANAGED_BY;
use crate::objects::{LAST_APPLIED, Meta};
use crate::trigger_time::TRIGGER_TIME;

/// The value of the label `managed-by` of the slices of this controller.
pub const CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";
/// The label of Endpoints that are not to be mirrored.
pub const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// How many addresses of a subset are mirrored.
pub const MOST_OF_A_SUBSET: usize = 1000;

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// The writes.
    pub changes: Vec<Change>,
    /// What to say.
    pub notes: Vec<Note>,
}

/// Whether Endpoints are mirrored: they are somebody's own, of a Service that has no selector.
pub fn mirrors(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let selectorless = |service: &Service| {
        service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).is_none_or(BTreeMap::is_empty)
    };
    endpoints.label(SKIP) != Some("true")
        && endpoints.annotation(crate::endpoints::LEADER).is_none()
        && service.is_some_and(selectorless)
}

/// What tells a slice from others: the family, and the ports in an order of their own.
type GroupKey = (&'static str, Vec<(String, i32, String, String)>);

#[derive(Default)]
struct Group {
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
    /// What is in `endpoints`: address, target, host name.
    seen: BTreeSet<(String, String, String)>,
}

/// Makes the plan. `slices` are those of this controller that bear the name and are not being deleted.
pub fn plan(endpoints: Option<&Endpoints>, service: Option<&Service>, slices: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mut left: Vec<&Arc<EndpointSlice>> = slices.iter().collect();
    if let Some(endpoints) = endpoints.filter(|endpoints| mirrors(endpoints, service)) {
        for (key, group) in groups(endpoints, &mut plan.notes) {
            let family = key.0;
            // The slice of these ports stays theirs; otherwise one of the family that is left over becomes theirs.
            let same = |slice: &&&Arc<EndpointSlice>| slice_key(slice) == Some(key.clone());
            let of_family = |slice: &&&Arc<EndpointSlice>| slice.address_type == family;
            let found = left.iter().find(same).or_else(|| left.iter().find(of_family)).copied();
            left.retain(|slice| !found.is_some_and(|found| Arc::ptr_eq(found, slice)));
            plan.changes.extend(write(endpoints, family, group, found.map(|found| &**found)));
        }
    }
    plan.changes.extend(left.into_iter().map(|slice| Change::delete(ENDPOINT_SLICES, &**slice)));
    plan
}

fn slice_key(slice: &EndpointSlice) -> Option<GroupKey> {
    let family = ["IPv4", "IPv6"].into_iter().find(|family| *family == slice.address_type)?;
    Some((family, port_key(slice.ports.as_deref().unwrap_or_default())))
}

fn port_key(ports: &[EndpointPort]) -> Vec<(String, i32, String, String)> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let key = |p: &EndpointPort| (text(&p.name), p.port.unwrap_or(0), text(&p.protocol), text(&p.app_protocol));
    let mut key: Vec<_> = ports.iter().map(key).collect();
    key.sort();
    key
}

/// The endpoints of each family and set of ports; those that cannot be mirrored are told of.
fn groups(endpoints: &Endpoints, notes: &mut Vec<Note>) -> BTreeMap<GroupKey, Group> {
    let mut groups: BTreeMap<GroupKey, Group> = BTreeMap::new();
    let (mut invalid, mut skipped) = (0, 0);
    for subset in endpoints.subsets.iter().flatten() {
        let ports = ports(subset);
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let not_ready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        let mut taken = 0;
        for (address, ready) in ready.chain(not_ready) {
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                invalid += 1;
                continue;
            };
            if taken == MOST_OF_A_SUBSET {
                skipped += 1;
                continue;
            }
            taken += 1;
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let group = groups.entry((family, port_key(&ports))).or_default();
            group.ports.clone_from(&ports);
            group.add(ip, address, ready);
        }
    }
    let about = || Reference::to(ENDPOINTS, endpoints);
    if invalid > 0 {
        let message = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
        notes.push(Note::warning(about(), "InvalidIPAddress", message));
    }
    if skipped > 0 {
        let message = format!(
            "A max of {MOST_OF_A_SUBSET} addresses can be mirrored to EndpointSlices per Endpoints subset. \
             {skipped} addresses were skipped"
        );
        notes.push(Note::warning(about(), "TooManyAddressesToMirror", message));
    }
    groups
}

fn ports(subset: &EndpointSubset) -> Vec<EndpointPort> {
    let ports = subset.ports.iter().flatten().map(|port| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        app_protocol: port.app_protocol.clone(),
    });
    ports.collect()
}

impl Group {
    fn add(&mut self, ip: IpAddr, address: &EndpointAddress, ready: bool) {
        let target = address.target_ref.as_ref();
        let target = target.map(|t| format!("{:?}/{:?}", t.namespace, t.name)).unwrap_or_default();
        let hostname = address.hostname.clone().filter(|name| !name.is_empty());
        let key = (ip.to_string(), target, hostname.clone().unwrap_or_default());
        if !self.seen.insert(key) || self.endpoints.len() == MOST_OF_A_SUBSET {
            return;
        }
        self.endpoints.push(Endpoint {
            addresses: vec![ip.to_string()],
            conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
            hostname,
            node_name: address.node_name.clone(),
            target_ref: address.target_ref.clone(),
            ..Endpoint::default()
        });
    }
}

/// The write that makes a slice say what the group says.
fn write(endpoints: &Endpoints, family: &str, group: Group, found: Option<&EndpointSlice>) -> Option<Change> {
    let mut slice = found.cloned().unwrap_or_else(|| EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", endpoints.name())),
            namespace: endpoints.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        address_type: family.to_owned(),
        ..EndpointSlice::default()
    });
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), endpoints.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    slice.metadata.labels = Some(labels);
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| key != TRIGGER_TIME && key != LAST_APPLIED);
    slice.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    slice.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Endpoints".to_owned(),
        name: endpoints.name().to_owned(),
        uid: endpoints.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }]);
    slice.ports = Some(group.ports);
    slice.endpoints = Some(group.endpoints);
    match found {
        Some(found) if *found == slice => None,
        Some(_) => Some(Change::replace(ENDPOINT_SLICES, &slice)),
        None if endpoints.deleting() => None,
        None => Some(Change::create(ENDPOINT_SLICES, &slice)),
    }
}

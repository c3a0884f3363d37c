//! What the slices of a Service should be, and which writes make them so.
//!
//! The endpoints of a Service are grouped by family and by the ports that they serve (a named `targetPort` may be
//! another number in each Pod); each group is spread over slices of bounded size. A plan keeps every endpoint in the
//! slice in which it is, fills the slices that it has to write anyway, then the fullest one with room for all that is
//! left, and makes new ones only for the rest; slices that became empty are used again before any is made. So a change
//! of one Pod is a write of one slice. A Service without endpoints keeps one empty slice in each family, so that readers
//! can tell "none" from "not yet".

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Service};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::caches::SERVICE_NAME;
use crate::change::{Change, ENDPOINT_SLICES};
use crate::objects::{Meta, Node, Pod};
use crate::services::{Family, HEADLESS, families, hostname, is_headless, publishes_not_ready, target_port};
use crate::trigger_time;

/// The label that says whose work a slice is.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Its value for the slices of this controller.
pub const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// What a plan is made from.
pub struct Snapshot<'a> {
    /// The Service; it has a selector and is no ExternalName.
    pub service: &'a Service,
    /// The Pods that it selects, by name.
    pub pods: &'a [Arc<Pod>],
    /// Finds a Node.
    pub node: &'a dyn Fn(&str) -> Option<Arc<Node>>,
    /// The slices of this controller that bear the Service's name and are not being deleted, by name.
    pub slices: &'a [Arc<EndpointSlice>],
    /// Since when the change waits.
    pub trigger_time: Option<Timestamp>,
    /// How many endpoints a slice has at most.
    pub endpoints_per_slice: usize,
}

/// A plan.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// The writes, in order.
    pub changes: Vec<Change>,
    /// Nodes that Pods are bound to and that do not exist: their Pods are left out.
    pub missing_nodes: Vec<String>,
}

/// Makes the plan.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let mut plan = Plan::default();
    let families = families(snapshot.service);
    for slice in snapshot.slices {
        if !owned_by(slice, snapshot.service) || !families.iter().any(|family| family.name() == slice.address_type) {
            plan.changes.push(Change::delete(ENDPOINT_SLICES, &**slice));
        }
    }
    for family in families {
        plan_family(snapshot, family, &mut plan);
    }
    plan
}

/// The ports of a slice in an order of their own, for comparing.
type Ports = Vec<(String, Option<i32>, String, String)>;

fn port_key(ports: &[EndpointPort]) -> Ports {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let mut key: Ports =
        ports.iter().map(|p| (text(&p.name), p.port, text(&p.protocol), text(&p.app_protocol))).collect();
    key.sort();
    key
}

/// Endpoints that serve the same ports, by the names of their Pods.
struct Group<'a> {
    ports: Vec<EndpointPort>,
    endpoints: BTreeMap<&'a str, Endpoint>,
}

fn plan_family(snapshot: &Snapshot<'_>, family: Family, plan: &mut Plan) {
    let mut groups: BTreeMap<Ports, Group<'_>> = BTreeMap::new();
    for pod in snapshot.pods {
        let Some(address) = published_address(pod, family) else { continue };
        let node = pod.node_name().and_then(|name| (snapshot.node)(name));
        if node.is_none() && !publishes_not_ready(snapshot.service) {
            plan.missing_nodes.extend(pod.node_name().map(str::to_owned));
            continue;
        }
        let ports = endpoint_ports(snapshot.service, pod);
        let group = groups.entry(port_key(&ports)).or_insert_with(|| Group { ports, endpoints: BTreeMap::new() });
        group.endpoints.insert(pod.name(), endpoint(snapshot.service, pod, address, node.as_deref()));
    }

    let existing = snapshot.slices.iter().map(|slice| &**slice);
    let existing = existing.filter(|s| s.address_type == family.name() && owned_by(s, snapshot.service));
    let mut layout = Layout { limit: snapshot.endpoints_per_slice.max(1), drafts: Vec::new(), spares: Vec::new() };
    let mut by_ports: BTreeMap<Ports, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in existing {
        by_ports.entry(port_key(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice);
    }
    for (key, group) in groups {
        layout.place(by_ports.remove(&key).unwrap_or_default(), group);
    }
    layout.spares.extend(by_ports.into_values().flatten());
    layout.settle();
    write(snapshot, family, layout, plan);
}

/// A slice as it should be.
struct Draft<'a> {
    /// The slice that becomes it; `None`: a new one.
    slice: Option<&'a EndpointSlice>,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

/// All slices of a family as they should be.
struct Layout<'a> {
    limit: usize,
    drafts: Vec<Draft<'a>>,
    /// Slices in which nothing is left.
    spares: Vec<&'a EndpointSlice>,
}

impl<'a> Layout<'a> {
    /// Places the endpoints of a group: first where they are, the rest as the module says.
    fn place(&mut self, slices: Vec<&'a EndpointSlice>, mut group: Group<'_>) {
        let mut drafts: Vec<Draft<'a>> = Vec::new();
        for slice in slices {
            let stay = |old: &Endpoint| group.endpoints.remove(old.target_ref.as_ref()?.name.as_deref()?);
            let endpoints: Vec<Endpoint> = endpoints(slice).iter().filter_map(stay).collect();
            if endpoints.is_empty() {
                self.spares.push(slice);
            } else {
                let changed = endpoints != self::endpoints(slice) || endpoints.len() > self.limit;
                drafts.push(Draft { slice: Some(slice), ports: group.ports.clone(), endpoints, changed });
            }
        }
        let mut left: std::collections::VecDeque<Endpoint> = group.endpoints.into_values().collect();
        // A slice from a time with a greater limit gives up what is too much.
        for draft in &mut drafts {
            left.extend(draft.endpoints.split_off(draft.endpoints.len().min(self.limit)));
        }

        drafts.sort_by_key(|draft| std::cmp::Reverse(draft.endpoints.len()));
        for draft in drafts.iter_mut().filter(|draft| draft.changed) {
            let room = self.limit.saturating_sub(draft.endpoints.len()).min(left.len());
            draft.endpoints.extend(left.drain(..room));
        }
        while !left.is_empty() {
            let fits = |draft: &&mut Draft<'_>| !draft.changed && draft.endpoints.len() + left.len() <= self.limit;
            if let Some(draft) = drafts.iter_mut().find(fits) {
                draft.changed = true;
                draft.endpoints.extend(left.drain(..));
            } else {
                let endpoints = left.drain(..left.len().min(self.limit)).collect();
                drafts.push(Draft { slice: None, ports: group.ports.clone(), endpoints, changed: true });
            }
        }
        self.drafts.append(&mut drafts);
    }

    /// Gives new drafts the slices that are left over, and keeps one when there is nothing at all.
    fn settle(&mut self) {
        if self.drafts.is_empty() {
            // One that is empty already needs no write.
            let is_empty = |s: &&EndpointSlice| endpoints(s).is_empty() && s.ports.as_ref().is_none_or(Vec::is_empty);
            let at = self.spares.iter().position(is_empty).unwrap_or(0);
            let slice = (at < self.spares.len()).then(|| self.spares.remove(at));
            let changed = slice.is_none_or(|slice| !is_empty(&slice));
            self.drafts.push(Draft { slice, ports: Vec::new(), endpoints: Vec::new(), changed });
        }
        for draft in self.drafts.iter_mut().filter(|draft| draft.slice.is_none()) {
            if self.spares.is_empty() {
                break;
            }
            draft.slice = Some(self.spares.remove(0));
        }
    }
}

fn endpoints(slice: &EndpointSlice) -> &[Endpoint] {
    slice.endpoints.as_deref().unwrap_or_default()
}

fn write(snapshot: &Snapshot<'_>, family: Family, layout: Layout<'_>, plan: &mut Plan) {
    let labels = labels(snapshot.service);
    for draft in layout.drafts {
        match draft.slice {
            Some(slice) if !draft.changed && slice.metadata.labels.as_ref() == Some(&labels) => {}
            Some(slice) => {
                let mut slice = slice.clone();
                slice.metadata.labels = Some(labels.clone());
                slice.ports = Some(draft.ports);
                slice.endpoints = Some(draft.endpoints);
                trigger_time::annotate(&mut slice.metadata, snapshot.trigger_time);
                plan.changes.push(Change::replace(ENDPOINT_SLICES, &slice));
            }
            // The garbage collector deletes the slices of a Service that ends: making more would race with it.
            None if snapshot.service.deleting() => {}
            None => {
                let mut slice = EndpointSlice {
                    metadata: new_metadata(snapshot.service, labels.clone()),
                    address_type: family.name().to_owned(),
                    ports: Some(draft.ports),
                    endpoints: Some(draft.endpoints),
                };
                trigger_time::annotate(&mut slice.metadata, snapshot.trigger_time);
                plan.changes.push(Change::create(ENDPOINT_SLICES, &slice));
            }
        }
    }
    plan.changes.extend(layout.spares.into_iter().map(|slice| Change::delete(ENDPOINT_SLICES, slice)));
}

fn new_metadata(service: &Service, labels: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        generate_name: Some(format!("{}-", service.name())),
        namespace: service.metadata.namespace.clone(),
        labels: Some(labels),
        owner_references: Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Service".to_owned(),
            name: service.name().to_owned(),
            uid: service.uid().to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

/// Whether a slice is of this very Service, not of one that had its name.
fn owned_by(slice: &EndpointSlice, service: &Service) -> bool {
    let mut owners = slice.metadata.owner_references.iter().flatten();
    owners.any(|o| o.uid == service.uid() && o.kind == "Service" && o.api_version == "v1")
}

/// The labels of a Service's slices: its own, and those that are reserved.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    labels
}

/// The address of a Pod that is an endpoint: it has not ended for good, and has one of the family.
fn published_address(pod: &Pod, family: Family) -> Option<IpAddr> {
    if pod.terminal() { None } else { pod.status.ips.iter().copied().find(|ip| family.has(ip)) }
}

/// The ports of a Service as one Pod serves them. A named target that the Pod does not have is left out.
pub fn endpoint_ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let served = ports.iter().filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(target_port(port, pod)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    served.collect()
}

fn endpoint(service: &Service, pod: &Pod, address: IpAddr, node: Option<&Node>) -> Endpoint {
    let serving = pod.ready();
    let terminating = pod.deleting();
    let ready = publishes_not_ready(service) || (serving && !terminating);
    let zone = node.and_then(Node::zone).map(str::to_owned);
    let node_name = pod.node_name().map(str::to_owned);
    Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hints: if ready { hints(service, zone.as_deref(), node_name.as_deref()) } else { None },
        hostname: hostname(service, pod).map(str::to_owned),
        node_name,
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        zone,
        deprecated_topology: None,
    }
}

/// For whom an endpoint is: with `trafficDistribution` for its own zone, and its own node (KEP-3015). The older
/// annotation goes before the field (KEP-4444).
fn hints(service: &Service, zone: Option<&str>, node: Option<&str>) -> Option<EndpointHints> {
    let annotation = |key: &str| service.annotation(key).is_some_and(|mode| mode.eq_ignore_ascii_case("auto"));
    if annotation("service.kubernetes.io/topology-mode") || annotation("service.kubernetes.io/topology-aware-hints") {
        return None;
    }
    let distribution = service.spec.as_ref()?.traffic_distribution.as_deref()?;
    let same_node = match distribution {
        "PreferClose" | "PreferSameZone" => false,
        "PreferSameNode" => true,
        _ => return None,
    };
    let for_zones = zone.map(|name| vec![ForZone { name: name.to_owned() }]);
    let for_nodes = node.filter(|_| same_node).map(|name| vec![ForNode { name: name.to_owned() }]);
    (for_zones.is_some() || for_nodes.is_some()).then_some(EndpointHints { for_nodes, for_zones })
}

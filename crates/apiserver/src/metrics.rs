//! `/metrics`: what is counted, under Kubernetes' names.
//!
//! Nothing that a client chooses becomes a label: a resource that is not served, or a path, is none.

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use kinds::registry;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::patch::PatchType;
use crate::query::Query;
use crate::request::RequestInfo;

#[cfg(test)]
mod tests;

/// The media type of what is answered.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Limits of durations, in seconds: Kubernetes' own.
const DURATIONS: [f64; 22] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0,
];
/// Limits of how long it takes to give a cluster IP, in seconds: those of Prometheus' own clients.
const ALLOCATION_DURATIONS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Parts of objects that have paths of their own.
const PARTS: &[&str] = &[
    "status",
    "scale",
    "log",
    "exec",
    "attach",
    "portforward",
    "proxy",
    "binding",
    "eviction",
    "token",
    "finalize",
    "ephemeralcontainers",
];

/// What is asked, as far as it is counted by it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Request {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
    component: &'static str,
    dry_run: &'static str,
}

impl Request {
    /// In the words of Kubernetes' own labels.
    pub fn of(info: &RequestInfo, query: &Query, headers: &HeaderMap) -> Self {
        let kind = registry::shown().find(|k| {
            info.is_resource && k.plural == info.resource && k.group == info.group && k.version == info.version
        });
        let scope = match (kind, info.namespace.is_empty(), info.name.is_empty()) {
            (None, ..) => "",
            (_, _, false) => "resource",
            (_, false, true) => "namespace",
            (_, true, true) => "cluster",
        };
        let verb = match info.verb {
            "get" => "GET",
            "list" => "LIST",
            "watch" => "WATCH",
            "create" | "post" => "POST",
            "update" | "put" => "PUT",
            "patch" if is_apply(headers) => "APPLY",
            "patch" => "PATCH",
            "delete" => "DELETE",
            "deletecollection" => "DELETECOLLECTION",
            _ => "other",
        };
        Self {
            verb,
            group: kind.map_or("", |k| k.group),
            version: kind.map_or("", |k| k.version),
            resource: kind.map_or("", |k| k.plural),
            subresource: PARTS.iter().copied().find(|part| *part == info.subresource).unwrap_or_default(),
            scope,
            component: "apiserver",
            dry_run: if query.has("dryRun") { "All" } else { "" },
        }
    }

    fn is_watch(&self) -> bool {
        self.verb == "WATCH"
    }
}

/// Whether a patch is a server-side apply, which its type says.
fn is_apply(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    PatchType::of(media_type) == Some(PatchType::Apply)
}

/// A request with how it was answered.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    code: u16,
    #[prometheus(flatten)]
    request: Request,
}

/// A kind's resource.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Resource {
    group: &'static str,
    resource: &'static str,
}

/// Whether requests change something.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Mutation {
    request_kind: &'static str,
}

/// A range of addresses.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Range {
    cidr: String,
}

/// Something that is given to a Service, for counting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allocation {
    /// The range of an address; `None` for a node port.
    pub range: Option<String>,
    /// Whether it was asked for by name.
    pub asked: bool,
}

/// What is given of a range.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfRange {
    cidr: String,
    scope: &'static str,
}

/// Whether something was asked for by name (`static`) or not (`dynamic`).
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Scope {
    scope: &'static str,
}

fn scope(asked: bool) -> &'static str {
    if asked { "static" } else { "dynamic" }
}

/// What was wrong with what is taken for a Service.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Mended {
    r#type: &'static str,
}

/// What is given to Services, and what was mended of it.
struct Allocations {
    addresses: Family<OfRange, Counter>,
    refused_addresses: Family<OfRange, Counter>,
    durations: Family<Range, Histogram, fn() -> Histogram>,
    ports: Family<Scope, Counter>,
    refused_ports: Family<Scope, Counter>,
    mended_addresses: Family<Mended, Counter>,
    mended_ports: Family<Mended, Counter>,
}

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Answered, Counter>,
    durations: Family<Request, Histogram>,
    in_flight: Family<Mutation, Gauge>,
    long_running: Family<Resource, Gauge>,
    rejected: Counter,
    objects: Family<Resource, Gauge>,
    watch_events: Family<Resource, Counter>,
    addresses: Family<Range, Gauge>,
    free_addresses: Family<Range, Gauge>,
    ports: Gauge,
    free_ports: Gauge,
    allocations: Allocations,
}

/// What is there, which is counted when somebody asks.
pub(crate) struct Stored<'s> {
    /// How many objects of a kind.
    pub objects: &'s dyn Fn(&'static kinds::Kind) -> usize,
    /// The ranges of cluster IPs, with how many of each one's addresses are taken, and how many are free.
    pub addresses: Vec<(String, usize, usize)>,
    /// How many node ports are taken, and how many are free.
    pub ports: (usize, usize),
}

/// Counts one as long as it lives.
pub(crate) struct Counting(Gauge);

impl Counting {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Allocations {
    fn new() -> Self {
        let durations = Family::new_with_constructor((|| Histogram::new(ALLOCATION_DURATIONS)) as fn() -> Histogram);
        Self {
            durations,
            addresses: Family::default(),
            refused_addresses: Family::default(),
            ports: Family::default(),
            refused_ports: Family::default(),
            mended_addresses: Family::default(),
            mended_ports: Family::default(),
        }
    }

    fn register(&self, registry: &mut Registry) {
        let name = "kube_apiserver_clusterip_allocator_allocation";
        registry.register(name, "Cluster IPs that were given", self.addresses.clone());
        let name = "kube_apiserver_clusterip_allocator_allocation_errors";
        registry.register(name, "Cluster IPs that could not be given", self.refused_addresses.clone());
        let name = "kube_apiserver_clusterip_allocator_allocation_duration_seconds";
        registry.register(name, "How long it took to give a cluster IP, in seconds", self.durations.clone());
        let name = "kube_apiserver_nodeport_allocator_allocation";
        registry.register(name, "Node ports that were given", self.ports.clone());
        let name = "kube_apiserver_nodeport_allocator_allocation_errors";
        registry.register(name, "Node ports that could not be given", self.refused_ports.clone());
        let name = "apiserver_clusterip_repair_ip_errors";
        registry.register(name, "Cluster IPs that were not taken as they should be", self.mended_addresses.clone());
        let name = "apiserver_nodeport_repair_port_errors";
        registry.register(name, "Node ports that were not taken as they should be", self.mended_ports.clone());
    }
}

impl Metrics {
    pub fn new() -> Self {
        let metrics = Self {
            registry: Mutex::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            in_flight: Family::default(),
            long_running: Family::default(),
            rejected: Counter::default(),
            objects: Family::default(),
            watch_events: Family::default(),
            addresses: Family::default(),
            free_addresses: Family::default(),
            ports: Gauge::default(),
            free_ports: Gauge::default(),
            allocations: Allocations::new(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let registry = &mut *self.registry.lock();
        let m = self;
        registry.register("apiserver_request", "Requests that were answered", m.requests.clone());
        let help = "How long answers took, in seconds; watches are left out";
        registry.register("apiserver_request_duration_seconds", help, m.durations.clone());
        let help = "Requests that are being worked on";
        registry.register("apiserver_current_inflight_requests", help, m.in_flight.clone());
        registry.register("apiserver_longrunning_requests", "Watches that are open", m.long_running.clone());
        let help = "Requests that were refused because too many were asked at once";
        registry.register("apiserver_flowcontrol_rejected_requests", help, m.rejected.clone());
        registry.register("apiserver_resource_objects", "Objects that are stored", m.objects.clone());
        registry.register("apiserver_watch_events", "Events that were sent to watches", m.watch_events.clone());
        let name = "kube_apiserver_clusterip_allocator_allocated_ips";
        registry.register(name, "Cluster IPs that are taken", m.addresses.clone());
        let name = "kube_apiserver_clusterip_allocator_available_ips";
        registry.register(name, "Cluster IPs that are free", m.free_addresses.clone());
        let name = "kube_apiserver_nodeport_allocator_allocated_ports";
        registry.register(name, "Node ports that are taken", m.ports.clone());
        let name = "kube_apiserver_nodeport_allocator_available_ports";
        registry.register(name, "Node ports that are free", m.free_ports.clone());
        m.allocations.register(registry);
    }

    /// Something was given to a Service, which took so long.
    pub fn allocated(&self, given: &Allocation, took: Duration) {
        let (all, scope) = (&self.allocations, scope(given.asked));
        match &given.range {
            Some(cidr) => {
                all.addresses.get_or_create_owned(&OfRange { cidr: cidr.clone(), scope }).inc();
                all.durations.get_or_create(&Range { cidr: cidr.clone() }).observe(took.as_secs_f64());
            }
            None => _ = all.ports.get_or_create(&Scope { scope }).inc(),
        }
    }

    /// Something was not given.
    pub fn not_allocated(&self, refused: &Allocation) {
        let (all, scope) = (&self.allocations, scope(refused.asked));
        match &refused.range {
            Some(cidr) => _ = all.refused_addresses.get_or_create(&OfRange { cidr: cidr.clone(), scope }).inc(),
            None => _ = all.refused_ports.get_or_create(&Scope { scope }).inc(),
        }
    }

    /// An address of a Service was not as it should be.
    pub fn address_mended(&self, kind: &'static str) {
        self.allocations.mended_addresses.get_or_create(&Mended { r#type: kind }).inc();
    }

    /// A node port of a Service was not as it should be.
    pub fn port_mended(&self, kind: &'static str) {
        self.allocations.mended_ports.get_or_create(&Mended { r#type: kind }).inc();
    }

    /// Shows what somebody else counts too.
    pub fn also_show(&self, counted: Box<dyn Collector>) {
        self.registry.lock().register_collector(counted);
    }

    /// A request was answered.
    pub fn answered(&self, request: &Request, code: u16, took: Duration) {
        let answered = Answered { code, request: request.clone() };
        self.requests.get_or_create(&answered).inc();
        if !request.is_watch() {
            self.durations.get_or_create(request).observe(took.as_secs_f64());
        }
        if code == 429 {
            self.rejected.inc();
        }
    }

    /// A request is being worked on.
    pub fn working(&self, verb: &str) -> Counting {
        let request_kind = if matches!(verb, "get" | "list" | "watch") { "readOnly" } else { "mutating" };
        Counting::new(self.in_flight.get_or_create_owned(&Mutation { request_kind }))
    }

    /// A watch is open: what counts it, and its events.
    pub fn watching(&self, kind: &'static kinds::Kind) -> (Counting, Counter) {
        let resource = Resource { group: kind.group, resource: kind.plural };
        let counting = Counting::new(self.long_running.get_or_create_owned(&resource));
        (counting, self.watch_events.get_or_create_owned(&resource))
    }

    /// Everything as text.
    pub fn text(&self, stored: &Stored<'_>) -> Result<String, std::fmt::Error> {
        for kind in registry::all() {
            let resource = Resource { group: kind.group, resource: kind.plural };
            self.objects.get_or_create(&resource).set(number((stored.objects)(kind)));
        }
        // A range that is gone is told of no more.
        self.addresses.clear();
        self.free_addresses.clear();
        for (cidr, taken, free) in &stored.addresses {
            let range = Range { cidr: cidr.clone() };
            self.addresses.get_or_create(&range).set(number(*taken));
            self.free_addresses.get_or_create(&range).set(number(*free));
        }
        self.ports.set(number(stored.ports.0));
        self.free_ports.set(number(stored.ports.1));
        let mut encoded = String::new();
        text::encode(&mut encoded, &self.registry.lock())?;
        Ok(classic(&encoded))
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The text in the older form, which every reader knows: there a counter is called in whole what its values are called.
fn classic(encoded: &str) -> String {
    let counters: Vec<&str> =
        encoded.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut out = String::with_capacity(encoded.len());
    for line in encoded.lines().filter(|line| *line != "# EOF") {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", what @ ("TYPE" | "HELP"), name, rest] if counters.contains(name) => {
                out.push_str(&format!("# {what} {name}_total {rest}\n"));
            }
            _ => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

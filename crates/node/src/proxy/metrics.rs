//! What is counted, under kube-proxy's names where it has one, and `portolan_…` for what only we have.
//!
//! A sync programs all families in one transaction, so that what kube-proxy measures for each family is the same for
//! all of them here. Rules of kube-proxy's own (iptables' totals, failures to clean up chains) have no meaning and are left
//! out.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use dataplane::Family as IpFamily;
use dataplane::counters::ServiceCounters;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::kernel_counts::KernelCounts;
use crate::counters::Counters;
use crate::process::Process;

/// A family's address family, as kube-proxy labels it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PerFamily {
    ip_family: FamilyLabel,
}

impl PerFamily {
    pub(super) fn of(family: IpFamily) -> Self {
        Self { ip_family: FamilyLabel(family) }
    }
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct FamilyLabel(IpFamily);

impl EncodeLabelValue for FamilyLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        write!(encoder, "{}", self.0)
    }
}

/// A family's address family and one of a Service's two traffic policies.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PerPolicy {
    ip_family: FamilyLabel,
    traffic_policy: &'static str,
}

impl PerPolicy {
    pub(super) fn internal(family: IpFamily) -> Self {
        Self { ip_family: FamilyLabel(family), traffic_policy: "internal" }
    }

    pub(super) fn external(family: IpFamily) -> Self {
        Self { ip_family: FamilyLabel(family), traffic_policy: "external" }
    }
}

/// An HTTP status.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PerCode {
    pub code: u16,
}

/// A part of a start.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PerPart {
    pub part: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Everything that is counted. Its parts are shared: a clone counts into the same.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub sync_duration: Family<PerFamily, Histogram>,
    pub full_sync_duration: Family<PerFamily, Histogram>,
    pub partial_sync_duration: Family<PerFamily, Histogram>,
    pub last_sync: Family<PerFamily, Seconds>,
    pub last_queued: Family<PerFamily, Seconds>,
    pub sync_failures: Family<PerFamily, Counter>,
    pub endpoint_changes: Counter,
    pub endpoint_changes_pending: Gauge,
    pub service_changes: Counter,
    pub service_changes_pending: Gauge,
    pub no_local_endpoints: Family<PerPolicy, Gauge>,
    pub network_programming: Family<PerFamily, Histogram>,
    pub healthz: Family<PerCode, Counter>,
    pub livez: Family<PerCode, Counter>,
    pub kernel_changes: Counter,
    pub conflicts: Gauge,
    pub refused: Counter,
    pub mended: Counter,
    pub mended_rules: Counter,
    pub other_proxies: Gauge,
    pub start: Family<PerPart, Seconds>,
    registry: Arc<Registry>,
}

/// From a millisecond to 16 seconds.
fn sync_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// From a quarter of a second to five minutes, as the scalability objective for it has them.
fn programming_buckets() -> Histogram {
    let seconds = (1..60).map(f64::from);
    let minutes = (0..12).map(|n| 60.0 + 5.0 * f64::from(n)).chain((0..7).map(|n| 120.0 + 30.0 * f64::from(n)));
    Histogram::new([0.25, 0.5].into_iter().chain(seconds).chain(minutes))
}

impl Metrics {
    /// All at zero, with a series for each of these families from the start.
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        let mut metrics = Self {
            sync_duration: Family::new_with_constructor(sync_buckets),
            full_sync_duration: Family::new_with_constructor(sync_buckets),
            partial_sync_duration: Family::new_with_constructor(sync_buckets),
            last_sync: Family::default(),
            last_queued: Family::default(),
            sync_failures: Family::default(),
            endpoint_changes: Counter::default(),
            endpoint_changes_pending: Gauge::default(),
            service_changes: Counter::default(),
            service_changes_pending: Gauge::default(),
            no_local_endpoints: Family::default(),
            network_programming: Family::new_with_constructor(programming_buckets),
            healthz: Family::default(),
            livez: Family::default(),
            kernel_changes: Counter::default(),
            conflicts: Gauge::default(),
            refused: Counter::default(),
            mended: Counter::default(),
            mended_rules: Counter::default(),
            other_proxies: Gauge::default(),
            start: Family::default(),
            registry: Arc::default(),
        };
        let mut registry = Registry::default();
        metrics.register_kube_proxys(&mut registry);
        metrics.register_own(&mut registry, counters);
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register_kube_proxys(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("kubeproxy");
        let sync = "sync_proxy_rules";
        registry.register(format!("{sync}_duration_seconds"), "How long syncs took", self.sync_duration.clone());
        let help = "How long syncs took that compared everything with the kernel";
        registry.register("sync_full_proxy_rules_duration_seconds", help, self.full_sync_duration.clone());
        let help = "How long syncs took of what had changed";
        registry.register("sync_partial_proxy_rules_duration_seconds", help, self.partial_sync_duration.clone());
        let help = "When the kernel was last told of everything";
        registry.register(format!("{sync}_last_timestamp_seconds"), help, self.last_sync.clone());
        let help = "When a change last came";
        registry.register(format!("{sync}_last_queued_timestamp_seconds"), help, self.last_queued.clone());
        let help = "Syncs that the kernel refused";
        registry.register(format!("{sync}_nftables_sync_failures"), help, self.sync_failures.clone());
        let help = "Changes of endpoints";
        registry.register(format!("{sync}_endpoint_changes"), help, self.endpoint_changes.clone());
        let help = "Changes of endpoints that the kernel was not told of yet";
        registry.register(format!("{sync}_endpoint_changes_pending"), help, self.endpoint_changes_pending.clone());
        let help = "Changes of Services";
        registry.register(format!("{sync}_service_changes"), help, self.service_changes.clone());
        let help = "Changes of Services that the kernel was not told of yet";
        registry.register(format!("{sync}_service_changes_pending"), help, self.service_changes_pending.clone());
        let help = "Services with a Local traffic policy that have endpoints, but none on this node";
        registry.register(format!("{sync}_no_local_endpoints_total"), help, self.no_local_endpoints.clone());
        let help = "From the change of a Pod or Service until the kernel knew it";
        registry.register("network_programming_duration_seconds", help, self.network_programming.clone());
        registry.register("proxy_healthz", "Answers of /healthz", self.healthz.clone());
        registry.register("proxy_livez", "Answers of /livez", self.livez.clone());
    }

    fn register_own(&self, registry: &mut Registry, counters: Arc<Counters>) {
        let own = registry.sub_registry_with_prefix("portolan");
        let help = "Elements, chains and rules that were added or taken away";
        own.register("kernel_changes", help, self.kernel_changes.clone());
        own.register("conflicts", "Destinations that several Services claim", self.conflicts.clone());
        own.register("refused_services", "Services that the kernel refused, each time anew", self.refused.clone());
        let help = "How often rules were brought back in step that others had changed, or may have";
        own.register("mendings", help, self.mended.clone());
        let help = "Elements, chains and rules that others had changed and that were mended";
        own.register("mended_rules", help, self.mended_rules.clone());
        own.register("other_proxies", "Rules of other service proxies beside ours", self.other_proxies.clone());
        let help = "How long the start took, part by part: lists until they were there, then the first sync";
        own.register("start_duration_seconds", help, self.start.clone());
        registry.register_collector(Box::new(KernelCounts(counters)));
        registry.register_collector(Box::new(Process));
    }

    /// Gives every series of these families its zero.
    pub(super) fn begin(&self, families: &[IpFamily]) {
        for family in families {
            let label = PerFamily::of(*family);
            drop(self.sync_duration.get_or_create(&label));
            drop(self.full_sync_duration.get_or_create(&label));
            drop(self.partial_sync_duration.get_or_create(&label));
            drop(self.last_sync.get_or_create(&label));
            drop(self.last_queued.get_or_create(&label));
            drop(self.sync_failures.get_or_create(&label));
            drop(self.network_programming.get_or_create(&label));
            drop(self.no_local_endpoints.get_or_create(&PerPolicy::internal(*family)));
            drop(self.no_local_endpoints.get_or_create(&PerPolicy::external(*family)));
        }
    }

    /// Everything in OpenMetrics' text format.
    pub(super) fn open_metrics(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                String::new()
            }
        }
    }

    /// Everything in Prometheus' older text format, which is what clients get that ask for no other: counters are
    /// described under the name that their samples bear.
    pub(super) fn plain_text(&self) -> String {
        let open = self.open_metrics();
        let mut text = String::with_capacity(open.len());
        let mut help: Option<(&str, &str)> = None;
        for line in open.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ');
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
                if let Some((_, help)) = help.take() {
                    text.push_str(&format!("# HELP {name} {help}\n"));
                }
                text.push_str(&format!("# TYPE {name} {kind}\n"));
            } else if !line.starts_with('#') {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

/// What the kernel has counted of each Service's ports, in Prometheus' text format.
pub(super) fn of_services(counters: &[ServiceCounters]) -> String {
    let mut text = String::new();
    let kinds = [
        ("connections", "Connections that were given an endpoint"),
        ("refused", "First packets that were rejected or dropped"),
    ];
    for (kind, help) in kinds {
        let name = format!("portolan_service_{kind}_total");
        text.push_str(&format!("# HELP {name} {help}.\n# TYPE {name} counter\n"));
        for counter in counters {
            let value = if kind == "connections" { counter.connections } else { counter.refused };
            let ServiceCounters { service, port, protocol, .. } = counter;
            let (namespace, service) = (service.namespace(), service.name());
            text.push_str(&format!(
                "{name}{{namespace=\"{namespace}\",service=\"{service}\",port=\"{port}\",protocol=\"{protocol}\"}} {value}\n"
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests;

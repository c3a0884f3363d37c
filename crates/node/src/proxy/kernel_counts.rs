//! What a node counts about connections ([`Counters`]), for Prometheus.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::counters::{Counter, Counters};

/// Reads the counters at each scrape.
#[derive(Debug)]
pub(super) struct KernelCounts(pub Arc<Counters>);

/// A counter's name, what it says, and which it is.
type Row = (&'static str, &'static str, fn(&Counters) -> &Counter);

const GROWING: [Row; 12] = [
    ("udp_flows_ended", "UDP flows that a change left without an endpoint, and that were ended", |c| {
        &c.udp_flows_ended
    }),
    ("udp_flows_stale", "UDP flows that led where nobody serves, found by the timer and ended", |c| &c.udp_flows_stale),
    ("udp_flow_checks", "Looks of the timer through all UDP flows", |c| &c.udp_flow_checks),
    ("udp_flow_check_failures", "Looks through all UDP flows that failed", |c| &c.udp_flow_check_failures),
    ("departed_probes", "Addresses that left their Services with connections open and were asked for life", |c| {
        &c.departed_probes
    }),
    ("departed_dead", "Addresses that left their Services and at which nobody answered", |c| &c.departed_dead),
    ("departed_flows_reset", "TCP connections that were reset because their endpoint was dead", |c| {
        &c.departed_flows_reset
    }),
    ("departed_overlooked", "Addresses that left with so many others that all connections were looked through", |c| {
        &c.departed_overlooked
    }),
    ("loopback_connections", "TCP connections to node ports of loopback addresses", |c| &c.loopback_connections),
    ("loopback_connections_refused", "TCP connections to node ports of loopback addresses that were reset", |c| {
        &c.loopback_connections_refused
    }),
    ("loopback_flows", "UDP clients of node ports of loopback addresses", |c| &c.loopback_flows),
    ("loopback_datagrams_dropped", "Datagrams to node ports of loopback addresses that were dropped", |c| {
        &c.loopback_datagrams_dropped
    }),
];

const OF_THIS_MOMENT: [Row; 2] = [
    ("loopback_connections_open", "TCP connections to node ports of loopback addresses that are open", |c| {
        &c.loopback_connections_open
    }),
    ("loopback_flows_open", "UDP clients of node ports of loopback addresses that are remembered", |c| {
        &c.loopback_flows_open
    }),
];

impl Collector for KernelCounts {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for (name, help, counter) in GROWING {
            let counter = ConstCounter::new(counter(&self.0).get());
            let name = format!("portolan_{name}");
            counter.encode(encoder.encode_descriptor(&name, help, None, MetricType::Counter)?)?;
        }
        for (name, help, counter) in OF_THIS_MOMENT {
            let gauge = ConstGauge::new(i64::try_from(counter(&self.0).get()).unwrap_or(i64::MAX));
            let name = format!("portolan_{name}");
            gauge.encode(encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?)?;
        }
        let ended = [&self.0.udp_flows_ended, &self.0.udp_flows_stale, &self.0.departed_flows_reset];
        let ended = ConstCounter::new(ended.into_iter().map(Counter::get).sum::<u64>());
        let name = "kubeproxy_conntrack_reconciler_deleted_entries";
        let help = "Connections that were ended because nobody answers them any more";
        ended.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;

        let count = self.0.udp_flow_checks.get();
        let seconds = self.0.udp_flow_check_microseconds.get() as f64 / 1e6;
        let name = "kubeproxy_conntrack_reconciler_sync_duration_seconds";
        let help = "How long looks through all UDP flows took";
        let mut histogram = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        // The largest number stands for infinity: no bounds were counted by.
        histogram.encode_histogram::<NoLabelSet>(seconds, count, &[(f64::MAX, count)], None)
    }
}

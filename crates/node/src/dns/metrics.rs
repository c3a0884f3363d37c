//! What is counted, in Prometheus' text format: under CoreDNS' names where it has one, and `portolan_dns_…` for what only
//! we have.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use dns::forward::exposition;
use dns::server::counters::{DURATIONS, Histogram, OCTETS};
use dns::{Index, Server};

use super::contact::Contact;
use super::programming;
use crate::process;

/// The label `server` by which CoreDNS tells its listeners apart: that of the first address.
pub(super) fn server_label(listen: &[SocketAddr]) -> String {
    match listen.first() {
        Some(address) if address.ip().is_unspecified() => format!("dns://:{}", address.port()),
        Some(address) => format!("dns://{address}"),
        None => "dns://".to_owned(),
    }
}

/// A page that is being written.
struct Page {
    text: String,
    /// The labels that CoreDNS gives to everything of a server.
    server: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            labels => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, "", value);
    }

    /// The samples of one histogram, of which `bounds` are told in units of `unit`.
    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram, bounds: &[u64], unit: f64) {
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(&histogram.counts) {
            below += count;
            let bound = *bound as f64 / unit;
            self.sample(&format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), below);
        }
        let all: u64 = histogram.counts.iter().sum();
        self.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), all);
        self.sample(&format!("{name}_sum"), labels, histogram.sum as f64 / unit);
        self.sample(&format!("{name}_count"), labels, all);
    }
}

/// Everything, as it is now.
pub(super) fn text(server_label: &str, server: &Server, contact: &Contact, failed_reloads: u64) -> String {
    let labels = format!("server=\"{server_label}\",zone=\".\",view=\"\"");
    let mut page = Page { text: String::with_capacity(8192), server: labels };
    page.head("coredns_build_info", "gauge", "The version that runs.");
    page.sample("coredns_build_info", &format!("version=\"portolan-{}\"", env!("CARGO_PKG_VERSION")), 1);
    of_server(&mut page, server);
    of_upstreams(&mut page, server_label, server);
    let help = "Corefiles that have changed and could not be followed.";
    page.one("coredns_reload_failed_total", "counter", help, failed_reloads);
    if let Some(index) = &server.sources().index {
        of_index(&mut page, index);
        of_contact(&mut page, contact);
    }
    if let Some((seconds, bytes)) = process::usage() {
        page.one("process_cpu_seconds_total", "counter", "CPU time that the process has used.", seconds);
        page.one("process_resident_memory_bytes", "gauge", "Memory that the process holds.", bytes);
    }
    page.text
}

/// What a server has done and knows, for a process that does other things too.
pub(super) fn counted(server_label: &str, server: &Server) -> String {
    let labels = format!("server=\"{server_label}\",zone=\".\",view=\"\"");
    let mut page = Page { text: String::with_capacity(8192), server: labels };
    of_server(&mut page, server);
    of_upstreams(&mut page, server_label, server);
    if let Some(index) = &server.sources().index {
        of_index(&mut page, index);
    }
    page.text
}

fn of_server(page: &mut Page, server: &Server) {
    let (figures, counts) = (server.figures(), server.counts());
    let labels = page.server.clone();
    let name = "coredns_dns_requests_total";
    page.head(name, "counter", "Questions, by protocol, address family and type.");
    for asked in &figures.asked {
        let (proto, family) = (if asked.tcp { "tcp" } else { "udp" }, if asked.v6 { 2 } else { 1 });
        let kind = asked.rtype;
        page.sample(name, &format!("{labels},proto=\"{proto}\",family=\"{family}\",type=\"{kind}\""), asked.count);
    }
    let name = "coredns_dns_responses_total";
    page.head(name, "counter", "Answers, by response code and who made them.");
    for answered in &figures.answered {
        let (rcode, plugin) = (answered.rcode, answered.maker.plugin());
        page.sample(name, &format!("{labels},rcode=\"{rcode}\",plugin=\"{plugin}\""), answered.count);
    }
    let name = "coredns_dns_do_requests_total";
    page.head(name, "counter", "Questions with the DO bit.");
    page.sample(name, &labels, figures.dnssec_ok);
    let name = "coredns_dns_request_duration_seconds";
    page.head(name, "histogram", "How long answers took.");
    page.histogram(name, &labels, &figures.took, &DURATIONS, 1e9);
    for (name, help, histograms) in [
        ("coredns_dns_request_size_bytes", "Octets of questions.", &figures.question_octets),
        ("coredns_dns_response_size_bytes", "Octets of answers.", &figures.answer_octets),
    ] {
        page.head(name, "histogram", help);
        for (proto, histogram) in ["udp", "tcp"].into_iter().zip(histograms) {
            page.histogram(name, &format!("{labels},proto=\"{proto}\""), histogram, &OCTETS, 1.0);
        }
    }
    for (name, help, value) in [
        ("portolan_dns_silent_total", "Messages that got no answer.", counts.silent),
        ("portolan_dns_strangers_total", "Those of them from addresses that are not served.", counts.strangers),
        ("portolan_dns_truncated_total", "Answers that were cut short.", counts.truncated),
        ("portolan_dns_turned_away_total", "Questions and connections above the bounds.", counts.turned_away),
        (
            "portolan_dns_searched_total",
            "Questions of search paths that were answered by way of a later name of the path.",
            counts.searched,
        ),
        ("portolan_dns_unsent_total", "Answers that the kernel did not take.", counts.unsent),
    ] {
        page.one(name, "counter", help, value);
    }
    page.one("portolan_dns_waiting", "gauge", "Questions that wait for upstream servers.", server.waiting());
}

fn of_upstreams(page: &mut Page, server_label: &str, server: &Server) {
    let sources = server.sources();
    if let Some(forwarder) = &sources.forwarder {
        exposition::write(forwarder, server_label, &mut page.text);
    }
    if !sources.hosts.is_empty() {
        page.head("coredns_hosts_entries", "gauge", "Names from hosts files and from lines beside them.");
        for counts in sources.hosts.iter().map(|hosts| hosts.counts()) {
            let file = counts.file.map(|file| file.display().to_string()).unwrap_or_default();
            page.sample("coredns_hosts_entries", &format!("hostsfile={file:?}"), counts.entries);
        }
    }
    if let Some(log) = &sources.log {
        let counts = log.counts();
        let name = "portolan_dns_query_log_lines_total";
        page.head(name, "counter", "Lines of the query log, by what became of them.");
        for (what, count) in [("written", counts.written), ("dropped", counts.dropped), ("failed", counts.failed)] {
            page.sample(name, &format!("outcome=\"{what}\""), count);
        }
    }
}

fn of_index(page: &mut Page, index: &Index) {
    let stats = index.stats();
    let name = "portolan_dns_names";
    page.head(name, "gauge", "What is known of the cluster.");
    for (what, count) in
        [("services", stats.services), ("namespaces", stats.namespaces), ("addresses", stats.addresses)]
    {
        page.sample(name, &format!("kind=\"{what}\""), count);
    }
    let help = "Whether everything that there was at the start is known.";
    page.one("portolan_dns_synced", "gauge", help, u8::from(index.is_synced()));
    page.one("portolan_dns_zone_serial", "gauge", "The zones' serial number; each change adds one.", stats.serial);
    let name = "portolan_dns_search_misses_total";
    page.head(
        name,
        "counter",
        "Questions that a search path made in vain of names from elsewhere, by the namespace of who asked.",
    );
    for (namespace, count) in index.search_misses() {
        page.sample(name, &format!("namespace=\"{namespace}\""), count);
    }
}

fn of_contact(page: &mut Page, contact: &Contact) {
    let lost = contact.lost();
    let longest = lost.iter().map(|(_, since)| *since).max().unwrap_or(Duration::ZERO);
    let help = "Whether the API tells what changes; when not, answers are what was known last.";
    page.one("portolan_dns_api_reached", "gauge", help, u8::from(lost.is_empty()));
    let help = "For how long it has not been reached.";
    page.one("portolan_dns_api_lost_seconds", "gauge", help, longest.as_secs_f64());
    page.one("portolan_dns_api_losses_total", "counter", "How often a watch was lost.", contact.losses());
    let name = "coredns_kubernetes_dns_programming_duration_seconds";
    page.head(name, "histogram", "From what made a controller write a slice of a headless Service to its names.");
    let labels = "service_kind=\"headless_with_selector\"";
    page.histogram(name, labels, &contact.programming.histogram(), &programming::DURATIONS, 1e9);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_called_as_coredns_calls_them() {
        let label = |listen: &str| server_label(&[listen.parse().unwrap()]);
        assert_eq!(label("0.0.0.0:53"), "dns://:53");
        assert_eq!(label("[::]:1053"), "dns://:1053");
        assert_eq!(label("10.0.0.1:53"), "dns://10.0.0.1:53");
    }

    #[test]
    fn buckets_hold_everything_below_them() {
        let mut page = Page { text: String::new(), server: String::new() };
        page.histogram("h", "a=\"b\"", &Histogram { counts: vec![1, 0, 2, 4], sum: 9 }, &[1, 2, 3], 2.0);
        let want = "h_bucket{a=\"b\",le=\"0.5\"} 1\nh_bucket{a=\"b\",le=\"1\"} 1\nh_bucket{a=\"b\",le=\"1.5\"} 3\n\
                    h_bucket{a=\"b\",le=\"+Inf\"} 7\nh_sum{a=\"b\"} 4.5\nh_count{a=\"b\"} 7\n";
        assert_eq!(page.text, want);
    }
}

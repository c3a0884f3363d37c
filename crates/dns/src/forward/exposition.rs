//! What forwarding and its cache have counted, in Prometheus' text format, under CoreDNS' names and labels.

use std::fmt::Write as _;

use hickory_proto::op::ResponseCode;

use super::counts::{BOUNDS, UpstreamCounts, upper_bound};
use super::forwarder::Forwarder;

/// Writes a forwarder's counters. `server` is the label by which CoreDNS tells its listeners apart, such as `dns://:53`.
pub fn write(forwarder: &Forwarder, server: &str, out: &mut String) {
    let mut page = Page { out };
    let (counts, cache) = (forwarder.counts(), forwarder.counts().cache);
    let labels = format!("server=\"{server}\",zones=\".\",view=\"\"");
    let of_type = |kind: &str| format!("server=\"{server}\",type=\"{kind}\",zones=\".\",view=\"\"");
    let hits = cache.hits_positive + cache.hits_negative;
    let denials = cache.entries.saturating_sub(cache.positive);
    page.head("coredns_cache_entries", "gauge", "Answers in the cache.");
    page.sample("coredns_cache_entries", &of_type("success"), cache.positive);
    page.sample("coredns_cache_entries", &of_type("denial"), denials);
    page.head("coredns_cache_hits_total", "counter", "Questions that the cache could answer.");
    page.sample("coredns_cache_hits_total", &of_type("success"), cache.hits_positive);
    page.sample("coredns_cache_hits_total", &of_type("denial"), cache.hits_negative);
    for (name, help, value) in [
        ("coredns_cache_requests_total", "Questions of the cache.", hits + cache.misses),
        ("coredns_cache_misses_total", "Questions that it could not answer.", cache.misses),
        ("coredns_cache_prefetch_total", "Answers that were asked for anew before they were over.", cache.prefetches),
        ("coredns_cache_served_stale_total", "Answers that were given though they were over.", cache.stale),
        ("coredns_cache_evictions_total", "Answers that made room for others.", cache.evictions),
    ] {
        page.head(name, "counter", help);
        page.sample(name, &labels, value);
    }
    for (name, help, value) in [
        ("coredns_forward_healthcheck_broken_total", "Names looked up while every server was down.", counts.all_down),
        ("coredns_forward_max_concurrent_rejects_total", "Questions above the bound.", counts.refused),
        ("portolan_dns_joined_total", "Questions that waited for an equal one.", counts.joined),
    ] {
        page.head(name, "counter", help);
        page.sample(name, "", value);
    }
    page.head("portolan_dns_cache_octets", "gauge", "Octets that the cache takes, about.");
    page.sample("portolan_dns_cache_octets", "", cache.weight);
    page.of_upstreams(&merged(forwarder.upstream_counts()));
}

/// One server may be asked for several zones: its counters are one's.
fn merged(counts: Vec<UpstreamCounts>) -> Vec<UpstreamCounts> {
    let mut merged: Vec<UpstreamCounts> = Vec::with_capacity(counts.len());
    for one in counts {
        let Some(have) = merged.iter_mut().find(|have| have.address == one.address && have.protocol == one.protocol)
        else {
            merged.push(one);
            continue;
        };
        have.is_down &= one.is_down;
        have.asked += one.asked;
        have.failed += one.failed;
        have.probes_failed += one.probes_failed;
        have.reused += one.reused;
        have.connected += one.connected;
        for (code, durations) in one.answered {
            match have.answered.iter_mut().find(|(known, _)| *known == code) {
                Some((_, known)) => known.add(&durations),
                None => have.answered.push((code, durations)),
            }
        }
    }
    merged
}

struct Page<'o> {
    out: &'o mut String,
}

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.out, "{name} {value}"),
            labels => writeln!(self.out, "{name}{{{labels}}} {value}"),
        };
    }

    fn of_upstreams(&mut self, upstreams: &[UpstreamCounts]) {
        let to = |upstream: &UpstreamCounts| format!("proxy_name=\"forward\",to=\"{}\"", upstream.address);
        let name = "coredns_proxy_request_duration_seconds";
        self.head(name, "histogram", "How long each server took, by response code.");
        for upstream in upstreams {
            for (code, durations) in &upstream.answered {
                let labels = format!("{},rcode=\"{}\"", to(upstream), code_name(*code));
                for bucket in 0..BOUNDS {
                    let bound = format!("{labels},le=\"{}\"", upper_bound(bucket));
                    self.sample(&format!("{name}_bucket"), &bound, durations.buckets[bucket]);
                }
                self.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), durations.count);
                self.sample(&format!("{name}_sum"), &labels, durations.seconds);
                self.sample(&format!("{name}_count"), &labels, durations.count);
            }
        }
        let name = "coredns_proxy_healthcheck_failures_total";
        self.head(name, "counter", "Probes that came to nothing.");
        for upstream in upstreams {
            self.sample(name, &to(upstream), upstream.probes_failed);
        }
        for (name, help, count) in [
            ("coredns_proxy_conn_cache_hits_total", "Questions that found an open connection.", 0),
            ("coredns_proxy_conn_cache_misses_total", "Questions for which a connection was made.", 1),
        ] {
            self.head(name, "counter", help);
            for upstream in upstreams {
                // Over UDP each question has a socket of its own; what is counted there went over TCP.
                let proto = if upstream.protocol == "udp" { "tcp" } else { upstream.protocol };
                let value = [upstream.reused, upstream.connected][count];
                self.sample(name, &format!("{},proto=\"{proto}\"", to(upstream)), value);
            }
        }
        for (name, kind, help, count) in [
            ("portolan_dns_upstream_questions_total", "counter", "Questions to each server.", 0),
            ("portolan_dns_upstream_failures_total", "counter", "Those of them that came to nothing.", 1),
            ("portolan_dns_upstream_down", "gauge", "Whether probes say that it is down.", 2),
        ] {
            self.head(name, kind, help);
            for upstream in upstreams {
                let value = [upstream.asked, upstream.failed, u64::from(upstream.is_down)][count];
                self.sample(name, &format!("to=\"{}\"", upstream.address), value);
            }
        }
    }
}

/// The name of a response code, as CoreDNS writes it; those that are counted together are `OTHER`.
fn code_name(code: u16) -> &'static str {
    match ResponseCode::from_low(code as u8) {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        _ => "OTHER",
    }
}

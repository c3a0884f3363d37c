//! The Pod's own `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`. Pure but for [`write`](write()).

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig, PodSpec};

use crate::durable::{self, Lasting};
use crate::layout::PodDir;

/// As many as a resolver looks at (resolv.conf(5)); Kubernetes gives a Pod no more.
const NAMESERVERS: usize = 3;
/// As many search domains, and characters of them, as Kubernetes gives a Pod.
const SEARCHES: usize = 32;
const SEARCH_CHARACTERS: usize = 2048;

/// A resolver configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Addresses, the first asked first.
    pub nameservers: Vec<String>,
    /// Search domains, in order.
    pub searches: Vec<String>,
    /// Options, such as `ndots:5`.
    pub options: Vec<String>,
}

/// What the node knows about names.
#[derive(Clone, Debug)]
pub struct Names<'a> {
    /// Name servers of the cluster.
    pub cluster_dns: &'a [IpAddr],
    /// Such as `cluster.local`.
    pub cluster_domain: &'a str,
    /// The text of the node's own resolv.conf.
    pub resolv_conf: &'a str,
    /// The node's name, which is the host name of Pods on its network.
    pub node_name: &'a str,
}

/// The Pod's host name: its own choice or its name, cut to the 63 characters that one may have.
#[must_use]
pub fn hostname(pod: &Pod, names: &Names<'_>) -> String {
    let spec = pod.spec.as_ref();
    if spec.and_then(|s| s.host_network) == Some(true) {
        return names.node_name.to_owned();
    }
    if let Some(name) = spec.and_then(|s| s.hostname_override.clone()) {
        return name;
    }
    let short = short_hostname(pod);
    match (spec.and_then(|s| s.set_hostname_as_fqdn), domain(pod, names)) {
        (Some(true), Some(domain)) => format!("{short}.{domain}"),
        _ => short,
    }
}

fn short_hostname(pod: &Pod) -> String {
    let chosen = pod.spec.as_ref().and_then(|s| s.hostname.clone()).filter(|h| !h.is_empty());
    let name = chosen.or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// `SUBDOMAIN.NAMESPACE.svc.CLUSTER-DOMAIN`, for a Pod with a subdomain.
fn domain(pod: &Pod, names: &Names<'_>) -> Option<String> {
    let subdomain = pod.spec.as_ref()?.subdomain.as_ref().filter(|s| !s.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref()?;
    Some(format!("{subdomain}.{namespace}.svc.{}", names.cluster_domain))
}

/// `/etc/hosts` of a Pod with this address.
#[must_use]
pub fn hosts(pod: &Pod, address: Option<IpAddr>, node_hosts: &str, names: &Names<'_>) -> String {
    let mut text = String::from("# Kubernetes-managed hosts file.\n");
    match address {
        None => text = format!("# Kubernetes-managed hosts file (host network).\n{node_hosts}"),
        Some(address) => {
            text.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
            text.push_str("fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n");
            text.push_str("fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
            let short = short_hostname(pod);
            // Writing to a String does not fail.
            let _ = match domain(pod, names) {
                Some(domain) => writeln!(text, "{address}\t{short}.{domain}\t{short}"),
                None => writeln!(text, "{address}\t{short}"),
            };
        }
    }
    let aliases = pod.spec.iter().flat_map(|s| s.host_aliases.iter().flatten());
    for (n, alias) in aliases.enumerate() {
        if n == 0 {
            text.push_str("\n# Entries added by HostAliases.\n");
        }
        let names = alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join("\t");
        let _ = writeln!(text, "{}\t{names}", alias.ip);
    }
    text
}

/// `/etc/resolv.conf` of a Pod, by its `dnsPolicy` and `dnsConfig`.
#[must_use]
pub fn resolver(pod: &Pod, names: &Names<'_>) -> Resolver {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let on_host = spec.host_network == Some(true);
    let node = parse(names.resolv_conf);
    let base = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "None" => Resolver::default(),
        "Default" => node,
        "ClusterFirst" if on_host => node,
        _ if names.cluster_dns.is_empty() => node,
        _ => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
            let zone = names.cluster_domain;
            let mut searches = vec![format!("{namespace}.svc.{zone}"), format!("svc.{zone}"), zone.to_owned()];
            searches.extend(node.searches);
            Resolver {
                nameservers: names.cluster_dns.iter().map(ToString::to_string).collect(),
                searches,
                options: vec!["ndots:5".to_owned()],
            }
        }
    };
    bounded(match &spec.dns_config {
        Some(config) => merged(base, config),
        None => base,
    })
}

fn merged(mut base: Resolver, config: &PodDNSConfig) -> Resolver {
    base.nameservers.extend(config.nameservers.iter().flatten().cloned());
    base.searches.extend(config.searches.iter().flatten().cloned());
    for option in config.options.iter().flatten() {
        let Some(name) = option.name.as_ref() else { continue };
        let text = option.value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}:{value}"));
        let same = |other: &String| other.split(':').next() == Some(name.as_str());
        match base.options.iter_mut().find(|other| same(other)) {
            Some(other) => *other = text,
            None => base.options.push(text),
        }
    }
    base
}

fn bounded(mut resolver: Resolver) -> Resolver {
    resolver.nameservers = once(resolver.nameservers);
    resolver.nameservers.truncate(NAMESERVERS);
    resolver.searches = once(resolver.searches);
    resolver.searches.truncate(SEARCHES);
    while resolver.searches.join(" ").len() > SEARCH_CHARACTERS {
        resolver.searches.pop();
    }
    resolver
}

/// Each once, where it came first.
fn once(all: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    all.into_iter().filter(|item| seen.insert(item.clone())).collect()
}

fn parse(text: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => resolver.nameservers.extend(words.next()),
            // The last line of each counts (resolv.conf(5)).
            Some("search") => resolver.searches = words.collect(),
            Some("options") => resolver.options = words.collect(),
            _ => {}
        }
    }
    resolver
}

impl Resolver {
    /// As resolv.conf(5) has it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            let _ = writeln!(text, "search {}", self.searches.join(" "));
        }
        for nameserver in &self.nameservers {
            let _ = writeln!(text, "nameserver {nameserver}");
        }
        if !self.options.is_empty() {
            let _ = writeln!(text, "options {}", self.options.join(" "));
        }
        text
    }
}

/// Writes the three files into the Pod's directory.
///
/// # Errors
/// Reading the node's hosts file, or writing.
pub fn write(dir: &PodDir, pod: &Pod, address: Option<IpAddr>, names: &Names<'_>) -> io::Result<()> {
    let node_hosts = match std::fs::read_to_string("/etc/hosts") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    DirBuilder::new().recursive(true).mode(0o755).create(dir.etc(""))?;
    let own = if pod.spec.as_ref().and_then(|s| s.host_network) == Some(true) { None } else { address };
    let files = [
        ("hosts", hosts(pod, own, &node_hosts, names)),
        ("hostname", format!("{}\n", hostname(pod, names))),
        ("resolv.conf", resolver(pod, names).text()),
    ];
    for (name, text) in files {
        durable::write(&dir.etc(name), text.as_bytes(), 0o644, Lasting::Process)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

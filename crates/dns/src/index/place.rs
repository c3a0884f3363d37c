//! What a name in the cluster's zone can mean, by its labels alone.

use crate::query::AskedName;

use super::service::PortFilter;

/// What a name may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'n> {
    /// The zone itself.
    Apex,
    /// `svc.ZONE` or `pod.ZONE`, which exist only because names lie below them.
    Branch,
    /// `dns-version.ZONE`.
    DnsVersion,
    /// `ns.dns.ZONE`.
    NameServer,
    /// `NAMESPACE.svc.ZONE` or `NAMESPACE.pod.ZONE`; the namespace's label with its length.
    Namespace {
        /// Its label, with its length.
        name: &'n [u8],
        /// Whether it is asked for among the names of Pods.
        of_pods: bool,
    },
    /// A Service's name or a name below it.
    Service {
        /// The Service's and the namespace's labels, as the index keys them.
        key: &'n [u8],
        /// What is asked of it.
        part: Part<'n>,
    },
    /// A Pod's name; its label and its namespace's, the latter with its length.
    Pod { label: &'n [u8], namespace: &'n [u8] },
    /// Nothing that could exist.
    Nowhere,
}

/// What is asked of a Service.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'n> {
    /// `SERVICE`.
    Whole,
    /// `HOSTNAME.SERVICE`.
    Endpoint(&'n [u8]),
    /// `_PORT._PROTOCOL.SERVICE`. Underscores may be left out, and a lone one stands for any, as with CoreDNS.
    Ports(PortFilter<'n>),
}

/// Reads a name that has `before` labels before the cluster's zone.
pub(super) fn place(name: &AskedName, before: usize) -> Place<'_> {
    let Some(kind) = before.checked_sub(1) else {
        return Place::Apex;
    };
    let between = |from: usize, to: usize| &name.wire()[name.label_start(from)..name.label_start(to)];
    let pods = match name.label(kind) {
        b"svc" => false,
        b"pod" => true,
        b"dns-version" if before == 1 => return Place::DnsVersion,
        b"dns" if before == 2 && name.label(0) == b"ns" => return Place::NameServer,
        _ => return Place::Nowhere,
    };
    match (before, pods) {
        (1, _) => Place::Branch,
        (2, of_pods) => Place::Namespace { name: between(0, 1), of_pods },
        // A Pod's name may have labels before it that do not matter, as with CoreDNS.
        (3..=5, true) => Place::Pod { label: name.label(before - 3), namespace: between(before - 2, before - 1) },
        (3..=5, false) => Place::Service {
            key: between(before - 3, before - 1),
            part: match before {
                3 => Part::Whole,
                4 => Part::Endpoint(name.label(0)),
                _ => Part::Ports(PortFilter { name: bare(name.label(0)), protocol: bare(name.label(1)) }),
            },
        },
        _ => Place::Nowhere,
    }
}

fn bare(label: &[u8]) -> &[u8] {
    label.strip_prefix(b"_").unwrap_or(label)
}

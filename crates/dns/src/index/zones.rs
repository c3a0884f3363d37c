//! The zones that the index answers for, and how.

use std::net::IpAddr;

use crate::name::Name;
use crate::protocol::{NAME_MAX, rtype};
use crate::query::AskedName;
use crate::reply::{Pointer, Reply, Section, Spelled};

use super::records::IndexError;

/// What names of Pods by their addresses (`10-1-2-3.NAMESPACE.pod.ZONE`) stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PodNames {
    /// Nothing: they do not exist.
    Disabled,
    /// The address that they spell, whether such a Pod exists or not, in every namespace that exists.
    #[default]
    Insecure,
    /// The address that they spell, where a Pod of that namespace has it. The index has to be told of Pods.
    Verified,
}

/// Which names in reverse zones that nothing is known of are asked of upstream servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fallthrough {
    /// None.
    None,
    /// Those of public addresses; private ones (RFC 1918, RFC 6303 and their kin) never leave.
    #[default]
    Public,
    /// All.
    All,
}

/// How search paths are gone through for who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchOptions {
    /// Domains that Pods' search paths have after the cluster's: their node's own, which a kubelet adds.
    pub further: Vec<String>,
}

/// The same, read.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) further: Vec<Name>,
}

/// How the index answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexOptions {
    /// The cluster's domains. PTR records lead into the first of them.
    pub zones: Vec<String>,
    /// Seconds for which a positive answer may be kept.
    pub ttl: u32,
    /// Seconds for which a denial may be kept.
    pub negative_ttl: u32,
    /// Reverse zones.
    pub reverse_zones: Vec<String>,
    /// What happens to reverse names that nothing is known of.
    pub fallthrough: Fallthrough,
    /// What names of Pods by their addresses stand for.
    pub pods: PodNames,
    /// Whether an endpoint without a hostname is named after its Pod.
    pub endpoint_pod_names: bool,
    /// Whether a Service with a cluster IP and no ready endpoint does not exist, as CoreDNS' `ignore empty_service` has
    /// it.
    pub ignore_empty_services: bool,
    /// Addresses of the zone's name server `ns.dns.ZONE`. Without any, the zone has no NS record.
    pub name_servers: Vec<IpAddr>,
    /// Whether search paths are gone through for who asks. The index has to be told of Pods.
    pub search: Option<SearchOptions>,
    /// The zone's serial number at the start; each change adds one. Seconds since 1970 make it grow over restarts.
    pub serial: u32,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self {
            zones: vec!["cluster.local".to_owned()],
            ttl: 5,
            negative_ttl: 1,
            reverse_zones: vec!["in-addr.arpa".to_owned(), "ip6.arpa".to_owned()],
            fallthrough: Fallthrough::default(),
            pods: PodNames::default(),
            endpoint_pod_names: false,
            ignore_empty_services: false,
            name_servers: Vec::new(),
            search: None,
            serial: 1,
        }
    }
}

/// A zone's name and its place in names that lie in it.
#[derive(Debug)]
pub(super) struct Zone {
    name: Name,
    labels: usize,
}

impl Zone {
    fn new(name: Name) -> Self {
        Self { labels: name.label_count(), name }
    }

    /// How many labels of `name` stand before the zone, if it lies in it.
    pub(super) fn labels_before(&self, name: &AskedName) -> Option<usize> {
        name.labels_before(self.name.wire(), self.labels)
    }
}

/// The cluster's zones, the reverse zones and what is common to answers in them.
#[derive(Debug)]
pub(super) struct Zones {
    cluster: Vec<Zone>,
    /// The zone into which PTR records lead.
    primary: Name,
    pub(super) reverse: Vec<Zone>,
    pub(super) ttl: u32,
    pub(super) negative_ttl: u32,
    pub(super) fallthrough: Fallthrough,
    pub(super) pods: PodNames,
    pub(super) endpoint_pod_names: bool,
    pub(super) ignore_empty_services: bool,
    pub(super) name_servers: Vec<IpAddr>,
    pub(super) search: Option<Search>,
}

impl Zones {
    pub(super) fn new(options: &IndexOptions) -> Result<Self, IndexError> {
        let parse = |zone: &String| Name::parse(zone).map_err(|source| IndexError::Zone { zone: zone.clone(), source });
        let mut cluster = Vec::with_capacity(options.zones.len());
        for zone in &options.zones {
            let name = parse(zone)?;
            // An endpoint's label, the Service's, its namespace's and "svc" take at most 64 + 64 + 64 + 4 octets.
            if name.wire().len() > NAME_MAX - 196 {
                return Err(IndexError::LongZone { zone: zone.clone() });
            }
            cluster.push(Zone::new(name));
        }
        let primary = cluster.first().map(|zone| zone.name.clone()).ok_or(IndexError::NoZone)?;
        let mut reverse = Vec::with_capacity(options.reverse_zones.len());
        for zone in &options.reverse_zones {
            let name = parse(zone)?;
            if !is_reverse(&name) {
                return Err(IndexError::ReverseZone { zone: zone.clone() });
            }
            reverse.push(Zone::new(name));
        }
        let search = |wanted: &SearchOptions| -> Result<Search, IndexError> {
            Ok(Search { further: wanted.further.iter().map(parse).collect::<Result<_, _>>()? })
        };
        let search = options.search.as_ref().map(search).transpose()?;
        // The longest zone that a name lies in vouches for it.
        for zones in [&mut cluster, &mut reverse] {
            zones.sort_by(|a, b| b.labels.cmp(&a.labels).then_with(|| a.name.cmp(&b.name)));
        }
        Ok(Self {
            cluster,
            primary,
            reverse,
            ttl: options.ttl,
            negative_ttl: options.negative_ttl,
            fallthrough: options.fallthrough,
            pods: options.pods,
            endpoint_pod_names: options.endpoint_pod_names,
            ignore_empty_services: options.ignore_empty_services,
            name_servers: options.name_servers.clone(),
            search,
        })
    }

    /// How many labels of `name` stand before the cluster's zone that it lies in, if it lies in one.
    pub(super) fn before_cluster(&self, name: &AskedName) -> Option<usize> {
        self.cluster.iter().find_map(|zone| zone.labels_before(name))
    }

    /// The zone into which PTR records lead, in wire form.
    pub(super) fn primary(&self) -> &[u8] {
        self.primary.wire()
    }

    /// Writes the SOA record of the zone whose name starts `before` labels into the question.
    pub(super) fn write_soa(&self, reply: &mut Reply<'_>, section: Section, zone: Pointer, serial: u32) {
        let server = Spelled { labels: b"\x02ns\x03dns", rest: Some(zone) };
        let mailbox = Spelled { labels: b"\x0ahostmaster", rest: Some(zone) };
        let ttl = if section == Section::Answer { self.ttl } else { self.negative_ttl };
        let length = server.length() + mailbox.length() + 20;
        let Some(mut data) = reply.record(section, Spelled::at(zone), rtype::SOA, ttl, length) else {
            return;
        };
        for name in [server, mailbox] {
            let written = name.write(data);
            data = &mut data[written..];
        }
        let (refresh, retry, expire) = (7200u32, 1800u32, 86_400u32);
        for (field, value) in data.chunks_exact_mut(4).zip([serial, refresh, retry, expire, self.negative_ttl]) {
            field.copy_from_slice(&value.to_be_bytes());
        }
    }
}

fn is_reverse(name: &Name) -> bool {
    [b"\x07in-addr\x04arpa\x00".as_slice(), b"\x03ip6\x04arpa\x00"].iter().any(|root| name.wire().ends_with(root))
}

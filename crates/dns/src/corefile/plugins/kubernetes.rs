//! `kubernetes`: the cluster's names.

use crate::config::{Cluster, Kubeconfig};
use crate::corefile::arguments::{Arguments, read_zone};
use crate::corefile::blocks::Directive;
use crate::corefile::mistake::{Mistake, Wrong};
use crate::forward::lies_in;
use crate::index::{Fallthrough, IndexOptions, PodNames};
use crate::name::Name;

const PLUGIN: &str = "kubernetes";
/// A TTL's unit and bound, as CoreDNS has them.
const TTL: &str = "a number of seconds from 0 to 3600";

/// What the plugin says. `block` are the zones of its server block, which it is for where it names none.
pub(in crate::corefile) fn read(directive: &Directive, block: &[Name]) -> Result<Cluster, Mistake> {
    let mut arguments = Arguments::of(directive);
    let mut zones = arguments.zones()?;
    if zones.is_empty() {
        zones = block.to_vec();
    }
    let (reverse, forward): (Vec<_>, Vec<_>) = zones.into_iter().partition(is_reverse);
    if forward.is_empty() || forward.iter().any(|zone| zone.label_count() == 0) {
        let what = "a cluster's domain is missing".to_owned();
        return Err(arguments.impossible(what, "name it: kubernetes cluster.local in-addr.arpa ip6.arpa"));
    }
    let text = |zones: &[Name]| zones.iter().map(|zone| zone.to_string().trim_end_matches('.').to_owned()).collect();
    let index = IndexOptions {
        zones: text(&forward),
        reverse_zones: text(&reverse),
        fallthrough: Fallthrough::None,
        pods: PodNames::Disabled,
        ..IndexOptions::default()
    };
    let mut cluster = Cluster { index, ..Cluster::default() };
    for option in directive.body.iter().flatten() {
        read_option(option, &reverse, &forward, &mut cluster)?;
    }
    cluster.index.negative_ttl = cluster.index.negative_ttl.min(cluster.index.ttl);
    Ok(cluster)
}

fn read_option(option: &Directive, reverse: &[Name], forward: &[Name], cluster: &mut Cluster) -> Result<(), Mistake> {
    let mut arguments = Arguments::of_option(PLUGIN, option)?;
    match option.name.text.as_str() {
        "pods" => {
            cluster.index.pods = match arguments.must("disabled, insecure or verified")? {
                "disabled" => PodNames::Disabled,
                "insecure" => PodNames::Insecure,
                "verified" => PodNames::Verified,
                other => return Err(arguments.mistake(other, "disabled, insecure or verified")),
            }
        }
        "ttl" => {
            let ttl = arguments.number(TTL)?;
            if ttl > 3600 {
                return Err(arguments.mistake(&format!("{ttl}"), TTL));
            }
            cluster.index.ttl = ttl;
        }
        "fallthrough" => return read_fallthrough(arguments, reverse, forward, cluster),
        "endpoint_pod_names" => cluster.index.endpoint_pod_names = true,
        "noendpoints" => cluster.no_endpoints = true,
        "namespaces" => {
            cluster.namespaces = arguments.some("namespaces")?.into_iter().map(str::to_owned).collect();
        }
        "labels" => cluster.labels = arguments.some("a selector")?.join(" "),
        "ignore" => match arguments.must("empty_service")? {
            "empty_service" => cluster.index.ignore_empty_services = true,
            other => return Err(arguments.mistake(other, "empty_service")),
        },
        "kubeconfig" => {
            let path = arguments.must("a file")?.into();
            cluster.kubeconfig = Some(Kubeconfig { path, context: arguments.next().map(str::to_owned) });
        }
        // Names get SERVFAIL until they are known, however long that takes.
        "startup_timeout" => {
            arguments.duration("a duration")?;
        }
        // Aliases are always followed by the server itself.
        "upstream" => {
            arguments.zones()?;
        }
        other => return Err(unknown(other, arguments.line())),
    }
    arguments.end()
}

/// What falls through is asked of `forward`: reverse names alone, and either all of them or none.
fn read_fallthrough(
    mut arguments: Arguments<'_>,
    reverse: &[Name],
    forward: &[Name],
    cluster: &mut Cluster,
) -> Result<(), Mistake> {
    const CURE: &str = "name every reverse zone of the plugin and no other: fallthrough in-addr.arpa ip6.arpa";
    let mut zones = Vec::new();
    while let Some(word) = arguments.next() {
        zones.push(read_zone(word).ok_or_else(|| arguments.mistake(word, "a zone"))?);
    }
    let falls = |zone: &&Name| zones.iter().any(|through| lies_in(zone.wire(), through));
    if zones.is_empty() || forward.iter().any(|zone| falls(&zone)) {
        return Err(arguments.impossible("asking others for names of the cluster's domain".to_owned(), CURE));
    }
    match reverse.iter().filter(falls).count() {
        0 => {}
        all if all == reverse.len() => cluster.index.fallthrough = Fallthrough::All,
        _ => return Err(arguments.impossible("asking others for some of the reverse zones".to_owned(), CURE)),
    }
    Ok(())
}

fn unknown(option: &str, line: usize) -> Mistake {
    let cure = match option {
        "endpoint" | "tls" => "the cluster is the one that --kubeconfig names, or the one around",
        "apiserver_qps" | "apiserver_burst" | "apiserver_max_inflight" | "resyncperiod" => {
            "leave it out: the API is asked once and watched from then on"
        }
        "namespace_labels" => "name the namespaces: namespaces NAMESPACE...",
        "multicluster" | "zonal" => "leave it out: such names are not answered here",
        "transfer" => "use the plugin: transfer { to ADDRESS }",
        _ => {
            "it has pods, ttl, fallthrough, namespaces, labels, endpoint_pod_names, noendpoints, ignore, kubeconfig and startup_timeout"
        }
    };
    Wrong::Option { plugin: PLUGIN, option: option.to_owned(), cure: cure.to_owned() }.at(line)
}

/// Whether a zone is one of addresses.
fn is_reverse(zone: &Name) -> bool {
    ["in-addr.arpa", "ip6.arpa"].iter().any(|root| Name::parse(root).is_ok_and(|root| lies_in(zone.wire(), &root)))
}

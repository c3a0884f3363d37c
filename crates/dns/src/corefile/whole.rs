//! All server blocks together.

use std::net::SocketAddr;

use crate::config::{Cluster, Config};
use crate::forward::keep::Keep;
use crate::forward::settings::{PORT, Route};
use crate::forward::{Settings, lies_in};
use crate::index::{Fallthrough, IndexOptions};
use crate::name::Name;
use crate::{hosts, querylog, rewrite};

use super::blocks::blocks;
use super::mistake::{Mistake, Wrong};
use super::plugins::serving::Reload;
use super::site::{Site, other_port};
use super::surroundings::{Machine, Surroundings};

/// What a Corefile says.
#[derive(Debug, Clone)]
pub struct Corefile {
    /// The port of every server block.
    pub port: u16,
    /// The service. Where it listens on nothing, no address was said: it is every address, at the port.
    pub config: Config,
    /// Names from files.
    pub hosts: Vec<hosts::Settings>,
    /// Names that are asked for under another name.
    pub rewrites: Vec<rewrite::Rule>,
    /// Which questions get a line.
    pub log: Option<querylog::Settings>,
    /// Whether upstream servers that send questions back are looked for at the start.
    pub find_loops: bool,
    /// Whether the Corefile itself is followed.
    pub reload: Option<Reload>,
}

/// Reads a Corefile; what it refers to is this machine's.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn parse(text: &str) -> Result<Corefile, Mistake> {
    parse_with(text, &Machine)
}

/// Reads a Corefile that refers to certain files and variables.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn parse_with(text: &str, surroundings: &dyn Surroundings) -> Result<Corefile, Mistake> {
    let mut sites = Vec::new();
    for block in blocks(text, surroundings)? {
        sites.push(Site::read(&block, surroundings)?);
    }
    if sites.is_empty() {
        return Err(Wrong::Nothing.at(1));
    }
    check(&sites)?;
    let port = sites.first().map_or(PORT, |site| site.port);
    let mut config = Config { cluster: None, health: None, ready: None, metrics: None, ..Config::default() };
    config.server.listen = listen(&sites, port);
    let forward = forwarding(&sites)?;
    config.forward = (!forward.routes.is_empty()).then_some(forward);
    let mut whole = Corefile {
        port,
        hosts: Vec::new(),
        rewrites: Vec::new(),
        log: log(&sites)?,
        find_loops: sites.iter().any(|site| site.find_loops),
        reload: sites.iter().find_map(|site| site.reload),
        config,
    };
    let zones: Vec<Name> = sites.iter().flat_map(|site| site.zones.clone()).collect();
    for site in sites {
        add(&mut whole, site, &zones);
    }
    Ok(whole)
}

/// Adds what a block says of the whole service. `zones` are those of all blocks.
fn add(whole: &mut Corefile, site: Site, zones: &[Name]) {
    // The block with the longest zone has a name.
    let others: Vec<Name> = zones
        .iter()
        .filter(|zone| !site.zones.contains(zone) && site.zones.iter().any(|own| lies_in(zone.wire(), own)))
        .cloned()
        .collect();
    let config = &mut whole.config;
    if let Some((cluster, _)) = site.cluster {
        let search = site.autopath.map(|(search, _)| search);
        config.cluster = Some(Cluster { index: IndexOptions { search, ..cluster.index }, ..cluster });
    }
    if let Some((address, lameduck)) = site.health {
        (config.health, config.lameduck) = (Some(address), lameduck);
    }
    config.ready = site.ready.or(config.ready);
    config.metrics = site.metrics.or(config.metrics);
    config.transfer.extend(site.transfer);
    config.server.workers = site.workers.unwrap_or(config.server.workers);
    config.server.udp_most = site.udp_most.unwrap_or(config.server.udp_most);
    whole.hosts.extend(site.hosts.map(|hosts| hosts::Settings { except: others.clone(), ..hosts }));
    whole.rewrites.extend(site.rewrites.into_iter().map(|rule| rewrite::Rule { except: others.clone(), ..rule }));
}

/// What blocks may not say of each other.
fn check(sites: &[Site]) -> Result<(), Mistake> {
    let port = sites.first().map_or(PORT, |site| site.port);
    let mut zones: Vec<&Name> = Vec::new();
    let mut clusters = 0;
    for site in sites {
        if site.port != port {
            return Err(other_port(site.line));
        }
        for zone in &site.zones {
            if zones.contains(&zone) {
                return Err(Wrong::Twice { what: format!("zone {zone}") }.at(site.line));
            }
            zones.push(zone);
        }
        if let (None, Some((_, line))) = (&site.cluster, &site.autopath) {
            let what = "autopath without kubernetes in its server block".to_owned();
            return Err(Wrong::Impossible { what, cure: "leave it out there" }.at(*line));
        }
        clusters += usize::from(site.cluster.is_some());
        if clusters > 1 {
            return Err(Wrong::Twice { what: "plugin kubernetes".to_owned() }.at(site.line));
        }
    }
    let Some((home, (cluster, _))) = sites.iter().find_map(|site| site.cluster.as_ref().map(|cluster| (site, cluster)))
    else {
        return Ok(());
    };
    for site in sites.iter().filter(|site| !std::ptr::eq(*site, home)) {
        check_beside(site, cluster)?;
    }
    Ok(())
}

/// Whether a block can stand beside the one that has the cluster's names: those are looked up first.
fn check_beside(site: &Site, cluster: &Cluster) -> Result<(), Mistake> {
    let part_of = |zones: &[String], zone: &Name| {
        zones.iter().any(|whole| Name::parse(whole).is_ok_and(|whole| lies_in(zone.wire(), &whole)))
    };
    for zone in &site.zones {
        let what = format!("a server block for {zone} within the zones of kubernetes");
        if part_of(&cluster.index.zones, zone) {
            let cure = "leave the block out: kubernetes answers for all of its domain";
            return Err(Wrong::Impossible { what, cure }.at(site.line));
        }
        if part_of(&cluster.index.reverse_zones, zone) && cluster.index.fallthrough != Fallthrough::All {
            let cure = "let unknown names through: kubernetes ... { fallthrough in-addr.arpa ip6.arpa }";
            return Err(Wrong::Impossible { what, cure }.at(site.line));
        }
    }
    Ok(())
}

fn listen(sites: &[Site], port: u16) -> Vec<SocketAddr> {
    let mut listen = Vec::new();
    for address in sites.iter().flat_map(|site| &site.bind) {
        let address = SocketAddr::new(*address, port);
        if !listen.contains(&address) {
            listen.push(address);
        }
    }
    listen
}

/// Who is asked for the names of which zone.
fn forwarding(sites: &[Site]) -> Result<Settings, Mistake> {
    let mut settings = Settings::default();
    let weights: Vec<usize> = sites.iter().filter_map(|site| site.cache.as_ref()?.weight).collect();
    if !weights.is_empty() {
        settings.cache_weight = weights.into_iter().fold(0, usize::saturating_add).max(1 << 20);
    }
    let cluster: Vec<&String> =
        sites.iter().filter_map(|site| site.cluster.as_ref()).flat_map(|(cluster, _)| &cluster.index.zones).collect();
    for site in sites {
        for (route, line) in &site.routes {
            let mut is_reached = false;
            for zone in &site.zones {
                // The longer of the two: names have to lie in both.
                let zone = if lies_in(zone.wire(), &route.zone) {
                    zone
                } else if lies_in(route.zone.wire(), zone) {
                    &route.zone
                } else {
                    continue;
                };
                is_reached = true;
                let keep = keep(site, zone, &cluster)?;
                if settings.routes.iter().any(|have| have.zone == *zone) {
                    return Err(Wrong::Twice { what: format!("forward for {zone}") }.at(*line));
                }
                settings.routes.push(Route { zone: zone.clone(), keep, ..route.clone() });
            }
            if !is_reached {
                let what = format!("forward for {}, outside of the server block's zones", route.zone);
                return Err(Wrong::Impossible { what, cure: "give the zone a server block of its own" }.at(*line));
            }
        }
    }
    Ok(settings)
}

/// What is kept of the answers to the names of a zone.
fn keep(site: &Site, zone: &Name, cluster: &[&String]) -> Result<Keep, Mistake> {
    let Some(cache) = &site.cache else {
        return Ok(Keep::nothing());
    };
    if cache.zones.is_empty() || cache.zones.iter().any(|cached| lies_in(zone.wire(), cached)) {
        return Ok(cache.keep.clone());
    }
    let is_clusters = |part: &&Name| cluster.iter().any(|of| Name::parse(of).is_ok_and(|of| lies_in(part.wire(), &of)));
    let part = cache.zones.iter().filter(|part| lies_in(part.wire(), zone)).find(|part| !is_clusters(part));
    match part {
        Some(part) => {
            let what = format!("a cache for {part}, a part of {zone}");
            Err(Wrong::Impossible { what, cure: "give the part a server block of its own" }.at(cache.line))
        }
        None => Ok(Keep::nothing()),
    }
}

fn log(sites: &[Site]) -> Result<Option<querylog::Settings>, Mistake> {
    let mut whole: Option<querylog::Settings> = None;
    for (settings, line) in sites.iter().flat_map(|site| &site.logs) {
        match &mut whole {
            None => whole = Some(settings.clone()),
            Some(whole) if whole.classes == settings.classes => whole.zones.extend(settings.zones.iter().cloned()),
            Some(_) => {
                let what = "log with several sets of classes".to_owned();
                return Err(Wrong::Impossible { what, cure: "name the same classes in each" }.at(*line));
            }
        }
    }
    Ok(whole)
}

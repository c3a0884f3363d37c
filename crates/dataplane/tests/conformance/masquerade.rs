//! Masquerade takes no node port as a source port (kubernetes#139276).

use std::net::SocketAddr;

use dataplane::{Config, Family};

use crate::packets::Cluster;
use crate::{scene, world};

/// Nearly all ports are node ports: were they not avoided, all but one in a thousand connections would have one.
#[test]
fn masquerade_keeps_off_node_ports() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let cluster = Cluster::new("masquerade")?;
    let ranges = [1100..=65_480, 1024..=65_500, 1060..=65_535];
    for family in [Family::V4, Family::V6] {
        for range in ranges.clone() {
            let config = Config { families: vec![family], node_port_range: range.clone(), ..Config::default() };
            let mut kernel = cluster.dataplane(config)?;
            let row = scene::row("np", "a c");
            let row = if family == Family::V6 { row.into_v6() } else { row };
            row.apply(kernel.model_mut());
            assert!(kernel.sync()?.changes > 0);
            let node = world::ip(world::LOCAL[0]);
            let node = if family == Family::V6 { world::v6(node) } else { node };
            for protocol in [6, 17] {
                let mut sources = Vec::new();
                for _ in 0..30 {
                    sources.extend(cluster.seen_as("out", protocol, SocketAddr::new(node, world::NODE_PORT))?);
                }
                if protocol == 6 {
                    assert!(sources.len() > 20, "{range:?}: only {sources:?}");
                }
                for source in sources {
                    assert!(crate::is_local(source.ip()), "{source} is not masqueraded");
                    assert!(source.port() >= 1024 && !range.contains(&source.port()), "{range:?} holds {source}");
                }
            }
        }
    }
    Ok(())
}

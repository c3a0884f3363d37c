//! Connections under way, while everything else changes: their own Service with its other endpoints, other Services, the
//! node, the agent itself. None is cut, none loses or gains a byte.

use std::net::{IpAddr, SocketAddr};

use dataplane::model::EndpointSlice;
use dataplane::{Config, Family, NamespacedName};

use crate::packets::Cluster;
use crate::scene::{self, Kernel, Stream, remove, set, vip};
use crate::world;

/// A small generator (xorshift64*): the same seed gives the same history.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// Some of the endpoints, each in some condition; perhaps none.
    fn endpoints(&mut self) -> String {
        let mut words = Vec::new();
        for name in ["a", "b", "c", "d"] {
            if self.below(3) > 0 {
                words.push(format!("{name}{}", self.one(&["", "", "", "!", "~", "-"])));
            }
        }
        words.join(" ")
    }

    fn given(&mut self) -> String {
        let words = [
            self.one(&["np", "np", ""]),
            self.one(&["lb", "lb", ""]),
            self.one(&["", "etp=local", "itp=local"]),
            self.one(&["", "affinity=60", "maglev"]),
            self.one(&["", "ext", "ranges=192.0.2.0/24,10.0.0.0/8"]),
        ];
        words.join(" ")
    }
}

/// What is chosen about the rules; another from time to time, as after an upgrade.
fn config(random: &mut Random) -> Config {
    Config {
        families: vec![Family::V4, Family::V6],
        comments: random.below(2) == 0,
        counters: random.below(2) == 0,
        masquerade_mark: if random.below(4) == 0 { 0x8 } else { 0x4000 },
        ..Config::default()
    }
}

/// The Service whose connections are under way, and one of IPv6.
fn fill(kernel: &mut Kernel) {
    set(kernel.model_mut(), "own", 10, "np lb", "a b c d");
    let own = NamespacedName::new("default", "six");
    let six = scene::row("", "a b c d").into_v6();
    kernel.model_mut().set_service(own.clone(), six.service);
    for (n, slice) in six.slices.into_iter().enumerate() {
        let slice = EndpointSlice { service: own.clone(), ..slice };
        kernel.model_mut().set_slice(NamespacedName::new("default", &format!("six-{n}")), slice);
    }
}

/// Takes what is known over into a new agent.
fn restart(
    cluster: &Cluster,
    old: &Kernel,
    wanted: &[(String, u8, String, String)],
    random: &mut Random,
) -> anyhow::Result<Kernel> {
    let mut new = cluster.dataplane(config(random))?;
    new.model_mut().set_node(old.model().node().clone());
    fill(&mut new);
    for (name, last, given, endpoints) in wanted {
        set(new.model_mut(), name, *last, given, endpoints);
    }
    Ok(new)
}

fn history(seed: u64) -> anyhow::Result<()> {
    let mut random = Random(seed);
    let cluster = Cluster::new("streams")?;
    let mut kernel = cluster.dataplane(config(&mut random))?;
    fill(&mut kernel);
    kernel.sync()?;
    let at = |address: IpAddr, port| SocketAddr::new(address, port);
    let node_port = at(world::ip(world::LOCAL[0]), world::NODE_PORT);
    let balanced = at(world::ip(world::BALANCED), world::PORT);
    let six = at(world::v6(world::ip(world::VIP)), world::PORT);
    let mut streams = Vec::new();
    for (who, to) in [
        ("p", vip(10)),
        ("p", node_port),
        ("p", six),
        ("a", vip(10)),
        ("host", vip(10)),
        ("host", node_port),
        ("out", node_port),
        ("out2", balanced),
    ] {
        // Several of each, so that each endpoint has some.
        for _ in 0..4 {
            streams.push((who, to, Stream::open(&cluster, who, to)?));
        }
    }
    // What is wanted now, by name: a restarted agent is told the same.
    let mut wanted: Vec<(String, u8, String, String)> = Vec::new();
    for round in 0..40 {
        match random.below(8) {
            0 => {
                let (given, endpoints) = (random.given(), random.endpoints());
                wanted.retain(|(name, ..)| name != "own");
                wanted.push(("own".to_owned(), 10, given, endpoints));
            }
            1 => {
                let mut node = kernel.model().node().clone();
                node.masquerade_all = !node.masquerade_all;
                node.zone = (random.below(2) == 0).then(|| "z2".into());
                kernel.model_mut().set_node(node);
            }
            2 => kernel = restart(&cluster, &kernel, &wanted, &mut random)?,
            3 => kernel.forget(),
            _ => {
                let last = 20 + random.below(6) as u8;
                let name = format!("other{last}");
                wanted.retain(|(known, ..)| *known != name);
                if random.below(4) == 0 {
                    remove(kernel.model_mut(), &name);
                } else {
                    wanted.push((
                        name,
                        last,
                        random.one(&["", "udp", "affinity=5", "itp=local"]).to_owned(),
                        random.endpoints(),
                    ));
                }
            }
        }
        for (name, last, given, endpoints) in &wanted {
            set(kernel.model_mut(), name, *last, given, endpoints);
        }
        let report = kernel.sync()?;
        assert!(report.refused.is_empty(), "seed {seed}, round {round}: {:?}", report.refused);
        for (who, to, stream) in &streams {
            stream.echo().unwrap_or_else(|error| panic!("seed {seed}, round {round}: {who} to {to}: {error:?}"));
        }
    }
    // The end of the Service, and of all our rules, cuts nothing either, while another proxy's are there: a kernel
    // without any nat chain rewrites no more.
    remove(kernel.model_mut(), "own");
    kernel.sync()?;
    let families = vec![Family::V4, Family::V6];
    cluster.dataplane(Config { table: "other".to_owned(), families, ..Config::default() })?.sync()?;
    kernel.backend_mut().cleanup()?;
    for (who, to, stream) in &streams {
        stream.echo().unwrap_or_else(|error| panic!("seed {seed}, at the end: {who} to {to}: {error:?}"));
    }
    Ok(())
}

#[test]
fn no_connection_is_cut_whatever_else_changes() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    [0x5eed, 0xbeef, 0x7011_5eed_0000_0001].into_iter().try_for_each(history)
}

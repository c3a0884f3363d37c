//! Endpoints are chosen with the same probability: chi-squared.

use std::collections::BTreeMap;

use dataplane::backend::fake;
use dataplane::trace::{Outcome, Tracer};
use dataplane::{Config, Dataplane};

use crate::scene::{self, cluster, server, set, vip};
use crate::world;

/// The sum over all endpoints of (observed - expected)² / expected.
fn chi_squared<K>(counts: &BTreeMap<K, u32>, endpoints: usize) -> f64 {
    let total: u32 = counts.values().sum();
    let expected = f64::from(total) / endpoints as f64;
    let missing = (endpoints - counts.len()) as f64 * expected;
    missing + counts.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum::<f64>()
}

/// A xorshift generator: any that is no worse than the kernel's will do.
fn random() -> impl FnMut(u32) -> u32 {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move |modulus| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 32) as u32) % modulus
    }
}

#[test]
fn traced_packets_are_spread_evenly() {
    let mut dataplane = Dataplane::new(fake::Backend::new(Config::default()), world::node());
    // The value that a chi-squared of n - 1 degrees of freedom exceeds once in a million: 2, 4 and 3 degrees.
    for (given, endpoints, count, limit) in
        [("", "a b c", 3, 27.6), ("", "a b c d e", 5, 33.4), ("affinity=60", "a b c d", 4, 30.7)]
    {
        let row = scene::row(given, endpoints);
        row.apply(dataplane.model_mut());
        dataplane.sync().unwrap();
        let mut random = random();
        let mut counts: BTreeMap<_, u32> = BTreeMap::new();
        for _ in 0..3_000 {
            // Affinity binds only those that are remembered: a tracer of its own remembers nobody.
            let mut tracer = Tracer::new(&dataplane.backend().ruleset);
            let Outcome::Forwarded { to, .. } = tracer.trace(&row.packet, &mut random).unwrap().outcome else {
                panic!("not forwarded");
            };
            *counts.entry(to).or_default() += 1;
        }
        let chi_squared = chi_squared(&counts, count);
        assert!(chi_squared < limit, "{given:?}: {chi_squared} for {counts:?}");
    }
}

#[test]
fn real_connections_are_spread_evenly() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("distribution")?;
    set(kernel.model_mut(), "s", 10, "", "a b c");
    set(kernel.model_mut(), "u", 11, "udp", "a b c d e");
    kernel.sync()?;
    for (protocol, last, endpoints, limit) in [(6, 10, 3, 27.6), (17, 11, 5, 33.4)] {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..1_000 {
            *counts.entry(server(&cluster, "p", protocol, vip(last))?).or_default() += 1;
        }
        let chi_squared = chi_squared(&counts, endpoints);
        assert!(chi_squared < limit, "protocol {protocol}: {chi_squared} for {counts:?}");
    }
    Ok(())
}

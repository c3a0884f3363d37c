use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::forward::cache::{Cache, CacheStats};

fn put(cache: &Cache, host: usize, ttl: u32, now: Instant) {
    let host = format!("h{host}.example.com.");
    cache.put(Arc::new(stored(&host, &[&format!("{host} {ttl} A 192.0.2.1")], now)), now);
}

fn has(cache: &Cache, host: usize, now: Instant) -> bool {
    cache.read(wanted(&format!("h{host}.example.com"), rtype::A).borrow(), now, |_, _| ()).is_some()
}

#[test]
fn answers_are_kept_while_they_live() {
    let now = Instant::now();
    let cache = Cache::new(1 << 20);
    put(&cache, 1, 60, now);
    put(&cache, 2, 0, now);
    assert!(has(&cache, 1, now) && !has(&cache, 2, now) && !has(&cache, 3, now));
    let later = now + Duration::from_secs(59);
    let wants = wanted("h1.example.com", rtype::A);
    assert_eq!(cache.read(wants.borrow(), later, |_, age| age), Some(59));
    assert!(!has(&cache, 1, now + Duration::from_secs(60)));
    put(&cache, 1, 30, later);
    assert_eq!(cache.read(wants.borrow(), later, |_, age| age), Some(0));
    assert_eq!(cache.stats().entries, 1);
}

#[test]
fn types_and_flags_are_told_apart() {
    let now = Instant::now();
    let cache = Cache::new(1 << 20);
    put(&cache, 1, 60, now);
    let plain = wanted("h1.example.com", rtype::A);
    let other = |change: fn(&mut Wanted)| {
        let mut other = plain.clone();
        change(&mut other);
        cache.read(other.borrow(), now, |_, _| ()).is_some()
    };
    assert!(other(|_| {}));
    assert!(!other(|wanted| wanted.qtype = rtype::AAAA));
    assert!(!other(|wanted| wanted.dnssec_ok = true));
    assert!(!other(|wanted| wanted.checking_disabled = true));
}

#[test]
fn the_cache_stays_within_its_bound_and_keeps_what_is_used() {
    let now = Instant::now();
    let bound = 64 << 10;
    let cache = Cache::new(bound);
    put(&cache, 0, 600, now);
    for host in 1..2000 {
        assert!(has(&cache, 0, now), "the name that is always asked for is gone after {host}");
        put(&cache, host, 600, now);
        assert!(cache.stats().weight <= bound);
    }
    let kept = (1..2000).filter(|host| has(&cache, *host, now)).count();
    assert!(kept + 1 == cache.stats().entries && kept > 100, "{kept} kept");
    let nothing = Cache::new(0);
    put(&nothing, 0, 600, now);
    assert_eq!(nothing.stats(), CacheStats::default());
}

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::forward::cache::{Cache, Found};
use crate::forward::keep::{Keep, Prefetch, Stale};

fn put(cache: &Cache, host: usize, ttl: u32, now: Instant) {
    let host = format!("h{host}.example.com.");
    cache.put(Arc::new(stored(&host, &[&format!("{host} {ttl} A 192.0.2.1")], now)), &keep(), now);
}

fn age(cache: &Cache, wanted: &Wanted, now: Instant) -> Option<u32> {
    match cache.read(wanted.borrow(), now, |_, age| age) {
        Found::Fresh(age) | Found::Due(age) => Some(age),
        Found::Nothing => None,
    }
}

fn has(cache: &Cache, host: usize, now: Instant) -> bool {
    age(cache, &wanted(&format!("h{host}.example.com"), rtype::A), now).is_some()
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
    assert_eq!(age(&cache, &wants, later), Some(59));
    assert!(!has(&cache, 1, now + Duration::from_secs(60)));
    put(&cache, 1, 30, later);
    assert_eq!(age(&cache, &wants, later), Some(0));
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
        age(&cache, &other, now).is_some()
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
    assert_eq!((nothing.stats().entries, nothing.stats().weight), (0, 0));
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const NAME: &str = "h.example.com";

fn answer_of(lifetime: u32, keep: &Keep, now: Instant) -> Arc<Stored> {
    let message = answer(NAME, rtype::A, ResponseCode::NoError, &[&format!("{NAME}. {lifetime} A 192.0.2.1")], &[]);
    Arc::new(Stored::new(message, &wanted(NAME, rtype::A), keep, now).unwrap())
}

#[test]
fn what_is_over_is_a_last_resort_for_a_while() {
    let (now, cache) = (Instant::now(), Cache::new(1 << 20));
    let stale = Stale { longest: seconds(100), patience: seconds(1), ttl: 30, recheck: seconds(5) };
    let (keep, wanted) = (Keep { stale: Some(stale), ..keep() }, wanted(NAME, rtype::A));
    cache.put(answer_of(60, &keep, now), &keep, now);
    assert!(cache.last_resort(wanted.borrow(), now + seconds(60)).is_some());
    assert_eq!(age(&cache, &wanted, now + seconds(60)), None, "somebody has to be asked first");
    assert!(cache.last_resort(wanted.borrow(), now + seconds(159)).is_some());
    assert!(cache.last_resort(wanted.borrow(), now + seconds(160)).is_none());
    let kept = cache.last_resort(wanted.borrow(), now + seconds(90)).unwrap();
    let served = served(&kept, &asking::question(NAME, rtype::A, None), 90);
    assert_eq!(served.answers[0].ttl, 30, "as RFC 8767 recommends");
}

#[test]
fn a_failure_does_not_take_the_place_of_what_is_over() {
    let (now, cache) = (Instant::now(), Cache::new(1 << 20));
    let stale = Stale { longest: seconds(100), patience: seconds(1), ttl: 30, recheck: seconds(5) };
    let (keep, wanted) = (Keep { stale: Some(stale), ..keep() }, wanted(NAME, rtype::A));
    cache.put(answer_of(60, &keep, now), &keep, now);
    let later = now + seconds(70);
    cache.put(Arc::new(Stored::failure(&wanted, &keep, later)), &keep, later);
    assert_eq!(age(&cache, &wanted, later), Some(70), "given at once while nobody is to be asked again");
    assert_eq!(age(&cache, &wanted, later + seconds(5)), None, "and then asked for again");
    assert_eq!(cache.stats().stale, 1);
    let much_later = now + seconds(160);
    cache.put(Arc::new(Stored::failure(&wanted, &keep, much_later)), &keep, much_later);
    assert_eq!(age(&cache, &wanted, much_later), Some(0), "a failure stands in for nothing");
}

#[test]
fn what_is_over_is_given_at_once_where_nobody_wants_to_wait() {
    let (now, cache) = (Instant::now(), Cache::new(1 << 20));
    let stale = Stale { longest: seconds(100), patience: Duration::ZERO, ttl: 0, recheck: Duration::ZERO };
    let (keep, wanted) = (Keep { stale: Some(stale), ..keep() }, wanted(NAME, rtype::A));
    cache.put(answer_of(60, &keep, now), &keep, now);
    let later = now + seconds(61);
    assert_eq!(cache.read(wanted.borrow(), later, |_, age| age), Found::Due(61), "one is told to ask anew");
    assert_eq!(cache.read(wanted.borrow(), later, |_, age| age), Found::Fresh(61), "and only one");
    cache.put(answer_of(60, &keep, later), &keep, later);
    assert_eq!(cache.read(wanted.borrow(), later, |_, age| age), Found::Fresh(0));
}

#[test]
fn what_is_popular_is_due_before_it_is_over() {
    let (now, cache) = (Instant::now(), Cache::new(1 << 20));
    let prefetch = Prefetch { amount: 3, gap: seconds(10), percent: 20 };
    let (keep, wanted) = (Keep { prefetch: Some(prefetch), ..keep() }, wanted(NAME, rtype::A));
    let look = |second| match cache.read(wanted.borrow(), now + seconds(second), |_, _| ()) {
        Found::Fresh(()) => "fresh",
        Found::Due(()) => "due",
        Found::Nothing => "nothing",
    };
    cache.put(answer_of(50, &keep, now), &keep, now);
    // A gap of ten seconds makes an answer as unpopular as one that nobody asked for.
    let seen: Vec<_> = [1, 2, 3, 25, 41, 42, 43, 44].into_iter().map(look).collect();
    assert_eq!(seen, ["fresh", "fresh", "fresh", "fresh", "fresh", "fresh", "due", "fresh"]);
    assert_eq!(cache.stats().prefetches, 1);
    // The newer answer is as popular as the one before it.
    cache.put(answer_of(50, &keep, now + seconds(45)), &keep, now + seconds(45));
    assert_eq!([look(50), look(84), look(85), look(86), look(87)], ["fresh", "fresh", "fresh", "due", "fresh"]);
}

//! Several upstream servers: which is asked, and what is done about those that are of no help.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::net::*;
use super::upstream::{Manner, Upstream};
use crate::asking;
use crate::forward::settings::{Policy, Route};
use crate::forward::{Forwarder, Settings};
use crate::name::Name;

const WWW: &str = "www.example.com";
const TOLD: &str = "www.example.com. A 192.0.2.1";

async fn ask_many(forwarding: &Forwarding, count: usize) {
    for n in 0..count {
        assert_eq!(forwarding.told(&format!("n{n}.example.com")).await, format!("n{n}.example.com. A 192.0.2.1"));
    }
}

#[test]
fn policies_spread_questions_as_they_say() {
    inside("fwd-policy", &[], || async {
        for policy in [Policy::Sequential, Policy::RoundRobin, Policy::Random] {
            let servers = [Upstream::start(Manner::Knows(60)).await, Upstream::start(Manner::Knows(60)).await];
            let addresses = servers.each_ref().map(|server| server.address);
            let forwarding = forwarding_server(&addresses, |settings| settings.routes[0].policy = policy);
            ask_many(&forwarding, 40).await;
            let asked = servers.each_ref().map(Upstream::asked);
            match policy {
                Policy::Sequential => assert_eq!(asked, [40, 0]),
                Policy::RoundRobin => assert_eq!(asked, [20, 20]),
                // All on one side would happen once in 2^39 times.
                Policy::Random => assert!(asked[0] + asked[1] == 40 && !asked.contains(&0), "{asked:?}"),
            }
            forwarding.server.shutdown().await;
        }
    });
}

#[test]
fn a_server_that_is_down_is_probed_and_asked_again_when_it_answers() {
    inside("fwd-probe", &[], || async {
        let (first, second) = (Upstream::start(Manner::Silence).await, Upstream::start(Manner::Knows(60)).await);
        let forwarding = forwarding_server(&[first.address, second.address], |settings| {
            let route = &mut settings.routes[0];
            (route.max_fails, route.probe.interval) = (1, Duration::from_millis(5));
        });
        ask_many(&forwarding, 1).await;
        eventually("it is down", || forwarding.forwarder.upstream_counts()[0].is_down).await;
        assert!(first.probed() >= 2, "{} probes", first.probed());
        let asked = first.asked();
        ask_many(&forwarding, 3).await;
        assert_eq!(first.asked(), asked, "what is down is not asked");
        first.set_manner(Manner::Knows(60));
        eventually("it is up", || !forwarding.forwarder.upstream_counts()[0].is_down).await;
        assert_eq!(forwarding.told(WWW).await, TOLD);
        assert_eq!(first.asked(), asked + 1);
        assert!(forwarding.forwarder.upstream_counts()[0].probes_failed >= 2);
        forwarding.server.shutdown().await;
    });
}

#[test]
fn when_all_are_down_one_is_asked_all_the_same_or_none_at_once() {
    inside("fwd-all-down", &[], || async {
        for fail_fast in [false, true] {
            let only = Upstream::start(Manner::Silence).await;
            let forwarding = forwarding_server(&[only.address], |settings| {
                let route = &mut settings.routes[0];
                (route.max_fails, route.probe.interval, route.fail_fast) = (1, Duration::from_millis(5), fail_fast);
                route.keep.lifetimes.failure = 0;
            });
            assert_eq!(forwarding.told(WWW).await, "SERVFAIL");
            eventually("it is down", || forwarding.forwarder.upstream_counts()[0].is_down).await;
            let asked = only.asked();
            assert_eq!(forwarding.told(WWW).await, "SERVFAIL");
            assert_eq!(only.asked() > asked, !fail_fast);
            assert_eq!(forwarding.forwarder.counts().all_down, 1);
            forwarding.server.shutdown().await;
        }
    });
}

#[test]
fn a_server_that_is_never_down_is_never_probed() {
    inside("fwd-no-probe", &[], || async {
        let (bad, good) = (Upstream::start(Manner::Silence).await, Upstream::start(Manner::Knows(60)).await);
        let forwarding = forwarding_server(&[bad.address, good.address], |settings| {
            settings.routes[0].max_fails = 0;
            settings.routes[0].patience = Duration::from_millis(20);
        });
        ask_many(&forwarding, 3).await;
        assert_eq!((bad.asked(), bad.probed(), good.asked()), (3, 0, 3));
        forwarding.server.shutdown().await;
    });
}

#[test]
fn stub_domains_are_asked_for_elsewhere() {
    inside("fwd-stub", &[], || async {
        let [corp, lab, world] = [
            Upstream::start(Manner::Knows(60)).await,
            Upstream::start(Manner::Knows(60)).await,
            Upstream::start(Manner::Knows(60)).await,
        ];
        let zone = |zone: &str| Name::parse(zone).unwrap();
        let mut root = Route::to(zone("."), [world.address]);
        root.except = vec![zone("secret.example.com")];
        let routes = vec![
            root,
            Route::to(zone("corp.example.com"), [corp.address]),
            Route::to(zone("lab.corp.example.com"), [lab.address]),
        ];
        let forwarder = Arc::new(Forwarder::new(Settings { routes, ..Settings::default() }).unwrap());
        let server = crate::Server::start(&config(LOCAL), Some(index()), Some(forwarder)).unwrap();
        let told = async |name: &str| asking::told(&udp(server.addresses()[0], &question(name)).await);
        for name in ["a.corp.example.com", "corp.example.com", "x.lab.corp.example.com", "xcorp.example.com", WWW] {
            assert_eq!(told(name).await, format!("{name}. A 192.0.2.1"));
        }
        assert_eq!((corp.asked(), lab.asked(), world.asked()), (2, 1, 2));
        assert_eq!(told("a.secret.example.com").await, "REFUSED", "nobody is to be asked");
        assert_eq!(world.asked(), 2);
        server.shutdown().await;
    });
}

#[test]
fn names_that_nobody_is_asked_for_are_refused() {
    inside("fwd-no-route", &[], || async {
        let corp = Upstream::start(Manner::Knows(60)).await;
        let route = Route::to(Name::parse("corp.example.com").unwrap(), [corp.address]);
        let settings = Settings { routes: vec![route.clone()], ..Settings::default() };
        let server =
            crate::Server::start(&config(LOCAL), None, Some(Arc::new(Forwarder::new(settings).unwrap()))).unwrap();
        assert_eq!(asking::told(&udp(server.addresses()[0], &question(WWW)).await), "REFUSED");
        assert!(Forwarder::new(Settings { routes: vec![route.clone(), route], ..Settings::default() }).is_err());
        server.shutdown().await;
    });
}

#[test]
fn connections_are_used_again() {
    inside("fwd-streams", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let forwarding = forwarding_server(&[upstream.address], |settings| settings.routes[0].force_tcp = true);
        ask_many(&forwarding, 5).await;
        assert_eq!((upstream.asked(), upstream.streams()), (0, 1));
        let counts = &forwarding.forwarder.upstream_counts()[0];
        assert_eq!((counts.protocol, counts.connected, counts.reused), ("tcp", 1, 4));
        // A server may close a connection that nobody uses: the next question makes another.
        upstream.close_streams().await;
        assert_eq!(forwarding.told(WWW).await, TOLD);
        assert_eq!((upstream.asked(), upstream.streams()), (0, 2));
        forwarding.server.shutdown().await;
    });
}

#[test]
fn a_thousand_askers_of_one_name_cost_one_question() {
    inside("fwd-thousand", &[], || async {
        let upstream = Upstream::start(Manner::Slow(Duration::from_millis(500))).await;
        let forwarding = forwarding_server(&[upstream.address], |settings| {
            settings.routes[0].patience = PATIENCE;
            settings.deadline = PATIENCE;
        });
        let address = forwarding.address;
        let tasks: Vec<_> =
            (0..1000).map(|_| tokio::spawn(async move { asking::told(&udp(address, &question(WWW)).await) })).collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), TOLD);
        }
        assert_eq!((upstream.asked(), forwarding.forwarder.counts().asked), (1, 1));
        forwarding.server.shutdown().await;
    });
}

#[test]
fn a_route_has_a_bound_of_its_own() {
    inside("fwd-route-bound", &[], || async {
        let upstream = Upstream::start(Manner::Silence).await;
        let forwarding = forwarding_server(&[upstream.address], |settings| {
            settings.routes[0].max_concurrent = 1;
            settings.routes[0].patience = Duration::from_secs(1);
        });
        let address = forwarding.address;
        let first = tokio::spawn(async move { asking::told(&udp(address, &question("slow.example.com")).await) });
        eventually("it is under way", || upstream.asked() == 1).await;
        assert_eq!(forwarding.told(WWW).await, "SERVFAIL");
        assert_eq!(forwarding.forwarder.counts().refused, 1);
        assert_eq!(first.await.unwrap(), "SERVFAIL");
        forwarding.server.shutdown().await;
    });
}

#[test]
fn an_answer_that_is_over_is_given_when_nobody_knows_better() {
    inside("fwd-stale", &[], || async {
        for manner in [Manner::Silence, Manner::Code(2), Manner::Code(5)] {
            let upstream = Upstream::start(Manner::Knows(1)).await;
            let forwarding = forwarding_server(&[upstream.address], |settings| settings.routes[0].max_fails = 0);
            assert_eq!(forwarding.told(WWW).await, TOLD);
            upstream.set_manner(manner);
            let start = Instant::now();
            // Fresh at first, until the second is over.
            loop {
                let message = udp(forwarding.address, &question(WWW)).await;
                assert_eq!(asking::told(&message), TOLD, "{manner:?}");
                if forwarding.forwarder.counts().cache.stale > 0 {
                    break;
                }
                assert!(start.elapsed() < PATIENCE);
            }
            forwarding.server.shutdown().await;
        }
    });
}

#[test]
fn a_name_that_is_gone_is_no_longer_given() {
    inside("fwd-gone", &[], || async {
        let upstream = Upstream::start(Manner::Knows(1)).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        assert_eq!(forwarding.told(WWW).await, TOLD);
        upstream.set_manner(Manner::Code(3));
        let start = Instant::now();
        while forwarding.told(WWW).await != "NXDOMAIN" {
            assert!(start.elapsed() < PATIENCE, "a denial takes the place of what is over");
        }
        assert_eq!(forwarding.forwarder.counts().cache.stale, 0);
        forwarding.server.shutdown().await;
    });
}

#[test]
fn what_is_popular_is_asked_for_before_it_is_over() {
    inside("fwd-prefetch", &[], || async {
        let upstream = Upstream::start(Manner::Knows(2)).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        let start = Instant::now();
        while forwarding.forwarder.counts().cache.prefetches == 0 {
            assert_eq!(forwarding.told(WWW).await, TOLD);
            assert!(start.elapsed() < PATIENCE);
        }
        eventually("it was asked for again", || upstream.asked() == 2).await;
        let counts = forwarding.forwarder.counts();
        assert_eq!(counts.cache.misses, 1, "nobody waited but the first: {counts:?}");
        forwarding.server.shutdown().await;
    });
}

#[test]
fn questions_that_come_back_are_found() {
    inside("fwd-loops", &[], || async {
        let (one, two) = ("127.0.0.1:5301", "127.0.0.1:5302");
        let good = Upstream::start(Manner::Knows(60)).await;
        let start = |listen: &str, upstream: &str| {
            let forwarder = Arc::new(Forwarder::new(Settings::to([upstream.parse().unwrap(), good.address])).unwrap());
            (crate::Server::start(&config(listen), None, Some(forwarder.clone())).unwrap(), forwarder)
        };
        let ((first, ours), (second, _)) = (start(one, two), start(two, one));
        let found = ours.find_loop(PATIENCE).await.unwrap_err();
        assert_eq!(found.upstream, two.parse().unwrap());
        let text = found.to_string();
        assert!(text.contains(two) && text.contains("forward . ADDRESS") && text.contains("resolv.conf"), "{text}");
        second.shutdown().await;
        let alone = Forwarder::new(Settings::to([good.address])).unwrap();
        assert_eq!(alone.find_loop(PATIENCE).await, Ok(()));
        first.shutdown().await;
    });
}

#[test]
fn capitals_of_an_answer_do_not_matter_and_an_id_does() {
    inside("fwd-lies", &[], || async {
        let loud = Upstream::start(Manner::Shouts).await;
        let forwarding = forwarding_server(&[loud.address], |_| {});
        assert_eq!(forwarding.told(WWW).await.to_ascii_lowercase(), TOLD.to_ascii_lowercase());
        forwarding.server.shutdown().await;
        let (liar, good) = (Upstream::start(Manner::OtherId).await, Upstream::start(Manner::Knows(60)).await);
        let forwarding = forwarding_server(&[liar.address, good.address], |_| {});
        assert_eq!(forwarding.told(WWW).await, TOLD);
        assert_eq!(good.asked(), 1);
        forwarding.server.shutdown().await;
    });
}

#[test]
fn what_was_counted_is_told_under_corednss_names() {
    inside("fwd-metrics", &[], || async {
        let (bad, good) = (Upstream::start(Manner::Silence).await, Upstream::start(Manner::Knows(60)).await);
        let forwarding = forwarding_server(&[bad.address, good.address], |_| {});
        for name in [WWW, WWW, "second.example.com"] {
            forwarding.told(name).await;
        }
        eventually("a probe has failed", || forwarding.forwarder.upstream_counts()[0].probes_failed > 0).await;
        let mut page = String::new();
        crate::forward::exposition::write(&forwarding.forwarder, "dns://:53", &mut page);
        let good = good.address;
        for want in [
            "coredns_cache_entries{server=\"dns://:53\",type=\"success\",zones=\".\",view=\"\"} 2".to_owned(),
            "coredns_cache_hits_total{server=\"dns://:53\",type=\"success\",zones=\".\",view=\"\"} 1".to_owned(),
            "coredns_cache_misses_total{server=\"dns://:53\",zones=\".\",view=\"\"} 2".to_owned(),
            "coredns_forward_max_concurrent_rejects_total 0".to_owned(),
            format!(
                "coredns_proxy_request_duration_seconds_count{{proxy_name=\"forward\",to=\"{good}\",rcode=\"NOERROR\"}} 2"
            ),
            format!("portolan_dns_upstream_failures_total{{to=\"{}\"}} 1", bad.address),
        ] {
            assert!(page.lines().any(|line| line == want), "{want}\n{page}");
        }
        let failures =
            format!("coredns_proxy_healthcheck_failures_total{{proxy_name=\"forward\",to=\"{}\"}} ", bad.address);
        assert!(page.lines().any(|line| line.starts_with(&failures) && !line.ends_with(" 0")), "{page}");
        let families: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let unique: std::collections::BTreeSet<_> = families.iter().collect();
        assert_eq!(families.len(), unique.len(), "each name is told of once");
        forwarding.server.shutdown().await;
    });
}

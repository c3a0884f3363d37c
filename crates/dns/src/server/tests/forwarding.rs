use std::time::{Duration, Instant};

use super::net::*;
use super::upstream::{Manner, Upstream};
use crate::asking;
use crate::protocol::rtype;

const WWW: &str = "www.example.com";
const TOLD: &str = "www.example.com. A 192.0.2.1";

#[test]
fn outside_names_are_asked_once_and_then_cached() {
    inside("fwd-cache", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        for _ in 0..5 {
            assert_eq!(forwarding.told(WWW).await, TOLD);
        }
        assert_eq!(upstream.asked(), 1);
        let message = udp(forwarding.address, &question("WWW.Example.com")).await;
        assert_eq!(message.queries[0].name().to_string(), "WWW.Example.com.");
        assert!(message.metadata.recursion_available && !message.metadata.authoritative);
        assert_eq!(tcp(forwarding.address, &question(WWW)).await.answers.len(), 1);
        let counts = forwarding.server.counts();
        assert_eq!((counts.cache_misses, counts.cache_hits, upstream.asked()), (1, 6, 1));
        assert_eq!(forwarding.forwarder.counts().asked, 1);
        assert_eq!(forwarding.forwarder.counts().cache.entries, 1);
        forwarding.server.shutdown().await;
    });
}

#[test]
fn answers_of_no_lifetime_are_asked_again() {
    inside("fwd-zero", &[], || async {
        let upstream = Upstream::start(Manner::Knows(0)).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        for asked in 1..4 {
            assert_eq!(forwarding.told(WWW).await, TOLD);
            assert_eq!(upstream.asked(), asked);
        }
        forwarding.server.shutdown().await;
    });
}

#[test]
fn cluster_names_and_search_path_misses_never_leave() {
    inside("fwd-never", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        for name in [
            "www.example.com.shop.svc.cluster.local",
            "www.example.com.svc.cluster.local",
            "www.example.com.cluster.local",
            "gone.shop.svc.cluster.local",
        ] {
            assert_eq!(forwarding.told(name).await, "NXDOMAIN cluster.local.");
        }
        let packet = asking::question("9.9.9.10.in-addr.arpa", rtype::PTR, None);
        assert_eq!(asking::told(&udp(forwarding.address, &packet).await), "NXDOMAIN in-addr.arpa.");
        assert_eq!(upstream.asked(), 0);
        let packet = asking::question("8.8.8.8.in-addr.arpa", rtype::PTR, None);
        udp(forwarding.address, &packet).await;
        assert!(upstream.asked() > 0, "a public address may be known outside");
        forwarding.server.shutdown().await;
    });
}

#[test]
fn an_external_name_is_followed_outside() {
    inside("fwd-ext", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        let ext = "ext.shop.svc.cluster.local";
        let want = format!("{ext}. CNAME {WWW}. + {TOLD}");
        assert_eq!(forwarding.told(ext).await, want);
        let message = tcp(forwarding.address, &question(ext)).await;
        assert_eq!(asking::told(&message), want);
        assert!(message.metadata.authoritative && message.metadata.recursion_available);
        assert_eq!(upstream.asked(), 1);
        // Its target is of the cache now, under its own name.
        assert_eq!(forwarding.told(WWW).await, TOLD);
        assert_eq!(upstream.asked(), 1);
        forwarding.server.shutdown().await;
    });
}

#[test]
fn an_external_name_stands_alone_when_nobody_knows_its_target() {
    inside("fwd-alone", &[], || async {
        let ext = "ext.shop.svc.cluster.local";
        for manner in [Manner::Silence, Manner::Code(3), Manner::Code(2), Manner::Code(5)] {
            let upstream = Upstream::start(manner).await;
            let forwarding = forwarding_server(&[upstream.address], |_| {});
            assert_eq!(forwarding.told(ext).await, format!("{ext}. CNAME {WWW}."), "{manner:?}");
            forwarding.server.shutdown().await;
        }
    });
}

#[test]
fn truncated_answers_are_fetched_over_tcp() {
    inside("fwd-tcp", &[], || async {
        let upstream = Upstream::start(Manner::Truncates).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        assert_eq!(forwarding.told(WWW).await, TOLD);
        assert_eq!((upstream.asked(), upstream.streams()), (1, 1));
        forwarding.server.shutdown().await;
    });
}

#[test]
fn the_next_server_is_asked_when_one_is_of_no_help() {
    inside("fwd-next", &[], || async {
        for manner in [Manner::Silence, Manner::Code(2), Manner::Code(5), Manner::Code(4), Manner::Garbage] {
            let (bad, good) = (Upstream::start(manner).await, Upstream::start(Manner::Knows(60)).await);
            let forwarding = forwarding_server(&[bad.address, good.address], |_| {});
            assert_eq!(forwarding.told(WWW).await, TOLD, "{manner:?}");
            assert_eq!(good.asked(), 1, "{manner:?}");
            assert!(bad.asked() >= 1);
            forwarding.server.shutdown().await;
        }
    });
}

#[test]
fn a_server_that_was_silent_is_asked_last() {
    inside("fwd-shun", &[], || async {
        let (bad, good) = (Upstream::start(Manner::Silence).await, Upstream::start(Manner::Knows(60)).await);
        let forwarding = forwarding_server(&[bad.address, good.address], |_| {});
        for name in ["a.example.com", "b.example.com", "c.example.com"] {
            assert_eq!(forwarding.told(name).await, format!("{name}. A 192.0.2.1"));
        }
        assert_eq!((bad.asked(), good.asked()), (1, 3));
        forwarding.server.shutdown().await;
    });
}

#[test]
fn a_port_that_nobody_listens_on_costs_no_time() {
    inside("fwd-closed", &[], || async {
        let good = Upstream::start(Manner::Knows(60)).await;
        let forwarding = forwarding_server(&["127.0.0.1:9".parse().unwrap(), good.address], |config| {
            config.routes[0].patience = PATIENCE;
        });
        let start = Instant::now();
        assert_eq!(forwarding.told(WWW).await, TOLD);
        assert!(start.elapsed() < PATIENCE / 2);
        forwarding.server.shutdown().await;
    });
}

#[test]
fn when_every_server_fails_so_does_the_question_in_time() {
    inside("fwd-fail", &[], || async {
        let (one, two) = (Upstream::start(Manner::Silence).await, Upstream::start(Manner::Silence).await);
        let forwarding = forwarding_server(&[one.address, two.address], |_| {});
        let start = Instant::now();
        assert_eq!(forwarding.told(WWW).await, "SERVFAIL");
        assert!(start.elapsed() < Duration::from_secs(4), "it took {:?}", start.elapsed());
        assert_eq!((one.asked(), two.asked()), (2, 2));
        // For a second nobody is asked again.
        assert_eq!(forwarding.told(WWW).await, "SERVFAIL");
        assert_eq!((one.asked(), two.asked()), (2, 2));
        forwarding.server.shutdown().await;
    });
}

#[test]
fn a_server_that_refuses_is_believed() {
    inside("fwd-refuse", &[], || async {
        let upstream = Upstream::start(Manner::Code(5)).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        assert_eq!(forwarding.told(WWW).await, "REFUSED");
        assert_eq!(upstream.asked(), 1);
        forwarding.server.shutdown().await;
    });
}

#[test]
fn a_server_that_does_not_know_edns_is_asked_without() {
    inside("fwd-edns", &[], || async {
        let upstream = Upstream::start(Manner::NoEdns).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        assert_eq!(forwarding.told(WWW).await, TOLD);
        assert_eq!(upstream.asked(), 2);
        forwarding.server.shutdown().await;
    });
}

#[test]
fn equal_questions_wait_for_one_answer() {
    inside("fwd-join", &[], || async {
        let upstream = Upstream::start(Manner::Slow(Duration::from_millis(100))).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        let address = forwarding.address;
        let tasks: Vec<_> =
            (0..100).map(|_| tokio::spawn(async move { asking::told(&udp(address, &question(WWW)).await) })).collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), TOLD);
        }
        assert_eq!(upstream.asked(), 1);
        eventually("nothing waits", || forwarding.server.waiting() == 0).await;
        forwarding.server.shutdown().await;
    });
}

#[test]
fn above_the_bound_questions_fail_at_once() {
    inside("fwd-bound", &[], || async {
        let upstream = Upstream::start(Manner::Silence).await;
        let forwarding = forwarding_server(&[upstream.address], |config| {
            (config.lookups, config.deadline) = (10, Duration::from_secs(1));
            config.routes[0].patience = Duration::from_secs(1);
        });
        let address = forwarding.address;
        let slow: Vec<_> = (0..10)
            .map(|n| tokio::spawn(async move { udp(address, &question(&format!("n{n}.example.com"))).await }))
            .collect();
        eventually("ten are under way", || upstream.asked() == 10).await;
        let start = Instant::now();
        assert_eq!(forwarding.told(WWW).await, "SERVFAIL");
        assert!(start.elapsed() < Duration::from_millis(800), "it took {:?}", start.elapsed());
        assert_eq!(forwarding.forwarder.counts().refused, 1);
        // Cluster names are not held up.
        assert_eq!(forwarding.told(WEB).await, format!("{WEB}. A 10.96.0.9"));
        for task in slow {
            assert_eq!(asking::told(&task.await.unwrap()), "SERVFAIL");
        }
        forwarding.server.shutdown().await;
    });
}

#[test]
fn above_the_bound_of_waiting_askers_questions_fail_at_once() {
    inside("fwd-waiting", &[], || async {
        let upstream = Upstream::start(Manner::Slow(Duration::from_millis(300))).await;
        let to = crate::forward::Settings::to([upstream.address]);
        let forwarder = std::sync::Arc::new(crate::Forwarder::new(to).unwrap());
        let config = crate::Config { waiting: 1, ..config(LOCAL) };
        let server = crate::Server::start(&config, Some(index()), Some(forwarder)).unwrap();
        let address = server.addresses()[0];
        let first = tokio::spawn(async move { asking::told(&udp(address, &question(WWW)).await) });
        eventually("one waits", || server.waiting() == 1).await;
        assert_eq!(asking::told(&udp(address, &question(WWW)).await), "SERVFAIL");
        assert_eq!(asking::told(&tcp(address, &question(WWW)).await), "SERVFAIL");
        assert_eq!(server.counts().turned_away, 2);
        assert_eq!(first.await.unwrap(), TOLD);
        server.shutdown().await;
    });
}

#[test]
fn forged_and_stray_answers_are_overlooked() {
    inside("fwd-forged", &[], || async {
        for (manner, streams) in [(Manner::Forged(3), 0), (Manner::Astray, 0), (Manner::Forged(20), 1)] {
            let upstream = Upstream::start(manner).await;
            let forwarding = forwarding_server(&[upstream.address], |_| {});
            assert_eq!(forwarding.told(WWW).await, TOLD, "{manner:?}");
            assert_eq!(upstream.streams(), streams, "{manner:?}");
            forwarding.server.shutdown().await;
        }
    });
}

#[test]
fn servers_that_forward_to_each_other_do_not_go_round_for_ever() {
    inside("fwd-circle", &[], || async {
        let (one, two) = ("127.0.0.1:5301", "127.0.0.1:5302");
        let start = |listen: &str, upstream: &str| {
            let mut to = crate::forward::Settings::to([upstream.parse().unwrap()]);
            (to.routes[0].patience, to.routes[0].max_fails) = (Duration::from_millis(200), 0);
            let forwarder = std::sync::Arc::new(crate::Forwarder::new(to).unwrap());
            (crate::Server::start(&config(listen), None, Some(forwarder.clone())).unwrap(), forwarder)
        };
        let ((first, _), (second, _)) = (start(one, two), start(two, one));
        assert_eq!(asking::told(&udp(one.parse().unwrap(), &question(WWW)).await), "SERVFAIL");
        let asked = first.counts().udp + second.counts().udp;
        assert!(asked < 10, "{asked} questions went round");
        first.shutdown().await;
        second.shutdown().await;
    });
}

#[test]
fn who_does_not_want_recursion_gets_what_is_cached() {
    inside("fwd-norec", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        let plain = |name: &str| {
            let mut packet = question(name);
            packet[2] = 0;
            packet
        };
        let told = async |name: &str| asking::told(&udp(forwarding.address, &plain(name)).await);
        assert_eq!(told(WWW).await, "REFUSED");
        assert_eq!(upstream.asked(), 0);
        assert_eq!(forwarding.told(WWW).await, TOLD);
        assert_eq!(told(WWW).await, TOLD);
        let ext = "ext.shop.svc.cluster.local";
        assert_eq!(told(ext).await, format!("{ext}. CNAME {WWW}."));
        assert_eq!(told(WEB).await, format!("{WEB}. A 10.96.0.9"));
        assert_eq!(upstream.asked(), 1);
        forwarding.server.shutdown().await;
    });
}

#[test]
fn a_forwarder_without_an_index_passes_on_everything() {
    inside("fwd-relay", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let to = crate::forward::Settings::to([upstream.address]);
        let forwarder = std::sync::Arc::new(crate::Forwarder::new(to).unwrap());
        let server = crate::Server::start(&config(LOCAL), None, Some(forwarder)).unwrap();
        let address = server.addresses()[0];
        for name in [WWW, WEB] {
            assert_eq!(asking::told(&udp(address, &question(name)).await), format!("{name}. A 192.0.2.1"));
        }
        assert_eq!(upstream.asked(), 2);
        server.shutdown().await;
    });
}

#[test]
fn answers_that_wait_are_sent_before_the_server_ends() {
    inside("fwd-grace", &[], || async {
        let upstream = Upstream::start(Manner::Slow(Duration::from_millis(100))).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        let address = forwarding.address;
        let asker = tokio::spawn(async move { asking::told(&udp(address, &question(WWW)).await) });
        eventually("the question is under way", || upstream.asked() == 1).await;
        forwarding.server.shutdown().await;
        assert_eq!(asker.await.unwrap(), TOLD);
    });
}

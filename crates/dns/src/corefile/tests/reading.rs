use std::time::Duration;

use super::*;
use crate::forward::keep::{Keep, Prefetch};
use crate::forward::settings::Policy;
use crate::index::{Fallthrough, PodNames};
use crate::querylog::Classes;
use crate::rewrite::Matching;

/// What kubeadm installs, and kind.
const STOCK: &str = include_str!("stock.txt");

/// What node-local caches are given.
const NODE_LOCAL: &str = "
cluster.local:53 {
    errors
    cache {
            success 9984 30
            denial 9984 5
    }
    reload
    loop
    bind 169.254.20.10 10.96.0.10
    forward . 10.96.5.5 {
            force_tcp
    }
    prometheus :9253
    health 169.254.20.10:8080
    }
in-addr.arpa:53 {
    errors
    cache 30
    reload
    loop
    bind 169.254.20.10 10.96.0.10
    forward . 10.96.5.5 {
            force_tcp
    }
    prometheus :9253
    }
.:53 {
    errors
    cache 30
    reload
    loop
    bind 169.254.20.10 10.96.0.10
    forward . /etc/resolv.conf
    prometheus :9253
    }
";

fn zones(routes: &[crate::forward::settings::Route]) -> Vec<String> {
    routes.iter().map(|route| route.zone.to_string()).collect()
}

#[test]
fn the_stock_file_means_what_it_means_to_coredns() {
    let whole = read(STOCK);
    let config = &whole.config;
    let cluster = config.cluster.as_ref().unwrap();
    assert_eq!(cluster.index.zones, ["cluster.local"]);
    assert_eq!(cluster.index.reverse_zones, ["in-addr.arpa", "ip6.arpa"]);
    assert_eq!((cluster.index.ttl, cluster.index.negative_ttl), (30, 1));
    assert_eq!((cluster.index.pods, cluster.index.fallthrough), (PodNames::Insecure, Fallthrough::All));
    assert_eq!(config.health.unwrap().to_string(), "[::]:8080");
    assert_eq!((config.lameduck, config.ready.unwrap().port()), (Duration::from_secs(5), 8181));
    assert_eq!(config.metrics.unwrap().to_string(), "[::]:9153");
    let [route] = &config.forward.as_ref().unwrap().routes[..] else { panic!() };
    let servers: Vec<_> = route.upstreams.iter().map(|upstream| upstream.address.to_string()).collect();
    assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::53]:53"]);
    assert_eq!((route.policy, route.max_concurrent, route.zone.label_count()), (Policy::Random, 1000, 0));
    let lifetimes = route.keep.lifetimes;
    assert_eq!((lifetimes.positive, lifetimes.negative, lifetimes.positive_least, lifetimes.failure), (30, 30, 5, 5));
    assert_eq!((route.keep.not_positive[0].to_string(), route.keep.stale), ("cluster.local.".to_owned(), None));
    assert!(whole.find_loops && whole.log.is_none() && whole.hosts.is_empty() && whole.rewrites.is_empty());
    assert_eq!(whole.reload, Some(Reload { interval: Duration::from_secs(30), jitter: Duration::from_secs(15) }));
    assert_eq!((whole.port, config.server.listen.len()), (53, 0));
    crate::Forwarder::new(config.forward.clone().unwrap()).unwrap();
}

#[test]
fn a_node_local_cache_has_a_route_for_each_block() {
    let whole = read(NODE_LOCAL);
    assert!(whole.config.cluster.is_none());
    let forward = whole.config.forward.unwrap();
    assert_eq!(zones(&forward.routes), ["cluster.local.", "in-addr.arpa.", "."]);
    assert_eq!(forward.routes.iter().map(|route| route.force_tcp).collect::<Vec<_>>(), [true, true, false]);
    let lifetimes = forward.routes[0].keep.lifetimes;
    assert_eq!((lifetimes.positive, lifetimes.negative), (30, 5));
    let listen: Vec<_> = whole.config.server.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["169.254.20.10:53", "10.96.0.10:53"]);
    assert_eq!(whole.config.health.unwrap().to_string(), "169.254.20.10:8080");
}

#[test]
fn stub_domains_and_names_of_one_block() {
    let text = "
        . { # everything else
            forward . 1.1.1.1 [2606:4700::1111]:5353 dns://9.9.9.9
            forward corp.example.com 10.0.0.1
        }
        a.test, b.test:53,
        10.1.0.0/16 { forward . 10.0.0.2 }
        lab.test{
            forward . 10.0.0.3
            cache 10 { prefetch 5 1m 20% }
        }";
    let forward = read(text).config.forward.unwrap();
    let want = [".", "corp.example.com.", "a.test.", "b.test.", "1.10.in-addr.arpa.", "lab.test."];
    assert_eq!(zones(&forward.routes), want);
    let servers: Vec<_> = forward.routes[0].upstreams.iter().map(|upstream| upstream.address.to_string()).collect();
    assert_eq!(servers, ["1.1.1.1:53", "[2606:4700::1111]:5353", "9.9.9.9:53"]);
    assert_eq!(forward.routes[0].keep, Keep::nothing(), "no cache was asked for");
    let keep = &forward.routes[5].keep;
    assert_eq!(keep.prefetch, Some(Prefetch { amount: 5, gap: Duration::from_secs(60), percent: 20 }));
    assert_eq!((keep.lifetimes.positive, keep.lifetimes.negative), (10, 10));
}

#[test]
fn every_option_of_forward() {
    let text = ". {
        forward . tls://9.9.9.9 tls://1.1.1.1%one.example:8853 {
            except secret.example.com lab.test
            force_tcp
            prefer_udp
            expire 20s
            max_idle_conns 3
            read_timeout 1500ms
            max_fails 5
            max_connect_attempts 4
            policy round_robin
            health_check 1s no_rec domain example.com
            max_concurrent 7
            failfast_all_unhealthy_upstreams
            failover NXDOMAIN
            source_address 10.0.0.9
            tls /cert.pem /key.pem /ca.pem
        }
    }";
    let forward = read(text).config.forward.unwrap();
    let route = &forward.routes[0];
    let servers: Vec<_> = route.upstreams.iter().map(|upstream| upstream.address.to_string()).collect();
    assert_eq!(servers, ["9.9.9.9:853", "1.1.1.1:8853"]);
    let tls = route.upstreams[1].tls.as_ref().unwrap();
    assert_eq!((tls.name.as_deref(), tls.authorities.as_deref()), (Some("one.example"), Some("/ca.pem".as_ref())));
    assert_eq!(tls.identity, Some(("/cert.pem".into(), "/key.pem".into())));
    assert_eq!(route.upstreams[0].tls.as_ref().unwrap().name, None);
    assert_eq!(route.except.len(), 2);
    assert_eq!((route.force_tcp, route.idle, route.idle_most), (true, Duration::from_secs(20), 3));
    assert_eq!((route.patience, route.max_fails, route.attempts), (Duration::from_millis(1500), 5, 4));
    assert_eq!((route.policy, route.max_concurrent, route.fail_fast), (Policy::RoundRobin, 7, true));
    assert_eq!((route.probe.interval, route.probe.recursion), (Duration::from_secs(1), false));
    assert_eq!((route.probe.name.to_string(), route.failover.clone()), ("example.com.".to_owned(), vec![2, 5, 3]));
    assert_eq!(route.source, Some([10, 0, 0, 9].into()));
    let text = ". { forward . tls://9.9.9.9 { tls_servername dns.quad9.net } }";
    let forward = read(text).config.forward.unwrap();
    assert_eq!(forward.routes[0].upstreams[0].tls.as_ref().unwrap().name.as_deref(), Some("dns.quad9.net"));
}

#[test]
fn every_option_of_cache() {
    let text = ". {
        forward . 1.1.1.1
        cache 600 {
            success 1000 300 10
            denial 2000 60
            serve_stale 2h verify 100ms 30s 5s
            servfail 10s
            disable denial corp.example.com
            keepttl
        }
    }";
    let forward = read(text).config.forward.unwrap();
    let keep = &forward.routes[0].keep;
    let times = keep.lifetimes;
    assert_eq!((times.positive, times.positive_least, times.negative, times.negative_least), (300, 10, 60, 5));
    assert_eq!((times.failure, keep.constant_ttl, keep.not_negative.len(), keep.not_positive.len()), (10, true, 1, 0));
    let stale = keep.stale.unwrap();
    assert_eq!((stale.longest, stale.patience), (Duration::from_secs(7200), Duration::from_millis(100)));
    assert_eq!((stale.ttl, stale.recheck), (30, Duration::from_secs(5)));
    assert_eq!(forward.cache_weight, 1 << 20);
    let stale = |words: &str| {
        let text = format!(". {{ \nforward . 1.1.1.1 \n cache {{ \n serve_stale {words} \n }} }}");
        read(&text).config.forward.unwrap().routes[0].keep.stale.unwrap()
    };
    assert_eq!((stale("").patience, stale("").ttl, stale("").longest), (Duration::ZERO, 0, Duration::from_secs(3600)));
    assert_eq!(stale("1m immediate 30s").ttl, 30);
    assert!(stale("verify").patience > Duration::from_secs(60));
}

#[test]
fn every_option_of_kubernetes() {
    let text = "cluster.local other.test {
        kubernetes {
            pods verified
            ttl 0
            endpoint_pod_names
            noendpoints
            namespaces shop ops
            labels app in (web, db),tier=front
            ignore empty_service
            startup_timeout 5s
            kubeconfig /etc/dns.kubeconfig prod
        }
        transfer { to 10.0.0.0/8 192.0.2.1 }
        transfer cluster.local {
            to *
        }
        bufsize 1232
        multisocket 4
        any
        autopath @kubernetes
    }";
    let whole = read(text);
    let cluster = whole.config.cluster.unwrap();
    assert_eq!(cluster.index.zones, ["cluster.local", "other.test"]);
    let kubeconfig = cluster.kubeconfig.unwrap();
    assert_eq!((kubeconfig.path.to_str(), kubeconfig.context.as_deref()), (Some("/etc/dns.kubeconfig"), Some("prod")));
    assert_eq!(cluster.index.search.unwrap().further, ["corp.example", "example"], "the node's own domains");
    assert_eq!((cluster.index.ttl, cluster.index.negative_ttl, cluster.index.pods), (0, 0, PodNames::Verified));
    assert!(cluster.index.endpoint_pod_names && cluster.index.ignore_empty_services && cluster.no_endpoints);
    assert_eq!(
        (cluster.namespaces, cluster.labels),
        (vec!["shop".to_owned(), "ops".to_owned()], "app in (web, db),tier=front".to_owned())
    );
    let allowed: Vec<_> = whole.config.transfer.iter().map(ToString::to_string).collect();
    assert_eq!(allowed, ["10.0.0.0/8", "192.0.2.1/32", "0.0.0.0/0", "::/0"]);
    assert_eq!((whole.config.server.udp_most, whole.config.server.workers), (1232, 4));
    assert!(whole.config.forward.is_none() && whole.config.health.is_none() && whole.config.metrics.is_none());
}

#[test]
fn hosts_rewrites_and_logs_are_of_their_zones() {
    let text = r#"
        example.com {
            hosts /srv/hosts example.com {
                192.0.2.1 a.example.com b.example.com
                2001:db8::1 a.example.com
                ttl 60
                no_reverse
                reload 0s
                fallthrough
            }
            rewrite name old.example.com new.example.com
            rewrite continue name suffix .corp. .example.com answer auto
            rewrite stop {
                name regex "(.*)-(us-west-1)\.example\.com" {1}.service.{2}.example.com
                answer name (.*)\.service\.(us-west-1)\.example\.com {1}-{2}.example.com
                answer value (.*)\.service\.(.*) {1}.{2}
            }
            rewrite name prefix A B
            rewrite name substring x y
            log . {
                class denial error
            }
            forward . 1.1.1.1
        }
        sub.example.com { forward . 1.1.1.2 }"#;
    let whole = read(text);
    let [hosts] = &whole.hosts[..] else { panic!() };
    assert_eq!(hosts.file.as_deref(), Some("/srv/hosts".as_ref()));
    assert_eq!(hosts.inline, "192.0.2.1 a.example.com b.example.com\n2001:db8::1 a.example.com\n");
    assert_eq!((hosts.ttl, hosts.reverse, hosts.reload, hosts.fallthrough.len()), (60, false, Duration::ZERO, 1));
    assert_eq!(hosts.except[0].to_string(), "sub.example.com.");
    let kinds: Vec<_> =
        whole.rewrites.iter().map(|rule| (format!("{:?}", rule.matching), rule.goes_on, rule.answers.len())).collect();
    let (exact, suffix) = (&whole.rewrites[0].matching, &whole.rewrites[1].matching);
    assert!(matches!(exact, Matching::Exact { from, to } if from == "old.example.com." && to == "new.example.com."));
    assert!(matches!(suffix, Matching::Suffix { from, to } if from == ".corp." && to == ".example.com."));
    assert_eq!(
        kinds.iter().map(|kind| (kind.1, kind.2)).collect::<Vec<_>>(),
        [(false, 0), (true, 1), (false, 2), (false, 0), (false, 0)]
    );
    assert!(matches!(&whole.rewrites[3].matching, Matching::Prefix { from, to } if from == "a." && to == "b."));
    assert!(whole.rewrites.iter().all(|rule| rule.zones.len() == 1 && rule.except.len() == 1));
    let log = whole.log.unwrap();
    assert_eq!((log.classes, log.zones.len()), (Classes { denial: true, error: true, ..Classes::NONE }, 1));
    let defaults = &read(". {\n hosts\n log\n }").hosts[0];
    assert_eq!((defaults.file.as_deref(), defaults.ttl), (Some("/etc/hosts".as_ref()), 3600));
}

#[test]
fn snippets_files_and_variables() {
    let made = Made::new()
        .variable("UPSTREAM", "192.0.2.1")
        .variable("LOG", "log")
        .file("extra/a.override", "log\n")
        .file("extra/b.override", "hosts { \n 192.0.2.7 seven\n fallthrough\n }")
        .file("extra/c.server", "corp.test:535 { \n forward . 10.0.0.1 \n }");
    let text = "
        (common) {
            errors
            cache 30 {
                prefetch 2
            }
        }
        .:{$PORT}{%NUMBER%} {
            import common
            forward . {$UPSTREAM} {%UPSTREAM%}:{$NUMBER}
            import extra/*.override
            import nothing/*.override
        }
        import extra/c.server";
    let whole = parse_with(text, &made.variable("PORT", "53").variable("NUMBER", "5")).unwrap();
    assert_eq!(whole.port, 535);
    let routes = &whole.config.forward.as_ref().unwrap().routes;
    assert_eq!(zones(routes), [".", "corp.test."]);
    assert_eq!(routes[0].upstreams[1].address.to_string(), "192.0.2.1:5");
    assert!(routes[0].keep.prefetch.is_some() && whole.log.is_some());
    assert_eq!(whole.hosts[0].inline, "192.0.2.7 seven\n");
}

#[test]
fn layout_does_not_matter() {
    let one = read("a.test b.test {\n forward . 1.1.1.1 {\n policy sequential\n }\n cache\n}\n");
    for text in [
        "a.test,\nb.test\t{ # comment\r\nforward . \\\n 1.1.1.1 { policy sequential }\ncache }",
        "\u{feff}a.test:53 dns://b.test {\nforward \".\" \"1.1.1.1\" {\n#\npolicy \"sequential\"\n}\n\n\ncache\n}",
    ] {
        let other = read(text);
        let forward = |whole: &Corefile| format!("{:?}", whole.config.forward);
        assert_eq!(forward(&one), forward(&other), "{text}");
    }
}

#[test]
fn durations_are_gos() {
    let rows = [
        ("5s", 5000),
        ("1m30s", 90_000),
        ("1.5h", 5_400_000),
        ("300ms", 300),
        ("0", 0),
        ("0s", 0),
        ("2h45m", 9_900_000),
    ];
    for (word, millis) in rows {
        assert_eq!(crate::corefile::arguments::duration(word), Some(Duration::from_millis(millis)), "{word}");
    }
    for word in ["", "5", "s", "5x", "-5s", "5 s", "1e9h", "..s", "999999h"] {
        assert_eq!(crate::corefile::arguments::duration(word), None, "{word}");
    }
}

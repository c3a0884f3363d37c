//! Each mistake with its whole text: the line, what is wrong, what to do.

use super::*;

fn told(text: &str) -> String {
    let made = Made::new().file("/empty", "# nothing\n").file("loops", "import loops");
    match parse_with(text, &made) {
        Ok(_) => "it is right".to_owned(),
        Err(mistake) => mistake.to_string().replace("Corefile line ", ""),
    }
}

#[test]
fn plugins_and_options_that_are_not_known_are_named_with_their_line() {
    let known = "known are any, autopath, bind, bufsize, cache, errors, forward, health, hosts, kubernetes, loadbalance, log, \
                 loop, multisocket, prometheus, ready, reload, rewrite, transfer";
    let rows = [
        (".:53 {\n  errors\n  wohami\n}", format!("3: plugin \"wohami\" is not known here; {known}")),
        (". {\n dnstap /tmp/s\n}", format!("2: plugin \"dnstap\" is not known here; log writes a line of JSON for each question; {known}")),
        (". {\n proxy . 1.1.1.1\n}", format!("2: plugin \"proxy\" is not known here; it is called forward; {known}")),
        (
            ". {\n forward . 1.1.1.1 {\n  polcy random\n }\n}",
            "3: forward has no option \"polcy\" here; it has except, force_tcp, prefer_udp, expire, max_idle_conns, \
             read_timeout, max_fails, max_connect_attempts, policy, health_check, max_concurrent, \
             failfast_all_unhealthy_upstreams, failover, source_address, tls and tls_servername"
                .to_owned(),
        ),
        (
            ". {\n forward . 1.1.1.1 {\n  next NXDOMAIN\n }\n}",
            "3: forward has no option \"next\" here; put all servers into one forward and use failover RCODE...".to_owned(),
        ),
        (
            ". {\n kubernetes a.test {\n  endpoint https://x\n }\n}",
            "3: kubernetes has no option \"endpoint\" here; the cluster is the one that --kubeconfig names, or the one around".to_owned(),
        ),
        (
            ". {\n cache {\n  sucess 10\n }\n}",
            "3: cache has no option \"sucess\" here; it has success, denial, prefetch, serve_stale, servfail, disable and keepttl".to_owned(),
        ),
        (
            ". {\n autopath @kubernetes\n}",
            "2: autopath without kubernetes in its server block is not possible here; leave it out there".to_owned(),
        ),
        (". {\n loop {\n  hard\n }\n}", "3: loop has no option \"hard\" here; it has none".to_owned()),
        (". {\n health {\n  lamduck 5s\n }\n}", "3: health has no option \"lamduck\" here; it has lameduck".to_owned()),
        (
            ". {\n rewrite type ANY HINFO\n}",
            "2: rewrite has no option \"type\" here; names alone are rewritten: rewrite name FROM TO".to_owned(),
        ),
    ];
    for (text, want) in rows {
        assert_eq!(told(text), want, "{text}");
    }
}

#[test]
fn what_coredns_can_and_this_cannot_is_said_with_a_way_out() {
    let rows = [
        ("tls://. {\n}", "1: answering over tls is not possible here; answers go over UDP and TCP: write ZONE:PORT"),
        (
            ".:53 {\n}\na:54 {\n}",
            "3: serving at several ports is not possible here; run one server, with a Corefile of its own, for each port",
        ),
        (
            ". {\n forward . https://dns.example\n}",
            "2: forward: https://dns.example, over another protocol is not possible here; servers are asked over UDP, TCP and TLS: write ADDRESS or tls://ADDRESS",
        ),
        (
            ". {\n loadbalance weighted file\n}",
            "2: loadbalance: the policy \"weighted\" is not possible here; write loadbalance round_robin",
        ),
        (
            ". {\n log . \"{name} {rcode}\"\n}",
            "2: log: the format \"{name} {rcode}\" is not possible here; leave it out: lines are JSON, with every field",
        ),
        (
            ". {\n kubernetes cluster.local in-addr.arpa {\n  fallthrough\n }\n}",
            "3: kubernetes fallthrough: asking others for names of the cluster's domain is not possible here; name every reverse zone of the plugin and no other: fallthrough in-addr.arpa ip6.arpa",
        ),
        (
            ". {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n  fallthrough ip6.arpa\n }\n}",
            "3: kubernetes fallthrough: asking others for some of the reverse zones is not possible here; name every reverse zone of the plugin and no other: fallthrough in-addr.arpa ip6.arpa",
        ),
        (
            ". {\n kubernetes cluster.local\n}\nshop.svc.cluster.local {\n forward . 1.1.1.1\n}",
            "4: a server block for shop.svc.cluster.local. within the zones of kubernetes is not possible here; leave the block out: kubernetes answers for all of its domain",
        ),
        (
            ". {\n kubernetes cluster.local in-addr.arpa\n}\n10.in-addr.arpa {\n forward . 1.1.1.1\n}",
            "4: a server block for 10.in-addr.arpa. within the zones of kubernetes is not possible here; let unknown names through: kubernetes ... { fallthrough in-addr.arpa ip6.arpa }",
        ),
        (
            "a.test {\n forward b.test 1.1.1.1\n}",
            "2: forward for b.test., outside of the server block's zones is not possible here; give the zone a server block of its own",
        ),
        (
            ". {\n kubernetes\n}",
            "2: kubernetes: a cluster's domain is missing is not possible here; name it: kubernetes cluster.local in-addr.arpa ip6.arpa",
        ),
        (
            ". {\n forward . 1.1.1.1\n cache 30 corp.test\n}",
            "3: a cache for corp.test., a part of . is not possible here; give the part a server block of its own",
        ),
        (
            ". {\n forward . 1.1.1.1 {\n  tls_servername a.test\n }\n}",
            "3: forward: TLS to 1.1.1.1:53 is not possible here; write tls://ADDRESS for servers that speak TLS",
        ),
        (
            ". {\n rewrite name exact a b answer auto name c d\n}",
            "2: rewrite: answer auto beside answer name is not possible here; leave one of them out",
        ),
    ];
    for (text, want) in rows {
        assert_eq!(told(text), want, "{text}");
    }
}

#[test]
fn words_that_are_wrong_missing_or_too_many_are_named() {
    let rows = [
        (". {\n forward\n}", "2: forward lacks the zone that it is for, such as ."),
        (". {\n forward .\n}", "2: forward lacks an address, tls://ADDRESS or a file like /etc/resolv.conf"),
        (
            ". {\n forward . dns.example\n}",
            "2: forward: \"dns.example\" is not an address, tls://ADDRESS or a file like /etc/resolv.conf",
        ),
        (". {\n forward . /missing\n}", "2: cannot read /missing: entity not found"),
        (". {\n forward . /empty\n}", "2: cannot read /empty: it names no server (`nameserver ADDRESS`)"),
        (
            ". {\n forward . 1.1.1.1 {\n  policy any\n }\n}",
            "3: forward policy: \"any\" is not random, round_robin or sequential",
        ),
        (". {\n forward . 1.1.1.1 {\n  force_tcp yes\n }\n}", "3: forward force_tcp: \"yes\" is too much"),
        (". {\n forward . 1.1.1.1 {\n  expire 5\n }\n}", "3: forward expire: \"5\" is not a duration"),
        (". {\n forward . 1.1.1.1 {\n  policy {\n  }\n }\n}", "3: an option has no braces"),
        (". {\n forward . 1.1.1.1\n forward . 2.2.2.2\n}", "3: forward for . stands twice; it may stand once"),
        (". {\n cache\n cache\n}", "3: plugin cache stands twice; it may stand once"),
        ("a. {\n}\nb a {\n}", "3: zone a. stands twice; it may stand once"),
        (
            ". {\n kubernetes a.test {\n  ttl 4000\n }\n}",
            "3: kubernetes ttl: \"4000\" is not a number of seconds from 0 to 3600",
        ),
        (
            ". {\n kubernetes a.test {\n  pods some\n }\n}",
            "3: kubernetes pods: \"some\" is not disabled, insecure or verified",
        ),
        (". {\n kubernetes a..test\n}", "2: kubernetes: \"a..test\" is not a zone"),
        (". {\n cache {\n  prefetch 1 1m 5%\n }\n}", "3: cache prefetch: \"5%\" is not from 10% to 90%"),
        (
            ". {\n cache {\n  serve_stale soon\n }\n}",
            "3: cache serve_stale: \"soon\" is not a duration, immediate or verify",
        ),
        (". {\n cache {\n  servfail 6m\n }\n}", "3: cache servfail: \"360s\" is not at most 5m"),
        (". {\n reload 1s\n}", "2: reload: \"the interval\" is not at least 2s"),
        (". {\n health nowhere\n}", "2: health: \"nowhere\" is not ADDRESS:PORT"),
        (". {\n bind eth0\n}", "2: bind: \"eth0\" is not an address (interfaces are not known here)"),
        (".:dns {\n}", "1: server block: \".:dns\" is not [dns://]ZONE[:PORT]"),
        (".:0 {\n}", "1: server block: \".:0\" is not [dns://]ZONE[:PORT]"),
        (". {\n rewrite name a\n}", "2: rewrite lacks TO"),
        (". {\n rewrite name fuzzy a b\n}", "2: rewrite: \"fuzzy\" is not exact, prefix, suffix, substring or regex"),
        (
            ". {\n rewrite name regex (a b\n}",
            "2: rewrite: \"(a\" is no expression: regex parse error:\n    (a\n    ^\nerror: unclosed group",
        ),
        (". {\n rewrite name regex (a) {2}\n}", "2: rewrite: \"(a)\" is no expression: it has no group {2}"),
        (
            ". {\n rewrite name exact a b auto\n}",
            "2: rewrite: \"auto\" is not answer auto, answer name FROM TO or answer value FROM TO",
        ),
        (". {\n transfer {\n  to somebody\n }\n}", "3: transfer to: \"somebody\" is not an address, a network or *"),
    ];
    for (text, want) in rows {
        assert_eq!(told(text), want, "{text}");
    }
}

#[test]
fn braces_quotations_and_imports_that_do_not_end() {
    let rows = [
        ("", "1: no server block; the least is `. { forward . ADDRESS }`"),
        ("# nothing\n", "1: no server block; the least is `. { forward . ADDRESS }`"),
        (".:53\nerrors\n", "1: a server block needs braces: ZONE { ... }"),
        ("\n. {\n errors\n", "2: the brace that opens here is not closed"),
        (". {\n health {\n lameduck 5s\n}\n", "1: the brace that opens here is not closed"),
        (". {\n}\n}\n", "3: a brace closes that was not opened"),
        ("{\n}\n", "1: a server block needs zones before its brace"),
        (". {\n {\n }\n}", "2: a brace opens where a plugin or an option is expected"),
        (". {\n log \"{name}\n}\n", "2: the quotation that begins here does not end"),
        (". {\n import\n}", "2: import lacks a file or a snippet"),
        (". {\n import missing\n}", "2: cannot read missing: entity not found"),
        (". {\n import loops\n}", "1: imports go deeper than 8; does a file or a snippet import itself?"),
        (
            "(a) {\n import a\n}\n. {\n import a\n}",
            "2: imports go deeper than 8; does a file or a snippet import itself?",
        ),
    ];
    for (text, want) in rows {
        assert_eq!(told(text), want, "{text}");
    }
    let deep = format!(". {{\n{}", "a {\n".repeat(10_000));
    assert_eq!(told(&deep), "6: a brace opens deeper than any option goes");
    let long = format!(". {{\n{}\n}}", "errors\n".repeat(60_000));
    assert_eq!(told(&long), "50001: more than 50000 lines");
    let large = "#".repeat((1 << 20) + 1);
    assert_eq!(told(&large), "1: more than 1048576 octets");
}

use serde_json::json;

use super::*;

const DNS: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 10))];

fn names() -> Names<'static> {
    Names {
        cluster_dns: &DNS,
        cluster_domain: "cluster.local",
        resolv_conf: "# node\nnameserver 1.1.1.1\nnameserver 2.2.2.2\nsearch corp.example\noptions edns0\n",
        node_name: "node-1",
    }
}

fn pod(spec: serde_json::Value) -> Pod {
    let mut whole = json!({"metadata": {"name": "web-0", "namespace": "shop"}, "spec": {"containers": []}});
    for (key, value) in spec.as_object().unwrap() {
        whole["spec"][key] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

#[test]
fn resolvers_by_policy() {
    let cluster = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
        nameserver 10.96.0.10\noptions ndots:5\n";
    let node = "search corp.example\nnameserver 1.1.1.1\nnameserver 2.2.2.2\noptions edns0\n";
    let own = json!({
        "nameservers": ["9.9.9.9", "9.9.9.9"], "searches": ["x"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]
    });
    let cases = [
        (json!({}), cluster.to_owned()),
        (json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), node.to_owned()),
        (json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), cluster.to_owned()),
        (json!({"dnsPolicy": "Default"}), node.to_owned()),
        (
            json!({"dnsPolicy": "None", "dnsConfig": own}),
            "search x\nnameserver 9.9.9.9\noptions ndots:2 rotate\n".to_owned(),
        ),
        (
            json!({"dnsConfig": own}),
            "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example x\n\
             nameserver 10.96.0.10\nnameserver 9.9.9.9\noptions ndots:2 rotate\n"
                .to_owned(),
        ),
    ];
    for (spec, want) in cases {
        assert_eq!(resolver(&pod(spec.clone()), &names()).text(), want, "{spec}");
    }
}

#[test]
fn no_more_than_a_resolver_takes() {
    let many: Vec<String> = (0..40).map(|n| format!("d{n}.{}", "x".repeat(100))).collect();
    let servers: Vec<String> = (0..9).map(|n| format!("10.0.0.{n}")).collect();
    let spec = json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": servers, "searches": many}});
    let resolver = resolver(&pod(spec), &names());
    assert_eq!(resolver.nameservers.len(), 3);
    assert!(resolver.searches.join(" ").len() <= 2048 && resolver.searches.len() == 19, "{}", resolver.searches.len());
}

#[test]
fn host_names() {
    let long = format!("{}-tail", "a".repeat(62));
    let cases = [
        (json!({}), "web-0".to_owned()),
        (json!({"hostname": "db"}), "db".to_owned()),
        (json!({"hostNetwork": true, "hostname": "db"}), "node-1".to_owned()),
        (json!({"subdomain": "sub", "setHostnameAsFQDN": true}), "web-0.sub.shop.svc.cluster.local".to_owned()),
        (json!({"hostname": long}), "a".repeat(62)),
    ];
    for (spec, want) in cases {
        assert_eq!(hostname(&pod(spec.clone()), &names()), want, "{spec}");
    }
}

#[test]
fn hosts_files() {
    let address = Some("10.244.1.7".parse().unwrap());
    let spec =
        json!({"hostname": "db", "subdomain": "sub", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]});
    let text = hosts(&pod(spec), address, "unused", &names());
    assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"), "{text}");
    assert!(text.contains("\n10.244.1.7\tdb.sub.shop.svc.cluster.local\tdb\n"), "{text}");
    assert!(text.ends_with("\n1.2.3.4\ta\tb\n"), "{text}");
    let text = hosts(&pod(json!({"hostNetwork": true})), None, "127.0.0.1 here\n", &names());
    assert!(text.ends_with("127.0.0.1 here\n"), "{text}");
}

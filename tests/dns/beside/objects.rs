//! The objects.

use serde_json::{Value, json};

use super::World;

/// What questions are made from: Services with their ports and endpoints.
pub struct Known {
    pub services: Vec<Service>,
}

/// A Service as it is asked for.
pub struct Service {
    pub name: String,
    /// Name and protocol.
    pub ports: Vec<(String, String)>,
    /// Labels of endpoints and their addresses.
    pub endpoints: Vec<(String, String)>,
    pub address: Option<String>,
}

/// Name, `spec`, slices: family, endpoints (`!` is not ready, `=` before a hostname), ports.
type Row<'r> = (&'r str, Value, &'r [(&'r str, &'r str, &'r str)]);

/// Makes everything.
pub fn make(world: &World) -> Known {
    for namespace in ["shop", "empty-ns"] {
        world.create("v1", "namespaces", "", json!({ "metadata": { "name": namespace } }));
    }
    let many: Vec<_> = (1..=60).map(|n| format!("10.1.6.{n}=m-{n}")).collect();
    let many = many.join(" ");
    let many = [("4", many.as_str(), "a/1")];
    let at = |n: u8, list: &str| json!({ "clusterIP": format!("10.96.77.{n}"), "ports": ports(list) });
    let headless = |list: &str| json!({ "clusterIP": "None", "ports": ports(list) });
    let external = |name: &str| json!({ "type": "ExternalName", "externalName": name });
    let rows: Vec<Row<'_>> = vec![
        (
            "web",
            at(1, "http/80 metrics/9090 dns/UDP/53"),
            &[("4", "10.1.7.1 10.1.7.2", "http/8080 metrics/9090 dns/UDP/5353")],
        ),
        ("unnamed", at(2, "/80"), &[("4", "10.1.7.3", "/80")]),
        ("noendpoints", at(3, "http/80"), &[]),
        ("twins", at(4, "tcp-53/53 udp-53/UDP/53 stats/9153"), &[("4", "!10.1.7.9", "tcp-53/53")]),
        ("sctp", at(5, "sig/SCTP/5000"), &[("4", "10.1.7.5=one", "sig/SCTP/5000")]),
        ("unready", at(6, "a/1"), &[("4", "!10.1.7.6=u", "a/1")]),
        (
            "hosts",
            at(7, "a/1"),
            &[("4", "10.1.8.1=h-0 10.1.8.2=h-1 10.1.8.3", "a/1"), ("6", "fd00:8::1=h-0 fd00:8::3", "a/1")],
        ),
        ("db", headless("pg/5432"), &[("4", "10.1.0.1=db-0 10.1.0.2=db-1 !10.1.0.3=db-2", "pg/5432")]),
        ("nohost", headless("a/1 b/UDP/2"), &[("4", "10.1.1.1 10.1.1.2", "a/1 b/UDP/2")]),
        ("empty", headless("a/1"), &[]),
        ("notready", headless("a/1"), &[("4", "!10.1.2.1=x", "a/1")]),
        ("noports", headless(""), &[("4", "10.1.3.1=n-0 10.1.3.2", "")]),
        ("unnamedhead", headless("/9"), &[("4", "10.1.3.5=n-0 10.1.3.6", "/9")]),
        ("samehost", headless("a/1"), &[("4", "10.1.4.1=same 10.1.4.2=same", "a/1")]),
        ("slices", headless("a/1"), &[("4", "10.1.5.1=p", "a/1"), ("4", "10.1.5.2=q 10.1.5.1=p", "a/7")]),
        ("mixed", headless("a/1 b/2"), &[("4", "10.1.9.1=m 10.1.9.2=n", "a/1"), ("4", "10.1.9.3=o", "b/2")]),
        ("stack", headless("a/1"), &[("4", "10.1.10.1=s-0 10.1.10.2", "a/1"), ("6", "fd00:1::1=s-0 fd00:1::", "a/1")]),
        ("six", headless("a/1"), &[("6", "fd00:2::1 fd00:2:0:1::", "a/1")]),
        ("both", headless("a/1"), &[("4", "10.1.0.1=other", "a/1")]),
        ("digits", headless("a/1"), &[("4", "10.1.11.1=10-1-11-2 10.1.11.2", "a/1")]),
        ("many", headless("a/1"), &many),
        ("ext", external("target.example.com"), &[]),
        ("extdot", external("dotted.example.com."), &[]),
        ("extgone", external("gone.example.com"), &[]),
        ("extip", external("1.2.3.4"), &[]),
        ("alias", external("web.shop.svc.cluster.local"), &[]),
        ("aliasmissing", external("gone.shop.svc.cluster.local"), &[]),
        ("aliasalias", external("alias.shop.svc.cluster.local"), &[]),
        ("aliasheadless", external("db.shop.svc.cluster.local"), &[]),
        ("aliassix", external("six.shop.svc.cluster.local"), &[]),
        ("aliaspod", external("10-1-2-3.shop.pod.cluster.local"), &[]),
        ("aliasout", external("ext.shop.svc.cluster.local"), &[]),
        ("aliaszone", external("cluster.local"), &[]),
        ("self", external("self.shop.svc.cluster.local"), &[]),
        ("ping", external("pong.shop.svc.cluster.local"), &[]),
        ("pong", external("ping.shop.svc.cluster.local"), &[]),
        ("z-last", at(77, "http/80"), &[("4", "10.1.77.1", "http/80")]),
    ];
    let services = rows.iter().map(|row| make_one(world, row)).collect();
    let orphan = slice("orphan", 0, ("4", "10.1.12.1", "a/1"));
    world.create("discovery.k8s.io/v1", "endpointslices", "shop", orphan);
    let spec = json!({ "containers": [{ "name": "c", "image": "none" }], "nodeSelector": { "no": "where" } });
    world.create("v1", "pods", "shop", json!({ "metadata": { "name": "p" }, "spec": spec }));
    let pods = world.objects("v1", "pods", "shop");
    let status = json!({ "status": { "phase": "Running", "podIP": "10.1.2.3", "podIPs": [{ "ip": "10.1.2.3" }, { "ip": "fd00::1" }] } });
    let (params, patch) = (Default::default(), kube::api::Patch::Merge(&status));
    world.runtime.block_on(pods.patch_status("p", &params, &patch)).unwrap();
    Known { services }
}

fn make_one(world: &World, (name, spec, slices): &Row<'_>) -> Service {
    world.create("v1", "services", "shop", json!({ "metadata": { "name": name }, "spec": spec }));
    let mut endpoints = Vec::new();
    for (number, given) in slices.iter().enumerate() {
        world.create("discovery.k8s.io/v1", "endpointslices", "shop", slice(name, number, *given));
        endpoints.extend(given.1.split_whitespace().flat_map(|one| {
            let (address, host) =
                one.trim_start_matches('!').split_once('=').unwrap_or((one.trim_start_matches('!'), ""));
            let dashed = address.replace(['.', ':'], "-");
            let dashed = if dashed.ends_with('-') { format!("{dashed}0") } else { dashed };
            let labels = [host.to_owned(), dashed, "p".to_owned()];
            labels.into_iter().filter(|label| !label.is_empty()).map(|label| (label, address.to_owned()))
        }));
    }
    let listed = spec["ports"].as_array().into_iter().flatten();
    Service {
        name: (*name).to_owned(),
        ports: listed.map(|port| [&port["name"], &port["protocol"]].map(text).into()).collect(),
        // Of many, a few stand for all.
        endpoints: endpoints.into_iter().take(8).collect(),
        address: spec["clusterIP"].as_str().filter(|ip| *ip != "None").map(str::to_owned),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

fn ports(list: &str) -> Vec<Value> {
    let port = |text: &str| {
        let parts: Vec<_> = text.split('/').collect();
        let mut port = json!({ "protocol": if parts.len() == 3 { parts[1] } else { "TCP" }, "port": parts[parts.len() - 1].parse::<u16>().unwrap() });
        if !parts[0].is_empty() {
            port["name"] = json!(parts[0]);
        }
        port
    };
    list.split_whitespace().map(port).collect()
}

fn slice(service: &str, number: usize, (family, endpoints, listed): (&str, &str, &str)) -> Value {
    let endpoint = |text: &str| {
        let (ready, text) = (!text.starts_with('!'), text.trim_start_matches('!'));
        let (address, host) = text.split_once('=').unwrap_or((text, ""));
        let mut endpoint = json!({ "addresses": [address], "conditions": { "ready": ready } });
        if !host.is_empty() {
            endpoint["hostname"] = json!(host);
        }
        if address == "10.1.1.1" {
            endpoint["targetRef"] = json!({ "kind": "Pod", "name": "p", "namespace": "shop" });
        }
        endpoint
    };
    json!({
        "metadata": { "name": format!("{service}-{number}"), "labels": { "kubernetes.io/service-name": service } },
        "addressType": format!("IPv{family}"),
        "endpoints": endpoints.split_whitespace().map(endpoint).collect::<Vec<_>>(),
        "ports": ports(listed),
    })
}

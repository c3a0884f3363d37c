use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::condition::{ADDRESS, held};
use super::plan::*;
use super::*;
use crate::change::{Change, SERVICES};
use crate::world::World;

/// The settings and the book, as the runner holds them.
struct Pools {
    settings: Option<Settings>,
    book: Book<Key>,
}

impl Pools {
    fn plan(&mut self, world: &World, service: &Service) -> Plan {
        let known = Known { settings: self.settings.as_ref(), namespace: &Labels::new(), now: world.now };
        plan(service, &mut self.book, known)
    }

    /// Other settings, as a ConfigMap brings them.
    fn choose(&mut self, yaml: &str) {
        let settings = Settings::parse(yaml).unwrap();
        self.book.set_pools(settings.pools.clone());
        self.settings = Some(settings);
    }

    /// As after a restart.
    fn forget(&mut self, world: &World) {
        let pools = self.settings.as_ref().map(|settings| settings.pools.clone()).unwrap_or_default();
        self.book = known(pools, &world.all::<Service>(), |service| is_ours(service, self.settings.as_ref()));
    }
}

fn service(name: &str, spec: Value) -> Value {
    let mut value = json!({
        "metadata": {"namespace": "shop", "name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"]}});
    for (field, content) in spec.as_object().unwrap() {
        value["spec"][field] = content.clone();
    }
    value
}

fn pool(text: &str) -> Pools {
    let settings = Settings::of_pool(text.parse().unwrap());
    Pools { book: Book::new(settings.pools.clone()), settings: Some(settings) }
}

/// What the runner does, without a network; tells what was said.
fn drive(world: &mut World, pools: &mut Pools, name: &str) -> Vec<String> {
    let key = Key::new("shop", name);
    let Some(service) = world.get::<Service>("shop", name) else {
        pools.book.release(&key, &[]);
        return Vec::new();
    };
    let plan = pools.plan(world, &service);
    world.apply_all(&plan.changes);
    if let Some(keep) = plan.keep {
        pools.book.release(&key, &keep);
    }
    plan.before.into_iter().chain(plan.after).map(|note| format!("{}: {}", note.reason, note.message)).collect()
}

/// What a Service says of its address.
fn says(world: &World, name: &str) -> String {
    let service = world.get::<Service>("shop", name).unwrap();
    let condition = held(&service, ADDRESS).unwrap();
    format!("{} {}: {}", condition.status, condition.reason, condition.message)
}

fn ingress(world: &World, name: &str) -> Value {
    world.document(SERVICES, "shop", name).unwrap()["status"]["loadBalancer"]["ingress"].clone()
}

#[test]
fn a_service_gets_an_address_and_gives_it_back() {
    let (mut world, mut pool) = (World::default(), pool("172.30.0.200-172.30.0.201"));
    world.put(SERVICES, service("web", json!({})));
    let said = drive(&mut world, &mut pool, "web");
    assert_eq!(said, ["EnsuringLoadBalancer: Ensuring load balancer", "EnsuredLoadBalancer: Ensured load balancer"]);
    assert_eq!(ingress(&world, "web"), json!([{"ip": "172.30.0.200", "ipMode": "VIP"}]));
    assert!(world.get::<Service>("shop", "web").unwrap().has_finalizer(FINALIZER));
    let writes = world.writes;
    assert!(drive(&mut world, &mut pool, "web").is_empty());
    assert_eq!(world.writes, writes);

    world.apply(&Change::delete(SERVICES, &*world.get::<Service>("shop", "web").unwrap())).unwrap();
    assert!(world.get::<Service>("shop", "web").unwrap().deleting(), "the finalizer holds it");
    let said = drive(&mut world, &mut pool, "web");
    assert_eq!(said, ["DeletingLoadBalancer: Deleting load balancer", "DeletedLoadBalancer: Deleted load balancer"]);
    assert!(world.get::<Service>("shop", "web").is_none());
    assert_eq!(pool.book.taken(), 0);
}

#[test]
fn an_address_that_is_asked_for_is_given_or_refused_with_the_cure() {
    let mut world = World::default();
    let mut pool = pool("78.11.24.0/24");
    world.put(SERVICES, service("first", json!({"loadBalancerIP": "78.11.24.19"})));
    drive(&mut world, &mut pool, "first");
    assert_eq!(ingress(&world, "first")[0]["ip"], "78.11.24.19");

    world.put(SERVICES, service("second", json!({"loadBalancerIP": "78.11.24.19"})));
    let said = drive(&mut world, &mut pool, "second");
    let in_use = "78.11.24.19 is taken by shop/first: choose another address, ask for none, or let both share it with the annotation portolan.dev/allow-shared-ip";
    assert_eq!(said, [format!("AddressInUse: {in_use}")]);
    assert_eq!(says(&world, "second"), format!("False AddressInUse: {in_use}"));
    assert!(drive(&mut world, &mut pool, "second").is_empty(), "it is told once");
    world.put(SERVICES, service("third", json!({"loadBalancerIP": "9.9.9.9"})));
    let said = drive(&mut world, &mut pool, "third");
    assert_eq!(
        said,
        [
            "AddressNotInPool: 9.9.9.9 is not in the pool default: choose an address of a pool that is for this Service, or ask for none"
        ]
    );
    world.put(SERVICES, service("fourth", json!({"loadBalancerIP": "9.9.9"})));
    let said = drive(&mut world, &mut pool, "fourth");
    assert_eq!(said, ["InvalidRequest: spec.loadBalancerIP says \"9.9.9\", which is no address: mend or remove it"]);
    assert_eq!(ingress(&world, "third"), Value::Null);

    // Another address is asked for: the old one is free afterwards.
    world.edit(SERVICES, &Key::new("shop", "first"), |s| s["spec"]["loadBalancerIP"] = json!("78.11.24.20"));
    drive(&mut world, &mut pool, "first");
    drive(&mut world, &mut pool, "second");
    assert_eq!(
        (&ingress(&world, "first")[0]["ip"], &ingress(&world, "second")[0]["ip"]),
        (&json!("78.11.24.20"), &json!("78.11.24.19"))
    );
}

#[test]
fn a_pool_that_is_not_there_and_a_family_that_is_not_the_services_are_told_and_mended() {
    let (mut world, mut pools) = (World::default(), pool("172.30.0.200-172.30.0.201"));
    let mut web = service("web", json!({}));
    web["metadata"]["annotations"] = json!({"portolan.dev/address-pool": "office"});
    world.put(SERVICES, web);
    drive(&mut world, &mut pools, "web");
    let said = says(&world, "web");
    assert!(said.starts_with("False NoPool: ") && said.contains("office") && said.contains("add a pool"), "{said}");
    pools.choose("pools: [{name: office, addresses: [172.30.1.1], autoAssign: false}]");
    drive(&mut world, &mut pools, "web");
    assert_eq!(ingress(&world, "web")[0]["ip"], "172.30.1.1");

    world.put(SERVICES, service("six", json!({"ipFamilies": ["IPv6"], "loadBalancerIP": "172.30.1.1"})));
    drive(&mut world, &mut pools, "six");
    let said = says(&world, "six");
    assert!(said.starts_with("False WrongFamily: 172.30.1.1"), "{said}");
    // The only pool left gives nothing by itself.
    world.put(SERVICES, service("other", json!({})));
    drive(&mut world, &mut pools, "other");
    assert!(says(&world, "other").starts_with("False NoPool: "), "{}", says(&world, "other"));
}

#[test]
fn a_full_pool_is_told_and_waited_for() {
    let (mut world, mut pool) = (World::default(), pool("172.30.0.200"));
    for name in ["a", "b"] {
        world.put(SERVICES, service(name, json!({})));
    }
    drive(&mut world, &mut pool, "a");
    let said = drive(&mut world, &mut pool, "b");
    assert!(
        said[0].starts_with("PoolExhausted: all 1 IPv4 addresses of the pool default are taken: delete a Service"),
        "{said:?}"
    );
    let waiting = pool.plan(&world, &world.get::<Service>("shop", "b").unwrap());
    assert!(waiting.waits && waiting.changes.is_empty());
    world.edit(SERVICES, &Key::new("shop", "a"), |s| s["spec"]["type"] = json!("ClusterIP"));
    drive(&mut world, &mut pool, "a");
    drive(&mut world, &mut pool, "b");
    assert_eq!(says(&world, "b"), "True Assigned: of the pool default");
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let rows = [
        service("classed", json!({"loadBalancerClass": "example.com/other"})),
        service("plain", json!({"type": "ClusterIP"})),
        service("node-port", json!({"type": "NodePort"})),
    ];
    for value in rows {
        let service: Service = serde_json::from_value(value).unwrap();
        assert_eq!(pool("10.0.0.0/24").plan(&World::default(), &service), Plan::default());
    }
    let unclassed: Service = serde_json::from_value(service("web", json!({}))).unwrap();
    let mut pools = pool("10.0.0.0/24");
    pools.choose("{default: false, pools: [{name: a, addresses: [10.0.0.0/24]}]}");
    assert_eq!(pools.plan(&World::default(), &unclassed), Plan::default());
    let ours = service("ours", json!({"loadBalancerClass": CLASS}));
    let ours: Service = serde_json::from_value(ours).unwrap();
    assert_eq!(pools.plan(&World::default(), &ours).keep, Some(vec!["10.0.0.0".parse().unwrap()]));
}

#[test]
fn where_nothing_was_chosen_it_is_said_and_nothing_is_touched() {
    let mut nothing = Pools { settings: None, book: Book::new(Vec::new()) };
    let mut world = World::default();
    world.put(SERVICES, service("web", json!({})));
    let said = drive(&mut world, &mut nothing, "web");
    assert!(
        said[0]
            .starts_with("NoController: nobody gives addresses to load balancers in this cluster: make the ConfigMap"),
        "{said:?}"
    );
    let mut foreign = service("foreign", json!({}));
    foreign["metadata"]["finalizers"] = json!([FINALIZER]);
    foreign["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let foreign: Service = serde_json::from_value(foreign).unwrap();
    assert_eq!(nothing.plan(&world, &foreign), Plan::default(), "the finalizer is another's");
    // It is chosen after all.
    nothing.choose("pools: [{name: a, addresses: [10.0.0.0/24]}]");
    drive(&mut world, &mut nothing, "web");
    assert_eq!(says(&world, "web"), "True Assigned: of the pool a");
}

#[test]
fn annotations_say_what_is_wanted_those_of_others_too() {
    let rows = [
        (json!({"portolan.dev/load-balancer-ips": "10.1.0.9"}), "10.1.0.9"),
        (json!({"metallb.io/loadBalancerIPs": "10.0.0.7"}), "10.0.0.7"),
        (json!({"metallb.universe.tf/loadBalancerIPs": "10.0.0.8"}), "10.0.0.8"),
        (json!({"kube-vip.io/loadbalancerIPs": "10.0.0.6"}), "10.0.0.6"),
        (json!({"portolan.dev/address-pool": "b"}), "10.1.0.0"),
        (json!({"metallb.io/address-pool": "b", "portolan.dev/address-pool": ""}), "10.1.0.0"),
        (json!({}), "10.0.0.0"),
    ];
    for (annotations, wanted) in rows {
        let (mut world, mut pools) = (World::default(), pool("10.0.0.0"));
        pools.choose(
            "pools: [{name: a, addresses: [10.0.0.0/24]}, {name: b, addresses: [10.1.0.0/24], autoAssign: false}]",
        );
        let mut value = service("web", json!({}));
        value["metadata"]["annotations"] = annotations.clone();
        world.put(SERVICES, value);
        drive(&mut world, &mut pools, "web");
        assert_eq!(ingress(&world, "web")[0]["ip"], wanted, "{annotations}");
    }
}

#[test]
fn two_services_share_an_address_under_a_key() {
    let (mut world, mut pools) = (World::default(), pool("10.0.0.0/24"));
    for (name, port, key) in [("web", 80, "k"), ("tls", 443, "k"), ("clash", 443, "k"), ("alone", 25, "")] {
        let mut value = service(name, json!({"ports": [{"port": port, "protocol": "TCP"}]}));
        value["metadata"]["annotations"] = json!({"metallb.universe.tf/allow-shared-ip": key});
        world.put(SERVICES, value);
        drive(&mut world, &mut pools, name);
    }
    let shown = ["web", "tls", "clash", "alone"].map(|name| ingress(&world, name)[0]["ip"].clone());
    assert_eq!(shown, ["10.0.0.0", "10.0.0.0", "10.0.0.1", "10.0.0.2"].map(Value::from));
    pools.forget(&world);
    for name in ["clash", "alone", "tls", "web"] {
        assert!(drive(&mut world, &mut pools, name).is_empty(), "a restart changes nothing");
    }
}

#[test]
fn other_pools_move_nothing_until_it_is_asked_for() {
    let (mut world, mut pools) = (World::default(), pool("10.0.0.0/24"));
    world.put(SERVICES, service("web", json!({})));
    drive(&mut world, &mut pools, "web");
    pools.choose("pools: [{name: new, addresses: [10.9.0.0/24]}]");
    let said = drive(&mut world, &mut pools, "web");
    let keeps = "it keeps an address that is in no pool any more: add it to one, or ask for another";
    assert_eq!(said, [format!("AddressNotInPool: {keeps}")]);
    assert_eq!(says(&world, "web"), format!("True AddressNotInPool: {keeps}"));
    pools.forget(&world);
    assert!(drive(&mut world, &mut pools, "web").is_empty());
    assert_eq!(ingress(&world, "web")[0]["ip"], "10.0.0.0");
    world.edit(SERVICES, &Key::new("shop", "web"), |s| {
        s["metadata"]["annotations"] = json!({"portolan.dev/address-pool": "new"});
    });
    drive(&mut world, &mut pools, "web");
    assert_eq!(ingress(&world, "web")[0]["ip"], "10.9.0.0");
    assert_eq!(pools.book.taken(), 1);
}

#[test]
fn another_type_gives_the_address_back() {
    let (mut world, mut pool) = (World::default(), pool("10.0.0.0/24"));
    world.put(SERVICES, service("web", json!({})));
    drive(&mut world, &mut pool, "web");
    world.edit(SERVICES, &Key::new("shop", "web"), |s| s["spec"]["type"] = json!("ClusterIP"));
    drive(&mut world, &mut pool, "web");
    let service = world.get::<Service>("shop", "web").unwrap();
    assert!(!service.has_finalizer(FINALIZER) && shown(&service).is_empty());
    assert_eq!(pool.book.taken(), 0);
}

#[test]
fn both_families_and_a_pool_of_one() {
    let dual = json!({"ipFamilies": ["IPv4", "IPv6"]});
    for (text, wanted) in [("10.0.0.1,fd00::1", 2), ("10.0.0.1", 1)] {
        let (mut world, mut pool) = (World::default(), pool(text));
        world.put(SERVICES, service("web", dual.clone()));
        drive(&mut world, &mut pool, "web");
        assert_eq!(ingress(&world, "web").as_array().unwrap().len(), wanted);
    }
}

#[test]
fn after_a_restart_everyone_keeps_what_is_shown_and_the_older_wins() {
    let mut world = World::default();
    for (name, address, created) in [
        ("old", "10.0.0.5", "2026-01-01T00:00:00Z"),
        ("clash", "10.0.0.5", "2026-01-02T00:00:00Z"),
        ("gone", "9.9.9.9", "2026-01-01T00:00:00Z"),
    ] {
        let mut value = service(name, json!({}));
        value["metadata"]["creationTimestamp"] = json!(created);
        value["status"] = json!({"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}});
        world.put(SERVICES, value);
    }
    world.put(SERVICES, service("a-new-one", json!({})));
    let mut pool = pool("10.0.0.5-10.0.0.9");
    pool.forget(&world);
    for name in ["a-new-one", "clash", "gone", "old"] {
        drive(&mut world, &mut pool, name);
    }
    let shown: BTreeMap<String, String> =
        world.all::<Service>().iter().map(|s| (s.name().to_owned(), shown(s)[0].to_string())).collect();
    let wanted = [("a-new-one", "10.0.0.6"), ("clash", "10.0.0.7"), ("gone", "9.9.9.9"), ("old", "10.0.0.5")];
    assert_eq!(shown, wanted.map(|(name, address)| (name.to_owned(), address.to_owned())).into());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over any history of Services, restarts included, no two show one address.
    #[test]
    fn no_two_services_show_one_address(steps in prop::collection::vec((0..6_u8, 0..5_u8, 0..6_u8), 1..60)) {
        let mut world = World::default();
        let mut pool = pool("10.0.0.0-10.0.0.3");
        for (what, name, address) in steps {
            let name = format!("s{name}");
            let key = Key::new("shop", &name);
            let exists = world.document(SERVICES, "shop", &name).is_some();
            match what {
                0 if !exists => { world.put(SERVICES, service(&name, json!({}))); }
                1 if exists => world.edit(SERVICES, &key, |s| s["spec"]["loadBalancerIP"] = json!(format!("10.0.0.{address}"))),
                2 if exists => { world.apply(&Change::delete(SERVICES, &*world.get::<Service>("shop", &name).unwrap())).unwrap(); }
                3 if exists => world.edit(SERVICES, &key, |s| s["spec"]["type"] = json!(["ClusterIP", "LoadBalancer"][usize::from(address % 2)])),
                4 => pool.forget(&world),
                _ => { drive(&mut world, &mut pool, &name); }
            }
            let mut seen: BTreeMap<IpAddr, String> = BTreeMap::new();
            for service in world.all::<Service>() {
                for address in shown(&service) {
                    prop_assert!(seen.insert(address, service.name().to_owned()).is_none(), "{address} twice");
                }
            }
        }
    }
}

/// A lease of a node that announces.
fn lease(which: &str, node: &str, annotation: (&str, &str)) -> crate::objects::Lease {
    let name = ::loadbalancer::report::name(which, node);
    let (key, value) = annotation;
    let labels = json!({::loadbalancer::report::LABEL: which});
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels, "annotations": {key: value}}})).unwrap()
}

#[test]
fn ready_is_what_another_node_has_seen() {
    use ::loadbalancer::report::{ANNOTATION, EPOCH, LIFE, REPORT};
    let address: IpAddr = "10.0.0.7".parse().unwrap();
    let mut nodes = ready::Nodes::default();
    let says = |nodes: &ready::Nodes, only: Option<&[&str]>| {
        let only = only.map(|only| only.iter().map(|node| (*node).to_owned()).collect());
        let said = nodes.said(&[address], only.as_ref());
        format!("{} {}: {}", said.status, said.reason, said.message)
    };
    let life = |node: &str, epoch: &str| lease(LIFE, node, (EPOCH, epoch));
    let report = |node: &str, epoch: &str, held: Value, seen: Value| {
        let interfaces = json!({"eth0": format!("02:{node}")});
        let report = json!({"epoch": epoch, "interfaces": interfaces, "held": held, "seen": seen});
        lease(REPORT, node, (ANNOTATION, &report.to_string()))
    };
    let holds = json!({"10.0.0.7": "2026-01-01T00:00:00Z"});
    assert!(
        says(&nodes, None).starts_with("False NoNodeCanAnnounce: no node announces 10.0.0.7: run the nodes' agents")
    );
    assert!(nodes.set(&life("a", "a1")));
    assert!(!nodes.set(&life("a", "a1")), "a renewal is no news");
    assert_eq!(says(&nodes, None), "False NotAnnounced: no node has taken 10.0.0.7 yet");
    assert!(
        says(&nodes, Some(&["b"]))
            .starts_with("False NoNodeCanAnnounce: externalTrafficPolicy is Local and b has ready")
    );
    assert!(says(&nodes, Some(&[])).contains("Local and no node has ready endpoints"));
    assert!(nodes.set(&report("a", "a1", holds.clone(), json!({}))));
    assert!(says(&nodes, None).starts_with("Unknown NoOtherNode: a answers for 10.0.0.7"));
    nodes.set(&life("b", "b1"));
    nodes.set(&report("b", "b1", json!({}), json!({})));
    assert!(says(&nodes, None).starts_with("False NotSeen: "));
    nodes.set(&report("b", "b1", json!({}), json!({"10.0.0.7": "02:z"})));
    assert!(
        says(&nodes, None).starts_with("False WrongAnswer: 10.0.0.7 is a's, but another machine answers for it (02:z)")
    );
    nodes.set(&report("b", "b1", json!({}), json!({"10.0.0.7": "02:a"})));
    assert_eq!(says(&nodes, None), "True Answers: 10.0.0.7 answers on a (02:a)");
    assert!(nodes.set(&life("a", "")), "its epoch was ended");
    assert_eq!(says(&nodes, None), "False NotAnnounced: no node has taken 10.0.0.7 yet");
    assert!(nodes.remove(&life("b", "b1")));
    assert!(says(&nodes, None).starts_with("False NoNodeCanAnnounce: no node announces"));
}

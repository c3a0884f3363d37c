use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::plan::*;
use super::*;
use crate::change::SERVICES;
use crate::world::World;

fn service(name: &str, spec: Value) -> Value {
    let mut value = json!({
        "metadata": {"namespace": "shop", "name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"]}});
    for (field, content) in spec.as_object().unwrap() {
        value["spec"][field] = content.clone();
    }
    value
}

fn pool(text: &str) -> Option<Allocator<Key>> {
    Some(Allocator::new(text.parse().unwrap()))
}

/// What the runner does, without a network; tells what was said.
fn drive(world: &mut World, allocator: &mut Option<Allocator<Key>>, name: &str) -> Vec<String> {
    let key = Key::new("shop", name);
    let Some(service) = world.get::<Service>("shop", name) else {
        allocator.as_mut().map(|allocator| allocator.release(&key, &[]));
        return Vec::new();
    };
    let plan = plan(&service, allocator.as_mut());
    world.apply_all(&plan.changes);
    if let Some(keep) = plan.keep {
        allocator.as_mut().map(|allocator| allocator.release(&key, &keep));
    }
    plan.before.into_iter().chain(plan.after).map(|note| format!("{}: {}", note.reason, note.message)).collect()
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
    assert_eq!(pool.unwrap().taken(), 0);
}

use crate::change::Change;

#[test]
fn an_address_that_is_asked_for_is_given_or_refused_with_the_cure() {
    let mut world = World::default();
    let mut pool = pool("78.11.24.0/24");
    world.put(SERVICES, service("first", json!({"loadBalancerIP": "78.11.24.19"})));
    drive(&mut world, &mut pool, "first");
    assert_eq!(ingress(&world, "first")[0]["ip"], "78.11.24.19");

    let refused = |why: &str| {
        format!("SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: {why}")
    };
    world.put(SERVICES, service("second", json!({"loadBalancerIP": "78.11.24.19"})));
    let said = drive(&mut world, &mut pool, "second");
    assert_eq!(
        said[1],
        refused("78.11.24.19 is taken by shop/first: choose another address, or leave spec.loadBalancerIP empty")
    );
    world.put(SERVICES, service("third", json!({"loadBalancerIP": "9.9.9.9"})));
    let said = drive(&mut world, &mut pool, "third");
    assert_eq!(
        said[1],
        refused(
            "9.9.9.9 is not in the pool 78.11.24.0-78.11.24.255: choose an address of the pool, or leave spec.loadBalancerIP empty"
        )
    );
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
fn a_full_pool_is_told_and_waited_for() {
    let (mut world, mut pool) = (World::default(), pool("172.30.0.200"));
    for name in ["a", "b"] {
        world.put(SERVICES, service(name, json!({})));
    }
    drive(&mut world, &mut pool, "a");
    let said = drive(&mut world, &mut pool, "b");
    assert!(said[1].contains("all 1 addresses of the pool 172.30.0.200 are taken: delete a Service"), "{said:?}");
    let waiting = plan(&world.get::<Service>("shop", "b").unwrap(), pool.as_mut());
    assert!(waiting.waits && waiting.changes.is_empty());
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
        assert_eq!(plan(&service, pool("10.0.0.0/24").as_mut()), Plan::default());
    }
    let unpooled: Service = serde_json::from_value(service("web", json!({}))).unwrap();
    let told = plan(&unpooled, None);
    assert!(told.changes.is_empty() && told.after.is_some_and(|note| note.message.contains("--load-balancer-pool")));
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
    assert_eq!(pool.unwrap().taken(), 0);
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
    let mut pool = Some(known("10.0.0.5-10.0.0.9".parse().unwrap(), &world.all::<Service>()));
    for name in ["a-new-one", "clash", "gone", "old"] {
        drive(&mut world, &mut pool, name);
    }
    let shown: BTreeMap<String, String> =
        world.all::<Service>().iter().map(|s| (s.name().to_owned(), shown(s)[0].to_string())).collect();
    let wanted = [("a-new-one", "10.0.0.6"), ("clash", "10.0.0.7"), ("gone", "10.0.0.8"), ("old", "10.0.0.5")];
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
                4 => pool = Some(known("10.0.0.0-10.0.0.3".parse().unwrap(), &world.all::<Service>())),
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

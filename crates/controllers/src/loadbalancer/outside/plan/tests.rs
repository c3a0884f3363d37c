use super::*;
use crate::loadbalancer::outside::Ingress;
use crate::world::World;

const CLASS: &str = "example.com/one";

fn settings() -> Settings {
    Settings::parse("providers: [{class: example.com/one, url: 'https://192.0.2.9'}]").unwrap()
}

fn service(metadata: Value, spec: Value) -> Service {
    let mut value = json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "u-1", "resourceVersion": "7", "generation": 3},
        "spec": {"type": "LoadBalancer", "loadBalancerClass": CLASS, "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]},
    });
    for (part, more) in [("metadata", metadata), ("spec", spec)] {
        for (field, content) in more.as_object().unwrap() {
            value[part][field] = content.clone();
        }
    }
    serde_json::from_value(value).unwrap()
}

#[test]
fn what_a_service_is_to_providers_follows_from_its_class_and_what_was_noted() {
    let (none, noted) = (json!({}), json!({"annotations": {PROVIDER: CLASS}}));
    let other = json!({"loadBalancerClass": "example.com/other"});
    let no_balancer = json!({"type": "ClusterIP", "loadBalancerClass": null});
    let deleted = json!({"annotations": {PROVIDER: CLASS}, "deletionTimestamp": "2026-01-01T00:00:00Z"});
    let class = || CLASS.to_owned();
    let rows = [
        (&none, &none, Role::New(class())),
        (&noted, &none, Role::Kept(class())),
        (&none, &other, Role::None),
        (&none, &no_balancer, Role::None),
        (&noted, &no_balancer, Role::Leaving(class())),
        (&deleted, &none, Role::Leaving(class())),
    ];
    for (metadata, spec, wanted) in rows {
        assert_eq!(role(&service(metadata.clone(), spec.clone()), Some(&settings())), wanted, "{metadata} {spec}");
    }
    // One that is not chosen any more keeps what it has made, and takes nothing new.
    assert_eq!(role(&service(noted, none.clone()), None), Role::Kept(class()));
    assert_eq!(role(&service(none.clone(), none), None), Role::None);
}

#[test]
fn a_provider_is_told_all_that_it_needs_and_a_service_without_node_ports_nothing() {
    let mut world = World::default();
    for (name, ready, labels) in [
        ("b", "True", json!({})),
        ("a", "True", json!({})),
        ("c", "False", json!({})),
        ("d", "True", json!({EXCLUDED: ""})),
    ] {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "status": {"conditions": [{"type": "Ready", "status": ready}],
                "addresses": [{"type": "InternalIP", "address": format!("10.0.0.{}", name.as_bytes()[0])}, {"type": "Hostname", "address": name}]},
        });
        world.put(crate::change::NODES, node);
    }
    let nodes = usable(&world.all::<objects::Node>());
    let node = |name: &str, address: &str| Node { name: name.to_owned(), addresses: vec![address.to_owned()] };
    assert_eq!(nodes, [node("a", "10.0.0.97"), node("b", "10.0.0.98")]);

    let spec = json!({"loadBalancerSourceRanges": ["10.0.0.0/8"], "sessionAffinity": "ClientIP", "healthCheckNodePort": 31000, "loadBalancerIP": "192.0.2.7"});
    let told = serde_json::to_value(balancer(&service(json!({}), spec), nodes).unwrap()).unwrap();
    let wanted = json!({
        "id": "u-1", "service": "shop/web", "clientAffinity": true, "address": "192.0.2.7", "sourceRanges": ["10.0.0.0/8"],
        "ports": [{"name": "", "protocol": "TCP", "port": 80, "nodePort": 30080}],
        "nodes": [{"name": "a", "addresses": ["10.0.0.97"]}, {"name": "b", "addresses": ["10.0.0.98"]}],
        "healthCheck": {"port": 31000, "path": "/healthz"},
    });
    assert_eq!(told, wanted);
    let without = service(json!({}), json!({"ports": [{"port": 80, "protocol": "TCP"}]}));
    assert!(balancer(&without, Vec::new()).unwrap_err().contains("node port"));
}

#[test]
fn what_was_answered_is_shown_once_and_what_was_shown_stays() {
    let mut world = World::default();
    world.put(SERVICES, crate::change::document(&service(json!({}), json!({}))));
    let step = |world: &mut World, answer: &Result<Standing, ProviderError>| {
        let service = world.get::<Service>("shop", "web").unwrap();
        let (change, note) = answered(&service, CLASS, answer, world.now);
        world.apply_all(&change.into_iter().collect::<Vec<_>>());
        let service = world.get::<Service>("shop", "web").unwrap();
        let held = condition::held(&service, PROVIDED).unwrap();
        (held.reason.clone(), json!(ingress(&service)), note.map(|note| note.reason))
    };
    let shown = json!([{"ip": "192.0.2.7", "ipMode": "Proxy"}, {"hostname": "lb.example.com"}]);
    let first = Ingress { ip: Some("192.0.2.7".to_owned()), hostname: None };
    let second = Ingress { ip: None, hostname: Some("lb.example.com".to_owned()) };
    let pending = Ok(Standing { state: State::Pending, ingress: Vec::new(), message: None });
    let ready = Ok(Standing { state: State::Ready, ingress: vec![first, second], message: None });
    let away = Err(ProviderError::Unavailable { what: "nobody there".to_owned(), after: None });
    let refused = Err(ProviderError::Refused("too many".to_owned()));
    let rows = [
        (&pending, "Pending", &json!([]), Some("EnsuringLoadBalancer")),
        (&pending, "Pending", &json!([]), None),
        (&ready, "Provided", &shown, Some("EnsuredLoadBalancer")),
        (&ready, "Provided", &shown, None),
        (&away, "Unavailable", &shown, Some("SyncLoadBalancerFailed")),
        (&away, "Unavailable", &shown, None),
        (&refused, "Refused", &shown, Some("SyncLoadBalancerFailed")),
        (&pending, "Pending", &shown, Some("EnsuringLoadBalancer")),
    ];
    for (answer, reason, shown, note) in rows {
        assert_eq!(step(&mut world, answer), (reason.to_owned(), shown.clone(), note), "{answer:?}");
    }
}

#[test]
fn who_is_let_go_keeps_nothing_of_it() {
    let mut world = World::default();
    let noted = json!({"finalizers": ["example.com/other"]});
    world.put(SERVICES, crate::change::document(&service(noted, json!({}))));
    let get = |world: &World| world.get::<Service>("shop", "web").unwrap();
    world.apply_all(&[take_over(&get(&world), CLASS)]);
    let service = get(&world);
    assert!(service.has_finalizer(FINALIZER) && role(&service, None) == Role::Kept(CLASS.to_owned()));
    let ingress = vec![Ingress { ip: Some("192.0.2.7".to_owned()), hostname: None }];
    let ready = Ok(Standing { state: State::Ready, ingress, message: None });
    let change = answered(&service, CLASS, &ready, world.now).0.unwrap();
    world.apply_all(&[change]);
    let mut steps = 0;
    while let Some(change) = let_go(&get(&world)) {
        world.apply_all(&[change]);
        steps += 1;
    }
    let service = get(&world);
    assert_eq!(steps, 2);
    assert_eq!(service.metadata.finalizers, Some(vec!["example.com/other".to_owned()]));
    assert!(super::ingress(&service).is_empty() && condition::held(&service, PROVIDED).is_none());
    assert!(service.metadata.annotations.as_ref().is_none_or(|annotations| annotations.is_empty()));
}

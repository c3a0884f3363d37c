use serde_json::{Value, json};

use super::plan::*;
use crate::change::NODES;
use crate::objects::{Meta, Node};
use crate::world::World;

fn drive(world: &mut World, parts: &mut Parts, name: &str) -> Value {
    let node = world.get::<Node>("", name).unwrap();
    match plan(&node, parts) {
        None => {}
        Some(Ok(change)) => {
            world.apply(&change).unwrap();
        }
        Some(Err(note)) => return json!(note.reason),
    }
    world.document(NODES, "", name).unwrap()["spec"]["podCIDR"].clone()
}

#[test]
fn every_node_gets_the_first_free_part() {
    let mut world = World::default();
    for name in ["a", "b", "c", "d", "e"] {
        world.put(NODES, json!({"metadata": {"name": name}}));
    }
    world.put(
        NODES,
        json!({"metadata": {"name": "b"}, "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]}}),
    );
    let mut parts = Parts::new("10.244.0.0/22".parse().unwrap(), 24);
    for node in world.all::<Node>() {
        parts.claim(node.name(), &ranges(&node));
    }
    assert_eq!(drive(&mut world, &mut parts, "a"), "10.244.1.0/24");
    assert_eq!(drive(&mut world, &mut parts, "b"), "10.244.0.0/24");
    assert_eq!(drive(&mut world, &mut parts, "c"), "10.244.2.0/24");
    assert_eq!(drive(&mut world, &mut parts, "a"), "10.244.1.0/24");
    assert_eq!(drive(&mut world, &mut parts, "d"), "10.244.3.0/24");
    assert_eq!(drive(&mut world, &mut parts, "e"), "CIDRNotAvailable");
    parts.release("a");
    assert_eq!(drive(&mut world, &mut parts, "e"), "10.244.1.0/24");
}

#[test]
fn six_has_parts_too_and_strange_ranges_do_no_harm() {
    let mut parts = Parts::new("fd00:10::/48".parse().unwrap(), 64);
    parts.claim("x", &["10.0.0.0/8".parse().unwrap(), "fd00:10::/64".parse().unwrap(), "fd00::/16".parse().unwrap()]);
    assert_eq!(parts.allocate("y"), None, "the whole range is taken by a larger one");
    parts.release("x");
    parts.claim("x", &["fd00:10::/64".parse().unwrap()]);
    assert_eq!(parts.allocate("y").unwrap().to_string(), "fd00:10:0:1::/64");
}

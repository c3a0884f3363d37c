use super::*;

fn node(node_ports: NodePorts) -> model::Node {
    let own =
        OwnNode { addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()], ..OwnNode::default() };
    model_node(&Config { node_ports, ..Config::new("here".to_owned()) }, &own, &[])
}

fn ranges(node: &model::Node) -> Vec<String> {
    node.node_port_addresses.iter().map(ToString::to_string).collect()
}

fn in_ranges(ranges: &[&str]) -> NodePorts {
    NodePorts { primary: false, ranges: ranges.iter().map(|range| range.parse().unwrap()).collect() }
}

#[test]
fn node_ports_answer_at_the_nodes_own_addresses_unless_told_otherwise() {
    assert_eq!(ranges(&node(NodePorts::primary())), ["192.0.2.7/32", "2001:db8::7/128"]);
    assert_eq!(ranges(&node(in_ranges(&["192.0.2.0/24", "2001:db8::/64"]))), ["192.0.2.0/24", "2001:db8::/64"]);
    assert_eq!(
        ranges(&node(in_ranges(&["192.0.2.0/24"]))),
        ["192.0.2.0/24", "::/0"],
        "a family without a range has all"
    );
    assert_eq!(ranges(&node(in_ranges(&[]))), ["0.0.0.0/0", "::/0"]);
}

#[test]
fn an_address_that_was_chosen_takes_the_place_of_the_objects() {
    let own = OwnNode { addresses: vec!["192.0.2.7".parse().unwrap()], ..OwnNode::default() };
    let config = Config { address: Some("192.0.2.99".parse().unwrap()), ..Config::new("here".to_owned()) };
    assert_eq!(model_node(&config, &own, &[]).addresses, ["192.0.2.99".parse::<IpAddr>().unwrap()]);
}

#[test]
fn families_are_those_of_the_addresses() {
    assert_eq!(families(&["192.0.2.7".parse().unwrap()]), [Family::V4]);
    assert_eq!(families(&["2001:db8::7".parse().unwrap()]), [Family::V6]);
}

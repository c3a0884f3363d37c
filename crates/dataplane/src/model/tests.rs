use super::*;

fn name(text: &str) -> NamespacedName {
    NamespacedName::new("default", text)
}

fn service(ip: &str) -> Service {
    Service { cluster_ips: vec![ip.parse().unwrap()], ..Service::default() }
}

fn slice(owner: &str, address: &str) -> EndpointSlice {
    let mut slice = EndpointSlice::new(name(owner));
    slice.endpoints.push(SliceEndpoint::new(address.parse().unwrap()));
    slice
}

fn dirty(model: &mut Model) -> Vec<String> {
    let (ids, _) = model.take_dirty();
    ids.iter().map(|id| model.entry(*id).unwrap().name.to_string()).collect()
}

#[test]
fn only_what_changed_is_dirty() {
    let mut model = Model::new(Node::default());
    model.set_service(name("b"), service("10.96.0.2"));
    model.set_service(name("a"), service("10.96.0.1"));
    assert_eq!(dirty(&mut model), ["default/a", "default/b"]);
    model.set_service(name("a"), service("10.96.0.1"));
    assert!(!model.is_dirty());
    model.set_slice(name("b-1"), slice("b", "10.244.0.1"));
    assert_eq!(dirty(&mut model), ["default/b"]);
    model.set_slice(name("b-1"), slice("b", "10.244.0.1"));
    assert!(dirty(&mut model).is_empty());
    model.remove_slice(&name("b-1"));
    assert_eq!(dirty(&mut model), ["default/b"]);
    model.remove_slice(&name("b-1"));
    model.remove_service(&name("unknown"));
    assert!(!model.is_dirty());
}

#[test]
fn a_slice_that_changes_its_service_concerns_both() {
    let mut model = Model::new(Node::default());
    model.set_slice(name("s"), slice("a", "10.244.0.1"));
    dirty(&mut model);
    model.set_slice(name("s"), slice("b", "10.244.0.1"));
    assert_eq!(dirty(&mut model), ["default/a", "default/b"]);
    assert_eq!(model.known(), (vec![], vec![name("s")]));
}

#[test]
fn numbers_are_used_again_only_after_release() {
    let mut model = Model::new(Node::default());
    model.set_service(name("a"), service("10.96.0.1"));
    let (ids, node_changed) = model.take_dirty();
    assert!(node_changed);
    model.remove_service(&name("a"));
    model.set_service(name("b"), service("10.96.0.2"));
    assert_eq!(model.entries.len(), 2);
    model.release(&ids);
    model.set_service(name("c"), service("10.96.0.3"));
    assert_eq!((model.entries.len(), model.service_count()), (2, 2));
    assert!(!model.has_service(&name("a")) && model.has_service(&name("c")));
}

#[test]
fn a_service_that_comes_back_before_release_is_kept() {
    let mut model = Model::new(Node::default());
    model.set_service(name("a"), service("10.96.0.1"));
    model.remove_service(&name("a"));
    let (ids, _) = model.take_dirty();
    model.set_service(name("a"), service("10.96.0.1"));
    model.release(&ids);
    assert_eq!(dirty(&mut model), ["default/a"]);
}

#[test]
fn names_of_nodes_that_went_are_forgotten() {
    let mut model = Model::new(Node::default());
    for n in 0..5000 {
        let mut slice = slice("a", "10.244.0.1");
        slice.endpoints[0].node = Some(format!("node-{n}").into());
        model.set_slice(name("s"), slice);
    }
    assert!(model.names.len() <= 513, "{} names are kept for one endpoint", model.names.len());
}

#[test]
fn a_node_is_dirty_only_when_it_changed() {
    let mut model = Model::new(Node::default());
    model.take_dirty();
    model.set_node(Node::default());
    assert!(!model.is_dirty());
    model.set_node(Node { zone: Some("a".into()), ..Node::default() });
    assert!(model.is_dirty());
}

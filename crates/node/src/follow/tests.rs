use super::*;
use crate::views::Node;

fn node(name: &str) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(name.to_owned());
    node
}

fn told(known: &mut Known, events: Vec<Event<Node>>) -> Vec<String> {
    events
        .into_iter()
        .flat_map(|e| known.changes(e))
        .map(|c| match c {
            Change::Set(n) => format!("set {}", n.metadata.name.unwrap_or_default()),
            Change::Gone((_, name)) => format!("gone {name}"),
            Change::Synced => "synced".to_owned(),
        })
        .collect()
}

#[test]
fn a_list_after_a_lost_watch_tells_what_went_meanwhile() {
    let mut known = Known::default();
    let first = vec![Event::Init, Event::InitApply(node("a")), Event::InitApply(node("b")), Event::InitDone];
    assert_eq!(told(&mut known, first), ["set a", "set b", "synced"]);
    assert_eq!(told(&mut known, vec![Event::Apply(node("c"))]), ["set c"]);
    let second = vec![Event::Init, Event::InitApply(node("b")), Event::InitApply(node("d")), Event::InitDone];
    assert_eq!(told(&mut known, second), ["set b", "set d", "gone a", "gone c", "synced"]);
}

#[test]
fn a_deleted_object_is_gone_once() {
    let mut known = Known::default();
    told(&mut known, vec![Event::Init, Event::InitApply(node("a")), Event::InitDone]);
    assert_eq!(told(&mut known, vec![Event::Delete(node("a"))]), ["gone a"]);
    assert_eq!(told(&mut known, vec![Event::Init, Event::InitDone]), ["synced"]);
}

#[test]
fn a_list_that_breaks_off_forgets_nothing() {
    let mut known = Known::default();
    told(&mut known, vec![Event::Init, Event::InitApply(node("a")), Event::InitApply(node("b")), Event::InitDone]);
    // The list breaks off after `a` and begins again.
    assert_eq!(told(&mut known, vec![Event::Init, Event::InitApply(node("a")), Event::Init]), ["set a"]);
    assert_eq!(told(&mut known, vec![Event::InitApply(node("b")), Event::InitDone]), ["set b", "gone a", "synced"]);
}

use dataplane::NamespacedName;

use super::*;

fn problem(service: &str, reason: Reason, message: &str) -> Problem {
    Problem { service: NamespacedName::new("shop", service), reason, message: message.to_owned() }
}

#[test]
fn each_problem_is_told_once_until_it_changes() {
    let mut told = BTreeSet::new();
    let one = problem("a", Reason::InvalidPort, "0 is no port");
    let two = problem("b", Reason::InvalidPort, "0 is no port");
    let standing: BTreeSet<Problem> = [one.clone(), two.clone()].into();
    for expected in [&one, &two] {
        let found = next(&mut told, &standing).unwrap();
        assert_eq!(&found, expected);
        told.insert(found);
    }
    assert_eq!(next(&mut told, &standing), None);
    // It says something else now.
    let other = problem("a", Reason::InvalidPort, "0 is no port (and 1 more)");
    let changed: BTreeSet<Problem> = [other.clone(), two.clone()].into();
    assert_eq!(next(&mut told, &changed), Some(other));
    // It went, and came back.
    assert_eq!(next(&mut told, &[two].into()), None);
    assert_eq!(next(&mut told, &standing), Some(one));
}

#[test]
fn all_nodes_write_one_event_of_an_object_and_each_its_own_of_its_kernel() {
    let now = Timestamp::UNIX_EPOCH;
    let name = |node: &str, problem: &Problem| event(node, problem, "u1".to_owned(), now).metadata.name.unwrap();
    let object = problem("web", Reason::InvalidAddress, "x is no address");
    assert_eq!(name("n1", &object), name("n2", &object));
    assert!(name("n1", &object).starts_with("web."));
    let kernel = problem("web", Reason::RefusedByKernel, "operation 1 refused");
    assert_ne!(name("n1", &kernel), name("n2", &kernel));
    assert_ne!(name("n1", &object), name("n1", &problem("web", Reason::InvalidAddress, "y is no address")));
    let event = event("n1", &kernel, "u1".to_owned(), now);
    assert_eq!(event.message.as_deref(), Some("node n1: operation 1 refused"));
    assert_eq!(event.reason.as_deref(), Some("RefusedByKernel"));
    assert_eq!(event.involved_object.uid.as_deref(), Some("u1"));
}

#[test]
fn a_message_is_cut_between_letters() {
    let long = problem("web", Reason::InvalidAddress, &format!("x{}", "é".repeat(2000)));
    let message = event("n1", &long, String::new(), Timestamp::UNIX_EPOCH).message.unwrap();
    assert_eq!(message.len(), LONGEST - 1);
}

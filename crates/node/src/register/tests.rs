use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ready(conditions: &[NodeCondition]) -> &NodeCondition {
    conditions.iter().find(|c| c.type_ == "Ready").unwrap()
}

#[test]
fn the_time_of_a_transition_is_kept_while_the_status_stays() {
    let first = conditions(&Readiness::Ready, &[], at(100));
    let later = conditions(&Readiness::Ready, &first, at(200));
    assert_eq!(ready(&later).last_transition_time, Some(Time(at(100))));
    assert_eq!(ready(&later).last_heartbeat_time, Some(Time(at(200))));
    let lost = conditions(&Readiness::NotReady("no Pod range".to_owned()), &later, at(300));
    assert_eq!(ready(&lost).last_transition_time, Some(Time(at(300))));
    assert_eq!(ready(&lost).status, "False");
    assert_eq!(ready(&lost).message.as_deref(), Some("no Pod range"));
}

#[test]
fn the_machine_tells_its_memory_and_cores() {
    let resources = resources();
    assert!(resources["memory"].0.ends_with("Ki"), "{resources:?}");
    assert!(resources["cpu"].0.parse::<usize>().unwrap() > 0);
}

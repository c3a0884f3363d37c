use serde_json::json;

use super::*;

#[test]
fn numbers() {
    let faults =
        |spec: Value| Lease.validate(&json!({ "spec": spec })).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(faults(json!({"holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0})).is_empty());
    assert_eq!(
        faults(json!({"leaseDurationSeconds": 0, "leaseTransitions": -1})),
        [
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"
        ]
    );
}

#[test]
fn coordinated_election_is_not_served() {
    let old = json!({"spec": {"strategy": "x"}});
    let mut new = json!({"spec": {"strategy": "x", "preferredHolder": "y"}});
    Lease.prepare_for_update(&mut new, &old);
    assert_eq!(new, old);
    Lease.prepare_for_create(&mut new);
    assert_eq!(new, json!({"spec": {}}));
}

#[test]
fn rows() {
    let object = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
    assert_eq!(Lease.row(&object, 0)[..2], [json!("l"), json!("a")]);
    assert!(Lease.allows_create_on_update() && !Lease.allows_unconditional_update());
}

use serde_json::json;

use super::*;

fn create(object: Value) -> Value {
    let mut object = object;
    Namespace.default(&mut object);
    Namespace.prepare_for_create(&mut object);
    Namespace.canonicalize(&mut object);
    object
}

#[test]
fn what_a_new_one_has() {
    assert_eq!(
        create(
            json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "lie"}}, "status": {"phase": "Terminating"}})
        ),
        json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
    );
    let more = create(json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["a.b/c"]}}));
    assert_eq!(more["spec"]["finalizers"], json!(["a.b/c", "kubernetes"]));
}

#[test]
fn names_and_finalizers() {
    assert_eq!(Namespace.validate_name("a.b", false), ["must not contain dots"]);
    assert!(Namespace.validate_name("web-", true).is_empty());
    let object = json!({"spec": {"finalizers": ["own", "kubernetes", "a.b/c"]}});
    let texts = |faults: Vec<Error>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let detail = "Invalid value: \"own\": name is neither a standard finalizer name nor is it fully qualified";
    assert_eq!(texts(Namespace.validate(&object)), [format!("spec.finalizers: {detail}")]);
    assert_eq!(texts(validate_finalize(&object)), [format!("spec.finalizers[0]: {detail}")]);
}

#[test]
fn who_may_change_what() {
    let old = create(json!({"metadata": {"name": "a"}}));
    let mut new = old.clone();
    new["spec"]["finalizers"] = json!([]);
    new["status"]["phase"] = json!("Terminating");
    let mut by_main = new.clone();
    Namespace.prepare_for_update(&mut by_main, &old);
    assert_eq!(by_main, old);
    let mut by_finalize = new.clone();
    prepare_for_finalize(&mut by_finalize, &old);
    assert_eq!((&by_finalize["spec"]["finalizers"], &by_finalize["status"]), (&json!([]), &old["status"]));
    let mut by_status = new.clone();
    Namespace.prepare_for_status_update(&mut by_status, &old);
    assert_eq!((&by_status["spec"], &by_status["status"]["phase"]), (&old["spec"], &json!("Terminating")));
    let texts = |object: &Value| {
        Namespace.validate_status_update(object, &old).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&by_status),
        ["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"]
    );
    by_status["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(texts(&by_status).is_empty());
    assert_eq!(Namespace.row(&by_status, 0)[1], "Terminating");
    assert_eq!(Namespace.fields(&by_status), [("status.phase", "Terminating".to_owned())]);
}

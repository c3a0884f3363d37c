//! Owners, objects and refusals after applies.

use super::*;

fn applied(change: &Change<'_>, live: Option<&Value>, config: Value) -> Value {
    let applied = apply(change, live, &config, false).expect("applies");
    let mut document = decoded(change, applied.document);
    document["metadata"]["uid"] = json!("u");
    document
}

fn refused(change: &Change<'_>, live: Option<&Value>, config: Value) -> String {
    apply(change, live, &config, false).expect_err("is refused").to_string()
}

fn data(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

fn spec(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec})
}

#[test]
fn an_applier_owns_what_it_applies_and_takes_away_what_it_no_longer_does() {
    let one = applied(&config_map("one"), None, data(json!({"a": "1", "b": "2"})));
    assert_eq!(owners(&one), [("one Apply".to_owned(), json!({"f:data": {"f:a": {}, "f:b": {}}}))]);
    let two = applied(&config_map("two"), Some(&one), data(json!({"b": "2", "c": "3"})));
    assert_eq!(two["data"], json!({"a": "1", "b": "2", "c": "3"}));
    let less = applied(&config_map("one"), Some(&two), data(json!({})));
    assert_eq!(less["data"], json!({"b": "2", "c": "3"}), "b has another owner");
    assert_eq!(owners(&less)[1], ("two Apply".to_owned(), json!({"f:data": {"f:b": {}, "f:c": {}}})));
    let none = applied(
        &config_map("two"),
        Some(&less),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}),
    );
    assert_eq!(none.get("data"), None);
    assert_eq!(owners(&none), [("one Apply".to_owned(), json!({"f:data": {}}))]);
}

#[test]
fn what_others_own_is_changed_by_force_only() {
    let one = applied(&config_map("one"), None, data(json!({"a": "1", "b": "2"})));
    let two = config_map("two");
    let config = data(json!({"a": "x", "b": "y"}));
    let message = "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b";
    assert_eq!(refused(&two, Some(&one), config.clone()), message);
    let Err(ApplyError::Conflict(conflicts)) = apply(&two, Some(&one), &config, false) else { panic!("no conflict") };
    assert_eq!((conflicts[0].message(), conflicts[0].field.as_str()), ("conflict with \"one\"".to_owned(), ".data.a"));
    let forced = apply(&two, Some(&one), &config, true).expect("by force").document;
    assert_eq!(owners(&forced), [("two Apply".to_owned(), json!({"f:data": {"f:a": {}, "f:b": {}}}))]);
    let same = applied(&two, Some(&one), data(json!({"a": "1"})));
    assert_eq!(owners(&same).len(), 2, "to want the same is to share it");
}

#[test]
fn conflicts_name_their_managers() {
    let created = written(
        &service("kubectl-create"),
        None,
        spec(json!({"ports": [{"port": 80, "protocol": "TCP", "name": "a"}], "selector": {"a": "b"}})),
    );
    let change = service("one");
    assert_eq!(
        refused(&change, Some(&created), spec(json!({"selector": {"a": "c"}}))),
        "Apply failed with 1 conflict: conflict with \"kubectl-create\" using v1: .spec.selector"
    );
    let both = refused(&change, Some(&created), spec(json!({"selector": {}, "ports": [{"port": 80, "name": "b"}]})));
    let wanted = "Apply failed with 2 conflicts: conflicts with \"kubectl-create\" using v1:\n- .spec.selector\n- .spec.ports[port=80,protocol=\"TCP\"].name";
    assert_eq!(both, wanted);
    let status = Change { subresource: "status", ..service("lb") };
    let condition = |status: &str| json!([{"type": "A", "status": status, "reason": "r", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let with_status = |status: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "status": {"conditions": condition(status)}});
    let live = applied(&status, Some(&created), with_status("True"));
    let other = Change { subresource: "status", ..service("other") };
    assert_eq!(
        refused(&other, Some(&live), with_status("False")),
        "Apply failed with 1 conflict: conflict with \"lb\" with subresource \"status\": .status.conditions[type=\"A\"].status"
    );
}

#[test]
fn what_is_applied_must_fit_its_kind() {
    let one = service("one");
    let config = |spec: Value| refused(&one, None, self::spec(spec));
    let head = "failed to create typed patch object (/s; /v1, Kind=Service): ";
    let cases = [
        (json!({"nope": 1}), ".spec.nope: field not declared in schema"),
        (json!({"ports": 1}), ".spec.ports: expected list, got &{1}"),
        (json!({"selector": ["a"]}), ".spec.selector: expected map, got &{[a]}"),
        (json!({"type": 1}), ".spec.type: expected string, got &value.valueUnstructured{Value:1}"),
        (json!({"publishNotReadyAddresses": "x"}), ".spec.publishNotReadyAddresses: expected boolean, got &{x}"),
        (json!({"healthCheckNodePort": "x"}), ".spec.healthCheckNodePort: expected numeric (int or float), got string"),
        (
            json!({"ports": [{"port": 80}, {"port": 80}]}),
            ".spec.ports: duplicate entries for key [port=80,protocol=\"TCP\"]",
        ),
        (json!({"ports": [null]}), ".spec.ports: element 0: associative list with keys may not have a null element"),
        (
            json!({"type": 1, "externalIPs": [1]}),
            "errors:\n  .spec.externalIPs[0]: expected string, got &value.valueUnstructured{Value:1}\n  .spec.type: expected string, got &value.valueUnstructured{Value:1}",
        ),
    ];
    for (spec, fault) in cases {
        assert_eq!(config(spec), format!("{head}{fault}"));
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "s"}});
    assert_eq!(refused(&one, None, pod), "invalid object type: /v1, Kind=Pod");
    let managed = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "managedFields": []}});
    assert_eq!(refused(&one, None, managed), "metadata.managedFields must be nil");
}

#[test]
fn lists_take_the_order_that_is_applied_and_keep_what_others_have_in_them() {
    let ports = |numbers: &[i64]| {
        spec(json!({"ports": numbers.iter().map(|p| json!({"port": p, "protocol": "TCP"})).collect::<Value>()}))
    };
    let order = |object: &Value| -> Vec<i64> {
        let ports = object["spec"]["ports"].as_array().cloned().unwrap_or_default();
        ports.iter().filter_map(|p| p["port"].as_i64()).collect()
    };
    let live = applied(&service("one"), None, ports(&[1, 2, 3]));
    let both = applied(&service("two"), Some(&live), ports(&[3, 9, 1]));
    assert_eq!(order(&both), [2, 3, 9, 1]);
    let less = applied(&service("one"), Some(&both), ports(&[2]));
    assert_eq!(order(&less), [2, 3, 9, 1], "two still wants 1 and 3");
    let gone = applied(&service("two"), Some(&less), ports(&[9]));
    assert_eq!(order(&gone), [2, 9]);
}

#[test]
fn what_an_object_had_before_the_first_apply_has_an_owner_then() {
    let unowned =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "uid": "u"}, "data": {"a": "1"}});
    let first = applied(&config_map("one"), Some(&unowned), data(json!({"b": "2"})));
    let before = ("before-first-apply Update".to_owned(), json!({"f:data": {".": {}, "f:a": {}}}));
    assert_eq!(owners(&first), [("one Apply".to_owned(), json!({"f:data": {"f:b": {}}})), before]);
    assert!(refused(&config_map("one"), Some(&unowned), data(json!({"a": "2"}))).contains("before-first-apply"));
}

#[test]
fn kubectl_takes_over_what_it_applied_without_server_side_apply() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let live = |last: &Value| {
        let metadata = json!({"name": "c", "uid": "u", "annotations": {annotation: last.to_string()}});
        let document =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1", "b": "2"}});
        written(&config_map("kubectl-client-side-apply"), None, document)
    };
    let config = data(json!({"a": "x"}));
    let taken = applied(&config_map("kubectl"), Some(&live(&data(json!({"a": "1"})))), config.clone());
    assert_eq!(taken["data"], json!({"a": "x", "b": "2"}));
    let kept: Value =
        serde_json::from_str(taken["metadata"]["annotations"][annotation].as_str().expect("kept")).expect("JSON");
    assert_eq!(kept, config, "the annotation says what was applied last");
    let drifted = live(&data(json!({"a": "0"})));
    assert!(refused(&config_map("kubectl"), Some(&drifted), config.clone()).contains(".data.a"));
    assert!(refused(&config_map("other"), Some(&live(&data(json!({"a": "1"})))), config).contains(".data.a"));
}

#[test]
fn an_apply_that_changes_nothing_keeps_the_time() {
    let one = applied(&config_map("one"), None, data(json!({"a": "1"})));
    let later = Change { now: "2027-01-01T00:00:00Z", ..config_map("one") };
    let again = apply(&later, Some(&one), &data(json!({"a": "1"})), false).expect("applies");
    assert!(!again.changed);
    assert_eq!(again.document["metadata"]["managedFields"], one["metadata"]["managedFields"]);
    let shared =
        apply(&Change { manager: "two", ..later }, Some(&one), &data(json!({"a": "1"})), false).expect("applies");
    assert!(!shared.changed);
    assert_eq!(owners(&shared.document)[0].0, "two Apply", "without a time it comes first");
    assert_eq!(shared.document["metadata"]["managedFields"][0].get("time"), None);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn any_spec() -> impl Strategy<Value = Value> {
        let port =
            (1i64..4, prop::option::of("TCP|UDP"), prop::option::of("a|b")).prop_map(|(port, protocol, name)| {
                // A key that is null names another element than one that is not there.
                let named = [("protocol", protocol), ("name", name)].into_iter().filter_map(|(k, v)| Some((k, v?)));
                let mut element = json!({"port": port});
                named.for_each(|(field, value)| element[field] = value.into());
                element
            });
        let leaf = prop_oneof![
            Just(Value::Null),
            Just(json!({})),
            Just(json!([])),
            Just(json!({"a": "b"})),
            Just(json!("x")),
            Just(json!(5))
        ];
        let value = prop_oneof![proptest::collection::vec(port, 0..4).prop_map(Value::Array), leaf];
        let names =
            prop::sample::select(vec!["ports", "selector", "type", "externalIPs", "sessionAffinityConfig", "nope"]);
        proptest::collection::btree_map(names.prop_map(str::to_owned), value, 0..4)
            .prop_map(|m| spec(Value::Object(m.into_iter().collect())))
    }

    fn any_fields() -> impl Strategy<Value = Value> {
        let names = "f:(spec|ports|a)|k:\\{\"port\":[0-9]\\}|v:\"x\"|i:0|\\.|q:x|k:\\{|x";
        let leaf = prop_oneof![Just(json!({})), Just(json!(null)), Just(json!(1))];
        leaf.prop_recursive(4, 20, 4, move |inner| {
            proptest::collection::btree_map(names, inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect()))
        })
    }

    proptest! {
        #[test]
        fn to_apply_twice_is_to_apply_once(before in any_spec(), config in any_spec()) {
            let live = check(&before, service("x").kind);
            if live.error.is_some() {
                return Ok(());
            }
            let mut live = live.document;
            record_update(&service("x"), None, &mut live);
            live["metadata"]["uid"] = json!("u");
            let Ok(once) = apply(&service("one"), Some(&live), &config, true) else { return Ok(()) };
            let decoded = check(&once.document, service("x").kind);
            if decoded.error.is_none() {
                let twice = apply(&service("one"), Some(&decoded.document), &config, false).expect("its own fields are no conflict");
                let again = check(&twice.document, service("x").kind);
                prop_assert_eq!(again.document, decoded.document);
            }
        }

        #[test]
        fn any_owners_are_read_or_ignored(fields in any_fields(), config in any_spec()) {
            let entry = json!({"manager": "z", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields});
            let live = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"uid": "u", "managedFields": [entry]}, "spec": {"ports": [{"port": 1}]}});
            let _ = apply(&service("z"), Some(&live), &config, true);
            let mut new = live.clone();
            record_update(&service("y"), Some(&live), &mut new);
        }
    }
}

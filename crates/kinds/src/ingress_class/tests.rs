use serde_json::{Value, json};

use super::KIND;

fn faults(spec: Value) -> Vec<String> {
    let mut object = json!({ "spec": spec });
    KIND.strategy.default(&mut object);
    KIND.strategy.validate(&object).iter().map(ToString::to_string).collect()
}

#[test]
fn a_controller_is_below_a_domain() {
    assert!(faults(json!({ "controller": "acme.io/foo" })).is_empty());
    assert_eq!(faults(json!({})), ["spec.controller: Required value"]);
    assert_eq!(
        faults(json!({ "controller": "foo" })),
        ["spec.controller: Invalid value: \"foo\": must be a domain-prefixed path (such as \"acme.io/foo\")"]
    );
}

#[test]
fn parameters_are_in_the_cluster_or_in_a_namespace() {
    let of = |parameters: Value| faults(json!({ "controller": "acme.io/foo", "parameters": parameters }));
    assert!(of(json!({ "kind": "P", "name": "p" })).is_empty());
    assert_eq!(
        of(json!({ "kind": "P", "name": "p", "namespace": "n" })),
        ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"]
    );
    assert_eq!(
        of(json!({ "name": "p", "scope": "Namespace" })),
        [
            "spec.parameters.kind: Required value",
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ]
    );
}

#[test]
fn a_table_marks_the_default() {
    let class = json!({
        "metadata": { "name": "c", "annotations": { "ingressclass.kubernetes.io/is-default-class": "true" } },
        "spec": { "controller": "acme.io/foo", "parameters": { "apiGroup": "acme.io", "kind": "P", "name": "p" } },
    });
    assert_eq!(json!(KIND.strategy.row(&class, 0)), json!(["c (default)", "acme.io/foo", "P.acme.io/p", "<unknown>"]));
}

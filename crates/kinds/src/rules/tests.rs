use serde_json::{Value, json};

use super::Rule;
use crate::{Kind, cluster_role, cluster_role_binding, role, role_binding};

fn faults(kind: &Kind, object: &Value) -> Vec<String> {
    let mut object = object.clone();
    kind.strategy.default(&mut object);
    kind.strategy.validate(&object).iter().map(ToString::to_string).collect()
}

#[test]
fn rules_of_roles_and_of_cluster_roles() {
    let fine = json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"] }]);
    let path = json!([{ "verbs": ["get"], "nonResourceURLs": ["/livez"] }]);
    let both = json!([{ "verbs": ["get"], "apiGroups": [""], "nonResourceURLs": ["/livez"] }]);
    let nothing = json!([{}]);
    let namespaced =
        "rules[0].nonResourceURLs: Invalid value: [\"/livez\"]: namespaced rules cannot apply to non-resource URLs";
    let mixed = "rules[0].nonResourceURLs: Invalid value: [\"/livez\"]: rules cannot apply to both regular resources and \
                 non-resource URLs";
    let missing = [
        "rules[0].verbs: Required value: verbs must contain at least one value",
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[0].resources: Required value: resource rules must supply at least one resource",
    ];
    let table: [(&str, &Kind, &Value, &[&str]); 7] = [
        ("a rule for one Pod", &role::KIND, &fine, &[]),
        ("a rule for one Pod", &cluster_role::KIND, &fine, &[]),
        ("a path in a namespace", &role::KIND, &path, &[namespaced]),
        ("a path in the cluster", &cluster_role::KIND, &path, &[]),
        ("a path and a group in a namespace", &role::KIND, &both, &[namespaced, mixed]),
        ("a path and a group in the cluster", &cluster_role::KIND, &both, &[mixed]),
        ("nothing at all", &cluster_role::KIND, &nothing, &missing),
    ];
    for (what, kind, rules, expected) in table {
        assert_eq!(faults(kind, &json!({ "rules": rules })), expected, "{what}, {}", kind.kind);
    }
}

#[test]
fn aggregation_wants_selectors() {
    let of = |selectors: Value| {
        faults(&cluster_role::KIND, &json!({ "aggregationRule": { "clusterRoleSelectors": selectors } }))
    };
    let none = "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if \
                aggregationRule is non-nil";
    assert_eq!(of(json!([])), [none]);
    assert!(of(json!([{ "matchLabels": { "a": "b" } }])).is_empty());
    let bad = of(json!([{ "matchExpressions": [{ "key": "a", "operator": "Near" }] }]));
    assert_eq!(
        bad.first().unwrap(),
        "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: Invalid value: \"Near\": not a valid \
         selector operator"
    );
}

#[test]
fn bindings_name_a_role_and_subjects() {
    let binding = |role: Value, subjects: Value| json!({ "roleRef": role, "subjects": subjects });
    let cluster_role = json!({ "kind": "ClusterRole", "name": "view" });
    let bob = json!([{ "kind": "User", "name": "bob" }]);
    let account = json!([{ "kind": "ServiceAccount", "name": "web" }]);
    assert!(faults(&role_binding::KIND, &binding(cluster_role.clone(), bob.clone())).is_empty());
    assert!(faults(&role_binding::KIND, &binding(cluster_role.clone(), account.clone())).is_empty());
    assert_eq!(
        faults(&cluster_role_binding::KIND, &binding(cluster_role.clone(), account)),
        ["subjects[0].namespace: Required value"]
    );
    assert_eq!(
        faults(&cluster_role_binding::KIND, &binding(json!({ "kind": "Role" }), bob)),
        [
            "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
            "roleRef.name: Required value"
        ]
    );
    let odd = json!([{ "kind": "Robot", "name": "r" }, { "kind": "User", "apiGroup": "x", "name": "" }]);
    assert_eq!(
        faults(&role_binding::KIND, &binding(cluster_role, odd)),
        [
            "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            "subjects[1].name: Required value",
            "subjects[1].apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\"",
        ]
    );
}

#[test]
fn a_binding_keeps_its_role() {
    let mut old = json!({ "roleRef": { "kind": "ClusterRole", "name": "view" } });
    let strategy = role_binding::KIND.strategy;
    strategy.default(&mut old);
    let mut new = old.clone();
    assert!(strategy.validate_update(&new, &old).is_empty());
    new["roleRef"]["name"] = "edit".into();
    let faults: Vec<_> = strategy.validate_update(&new, &old).iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\"edit\"}: \
         cannot change roleRef"
        ]
    );
}

#[test]
fn bindings_in_a_table() {
    let binding = json!({
        "metadata": { "name": "b", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "roleRef": { "kind": "Role", "name": "r" },
        "subjects": [
            { "kind": "User", "name": "bob" }, { "kind": "User", "name": "eve" }, { "kind": "Group", "name": "g" },
            { "kind": "ServiceAccount", "namespace": "shop", "name": "web" },
        ],
    });
    let row = role_binding::KIND.strategy.row(&binding, 1_767_225_605);
    assert_eq!(json!(row), json!(["b", "Role/r", "5s", "bob, eve", "g", "shop/web"]));
    let role = json!({ "metadata": { "name": "r", "creationTimestamp": "2026-01-01T00:00:00Z" } });
    assert_eq!(json!(role::KIND.strategy.row(&role, 0)), json!(["r", "2026-01-01T00:00:00Z"]));
    let described = role_binding::KIND.strategy.columns()[1].description;
    assert!(described.ends_with("the Authorizer must return an error."), "{described}");
}

#[test]
fn rules_are_read_as_they_are_written() {
    let rule = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] });
    assert_eq!(Rule::of_role(&json!({ "rules": [rule] }))[0].to_document(), rule);
}

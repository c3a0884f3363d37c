use serde_json::json;

use super::complete;

#[test]
fn what_a_role_lacks_is_added_and_what_it_has_more_is_left() {
    let expected = json!({
        "metadata": { "name": "r", "labels": { "a": "b" } },
        "rules": [{ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"] }],
    });
    let own = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["*"] });
    let mut role = json!({ "metadata": { "name": "r" }, "rules": [own] });
    complete(&mut role, &expected);
    let added = json!({ "verbs": ["list"], "apiGroups": [""], "resources": ["pods"] });
    assert_eq!(role["rules"], json!([own, added]));
    assert_eq!(role["metadata"]["labels"], json!({ "a": "b" }));
    let done = role.clone();
    complete(&mut role, &expected);
    assert_eq!(role, done);
}

#[test]
fn a_binding_gets_its_subjects_back() {
    let group = json!({ "kind": "Group", "name": "g" });
    let expected = json!({ "metadata": {}, "subjects": [group] });
    let user = json!({ "kind": "User", "name": "u" });
    let mut binding = json!({ "metadata": {}, "subjects": [user] });
    complete(&mut binding, &expected);
    assert_eq!(binding["subjects"], json!([user, group]));
}

#[test]
fn who_turns_that_off_is_left_alone() {
    let off = json!({ "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "false" } });
    let mut role = json!({ "metadata": off, "rules": null });
    let before = role.clone();
    complete(&mut role, &json!({ "rules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }] }));
    assert_eq!(role, before);
}

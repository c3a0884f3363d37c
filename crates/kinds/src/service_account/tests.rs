use super::*;

#[test]
fn references_to_secrets_are_names() {
    let mut object = json!({"secrets": [{"name": "a", "kind": "Secret", "namespace": "x"}, {}]});
    ServiceAccount.prepare_for_create(&mut object);
    assert_eq!(object["secrets"], json!([{"name": "a"}, {}]));
}

#[test]
fn a_new_annotation_is_warned_of() {
    let annotated = json!({"metadata": {"annotations": {ENFORCE_MOUNTABLE_SECRETS: "true"}}});
    assert_eq!(ServiceAccount.warnings(&annotated, None).len(), 1);
    assert!(ServiceAccount.warnings(&annotated, Some(&annotated)).is_empty());
    assert!(ServiceAccount.warnings(&json!({}), None).is_empty());
}

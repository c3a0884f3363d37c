use serde_json::{Value, json};

use super::KIND;

fn controller(spec: Value) -> Value {
    let mut object = json!({ "metadata": { "name": "r" }, "spec": spec });
    KIND.strategy.default(&mut object);
    object
}

fn template() -> Value {
    json!({
        "metadata": { "labels": { "app": "r" } },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    })
}

#[test]
fn the_template_gives_labels_and_selector() {
    let object = controller(json!({ "template": template() }));
    assert_eq!(object["spec"]["selector"], json!({ "app": "r" }));
    assert_eq!(object["metadata"]["labels"], json!({ "app": "r" }));
    assert_eq!(object["spec"]["replicas"], 1);
    assert!(KIND.strategy.validate(&object).is_empty());
}

#[test]
fn what_is_wrong_is_told() {
    let faults = |spec| KIND.strategy.validate(&controller(spec)).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(faults(json!({})), ["spec.selector: Required value", "spec.template: Required value"]);
    assert_eq!(
        faults(json!({ "selector": { "app": "x" }, "template": template() })),
        ["spec.template.metadata.labels: Invalid value: {\"app\":\"r\"}: `selector` does not match template `labels`"]
    );
}

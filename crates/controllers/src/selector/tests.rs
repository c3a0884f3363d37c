use serde_json::json;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_service_selector_needs_all_pairs() {
    let pod = labels(&[("app", "web"), ("tier", "front")]);
    assert!(has_all(&labels(&[("app", "web")]), Some(&pod)));
    assert!(has_all(&pod, Some(&pod)));
    assert!(!has_all(&labels(&[("app", "db")]), Some(&pod)));
    assert!(!has_all(&labels(&[("app", "web"), ("x", "")]), Some(&pod)));
    assert!(!has_all(&Labels::new(), Some(&pod)));
    assert!(!has_all(&labels(&[("app", "web")]), None));
}

#[test]
fn expressions_select_as_kubernetes_says() {
    let rows = [
        (json!({}), true),
        (json!({"matchLabels": {"app": "web"}}), true),
        (json!({"matchLabels": {"app": "db"}}), false),
        (json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "web"]}]}), true),
        (json!({"matchExpressions": [{"key": "no", "operator": "In", "values": ["db"]}]}), false),
        (json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}), false),
        (json!({"matchExpressions": [{"key": "no", "operator": "NotIn", "values": ["web"]}]}), true),
        (json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), true),
        (json!({"matchExpressions": [{"key": "no", "operator": "Exists"}]}), false),
        (json!({"matchExpressions": [{"key": "no", "operator": "DoesNotExist"}]}), true),
        (json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), false),
        (json!({"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["1"]}]}), false),
        (
            json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
            false,
        ),
    ];
    let pod = labels(&[("app", "web")]);
    for (selector, selected) in rows {
        let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
        assert_eq!(matches(&parsed, Some(&pod)), selected, "{selector}");
    }
}

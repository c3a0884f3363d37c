use serde_json::json;

use super::*;

#[test]
fn selectors_are_judged() {
    let path = Path::new("selector");
    let rows = [
        (json!({"matchLabels": {"a": "b"}}), vec![]),
        (json!({"matchLabels": {"a b": "c d"}}), vec!["selector.matchLabels", "selector.matchLabels"]),
        (json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), vec!["selector.matchExpressions[0].values"]),
        (
            json!({"matchExpressions": [{"key": "", "operator": "Exists", "values": ["b"]}]}),
            vec![
                "selector.matchExpressions[0].values",
                "selector.matchExpressions[0].key",
                "selector.matchExpressions[0].key",
            ],
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Like"}]}),
            vec!["selector.matchExpressions[0].operator"],
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["ok", "not ok"]}]}),
            vec!["selector.matchExpressions[0].values[1]"],
        ),
    ];
    for (selector, want) in rows {
        let got: Vec<_> = validate_selector(&path, &selector, false).iter().map(|e| e.path.to_string()).collect();
        assert_eq!(got, want, "{selector}");
    }
}

#[test]
fn selectors_print_match_and_marshal() {
    let selector = json!({
        "matchExpressions": [
            {"key": "z", "operator": "DoesNotExist"},
            {"key": "b", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "NotIn", "values": ["w"]},
            {"key": "d", "operator": "Exists"},
        ],
        "matchLabels": {"a": "1"},
    });
    assert_eq!(print_selector(&selector).unwrap(), "a=1,b in (x,y),c notin (w),d,!z");
    assert!(matches(&selector, &json!({"a": "1", "b": "x", "d": ""})));
    assert!(!matches(&selector, &json!({"a": "1", "b": "x", "c": "w", "d": ""})));
    assert!(!matches(&selector, &json!({})));
    assert!(matches(&json!({}), &json!({})));
    assert!(!matches(&Value::Null, &json!({})));
    assert_eq!(
        marshal_selector(Some(&selector)),
        r#"{"matchLabels":{"a":"1"},"matchExpressions":[{"key":"z","operator":"DoesNotExist"},{"key":"b","operator":"In","values":["y","x"]},{"key":"c","operator":"NotIn","values":["w"]},{"key":"d","operator":"Exists"}]}"#
    );
    assert_eq!(selector_cell(&json!({})), "<none>");
    assert_eq!(selector_cell(&json!({"matchExpressions": [{"key": "a", "operator": "In"}]})), "<error>");
    assert_eq!(print(&json!({"l": {"b": "2", "a": "1"}}), "l"), "a=1,b=2");
    assert_eq!(print(&json!({}), "l"), "<none>");
}

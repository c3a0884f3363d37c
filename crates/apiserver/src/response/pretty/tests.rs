use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), ".{0,5}".prop_map(Value::from)];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map("[a\"{\\\\]{1,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn it_is_what_others_print(value in any_json()) {
        let ours = String::from_utf8(indent(value.to_string().as_bytes())).unwrap();
        prop_assert_eq!(ours, serde_json::to_string_pretty(&value).unwrap());
    }
}

#[test]
fn who_asks_and_who_people_are() {
    let wanted = |query: &str, agent: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, agent.parse().unwrap());
        is_wanted(&headers, &Query::parse(Some(query)))
    };
    let rows = [
        ("", "kubectl/v1.36", false),
        ("pretty=true", "kubectl/v1.36", true),
        ("pretty=yes", "kubectl/v1.36", false),
        ("", "curl/8.5.0", true),
        ("pretty=false", "curl/8.5.0", false),
        ("", "Mozilla/5.0 (X11)", true),
        ("", "Wget/1.21", true),
    ];
    for (query, agent, want) in rows {
        assert_eq!(wanted(query, agent), want, "{query} {agent}");
    }
}

#[test]
fn only_json_that_is_there_is_indented() {
    let json = |body| indented(crate::response::json(http::StatusCode::OK, body)).into_body().into_whole();
    assert_eq!(json(Body::whole(json!({ "a": [], "b": {} }).to_string())), "{\n  \"a\": [],\n  \"b\": {}\n}");
    let text = indented(crate::response::text(http::StatusCode::OK, "{}")).into_body().into_whole();
    assert_eq!(text, "{}");
    let stream = Body::stream(futures::stream::empty());
    assert!(indented(crate::response::json(http::StatusCode::OK, stream)).body().is_stream());
}

//! Expected documents and texts are those of Kubernetes 1.36.3 and of the libraries that it patches with.

use kinds::schema;
use serde_json::json;

use super::*;

fn kind(name: &str) -> &'static Type {
    schema::get(name).expect("the table has the type")
}

fn service() -> &'static Type {
    kind("io.k8s.api.core.v1.Service")
}

fn read(patch: &Value, patch_type: PatchType) -> Result<Patch, PatchError> {
    Patch::read(patch.to_string().as_bytes(), patch_type).map(|p| p.expect("a patch"))
}

fn patched(current: Value, patch: Value, patch_type: PatchType) -> Result<Value, PatchError> {
    read(&patch, patch_type)?.apply(&current, service())
}

fn strategic(current: Value, patch: Value) -> Value {
    patched(current, patch, PatchType::Strategic).expect("merges")
}

fn refused(current: Value, patch: Value, patch_type: PatchType) -> String {
    patched(current, patch, patch_type).expect_err("is refused").to_string()
}

fn spec(fields: Value) -> Value {
    json!({ "spec": fields })
}

fn two_ports() -> Value {
    json!([{"name": "a", "port": 80, "protocol": "TCP"}, {"name": "b", "port": 81, "protocol": "TCP"}])
}

#[test]
fn patch_types() {
    assert_eq!(PatchType::of("application/json-patch+json; charset=utf-8"), Some(PatchType::Json));
    assert_eq!(PatchType::of("application/merge-patch+json"), Some(PatchType::Merge));
    assert_eq!(PatchType::of("application/strategic-merge-patch+json"), Some(PatchType::Strategic));
    assert_eq!(PatchType::of("application/apply-patch+yaml"), Some(PatchType::Apply));
    assert_eq!(PatchType::of("application/json"), None);
    assert!(Patch::read(b"{}", PatchType::Apply).is_ok_and(|p| p.is_none()));
}

#[test]
fn merge_patches() {
    let current = json!({"a": {"b": 1, "c": 2}, "l": [1, 2], "s": "x", "n": null});
    let cases = [
        (json!({}), current.clone()),
        (json!({"a": null}), json!({"l": [1, 2], "s": "x", "n": null})),
        (
            json!({"a": {"b": null, "d": {"x": null, "y": 1}}}),
            json!({"a": {"c": 2, "d": {"y": 1}}, "l": [1, 2], "s": "x", "n": null}),
        ),
        (json!({"l": [3, null]}), json!({"a": {"b": 1, "c": 2}, "l": [3, null], "s": "x", "n": null})),
        (json!({"s": {"x": 1}, "gone": null}), json!({"a": {"b": 1, "c": 2}, "l": [1, 2], "s": {"x": 1}, "n": null})),
        (json!({"n": {"x": null}}), json!({"a": {"b": 1, "c": 2}, "l": [1, 2], "s": "x", "n": {}})),
    ];
    for (patch, wanted) in cases {
        assert_eq!(patched(current.clone(), patch, PatchType::Merge), Ok(wanted));
    }
    assert_eq!(
        refused(json!({}), json!([]), PatchType::Merge),
        "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
    );
    assert_eq!(refused(json!({}), json!(null), PatchType::Merge), "Invalid JSON Patch");
}

#[test]
fn json_patches() {
    let current = json!({"a": {"l": [1, 2, {"d": "x"}], "~": 1, "/": 2}, "f": [], "g": null});
    let after = |operation: Value| patched(current.clone(), json!([operation]), PatchType::Json).ok();
    let at = |document: Option<Value>, pointer: &str| document.and_then(|d| d.pointer(pointer).cloned());
    let add = |path: &str| after(json!({"op": "add", "path": path, "value": 9}));
    assert_eq!(at(add("/a/l/0"), "/a/l"), Some(json!([9, 1, 2, {"d": "x"}])));
    assert_eq!(at(add("/a/l/-"), "/a/l"), Some(json!([1, 2, {"d": "x"}, 9])));
    assert_eq!(at(add("/a/l/3"), "/a/l"), Some(json!([1, 2, {"d": "x"}, 9])));
    assert_eq!(at(add("/a/l/-1"), "/a/l"), Some(json!([1, 2, {"d": "x"}, 9])), "behind the last");
    assert_eq!(at(add("/a/l/-4"), "/a/l"), Some(json!([9, 1, 2, {"d": "x"}])));
    assert_eq!(at(add("/a/~1"), "/a"), Some(json!({"l": [1, 2, {"d": "x"}], "~": 1, "/": 9})));
    for path in ["/a/l/4", "/a/l/x", "/z/y", "/g/x", "", "a"] {
        assert_eq!(add(path), None, "{path}");
    }
    assert_eq!(at(after(json!({"op": "remove", "path": "/a/l/-1"})), "/a/l"), Some(json!([1, 2])));
    assert_eq!(after(json!({"op": "remove", "path": "/z"})), None);
    assert_eq!(at(after(json!({"op": "replace", "path": "/a/l/2/d", "value": 1})), "/a/l/2/d"), Some(json!(1)));
    assert_eq!(after(json!({"op": "replace", "path": "", "value": {"x": 1}})), Some(json!({"x": 1})));
    assert_eq!(
        at(after(json!({"op": "move", "from": "/a/l", "path": "/f/-"})), "/f"),
        Some(json!([[1, 2, {"d": "x"}]]))
    );
    assert_eq!(at(after(json!({"op": "copy", "from": "/a/l/2", "path": "/g"})), "/g"), Some(json!({"d": "x"})));
    assert!(after(json!({"op": "test", "path": "/a/l/2", "value": {"d": "x"}})).is_some());
    assert!(after(json!({"op": "test", "path": "/zz", "value": null})).is_some(), "what is not there is null");
    for operation in [
        json!({"op": "test", "path": "/a/l/0", "value": 2}),
        json!({"op": "nope", "path": "/a"}),
        json!({"path": "/a"}),
        json!({"op": "add", "value": 1}),
        json!({"op": "move", "path": "/a"}),
    ] {
        assert_eq!(after(operation), None);
    }
}

#[test]
fn json_patches_that_are_none_or_do_not_apply() {
    let cases = [
        (
            json!({"op": "remove"}),
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        (json!([1]), "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"),
        (
            json!([{"op": 5}]),
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
        ),
        (json!([{"op": "remove", "path": "/nope"}]), "the server rejected our request due to an error in our request"),
    ];
    for (patch, message) in cases {
        assert_eq!(refused(json!({}), patch, PatchType::Json), message);
    }
    let unread = Patch::read(b"[{", PatchType::Json).expect_err("no JSON");
    assert_eq!(unread.to_string(), "error decoding patch: unexpected end of JSON input");
    let many = Value::Array(vec![json!({"op": "test", "path": "/x", "value": null}); 10_001]);
    assert_eq!(
        refused(json!({}), many, PatchType::Json),
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
}

#[test]
fn copies_of_copies_are_bounded() {
    let double: Vec<Value> = (0..64).flat_map(|_| [json!({"op": "copy", "from": "/a", "path": "/a/-"})]).collect();
    assert_eq!(patched(json!({"a": [1, 2, 3]}), Value::Array(double), PatchType::Json), Err(PatchError::DoesNotApply));
}

#[test]
fn strict_validation_finds_faults_of_the_patch_itself() {
    let faults = |text: &str, patch_type| {
        Patch::read(text.as_bytes(), patch_type).expect("reads").expect("a patch").faults().to_vec()
    };
    let operations = r#"[{"op":"test","path":"/a","path":"/b","foo":1}]"#;
    assert_eq!(
        faults(operations, PatchType::Json),
        [r#"json patch duplicate field "[0].path""#, r#"json patch unknown field "[0].foo""#]
    );
    assert_eq!(faults(r#"{"a":{"b":1,"b":2}}"#, PatchType::Merge), [r#"duplicate field "a.b""#]);
    assert_eq!(faults(r#"{"a":{"b":1,"b":2}}"#, PatchType::Strategic), [r#"duplicate field "a.b""#]);
}

#[test]
fn a_patched_document_that_cannot_be_decoded_is_shown() {
    let why = "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32";
    let patch = read(&json!({"x": 1}), PatchType::Merge).expect("reads");
    let fault = patch.undecodable(&json!({"x": 1}), service(), why).to_string();
    assert_eq!(fault, format!("patch: Invalid value: \"{{\\\"x\\\":1}}\": {why}"));
    let patch = read(&json!({"spec": {"a": 1.0, "b": [null, true, {"c": "d"}]}}), PatchType::Strategic).expect("reads");
    let cases = [
        (json!({"ports": [{"port": "80"}]}), "unrecognized type: int32"),
        (json!({"ports": [{"port": 1.5}]}), "cannot convert float64 to int32"),
        (json!({"type": 5}), "cannot convert int64 to v1.ServiceType"),
        (json!({"type": true}), "unrecognized type: string"),
        (json!({"selector": {"a": true}}), "unrecognized type: string"),
        (json!({"selector": []}), "cannot restore map from slice"),
        (json!({"ports": {}}), "cannot restore slice from map"),
        (json!({"ports": [1]}), "cannot restore struct from: int64"),
        (json!({"ports": [{"targetPort": []}]}), "json: cannot unmarshal array into Go value of type int32"),
        (json!({}), "strict decoding error: unknown field \"spec.a\""),
    ];
    for (spec, words) in cases {
        let fault = patch
            .undecodable(&self::spec(spec), service(), "strict decoding error: unknown field \"spec.a\"")
            .to_string();
        assert_eq!(fault, format!("patch: Invalid value: \"map[spec:map[a:1 b:[<nil> true map[c:d]]]]\": {words}"));
    }
}

#[test]
fn lists_are_merged_by_their_keys() {
    let ports = |patch: Value| strategic(spec(json!({"ports": two_ports()})), spec(patch))["spec"]["ports"].clone();
    let a = json!({"name": "a", "port": 80, "protocol": "TCP"});
    let b = json!({"name": "b", "port": 81, "protocol": "TCP"});
    assert_eq!(ports(json!({"ports": [{"$patch": "delete", "port": 81}]})), json!([a]));
    assert_eq!(ports(json!({"ports": [{"$patch": "replace"}, {"port": 90}]})), json!([{"port": 90}]));
    assert_eq!(ports(json!({"$setElementOrder/ports": [{"port": 81}, {"port": 80}]})), json!([b, a]));
    assert_eq!(ports(json!({"ports": [{"port": 81, "name": null}]})), json!([a, {"port": 81, "protocol": "TCP"}]));
    assert_eq!(ports(json!({"ports": [{"port": 90}]})), json!([{"port": 90}, a, b]), "what the patch adds comes first");
    let added = json!({"ports": [{"port": 90}], "$setElementOrder/ports": [{"port": 80}, {"port": 90}, {"port": 81}]});
    assert_eq!(ports(added), json!([a, {"port": 90}, b]));
    assert_eq!(ports(json!({"ports": null})), Value::Null);
    assert_eq!(ports(json!({"ports": []})), json!([a, b]));
}

#[test]
fn other_lists_are_replaced_and_sets_are_merged() {
    let current = json!({"metadata": {"finalizers": ["f", "g"]}, "spec": {"externalIPs": ["1.1.1.1"]}});
    let patch = json!({"metadata": {"finalizers": ["h", "g"]}, "spec": {"externalIPs": ["2.2.2.2"]}});
    let wanted = json!({"metadata": {"finalizers": ["h", "f", "g"]}, "spec": {"externalIPs": ["2.2.2.2"]}});
    assert_eq!(strategic(current.clone(), patch), wanted);
    let less = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["g", "x"]}});
    assert_eq!(strategic(current.clone(), less)["metadata"]["finalizers"], json!(["f"]));
    let ordered = json!({"metadata": {"$setElementOrder/finalizers": ["g", "f"]}});
    assert_eq!(strategic(current, ordered)["metadata"]["finalizers"], json!(["g", "f"]));
}

#[test]
fn objects_are_replaced_deleted_or_keep_some_fields() {
    let current = || {
        spec(
            json!({"selector": {"a": "b", "c": "d"}, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}),
        )
    };
    let with = |patch: Value| strategic(current(), spec(patch))["spec"].clone();
    assert_eq!(with(json!({"selector": {"$patch": "replace", "x": "y"}}))["selector"], json!({"x": "y"}));
    assert_eq!(with(json!({"selector": {"$patch": "delete"}}))["selector"], json!({}));
    assert_eq!(with(json!({"selector": {"a": null, "x": "y"}}))["selector"], json!({"c": "d", "x": "y"}));
    let retained = json!({"sessionAffinityConfig": {"$retainKeys": ["clientIP"], "clientIP": {"timeoutSeconds": 5}}});
    assert_eq!(with(retained)["sessionAffinityConfig"], json!({"clientIP": {"timeoutSeconds": 5}}));
    assert_eq!(with(json!({"$retainKeys": ["selector"]})), json!({"selector": {"a": "b", "c": "d"}}));
    assert_eq!(
        with(json!({"new": {"a": null, "b": {"$patch": "delete"}, "c": [{"$patch": "x"}, {"d": null}]}}))["new"],
        json!({"c": [{}]})
    );
}

#[test]
fn merges_that_are_refused() {
    let current = || json!({"metadata": {"finalizers": ["f"]}, "spec": {"ports": two_ports(), "selector": {"a": "b"}}});
    let cases = [
        (json!({"spec": {"$retainKeys": ["x"], "type": "A"}}), "invalid patch format of retainKeys"),
        (json!({"spec": {"$deleteFromPrimitiveList": []}}), "invalid patch format of primitive list"),
        (json!({"spec": {"$setElementOrder": []}}), "invalid patch format of setElementOrder list"),
        (json!({"spec": {"ports": [{"name": "x"}]}}), "map: map[name:x] does not contain declared merge key: port"),
        (json!({"spec": {"ports": [{"$patch": "bogus"}]}}), "unknown patch type: bogus in map: map[$patch:bogus]"),
        (json!({"spec": {"$patch": "merge"}}), "unknown patch type: merge in map: map[$patch:merge]"),
        (json!({"spec": {"ports": [{"$patch": "merge"}]}}), "merging lists cannot yet be specified in the patch"),
        (json!({"metadata": {"finalizers": [1]}}), "list element types are not identical: [[f] [1]]"),
        (
            json!({"spec": {"$setElementOrder/ports": [{"port": 80}], "ports": [{"port": 81}]}}),
            "The order in patch list:\n[map[port:81]]\n doesn't match $setElementOrder list:\n[map[port:80]]\n",
        ),
        (json!([]), "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ];
    for (patch, message) in cases {
        assert_eq!(refused(current(), patch, PatchType::Strategic), message);
    }
    let unknown = refused(json!({"spec": {"nope": {}}}), json!({"spec": {"nope": {}}}), PatchType::Strategic);
    assert_eq!(unknown, r#"unable to find api field in struct ServiceSpec for the json field "nope""#);
    let nested = patched(current(), json!({"metadata": {"finalizers": [["x"]]}}), PatchType::Strategic);
    assert!(nested.is_err());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn any_patch() -> impl Strategy<Value = Value> {
        let names = prop::sample::select(vec![
            "spec",
            "ports",
            "port",
            "name",
            "metadata",
            "finalizers",
            "selector",
            "$patch",
            "$retainKeys",
            "$setElementOrder/ports",
            "$setElementOrder/finalizers",
            "$deleteFromPrimitiveList/finalizers",
            "$deleteFromPrimitiveList/ports",
            "x",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            Just(json!("delete")),
            Just(json!("replace")),
            (80..84).prop_map(Value::from),
            Just(json!(["f", "g"])),
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..5)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_patch_is_answered(patch in any_patch()) {
            let current = json!({"metadata": {"finalizers": ["f"]}, "spec": {"ports": two_ports(), "selector": {"a": "b"}}});
            for patch_type in [PatchType::Strategic, PatchType::Merge, PatchType::Json] {
                let _ = patched(current.clone(), patch.clone(), patch_type);
            }
        }

        #[test]
        fn any_operations_are_answered(operations in proptest::collection::vec(
            ("(add|remove|replace|test|move|copy|x)", "(/(a|b|0|1|-1|-|~0|)){0,4}", "(/(a|b|0|1|-1|-|~0|)){0,4}"), 0..8)
        ) {
            let patch = operations.into_iter().map(|(op, path, from)| json!({"op": op, "path": path, "from": from, "value": [1]}));
            let _ = patched(json!({"a": [{"b": 1}], "b": {"a": [[]]}}), Value::Array(patch.collect()), PatchType::Json);
        }
    }
}

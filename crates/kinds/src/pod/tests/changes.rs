//! Changes of Pods, and of their status.

use super::*;

/// A stored Pod, and a change of it as a list of pointers and values.
fn update(spec: Value, changes: &[(&str, Value)]) -> Vec<String> {
    let old = create(pod(spec, json!({}))).unwrap();
    let mut new = old.clone();
    for (pointer, value) in changes {
        place(&mut new, pointer, value.clone());
    }
    Pod.default(&mut new);
    Pod.prepare_for_update(&mut new, &old);
    texts_of(Pod.validate_update(&new, &old))
}

/// Sets what a pointer points at; `null` removes it.
fn place(into: &mut Value, pointer: &str, value: Value) {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = into.pointer_mut(parent).unwrap();
    match field.parse::<usize>() {
        Ok(index) if parent.is_array() => parent[index] = value,
        _ => set_or_remove(parent, field, Some(value)),
    }
}

const NOT: &str = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

#[test]
fn refused_when_changed() {
    let nothing = || json!({});
    let gated = || json!({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}});
    let tolerant = json!({"tolerations": [{"key": "a", "operator": "Exists"}]});
    const CHANGED: &str =
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds";
    let rows: Vec<(&str, Value, &str, Value, &[&str])> = vec![
        ("an image", nothing(), "/spec/containers/0/image", json!("new"), &[]),
        (
            "no image",
            nothing(),
            "/spec/containers/0/image",
            json!(""),
            &["spec.containers[0].image: Required value", "spec.containers[0].image: Required value"],
        ),
        (
            "fewer containers",
            nothing(),
            "/spec/containers",
            json!([]),
            &[
                "spec.containers: Required value",
                "spec.containers: Forbidden: pod updates may not add or remove containers",
            ],
        ),
        (
            "more init containers",
            nothing(),
            "/spec/initContainers",
            json!([{"name": "i", "image": "x"}]),
            &["spec.initContainers: Forbidden: pod updates may not add or remove containers"],
        ),
        ("a deadline", nothing(), "/spec/activeDeadlineSeconds", json!(10), &[]),
        ("a nearer deadline", json!({"activeDeadlineSeconds": 10}), "/spec/activeDeadlineSeconds", json!(5), &[]),
        (
            "a later deadline",
            json!({"activeDeadlineSeconds": 10}),
            "/spec/activeDeadlineSeconds",
            json!(20),
            &["spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"],
        ),
        (
            "no deadline any more",
            json!({"activeDeadlineSeconds": 10}),
            "/spec/activeDeadlineSeconds",
            Value::Null,
            &["spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"],
        ),
        ("another time of toleration", nothing(), "/spec/tolerations/0/tolerationSeconds", json!(5), &[]),
        ("another toleration", tolerant, "/spec/tolerations/0/key", json!("x"), &[CHANGED]),
        ("an open gate", gated(), "/spec/schedulingGates", json!([]), &[]),
        (
            "another gate",
            gated(),
            "/spec/schedulingGates/0/name",
            json!("h"),
            &["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'"],
        ),
        ("fewer nodes", gated(), "/spec/nodeSelector/c", json!("d"), &[]),
        (
            "other nodes",
            gated(),
            "/spec/nodeSelector",
            json!({"c": "d"}),
            &[
                r#"spec.nodeSelector: Invalid value: {"c":"d"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"#,
            ],
        ),
        (
            "a mirror",
            json!({"nodeName": "n"}),
            "/metadata/annotations",
            json!({"kubernetes.io/config.mirror": "x"}),
            &["metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation"],
        ),
        ("a status", nothing(), "/status/phase", json!("Running"), &[]),
        ("a priority that is not named", nothing(), "/spec/priority", Value::Null, &[]),
    ];
    for (name, spec, pointer, value, expected) in rows {
        assert_eq!(update(spec, &[(pointer, value)]), expected, "{name}");
    }
}

#[test]
fn narrower_affinity() {
    let affinity = |expressions: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": expressions}}});
    let term = |keys: &[&str]| {
        let expressions: Vec<_> = keys.iter().map(|key| json!({"key": key, "operator": "Exists"})).collect();
        json!({ "matchExpressions": expressions })
    };
    let path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let printed = r#"{"MatchExpressions":[{"Key":"q","Operator":"Exists","Values":null}],"MatchFields":null}"#;
    let rows = [
        ("the same", json!([term(&["k"])]), vec![]),
        ("more conditions", json!([term(&["k", "q"])]), vec![]),
        (
            "other conditions",
            json!([term(&["q"])]),
            vec![format!(
                "{path}[0]: Invalid value: {printed}: only additions are allowed (no mutations or deletions)"
            )],
        ),
        (
            "another way",
            json!([term(&["q"]), term(&["q"])]),
            vec![format!(
                "{path}: Invalid value: [{printed},{printed}]: no additions/deletions to non-empty NodeSelectorTerms list are allowed"
            )],
        ),
    ];
    for (name, terms, expected) in rows {
        let spec = json!({"schedulingGates": [{"name": "g"}], "affinity": affinity(json!([term(&["k"])]))});
        assert_eq!(update(spec, &[("/spec/affinity", affinity(terms))]), expected, "{name}");
    }
}

#[test]
fn what_else_changed_is_shown() {
    let mut old = pod(json!({"nodeSelector": {"no": "where"}}), json!({"image": "registry.k8s.io/pause:3.10.2"}));
    Pod.default(&mut old);
    Pod.admit(&mut old).unwrap();
    use_classes(&mut old, &Classes::default()).unwrap();
    use_account(&mut old, &json!({}), "abcde");
    Pod.prepare_for_create(&mut old);
    let mut new = old.clone();
    new["spec"]["hostname"] = json!("h");
    let lines = [
        "@@ -164,7 +164,7 @@",
        "   \"SELinuxChangePolicy\": null",
        "  },",
        "  \"ImagePullSecrets\": null,",
        "- \"Hostname\": \"\",",
        "+ \"Hostname\": \"h\",",
        "  \"Subdomain\": \"\",",
        "  \"SetHostnameAsFQDN\": null,",
        "  \"Affinity\": null,",
        "",
    ];
    assert_eq!(texts_of(Pod.validate_update(&new, &old)), [format!("{NOT}\n{}", lines.join("\n"))]);
    let rows = [
        ("a text", "/spec/containers/0/command", json!(["a", "<b>"]), "+    \"\\u003cb\\u003e\"\n"),
        (
            "a volume",
            "/spec/volumes/0/projected/defaultMode",
            json!(1),
            "-    \"DefaultMode\": 420\n+    \"DefaultMode\": 1\n",
        ),
        ("a field of the context", "/spec/hostPID", json!(true), "-  \"HostPID\": false,\n+  \"HostPID\": true,\n"),
        (
            "an empty part",
            "/spec/containers/0/env",
            json!([{"name": "A"}]),
            "+     \"Name\": \"A\",\n+     \"Value\": \"\",\n",
        ),
    ];
    for (name, pointer, value, expected) in rows {
        let mut new = old.clone();
        place(&mut new, pointer, value);
        let faults = texts_of(Pod.validate_update(&new, &old));
        assert_eq!(faults.len(), 1, "{name}");
        assert!(faults[0].starts_with(NOT) && faults[0].contains(expected), "{name}: {}", faults[0]);
    }
}

#[test]
fn generations() {
    let old = create(pod(json!({}), json!({}))).unwrap();
    let mut new = old.clone();
    new["metadata"]["labels"]["more"] = json!("y");
    new["status"] = json!({});
    assert_eq!(Pod.generation_changes(&new, &old), Some(false));
    new["spec"]["containers"][0]["image"] = json!("new");
    assert_eq!(Pod.generation_changes(&new, &old), Some(true));
}

/// A change of a status, as the kubelet makes it.
fn update_status(spec: Value, before: Value, after: Value) -> (Value, Vec<String>) {
    let mut old = create(pod(spec, json!({}))).unwrap();
    merge(&mut old["status"], before);
    let mut new = old.clone();
    merge(&mut new["status"], after);
    new["spec"]["hostname"] = json!("ignored");
    Pod.default(&mut new);
    Pod.prepare_for_status_update(&mut new, &old);
    assert_eq!(new["spec"], old["spec"]);
    let faults = texts_of(Pod.validate_status_update(&new, &old));
    (new, faults)
}

#[test]
fn refused_as_status() {
    let one = |state: &str, code: i64| {
        let state = if state == "running" { json!({"running": {}}) } else { json!({"terminated": {"exitCode": code}}) };
        json!([{"name": "c", "state": state}])
    };
    let (ended, failed) = (one("terminated", 0), one("terminated", 1));
    let runs = || json!({"containerStatuses": one("running", 0)});
    let restart = |spec: &str| json!({ "restartPolicy": spec });
    let rule = json!({"restartPolicy": "Never", "containers": [{
        "name": "c",
        "image": "i",
        "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
    }]});
    const AGAIN: &str = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state";
    let rows: Vec<(&str, Value, Value, Value, &[&str])> = vec![
        (
            "addresses",
            json!({}),
            json!({}),
            json!({"podIP": "1.1.1.1", "podIPs": [{"ip": "1.1.1.1"}, {"ip": "fd00::1"}]}),
            &[],
        ),
        (
            "two addresses of a family",
            json!({}),
            json!({}),
            json!({"podIPs": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}]}),
            &[
                r#"status.podIPs: Invalid value: [{"IP":"1.1.1.1"},{"IP":"1.1.1.2"}]: may specify no more than one IP for each IP family"#,
            ],
        ),
        (
            "no address",
            json!({}),
            json!({}),
            json!({"podIPs": [{"ip": "1.1.1.1"}, {"ip": "x"}]}),
            &[
                r#"status.podIPs[1]: Invalid value: "x": must be a valid IP address,"#,
                "status.podIPs: Internal error: failed to check for dual stack with error:invalid IP[1]: x",
                r#"status.podIPs: Invalid value: [{"IP":"1.1.1.1"},{"IP":"x"}]: may specify no more than one IP for each IP family"#,
            ],
        ),
        (
            "another address of the host",
            json!({}),
            json!({}),
            json!({"hostIP": "1.1.1.1", "hostIPs": [{"ip": "1.1.1.2"}]}),
            &[r#"status.hostIPs[0].ip: Invalid value: "1.1.1.2": must be equal to `hostIP`"#],
        ),
        (
            "another class",
            json!({}),
            json!({}),
            json!({"qosClass": "Guaranteed"}),
            &[r#"status.qosClass: Invalid value: "Guaranteed": field is immutable"#],
        ),
        (
            "a node it is not on",
            json!({"nodeName": "n"}),
            json!({}),
            json!({"nominatedNodeName": "m"}),
            &["status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"],
        ),
        (
            "conditions",
            json!({}),
            json!({}),
            json!({"conditions": [{"type": "a b", "status": "True", "observedGeneration": -1}]}),
            &[
                "status.conditions[0].observedGeneration: Invalid value: -1: must be a non-negative integer",
                r#"status.conditions[0].Type: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"#,
            ],
        ),
        (
            "users",
            json!({}),
            json!({}),
            json!({"containerStatuses": [{"name": "c", "user": {"linux": {"uid": -1, "gid": 0}}}]}),
            &[
                "status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ],
        ),
        ("always again", json!({}), json!({"containerStatuses": ended}), runs(), &[]),
        ("never again", restart("Never"), json!({"containerStatuses": failed}), runs(), &[AGAIN]),
        ("again after success", restart("OnFailure"), json!({"containerStatuses": ended}), runs(), &[AGAIN]),
        ("again after failure", restart("OnFailure"), json!({"containerStatuses": failed}), runs(), &[]),
        ("never, but for a rule", rule.clone(), json!({"containerStatuses": failed}), runs(), &[]),
        ("never, and no rule", rule, json!({"containerStatuses": ended}), runs(), &[AGAIN]),
        (
            "who looks around",
            json!({}),
            json!({"ephemeralContainerStatuses": ended}),
            json!({"ephemeralContainerStatuses": one("running", 0)}),
            &["status.ephemeralContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"],
        ),
    ];
    for (name, spec, before, after, expected) in rows {
        assert_eq!(update_status(spec, before, after).1, expected, "{name}");
    }
}

#[test]
fn what_a_status_keeps() {
    let before = json!({
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": "False", "observedGeneration": 1}],
    });
    let after = json!({
        "qosClass": null,
        "observedGeneration": null,
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "x", "status": "True"}],
        "podIP": "1.2.3.4",
    });
    let (new, faults) = update_status(json!({}), before, after);
    assert_eq!(faults, Vec::<String>::new());
    let expected = json!({
        "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}, {"type": "x", "status": "True"}],
        "observedGeneration": 1,
        "phase": "Pending",
        "podIP": "1.2.3.4",
        "podIPs": [{"ip": "1.2.3.4"}],
        "qosClass": "BestEffort",
    });
    assert_eq!(new["status"], expected);
}

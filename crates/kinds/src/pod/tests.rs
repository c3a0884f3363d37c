//! What Kubernetes says of Pods. Examples in its messages are cut off; `names` has tests of them.

use serde_json::{Value, json};

use super::*;

mod changes;
mod shown;

fn texts_of(faults: Vec<Error>) -> Vec<String> {
    let short = |text: String| text.split(" (e.g. ").next().unwrap_or_default().to_owned();
    faults.iter().map(|fault| short(fault.to_string())).collect()
}

/// A Pod with these fields in its spec and in its one container.
fn pod(spec: Value, container: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "x", "v": "1"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    merge(&mut pod["spec"], spec);
    if pod["spec"]["containers"].get(0).is_some() {
        merge(&mut pod["spec"]["containers"][0], container);
    }
    pod
}

fn merge(into: &mut Value, patch: Value) {
    for (field, value) in patch.as_object().unwrap() {
        set_or_remove(into, field, Some(value.clone()));
    }
}

/// A new Pod on its way into the store.
fn create(mut object: Value) -> Result<Value, Vec<String>> {
    Pod.default(&mut object);
    Pod.admit(&mut object).map_err(|refusal| vec![refusal])?;
    use_classes(&mut object, &Classes::default()).map_err(|refusal| vec![refusal])?;
    Pod.prepare_for_create(&mut object);
    let faults = texts_of(Pod.validate(&object));
    if faults.is_empty() { Ok(object) } else { Err(faults) }
}

#[test]
fn refused_when_created() {
    for block in include_str!("tests/refused.txt").split("\n\n") {
        let mut lines = block.lines().peekable();
        let name = lines.next().unwrap();
        let mut input = |what: &str| match lines.next_if(|line| line.starts_with(what)) {
            Some(line) => serde_json::from_str(&line[what.len()..]).unwrap(),
            None => json!({}),
        };
        let object = pod(input("spec "), input("container "));
        let expected: Vec<_> = lines.map(str::to_owned).collect();
        assert_eq!(create(object).unwrap_err(), expected, "{name}");
    }
}

#[test]
fn defaults() {
    let image = "registry.k8s.io/pause:3.10.2";
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"app": "x"}, "name": "p", "namespace": "ns"},
        "spec": {"containers": [{"image": image, "name": "c"}], "nodeSelector": {"no": "where"}},
        "status": {"phase": "Running", "podIP": "1.2.3.4"},
    });
    Pod.default(&mut object);
    Pod.admit(&mut object).unwrap();
    use_classes(&mut object, &Classes::default()).unwrap();
    use_account(&mut object, &json!({}), "abcde");
    Pod.prepare_for_create(&mut object);
    assert_eq!(Pod.validate(&object), []);
    let toleration =
        |key: &str| json!({"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300});
    let expected = json!({
        "containers": [{
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "name": "c",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "volumeMounts": [{
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                "name": "kube-api-access-abcde",
                "readOnly": true,
            }],
        }],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": true,
        "nodeSelector": {"no": "where"},
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "default",
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
        "tolerations": [toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")],
        "volumes": [{
            "name": "kube-api-access-abcde",
            "projected": {
                "defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
                    {"downwardAPI": {"items": [
                        {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}, "path": "namespace"},
                    ]}},
                ],
            },
        }],
    });
    assert_eq!(object["spec"], expected);
    assert_eq!(object["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
}

#[test]
fn defaults_of_fields() {
    let rows = [
        (
            "a port",
            json!({"ports": [{"containerPort": 80}]}),
            "/ports/0",
            json!({"containerPort": 80, "protocol": "TCP"}),
        ),
        (
            "a probe",
            json!({"livenessProbe": {"httpGet": {"port": 80}}}),
            "/livenessProbe",
            json!({
                "failureThreshold": 3,
                "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                "periodSeconds": 10,
                "successThreshold": 1,
                "timeoutSeconds": 1,
            }),
        ),
        (
            "a field",
            json!({"env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            "/env/0/valueFrom/fieldRef",
            json!({"apiVersion": "v1", "fieldPath": "metadata.name"}),
        ),
        (
            "an amount",
            json!({"env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}),
            "/env/0/valueFrom/resourceFieldRef",
            json!({"divisor": "0", "resource": "limits.cpu"}),
        ),
        (
            "a limit is a request",
            json!({"resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": "0.5"}}}),
            "/resources",
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}),
        ),
    ];
    for (name, container, pointer, expected) in rows {
        let created = create(pod(json!({}), container)).unwrap();
        assert_eq!(created["spec"]["containers"][0].pointer(pointer), Some(&expected), "{name}");
    }
    let rows = [
        ("a volume of nothing", json!({"volumes": [{"name": "a"}]}), "/volumes/0/emptyDir", json!({})),
        (
            "a secret",
            json!({"volumes": [{"name": "a", "secret": {"secretName": "s"}}]}),
            "/volumes/0/secret/defaultMode",
            json!(420),
        ),
        (
            "a path of the host",
            json!({"volumes": [{"name": "a", "hostPath": {"path": "/a"}}]}),
            "/volumes/0/hostPath/type",
            json!(""),
        ),
        (
            "a token",
            json!({"volumes": [{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
            "/volumes/0/projected/sources/0/serviceAccountToken/expirationSeconds",
            json!(3600),
        ),
        (
            "no sources",
            json!({"volumes": [{"name": "a", "projected": {"sources": []}}]}),
            "/volumes/0/projected/sources",
            Value::Null,
        ),
        (
            "in the network of the host",
            json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}),
            "/containers/0/ports/0/hostPort",
            json!(80),
        ),
        ("the old name of the account", json!({"serviceAccount": "a"}), "/serviceAccountName", json!("a")),
        ("an end in no time", json!({"terminationGracePeriodSeconds": -5}), "/terminationGracePeriodSeconds", json!(1)),
        (
            "what all ask for together",
            json!({
                "resources": {"limits": {"cpu": "1", "memory": "1"}},
                "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}],
                "initContainers": [
                    {"name": "i", "image": "i", "resources": {"requests": {"cpu": "400m"}}},
                    {"name": "j", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                ],
            }),
            "/resources/requests",
            json!({"cpu": "400m", "memory": "1"}),
        ),
    ];
    for (name, spec, pointer, expected) in rows {
        let created = create(pod(spec, json!({}))).unwrap();
        assert_eq!(created["spec"].pointer(pointer), Some(&expected), "{name}");
    }
}

#[test]
fn images_that_are_pulled_anew() {
    let digest = "a".repeat(64);
    let rows = [
        ("a", true),
        ("a:latest", true),
        ("localhost:5000/a", true),
        ("registry.k8s.io/pause:3.10.2", false),
        (&format!("a@sha256:{digest}"), false),
        (&format!("a:latest@sha256:{digest}"), true),
        (&digest, false),
        ("A", false),
        ("a b", false),
        ("a//b", false),
        ("a__b", true),
        ("a___b", false),
        ("Host/x", true),
        ("", false),
    ];
    for (name, is_latest) in rows {
        assert_eq!(image::is_latest(name), is_latest, "{name}");
    }
}

#[test]
fn what_is_admitted() {
    let rows = [
        ("a class that is not there", json!({"priorityClassName": "x"}), "no PriorityClass with name x was found"),
        (
            "an own priority",
            json!({"priority": 5}),
            "the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name",
        ),
        (
            "an own policy",
            json!({"preemptionPolicy": "Never"}),
            "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name",
        ),
        ("a runtime that is not there", json!({"runtimeClassName": "x"}), "pod rejected: RuntimeClass \"x\" not found"),
        (
            "costs of no runtime",
            json!({"overhead": {"cpu": "1"}}),
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
    ];
    for (name, spec, expected) in rows {
        assert_eq!(create(pod(spec, json!({}))), Err(vec![expected.to_owned()]), "{name}");
    }
    let created = create(pod(json!({"priorityClassName": "system-node-critical"}), json!({}))).unwrap();
    assert_eq!(created["spec"]["priority"], json!(2_000_001_000));
    let created = create(pod(json!({"tolerations": [{"operator": "Exists"}]}), json!({}))).unwrap();
    assert_eq!(created["spec"]["tolerations"], json!([{"operator": "Exists"}]));
    let created = create(pod(json!({"tolerations": [{"key": "a", "effect": "NoExecute"}]}), json!({}))).unwrap();
    assert_eq!(created["spec"]["tolerations"].as_array().unwrap().len(), 3);
}

#[test]
fn what_an_account_gives() {
    let account = json!({"imagePullSecrets": [{"name": "r"}]});
    let given = |spec: Value, account: &Value| {
        let mut object = pod(spec, json!({}));
        use_account(&mut object, account, "x");
        let spec = &object["spec"];
        (
            list(&spec["containers"][0], "volumeMounts").len(),
            list(spec, "volumes").len(),
            spec["imagePullSecrets"].clone(),
        )
    };
    let no = json!({"automountServiceAccountToken": false});
    let yes = json!({"automountServiceAccountToken": true});
    let mounted = json!({"containers": [{"name": "c", "volumeMounts": [
        {"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
    ]}]});
    let there = json!({"volumes": [{"name": "kube-api-access-y"}]});
    let rows = [
        ("a token and secrets", json!({}), &account, (1, 1, json!([{"name": "r"}]))),
        ("its own secrets", json!({"imagePullSecrets": [{"name": "s"}]}), &account, (1, 1, json!([{"name": "s"}]))),
        ("not wanted by the Pod", no.clone(), &yes, (0, 0, Value::Null)),
        ("not wanted by the account", json!({}), &no, (0, 0, Value::Null)),
        ("wanted by the Pod", yes.clone(), &no, (1, 1, Value::Null)),
        ("something else is there", mounted, &yes, (1, 0, Value::Null)),
        ("the volume is there", there, &yes, (1, 1, Value::Null)),
    ];
    for (name, spec, account, expected) in rows {
        assert_eq!(given(spec, account), expected, "{name}");
    }
    let mut mirror = pod(json!({}), json!({}));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    let before = mirror.clone();
    use_account(&mut mirror, &account, "x");
    assert_eq!(mirror, before);
}

#[test]
fn quality_of_service() {
    let resources = |requests: Value, limits: Value| json!({"resources": {"requests": requests, "limits": limits}});
    let all = json!({"cpu": "1", "memory": "1Gi"});
    let two = |first: Value, second: Value| json!({"containers": [first, second]});
    let rows = [
        ("nothing", json!({"containers": [{}]}), "BestEffort"),
        ("zero", two(resources(json!({"cpu": "0"}), json!({})), json!({})), "BestEffort"),
        ("other resources", two(resources(json!({"example.com/x": "1"}), json!({})), json!({})), "BestEffort"),
        ("a request", two(resources(json!({"cpu": "1"}), json!({})), json!({})), "Burstable"),
        ("all", json!({"containers": [resources(all.clone(), all.clone())]}), "Guaranteed"),
        ("of one container only", two(resources(all.clone(), all.clone()), json!({})), "Burstable"),
        (
            "less than the limit",
            json!({"containers": [resources(json!({"cpu": "1", "memory": "1"}), all.clone())]}),
            "Burstable",
        ),
        ("of the whole Pod", json!({"containers": [{}], "resources": {"requests": all, "limits": all}}), "Guaranteed"),
    ];
    for (name, spec, expected) in rows {
        assert_eq!(status::quality_of_service(&json!({"spec": spec})), expected, "{name}");
    }
    assert_eq!(status::quality_of_service(&json!({"status": {"qosClass": "Burstable"}})), "Burstable");
}

#[test]
fn a_gate_is_said_to_be_one() {
    let mut object = pod(json!({"schedulingGates": [{"name": "g"}]}), json!({}));
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let created = create(object).unwrap();
    let expected = json!([{
        "lastProbeTime": null,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
        "reason": "SchedulingGated",
        "status": "False",
        "type": "PodScheduled",
    }]);
    assert_eq!(created["status"]["conditions"], expected);
    assert_eq!(Pod.row(&created, 0)[2], "SchedulingGated");
}

#[test]
fn label_keys_become_expressions() {
    let term = json!({
        "topologyKey": "a",
        "labelSelector": {"matchLabels": {"q": "1"}},
        "matchLabelKeys": ["app", "not-there"],
        "mismatchLabelKeys": ["v"],
    });
    let spec = json!({
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}, "matchLabelKeys": ["v"]},
        ],
    });
    let created = create(pod(spec, json!({}))).unwrap();
    let expression =
        |key: &str, operator: &str, value: &str| json!({"key": key, "operator": operator, "values": [value]});
    let term = &created["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    let expected = json!([expression("app", "In", "x"), expression("v", "NotIn", "1")]);
    assert_eq!(term["labelSelector"]["matchExpressions"], expected);
    let constraint = &created["spec"]["topologySpreadConstraints"][0];
    assert_eq!(constraint["labelSelector"]["matchExpressions"], json!([expression("v", "In", "1")]));
}

#[test]
fn annotations() {
    let rows = [
        (
            "a mirror without a node",
            "kubernetes.io/config.mirror",
            "x",
            Some("must set spec.nodeName if mirror pod annotation is set"),
        ),
        ("a cost", "controller.kubernetes.io/pod-deletion-cost", "-5", None),
        ("a cost that is none", "controller.kubernetes.io/pod-deletion-cost", "x", Some("must be a 32bit integer")),
        ("a cost with a sign", "controller.kubernetes.io/pod-deletion-cost", "+5", Some("must be a 32bit integer")),
        ("a cost with a zero", "controller.kubernetes.io/pod-deletion-cost", "05", Some("must be a 32bit integer")),
    ];
    for (name, key, value, expected) in rows {
        let mut object = pod(json!({}), json!({}));
        object["metadata"]["annotations"] = json!({ key: value });
        let faults = create(object).err().unwrap_or_default();
        let expected: Vec<_> = expected
            .map(|detail| format!("metadata.annotations[{key}]: Invalid value: {value:?}: {detail}"))
            .into_iter()
            .collect();
        assert_eq!(faults, expected, "{name}");
    }
}

#[test]
fn names_and_fields() {
    assert_eq!(Pod.validate_name("a.b", false), Vec::<String>::new());
    let object = json!({
        "spec": {"nodeName": "n", "restartPolicy": "Never", "schedulerName": "s", "serviceAccountName": "a", "hostNetwork": true},
        "status": {"phase": "Running", "podIPs": [{"ip": "1.2.3.4"}], "nominatedNodeName": "m"},
    });
    let values: Vec<_> = Pod.fields(&object).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["n", "Never", "s", "a", "true", "Running", "1.2.3.4", "m"]);
}

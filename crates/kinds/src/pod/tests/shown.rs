//! Pods as kubectl prints them, and what their authors are warned of.

use super::*;

const NOW: i64 = 1_800_000_000;

/// Ready, status and restarts of a Pod.
fn cells(spec: Value, status: Value) -> String {
    let mut object = pod(spec, json!({}));
    object["status"] = status;
    let row = Pod.row(&object, NOW);
    [1, 2, 3].map(|i| row[i].as_str().unwrap().to_owned()).join(" ")
}

/// Status of a container: its state, and whether it is ready.
fn container(name: &str, state: Value, more: Value) -> Value {
    let mut status = json!({"name": name, "state": state, "ready": false, "restartCount": 0});
    merge(&mut status, more);
    status
}

#[test]
fn statuses() {
    let none = || json!({});
    let running = || json!({"running": {}});
    let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
    let ended = |code: i64, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason}});
    let killed = json!({"terminated": {"exitCode": 137, "signal": 9}});
    let ready = || json!({"ready": true});
    let is_ready = || json!([{"type": "Ready", "status": "True"}]);
    let of = |statuses: Vec<Value>| json!({"phase": "Running", "containerStatuses": statuses});
    let before = |statuses: Vec<Value>| json!({"phase": "Pending", "initContainerStatuses": statuses});
    let two = || json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let init = || json!({"initContainers": [{"name": "i"}, {"name": "j"}]});
    let side = || json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "j"}]});
    let last = json!({"terminated": {"exitCode": 1, "finishedAt": "2027-01-15T07:59:55Z"}});
    let rows = [
        ("new", none(), json!({"phase": "Pending"}), "0/1 Pending 0"),
        ("running", none(), of(vec![container("c", running(), ready())]), "1/1 Running 0"),
        (
            "crashing",
            none(),
            of(vec![container("c", waiting("CrashLoopBackOff"), json!({"restartCount": 5}))]),
            "0/1 CrashLoopBackOff 5",
        ),
        (
            "started again",
            none(),
            of(vec![container("c", running(), json!({"ready": true, "restartCount": 2, "lastState": last}))]),
            "1/1 Running 2 (5s ago)",
        ),
        (
            "done",
            none(),
            json!({"phase": "Succeeded", "containerStatuses": [container("c", ended(0, "Completed"), none())]}),
            "0/1 Completed 0",
        ),
        ("failed", none(), of(vec![container("c", ended(1, "Error"), none())]), "0/1 Error 0"),
        ("without a reason", none(), of(vec![container("c", ended(3, ""), none())]), "0/1 ExitCode:3 0"),
        ("killed", none(), of(vec![container("c", killed.clone(), none())]), "0/1 Signal:9 0"),
        ("evicted", none(), json!({"phase": "Failed", "reason": "Evicted"}), "0/1 Evicted 0"),
        (
            "gated",
            none(),
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            "0/1 SchedulingGated 0",
        ),
        (
            "one done, one running",
            two(),
            json!({
                "phase": "Running",
                "conditions": is_ready(),
                "containerStatuses": [container("a", running(), ready()), container("b", ended(0, "Completed"), none())],
            }),
            "1/2 Running 0",
        ),
        (
            "one done, one not ready",
            two(),
            of(vec![container("a", running(), ready()), container("b", ended(0, "Completed"), none())]),
            "1/2 NotReady 0",
        ),
        (
            "one done, one failed",
            two(),
            of(vec![container("a", ended(0, "Completed"), none()), container("b", ended(1, "Error"), none())]),
            "0/2 Error 0",
        ),
        ("the first init container", init(), before(vec![container("i", running(), none())]), "0/1 Init:0/2 0"),
        (
            "the second",
            init(),
            before(vec![
                container("i", ended(0, "Completed"), none()),
                container("j", waiting("PodInitializing"), none()),
            ]),
            "0/1 Init:1/2 0",
        ),
        (
            "a crashing one",
            init(),
            before(vec![container("i", waiting("CrashLoopBackOff"), json!({"restartCount": 3, "lastState": last}))]),
            "0/1 Init:CrashLoopBackOff 3 (5s ago)",
        ),
        ("a failed one", init(), before(vec![container("i", ended(2, ""), none())]), "0/1 Init:ExitCode:2 0"),
        ("a killed one", init(), before(vec![container("i", killed, none())]), "0/1 Init:Signal:9 0"),
        ("one with a reason", init(), before(vec![container("i", ended(2, "Error"), none())]), "0/1 Init:Error 0"),
        (
            "a sidecar",
            side(),
            json!({
                "phase": "Running",
                "initContainerStatuses": [
                    container("s", running(), json!({"started": true, "ready": true, "restartCount": 2, "lastState": last})),
                    container("j", ended(0, "Completed"), json!({"restartCount": 7})),
                ],
                "containerStatuses": [container("c", running(), json!({"ready": true, "restartCount": 1}))],
            }),
            "2/2 Running 3 (5s ago)",
        ),
        (
            "a sidecar that starts",
            side(),
            before(vec![container("s", running(), json!({"started": false, "restartCount": 2}))]),
            "0/2 Init:0/2 2",
        ),
    ];
    for (name, spec, status, expected) in rows {
        assert_eq!(cells(spec, status), expected, "{name}");
    }
}

#[test]
fn deleted() {
    let rows = [
        ("on its way out", json!({"phase": "Running"}), "Terminating"),
        ("over already", json!({"phase": "Succeeded"}), "Succeeded"),
        ("on a lost node", json!({"phase": "Running", "reason": "NodeLost"}), "Unknown"),
    ];
    for (name, status, expected) in rows {
        let mut object = pod(json!({}), json!({}));
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["status"] = status;
        assert_eq!(Pod.row(&object, NOW)[2], expected, "{name}");
    }
}

#[test]
fn rows() {
    let mut object =
        pod(json!({"nodeName": "n", "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]}), json!({}));
    object["metadata"]["creationTimestamp"] = json!("2027-01-15T07:58:00Z");
    object["status"] = json!({
        "phase": "Failed",
        "podIPs": [{"ip": "1.2.3.4"}],
        "conditions": [{"type": "a", "status": "True"}],
    });
    let expected = json!(["p", "0/1", "Failed", "0", "2m", "1.2.3.4", "n", "<none>", "1/2"]);
    assert_eq!(json!(Pod.row(&object, NOW)), expected);
    let conditions = json!([{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]);
    assert_eq!(json!(Pod.row_conditions(&object)), conditions);
    object["status"]["phase"] = json!("Running");
    assert_eq!(Pod.row_conditions(&object), Vec::<Value>::new());
    let names: Vec<_> = Pod.columns().iter().map(|column| (column.name, column.priority)).collect();
    let expected = [
        ("Name", 0),
        ("Ready", 0),
        ("Status", 0),
        ("Restarts", 0),
        ("Age", 0),
        ("IP", 1),
        ("Node", 1),
        ("Nominated Node", 1),
        ("Readiness Gates", 1),
    ];
    assert_eq!(names, expected);
}

#[test]
fn warnings() {
    let volume = |source: Value| {
        let mut volume = json!({"name": "v"});
        merge(&mut volume, source);
        json!({ "volumes": [volume] })
    };
    let rows: Vec<(&str, Value, Value, &[&str])> = vec![
        ("nothing", json!({}), json!({}), &[]),
        (
            "old labels of nodes",
            json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
            json!({}),
            &[r#"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#],
        ),
        (
            "spreading of none",
            json!({"topologySpreadConstraints": [{"topologyKey": "a"}]}),
            json!({}),
            &["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"],
        ),
        (
            "lists",
            json!({
                "hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}],
                "imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}],
            }),
            json!({}),
            &[
                r#"spec.hostAliases[1].ip: duplicate ip "1.1.1.1""#,
                r#"spec.imagePullSecrets[1].name: duplicate name "a""#,
                r#"spec.imagePullSecrets[2].name: invalid empty name """#,
            ],
        ),
        (
            "fractions",
            json!({}),
            json!({"resources": {"limits": {"memory": "100m"}}}),
            &[
                r#"spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer"#,
            ],
        ),
        (
            "hidden variables",
            json!({}),
            json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}, {"name": "A", "value": "3"}]}),
            &[r#"spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply"#],
        ),
        (
            "ports",
            json!({}),
            json!({"ports": [
                {"name": "p", "containerPort": 80, "protocol": "TCP"},
                {"containerPort": 80, "protocol": "TCP"},
                {"name": "p", "containerPort": 81, "hostIP": "1.2.3.4", "protocol": "TCP"},
            ]}),
            &[
                "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
                "spec.containers[0].ports[2]: hostIP set without hostPort: {Name:p HostPort:0 ContainerPort:81 Protocol:TCP HostIP:1.2.3.4}",
                r#"spec.containers[0].ports[2]: duplicate port name "p" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]"#,
            ],
        ),
        (
            "old volumes",
            volume(json!({"gitRepo": {}})),
            json!({}),
            &["spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"],
        ),
        (
            "files over files",
            volume(json!({"configMap": {"name": "x", "items": [{"path": "a"}, {"path": "a/b"}]}})),
            json!({}),
            &[r#"volume "v" (ConfigMap "x"): overlapping paths: "a/b" with "a""#],
        ),
        (
            "files of several sources",
            volume(json!({"projected": {"sources": [
                {"secret": {"name": "s", "items": [{"path": "a"}]}},
                {"serviceAccountToken": {"path": "a"}},
                {},
            ]}})),
            json!({}),
            &[
                r#"volume "v" (Projected) has no sources provided"#,
                r#"volume "v" (Projected): overlapping paths: "a" (ServiceAccountToken) with "a" (Secret "s")"#,
            ],
        ),
        (
            "addresses that can be read in two ways",
            json!({"dnsConfig": {"nameservers": ["010.0.0.1"]}}),
            json!({}),
            &[r#"spec.dnsConfig.nameservers[0]: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1""#],
        ),
    ];
    for (name, spec, container, expected) in rows {
        assert_eq!(Pod.warnings(&pod(spec, container), None), expected, "{name}");
    }
    let object = pod(json!({"imagePullSecrets": [{}]}), json!({}));
    assert_eq!(Pod.warnings(&object, Some(&object)), Vec::<String>::new());
    let mut object = pod(json!({}), json!({}));
    object["metadata"]["name"] = json!("a.b");
    assert!(Pod.warnings(&object, None)[0].starts_with("metadata.name: this is used in the Pod's hostname, which"));
    let status = json!({"status": {"podIPs": [{"ip": "::ffff:1.1.1.1"}], "hostIPs": [{"ip": "1.1.1.1"}]}});
    assert_eq!(Pod.status_warnings(&status, &status).len(), 1);
}

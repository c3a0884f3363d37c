//! What Kubernetes says of Deployments.

use serde_json::{Value, json};

use super::*;

fn deployment(spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "ns"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"image": "i:1", "name": "c"}]}},
        },
    });
    for (field, value) in spec.as_object().unwrap() {
        set_or_remove(&mut object["spec"], field, Some(value.clone()));
    }
    object
}

fn texts_of(faults: Vec<Error>) -> Vec<String> {
    let short = |text: String| text.split(" (e.g. ").next().unwrap_or_default().to_owned();
    faults.iter().map(|fault| short(fault.to_string())).collect()
}

fn create(mut object: Value) -> Result<Value, Vec<String>> {
    Deployment.default(&mut object);
    Deployment.prepare_for_create(&mut object);
    let faults = texts_of(Deployment.validate(&object));
    if faults.is_empty() { Ok(object) } else { Err(faults) }
}

#[test]
fn defaults() {
    let created = create(deployment(json!({"replicas": 0}))).unwrap();
    let expected = json!({
        "progressDeadlineSeconds": 600,
        "replicas": 0,
        "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"a": "b"}},
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}, "type": "RollingUpdate"},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "containers": [{
                    "image": "i:1",
                    "imagePullPolicy": "IfNotPresent",
                    "name": "c",
                    "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }],
                "dnsPolicy": "ClusterFirst",
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "securityContext": {},
                "terminationGracePeriodSeconds": 30,
            },
        },
    });
    assert_eq!(created["spec"], expected);
    assert_eq!(created["status"], json!({}));
    assert_eq!(create(deployment(json!({}))).unwrap()["spec"]["replicas"], json!(1));
    let recreated = create(deployment(json!({"strategy": {"type": "Recreate"}}))).unwrap();
    assert_eq!(recreated["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn refused_when_created() {
    const NO_MATCH: &str = "`selector` does not match template `labels`";
    let template = |spec: Value| {
        let mut template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        for (field, value) in spec.as_object().unwrap() {
            set(&mut template["spec"], field, value.clone());
        }
        json!({ "template": template })
    };
    let update = |update: Value| json!({"strategy": {"rollingUpdate": update}});
    let rows = [
        ("less than nothing", json!({"replicas": -1}), vec!["spec.replicas: Invalid value: -1: must be greater than or equal to 0".to_owned()]),
        (
            "no selector",
            json!({"selector": null}),
            vec![
                "spec.selector: Required value".to_owned(),
                format!("spec.template.metadata.labels: Invalid value: {{\"a\":\"b\"}}: {NO_MATCH}"),
            ],
        ),
        (
            "an empty selector",
            json!({"selector": {}}),
            vec!["spec.selector: Invalid value: {}: empty selector is invalid for deployment".to_owned()],
        ),
        (
            "another selector",
            json!({"selector": {"matchLabels": {"x": "y"}}}),
            vec![format!("spec.template.metadata.labels: Invalid value: {{\"a\":\"b\"}}: {NO_MATCH}")],
        ),
        (
            "a selector that cannot be read",
            json!({"selector": {"matchExpressions": [{"key": "a", "operator": "x"}]}}),
            vec![
                r#"spec.selector.matchExpressions[0].operator: Invalid value: "x": not a valid selector operator"#.to_owned(),
                r#"spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"x"}]}: invalid label selector"#.to_owned(),
            ],
        ),
        (
            "no template",
            json!({"template": null}),
            vec![
                format!("spec.template.metadata.labels: Invalid value: null: {NO_MATCH}"),
                "spec.template.spec.containers: Required value".to_owned(),
            ],
        ),
        (
            "Pods that end",
            template(json!({"restartPolicy": "Never", "activeDeadlineSeconds": 5})),
            vec![
                r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#.to_owned(),
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported".to_owned(),
            ],
        ),
        (
            "containers that come later",
            template(json!({"ephemeralContainers": [{"name": "e", "image": "i"}]})),
            vec!["spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template".to_owned()],
        ),
        (
            "another strategy",
            json!({"strategy": {"type": "x"}}),
            vec![
                r#"spec.strategy: Unsupported value: {"Type":"x","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate""#
                    .to_owned(),
            ],
        ),
        (
            "steps of nothing",
            json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}}),
            vec!["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'".to_owned()],
        ),
        (
            "no step at all",
            update(json!({"maxSurge": 0, "maxUnavailable": "0%"})),
            vec![r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0"#.to_owned()],
        ),
        (
            "steps that are none",
            update(json!({"maxSurge": -1, "maxUnavailable": "x"})),
            vec![
                r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%'"#.to_owned(),
                "spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0".to_owned(),
            ],
        ),
        (
            "more than all",
            update(json!({"maxSurge": "300%", "maxUnavailable": "101%"})),
            vec![r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%"#.to_owned()],
        ),
        (
            "times",
            json!({"minReadySeconds": 600, "revisionHistoryLimit": -1}),
            vec![
                "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0".to_owned(),
                "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds".to_owned(),
            ],
        ),
    ];
    for (name, spec, expected) in rows {
        assert_eq!(create(deployment(spec)).unwrap_err(), expected, "{name}");
    }
}

#[test]
fn changes() {
    let old = create(deployment(json!({}))).unwrap();
    let change = |pointer: &str, value: Value| {
        let mut new = old.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        set(new.pointer_mut(parent).unwrap(), field, value);
        Deployment.prepare_for_update(&mut new, &old);
        (Deployment.generation_changes(&new, &old), texts_of(Deployment.validate_update(&new, &old)))
    };
    let good = |counts: bool| (Some(counts), Vec::new());
    assert_eq!(change("/spec/replicas", json!(3)), good(true));
    assert_eq!(change("/metadata/annotations", json!({"a": "b"})), good(true));
    assert_eq!(change("/metadata/labels", json!({"a": "b"})), good(false));
    assert_eq!(change("/status", json!({"replicas": 3})), good(false));
    let mut new = old.clone();
    new["spec"]["selector"] = json!({"matchLabels": {"a": "c"}});
    new["spec"]["template"]["metadata"]["labels"] = json!({"a": "c"});
    let expected = [r#"spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable"#];
    assert_eq!(texts_of(Deployment.validate_update(&new, &old)), expected);
}

#[test]
fn status() {
    let rows: Vec<(&str, Value, Value, &[&str])> = vec![
        (
            "numbers",
            json!({}),
            json!({"replicas": 2, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 2}),
            &[],
        ),
        (
            "below zero",
            json!({}),
            json!({"unavailableReplicas": -1, "observedGeneration": -1}),
            &[
                "status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
                "status.unavailableReplicas: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            "more than all",
            json!({}),
            json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 3, "updatedReplicas": 2}),
            &[
                "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
            ],
        ),
        (
            "fewer collisions",
            json!({"collisionCount": 3}),
            json!({}),
            &["status.collisionCount: Invalid value: 0: cannot be decremented"],
        ),
        (
            "collisions below zero",
            json!({}),
            json!({"collisionCount": -1}),
            &["status.collisionCount: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ];
    for (name, before, after, expected) in rows {
        let mut old = create(deployment(json!({}))).unwrap();
        old["metadata"]["labels"] = json!({"l": "m"});
        old["status"] = before;
        let mut new = old.clone();
        new["status"] = after;
        new["spec"]["replicas"] = json!(9);
        new["metadata"]["labels"] = json!({"n": "o"});
        Deployment.prepare_for_status_update(&mut new, &old);
        assert_eq!((&new["spec"], &new["metadata"]), (&old["spec"], &old["metadata"]), "{name}");
        assert_eq!(texts_of(Deployment.validate_status_update(&new, &old)), expected, "{name}");
    }
}

#[test]
fn rows() {
    let mut object = create(deployment(json!({"replicas": 3}))).unwrap();
    object["metadata"]["creationTimestamp"] = json!("1970-01-01T00:00:00Z");
    object["status"] = json!({"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2});
    let expected = json!(["d", "2/3", 1, 2, "5m", "c", "i:1", "a=b"]);
    assert_eq!(json!(Deployment.row(&object, 300)), expected);
    object["spec"]["selector"] = json!({"matchExpressions": [{"key": "a", "operator": "x"}]});
    assert_eq!(Deployment.row(&object, 300)[7], "<invalid>");
    let columns: Vec<_> = Deployment.columns().iter().map(|column| (column.name, column.kind)).collect();
    assert_eq!(columns[2..4], [("Up-to-date", "string"), ("Available", "string")]);
}

#[test]
fn warnings() {
    let mut old = deployment(json!({}));
    old["spec"]["template"]["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"});
    let expected = [
        r#"spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#,
    ];
    assert_eq!(Deployment.warnings(&old, None), expected);
    let mut new = old.clone();
    new["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(Deployment.warnings(&new, Some(&old)), Vec::<String>::new());
    new["spec"]["replicas"] = json!(5);
    assert_eq!(Deployment.warnings(&new, Some(&old)), expected);
    old["metadata"]["name"] = json!("a.b");
    assert_eq!(Deployment.warnings(&old, None).len(), 2);
}

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::plan::decide;
use super::*;

fn node(name: &str, edit: impl FnOnce(&mut Value)) -> Arc<Node> {
    let mut value = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": "z1", "disk": "ssd", "size": "4"}},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "10", "example.com/gpu": "1"},
            "conditions": [{"type": "Ready", "status": "True"}]}});
    edit(&mut value);
    Arc::new(serde_json::from_value(value).unwrap())
}

fn pod(name: &str, spec: Value) -> Pod {
    let mut spec = spec;
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c"}]);
    }
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": name, "uid": name, "ownerReferences":
            [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": true}]},
        "spec": spec}))
    .unwrap()
}

fn place(pod: &Pod, nodes: &[Arc<Node>], books: &Books) -> Decision {
    decide(pod, pod.spec.scheduling.as_ref().unwrap(), nodes, books)
}

fn refused(message: &str) -> Decision {
    Decision::Unschedulable(message.to_owned())
}

fn requirement(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
        [{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]}}}})
}

#[test]
fn what_does_not_fit_is_told_in_kubernetes_words() {
    let ask = |list: Value| json!({"containers": [{"name": "c", "resources": {"requests": list}}]});
    let rows: Vec<(&str, Value, Value, &str)> = vec![
        ("cordoned", json!({"spec": {"unschedulable": true}}), json!({}), "node(s) were unschedulable"),
        (
            "tainted",
            json!({"spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}}),
            json!({"tolerations": [{"key": "a", "value": "c", "effect": "NoSchedule"}]}),
            "node(s) had untolerated taint(s)",
        ),
        (
            "silent",
            json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
            json!({}),
            "node(s) had untolerated taint(s)",
        ),
        ("new", json!({"status": {"conditions": []}}), json!({}), "node(s) had untolerated taint(s)"),
        (
            "selector",
            json!({}),
            json!({"nodeSelector": {"disk": "hdd"}}),
            "node(s) didn't match Pod's node affinity/selector",
        ),
        (
            "affinity",
            json!({}),
            requirement("disk", "NotIn", &["ssd"]),
            "node(s) didn't match Pod's node affinity/selector",
        ),
        ("cpu", json!({}), ask(json!({"cpu": "2001m"})), "Insufficient cpu"),
        ("memory", json!({}), ask(json!({"memory": "5Gi"})), "Insufficient memory"),
        ("gpu", json!({}), ask(json!({"example.com/gpu": "2"})), "Insufficient example.com/gpu"),
        ("other", json!({}), ask(json!({"example.com/none": "1"})), "Insufficient example.com/none"),
        ("pods", json!({"status": {"allocatable": {"pods": "0"}}}), json!({}), "Too many pods"),
    ];
    for (name, difference, spec, reason) in rows {
        let nodes = [node("n1", |n| {
            for (part, fields) in difference.as_object().unwrap() {
                for (field, value) in fields.as_object().unwrap() {
                    n[part][field] = value.clone();
                }
            }
        })];
        let wanted = refused(&format!("0/1 nodes are available: 1 {reason}."));
        assert_eq!(place(&pod("p", spec), &nodes, &Books::default()), wanted, "{name}");
    }
    assert_eq!(place(&pod("p", json!({})), &[], &Books::default()), refused("no nodes available to schedule pods"));
}

#[test]
fn reasons_are_counted_and_sorted() {
    let nodes = [
        node("a", |n| n["spec"]["unschedulable"] = json!(true)),
        node("b", |n| n["status"]["allocatable"] = json!({"cpu": "1", "memory": "1Ki", "pods": "5"})),
        node("c", |n| n["status"]["allocatable"] = json!({"cpu": "1", "memory": "9Gi", "pods": "5"})),
    ];
    let pod =
        pod("p", json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}]}));
    let wanted = "0/3 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 2 Insufficient cpu.";
    assert_eq!(place(&pod, &nodes, &Books::default()), refused(wanted));
}

#[test]
fn requirements_on_labels_and_names() {
    let rows = [
        (requirement("disk", "In", &["hdd", "ssd"]), true),
        (requirement("disk", "In", &["hdd"]), false),
        (requirement("nope", "NotIn", &["x"]), true),
        (requirement("disk", "Exists", &[]), true),
        (requirement("nope", "Exists", &[]), false),
        (requirement("nope", "DoesNotExist", &[]), true),
        (requirement("size", "Gt", &["3"]), true),
        (requirement("size", "Gt", &["4"]), false),
        (requirement("size", "Lt", &["5"]), true),
        (requirement("disk", "Lt", &["5"]), false),
        (
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
            [{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]}}}}),
            true,
        ),
        (
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}}}),
            false,
        ),
        (json!({"nodeSelector": {"disk": "ssd", "size": "4"}}), true),
    ];
    for (spec, fits) in rows {
        let found = place(&pod("p", spec.clone()), &[node("n1", |_| {})], &Books::default());
        assert_eq!(found == Decision::Bind("n1".to_owned()), fits, "{spec}");
    }
}

#[test]
fn tolerations_bear_taints() {
    let rows = [
        (json!({"operator": "Exists"}), true),
        (json!({"key": "a", "operator": "Exists"}), true),
        (json!({"key": "a", "operator": "Exists", "effect": "NoExecute"}), false),
        (json!({"key": "a", "value": "b"}), true),
        (json!({"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}), true),
        (json!({"key": "a", "value": ""}), false),
        (json!({"value": "b"}), false),
        (json!({"key": "x", "operator": "Exists"}), false),
    ];
    let taints = json!([{"key": "a", "value": "b", "effect": "NoSchedule"}]);
    for (toleration, bears) in rows {
        let nodes = [node("n1", |n| n["spec"]["taints"] = taints.clone())];
        let pod = pod("p", json!({"tolerations": [toleration.clone()]}));
        assert_eq!(place(&pod, &nodes, &Books::default()) == Decision::Bind("n1".to_owned()), bears, "{toleration}");
    }
}

/// Places Pods one after another; tells how many each node got.
fn spread(pods: impl IntoIterator<Item = Pod>, nodes: &[Arc<Node>]) -> BTreeMap<String, usize> {
    let mut books = Books::default();
    let mut counts = BTreeMap::new();
    for pod in pods {
        let Decision::Bind(node) = place(&pod, nodes, &books) else { continue };
        books.assume(&pod, &node);
        *counts.entry(node).or_default() += 1;
    }
    counts
}

#[test]
fn the_pods_of_an_owner_are_spread_over_nodes_and_zones() {
    let zoned =
        |name: &str, zone: &str| node(name, |n| n["metadata"]["labels"]["topology.kubernetes.io/zone"] = json!(zone));
    let nodes = [zoned("a1", "a"), zoned("a2", "a"), zoned("b1", "b")];
    let pods = |count: usize| (0..count).map(|i| pod(&format!("p{i}"), json!({})));
    assert_eq!(spread(pods(2), &nodes), [("a1".to_owned(), 1), ("b1".to_owned(), 1)].into());
    assert_eq!(spread(pods(9), &nodes).into_values().collect::<Vec<_>>(), [3, 3, 3]);
}

#[test]
fn preferences_and_soft_taints_decide_among_fitting_nodes() {
    let nodes = [
        node("a", |n| n["spec"]["taints"] = json!([{"key": "k", "effect": "PreferNoSchedule"}])),
        node("b", |_| {}),
        node("c", |n| n["metadata"]["labels"]["disk"] = json!("nvme")),
    ];
    let place = |spec: Value| place(&pod("p", spec), &nodes, &Books::default());
    assert_eq!(place(json!({})), Decision::Bind("b".to_owned()));
    assert_eq!(place(json!({"tolerations": [{"operator": "Exists"}]})), Decision::Bind("a".to_owned()));
    let prefer = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 7, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["nvme"]}]}}]}}});
    assert_eq!(place(prefer), Decision::Bind("c".to_owned()));
}

#[test]
fn ports_of_the_node_are_taken_once() {
    let port = |number: i32, protocol: &str| json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": number, "protocol": protocol}]}]});
    let nodes = [node("n1", |_| {})];
    let mut books = Books::default();
    let first = pod("first", port(8080, "TCP"));
    books.assume(&first, "n1");
    let wanted = refused("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
    assert_eq!(place(&pod("second", port(8080, "TCP")), &nodes, &books), wanted);
    assert_eq!(place(&pod("second", port(8080, "UDP")), &nodes, &books), Decision::Bind("n1".to_owned()));
    books.forget("first");
    assert_eq!(place(&pod("second", port(8080, "TCP")), &nodes, &books), Decision::Bind("n1".to_owned()));
}

#[test]
fn an_assumption_holds_until_the_cache_says_otherwise() {
    let mut books = Books::default();
    let unbound = pod("p", json!({}));
    let mut bound = pod("p", json!({"nodeName": "n1"}));
    books.assume(&unbound, "n1");
    books.see(&unbound);
    assert_eq!(books.load("n1").unwrap().used.pods, 1);
    books.see(&bound);
    books.forget("p");
    assert_eq!(books.load("n1").unwrap().used.pods, 1, "confirmed: not to be forgotten any more");
    bound.status.phase = crate::objects::pod::Phase::Succeeded;
    books.see(&bound);
    assert!(books.load("n1").is_none());
}

proptest! {
    /// Over any history, the books are what a count from scratch gives, and no node is ever given more than it has.
    #[test]
    fn no_node_is_given_more_than_it_has(steps in prop::collection::vec((0..3_u8, 0..12_u8, 1..1500_u16), 1..120)) {
        let nodes = [node("a", |_| {}), node("b", |n| n["status"]["allocatable"]["pods"] = json!("3")), node("c", |_| {})];
        let mut books = Books::default();
        let mut model: BTreeMap<String, (String, i64)> = BTreeMap::new();
        for (what, name, cpu) in steps {
            let name = format!("p{name}");
            let pod = pod(&name, json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": format!("{cpu}m")}}}]}));
            if what == 0 {
                books.remove(&name);
                model.remove(&name);
            } else if !model.contains_key(&name)
                && let Decision::Bind(node) = place(&pod, &nodes, &books)
            {
                books.assume(&pod, &node);
                model.insert(name, (node, i64::from(cpu)));
            }
            for node in &nodes {
                let mine = model.values().filter(|(n, _)| n == node.name());
                let (pods, milli) = mine.fold((0, 0), |(pods, milli), (_, cpu)| (pods + 1, milli + cpu));
                let used = books.load(node.name()).map(|load| load.used.clone()).unwrap_or_default();
                prop_assert_eq!((used.pods, used.milli_cpu), (pods, milli));
                prop_assert!(milli <= node.status.allocatable.milli_cpu && pods <= node.status.allocatable.pods);
            }
        }
    }
}

//! What must hold for every kind, whatever its documents are.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::{Kind, metadata};

/// Words that stand in real documents: an arbitrary document made of them goes deeper into a kind than noise would.
const WORDS: &[&str] = &[
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "finalizers",
    "ownerReferences",
    "creationTimestamp",
    "deletionTimestamp",
    "spec",
    "status",
    "type",
    "ports",
    "port",
    "protocol",
    "targetPort",
    "nodePort",
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "externalIPs",
    "externalName",
    "selector",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "sessionAffinity",
    "sessionAffinityConfig",
    "loadBalancer",
    "ingress",
    "ip",
    "ipMode",
    "hostname",
    "addresses",
    "addressType",
    "endpoints",
    "subsets",
    "notReadyAddresses",
    "conditions",
    "data",
    "binaryData",
    "stringData",
    "immutable",
    "template",
    "replicas",
    "strategy",
    "rollingUpdate",
    "maxSurge",
    "maxUnavailable",
    "containers",
    "initContainers",
    "image",
    "env",
    "envFrom",
    "valueFrom",
    "volumes",
    "volumeMounts",
    "emptyDir",
    "configMap",
    "secret",
    "projected",
    "sources",
    "items",
    "downwardAPI",
    "hostPath",
    "resources",
    "limits",
    "requests",
    "cpu",
    "memory",
    "livenessProbe",
    "httpGet",
    "tcpSocket",
    "exec",
    "command",
    "tolerations",
    "taints",
    "podCIDRs",
    "containerStatuses",
    "initContainerStatuses",
    "state",
    "terminated",
    "waiting",
    "running",
    "reason",
    "involvedObject",
    "source",
    "series",
    "holderIdentity",
    "cidrs",
    "parentRef",
    "hostNetwork",
    "affinity",
    "ClusterIP",
    "NodePort",
    "LoadBalancer",
    "ExternalName",
    "None",
    "TCP",
    "UDP",
    "ClientIP",
    "Local",
    "Cluster",
    "IPv4",
    "IPv6",
    "In",
    "Exists",
    "Always",
    "Never",
    "RollingUpdate",
    "10.0.0.1",
    "fd00::1",
    "10.0.0.0/8",
    "1Gi",
    "100m",
    "25%",
    "a",
    "A b",
    "",
    "kubernetes.io/tls",
    "Ready",
    "True",
    "2026-01-01T00:00:00Z",
    "http",
    "default",
    "limits",
    "max",
    "min",
    "defaultRequest",
    "maxLimitRequestRatio",
    "hard",
    "used",
    "scopes",
    "scopeSelector",
    "scopeName",
    "Container",
    "Terminating",
    "BestEffort",
    "pods",
    "requests.cpu",
    "rules",
    "http",
    "paths",
    "path",
    "pathType",
    "Prefix",
    "backend",
    "service",
    "defaultBackend",
    "tls",
    "hosts",
    "host",
    "parameters",
    "controller",
    "scope",
    "egress",
    "from",
    "to",
    "ipBlock",
    "cidr",
    "except",
    "podSelector",
    "policyTypes",
    "minAvailable",
    "updateStrategy",
    "volumeClaimTemplates",
    "serviceName",
    "handler",
    "scheduling",
    "overhead",
    "podFixed",
    "roleRef",
    "subjects",
    "verbs",
    "resources",
    "apiGroups",
    "aggregationRule",
    "clusterRoleSelectors",
    "value",
    "preemptionPolicy",
];

fn document() -> impl Strategy<Value = Value> {
    let word = || prop::sample::select(WORDS).prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![Just(0i64), Just(1), Just(80), Just(-1), Just(70_000), any::<i64>()].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(WORDS).prop_map(str::to_owned), inner), 0..8)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Two documents as they come after decoding: of the kind's type.
fn decoded(kind: &Kind, document: &Value) -> Value {
    let mut document = document.clone();
    if !document.is_object() {
        document = json!({ "spec": document });
    }
    let schema = crate::schema::get(kind.schema).unwrap();
    crate::schema::check(&document, schema).document
}

/// Everything that is ever asked of a kind, in the order of a request; what it answers.
fn exercise(kind: &Kind, new: &Value, old: &Value) -> Vec<String> {
    let strategy = kind.strategy;
    let (mut new, mut old) = (new.clone(), old.clone());
    let mut said = Vec::new();
    let mut say = |faults: Vec<crate::field::Error>| said.extend(faults.iter().map(ToString::to_string));
    strategy.default(&mut old);
    let refusal = strategy.admit(&mut old);
    strategy.prepare_for_create(&mut old);
    say(metadata::validate(kind, &old));
    say(strategy.validate(&old));
    strategy.canonicalize(&mut old);
    strategy.default(&mut new);
    let mut status = new.clone();
    strategy.prepare_for_update(&mut new, &old);
    say(metadata::validate_update(&new, &old));
    say(strategy.validate_update(&new, &old));
    strategy.prepare_for_status_update(&mut status, &old);
    say(strategy.validate_status_update(&status, &old));
    said.extend(refusal.err());
    said.extend(strategy.warnings(&new, Some(&old)));
    said.extend(strategy.status_warnings(&status, &old));
    said.push(format!("{:?}", strategy.generation_changes(&new, &old)));
    said.extend(strategy.fields(&new).into_iter().map(|(name, value)| format!("{name}={value}")));
    said.extend(strategy.row(&new, 1_800_000_000).iter().map(ToString::to_string));
    said.extend(strategy.row_conditions(&new).iter().map(ToString::to_string));
    said.push(format!("{:?}", strategy.validate_name("a.b-", true)));
    said.push(new.to_string());
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_panics_and_all_is_deterministic(new in document(), old in document()) {
        for kind in all() {
            // As they come from the wire, and as they never should.
            let typed = (decoded(kind, &new), decoded(kind, &old));
            prop_assert_eq!(exercise(kind, &typed.0, &typed.1), exercise(kind, &typed.0, &typed.1), "{}", kind.kind);
            exercise(kind, &new, &old);
        }
    }

    #[test]
    fn defaulting_twice_is_defaulting_once(document in document()) {
        for kind in all() {
            let mut once = decoded(kind, &document);
            kind.strategy.default(&mut once);
            let mut twice = once.clone();
            kind.strategy.default(&mut twice);
            prop_assert_eq!(once, twice, "{}", kind.kind);
        }
    }
}

#[test]
fn kinds_are_told_apart_and_known() {
    for kind in all() {
        assert!(crate::schema::get(kind.schema).is_some(), "{}", kind.schema);
        assert!(std::ptr::eq(by_plural(kind.group, kind.version, kind.plural).unwrap(), *kind));
        assert!(std::ptr::eq(by_kind(&kind.api_version(), kind.kind).unwrap(), *kind));
        let empty = json!({"metadata": {"name": "a"}});
        // Kubernetes' table of IPAddresses has a cell for the age and no column.
        let more = usize::from(kind.kind == "IPAddress");
        assert_eq!(kind.strategy.row(&empty, 0).len(), kind.strategy.columns().len() + more, "{}", kind.kind);
        let names: Vec<_> = kind.strategy.fields(&empty).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, kind.strategy.field_names(), "{}", kind.kind);
        for column in kind.strategy.columns() {
            // Kubernetes looks for the words of this column where there are none.
            let without = (kind.kind, column.name) == ("RuntimeClass", "Handler");
            assert!(without || !column.description.is_empty(), "{} of {}", column.name, kind.kind);
        }
    }
}

//! The roles and bindings that every cluster begins with: Kubernetes' own (`crates/apiserver/rbac/table.txt`, which
//! `generate.py` beside it makes and tells how to read) and those of Portolan's nodes.

use kinds::rules::Rule;
use serde_json::{Value, json};

const TABLE: &str = include_str!("../../rbac/table.txt");

/// What a node of Portolan's own may beside what every node may: read all that its rules and its DNS are made of, and
/// share load balancers' addresses with the others, and speak to routers with the passwords of one Secret. Which leases it may write is looked at when they are let in.
const OWN: &str = "\
=ClusterRole portolan:node
get,list,watch - namespaces,nodes,services
get,list,watch discovery.k8s.io endpointslices
get,list,watch networking.k8s.io servicecidrs
patch,update - services/status
=ClusterRoleBinding portolan:node portolan:node
group system:nodes
=Role kube-node-lease portolan:load-balancers
list,watch coordination.k8s.io leases
=RoleBinding kube-node-lease portolan:load-balancers Role portolan:load-balancers
group system:nodes
=Role kube-system portolan:load-balancers
get,list,watch - configmaps portolan-load-balancer
get - secrets portolan-load-balancer-bgp
=RoleBinding kube-system portolan:load-balancers Role portolan:load-balancers
group system:nodes
";

const GROUP: &str = "rbac.authorization.k8s.io";
const VERSION: &str = "rbac.authorization.k8s.io/v1";

/// A role or a binding as it is made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Given {
    /// `clusterroles`
    pub plural: &'static str,
    /// Empty for what is in no namespace.
    pub namespace: &'static str,
    pub name: &'static str,
    pub document: Value,
}

/// All of them, roles before bindings.
pub(crate) fn all() -> Vec<Given> {
    let mut found: Vec<Given> = sections(TABLE).chain(sections(OWN)).filter_map(read).collect();
    found.sort_by_key(|given| given.plural.contains("binding"));
    found
}

/// The rules of one of the ClusterRoles; none when there is no such role.
pub(super) fn rules_of_cluster_role(name: &str) -> Vec<Rule> {
    let all = sections(TABLE).filter_map(read);
    let mut named = all.filter(|given| (given.plural, given.name) == ("clusterroles", name));
    named.next().map(|given| Rule::of_role(&given.document)).unwrap_or_default()
}

/// The parts of a table that begin with `=`: the head's words, and the lines after it.
fn sections(table: &'static str) -> impl Iterator<Item = (Vec<&'static str>, Vec<Vec<&'static str>>)> {
    let words = |line: &'static str| line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>();
    table.split("\n=").map(move |section| {
        // The first section begins with the table, or is the remark before it.
        let mut lines = section.trim_start_matches('=').lines();
        (words(lines.next().unwrap_or_default()), lines.map(words).collect())
    })
}

/// A section as an object; `None` for the remark at the head.
fn read((head, lines): (Vec<&'static str>, Vec<Vec<&'static str>>)) -> Option<Given> {
    let made = |plural, namespace, name, kind: &str| {
        let mut document = json!({
            "apiVersion": VERSION, "kind": kind,
            "metadata": {
                "name": name,
                "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
                "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
            },
        });
        if !str::is_empty(namespace) {
            document["metadata"]["namespace"] = namespace.into();
        }
        Given { plural, namespace, name, document }
    };
    match head.as_slice() {
        ["ClusterRole", name, labels @ ..] => Some(role(made("clusterroles", "", name, "ClusterRole"), labels, &lines)),
        ["Role", namespace, name] => Some(role(made("roles", namespace, name, "Role"), &[], &lines)),
        ["ClusterRoleBinding", name, role] => {
            let binding = made("clusterrolebindings", "", name, "ClusterRoleBinding");
            Some(bind(binding, "ClusterRole", role, &lines))
        }
        ["RoleBinding", namespace, name, kind, role] => {
            Some(bind(made("rolebindings", namespace, name, "RoleBinding"), kind, role, &lines))
        }
        _ => None,
    }
}

fn role(mut made: Given, labels: &[&str], lines: &[Vec<&str>]) -> Given {
    let document = &mut made.document;
    for (key, value) in labels.iter().filter_map(|label| label.split_once('=')) {
        document["metadata"]["labels"][key] = value.into();
    }
    let (mut rules, mut selectors) = (Vec::new(), Vec::new());
    let values = |word: &str| word.split(',').map(|v| if v == "-" { "" } else { v }.to_owned()).collect::<Vec<_>>();
    for line in lines {
        match line.as_slice() {
            ["select", label] => {
                let (key, value) = label.split_once('=').unwrap_or((label, ""));
                let mut labels = json!({});
                labels[key] = value.into();
                selectors.push(json!({ "matchLabels": labels }));
            }
            [verbs, "/", paths] => {
                rules.push(Rule { verbs: values(verbs), paths: values(paths), ..Rule::default() });
            }
            [verbs, groups, resources, names @ ..] => rules.push(Rule {
                verbs: values(verbs),
                groups: values(groups),
                resources: values(resources),
                names: names.first().map(|names| values(names)).unwrap_or_default(),
                ..Rule::default()
            }),
            _ => {}
        }
    }
    if !selectors.is_empty() {
        document["aggregationRule"] = json!({ "clusterRoleSelectors": selectors });
    }
    if !rules.is_empty() {
        document["rules"] = rules.iter().map(Rule::to_document).collect();
    }
    made
}

fn bind(mut made: Given, kind: &str, role: &str, lines: &[Vec<&str>]) -> Given {
    let subject = |line: &Vec<&str>| match line.as_slice() {
        ["account", namespace, name] => Some(json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })),
        ["group", name] => Some(json!({ "apiGroup": GROUP, "kind": "Group", "name": name })),
        ["user", name] => Some(json!({ "apiGroup": GROUP, "kind": "User", "name": name })),
        _ => None,
    };
    let subjects: Vec<Value> = lines.iter().filter_map(subject).collect();
    if !subjects.is_empty() {
        made.document["subjects"] = subjects.into();
    }
    made.document["roleRef"] = json!({ "apiGroup": GROUP, "kind": kind, "name": role });
    made
}

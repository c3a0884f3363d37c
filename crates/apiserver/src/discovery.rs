//! `/api`, `/apis` and below: which groups, versions and resources there are; each by itself, or all at once
//! (`apidiscovery.k8s.io/v2`) for clients that ask for it.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use kinds::{Kind, Scope, Subresource, registry};
use serde_json::{Value, json};

use crate::api::Api;
use crate::front::Asked;
use crate::negotiate::{self, Form};
use crate::response::{self, Body};
use crate::show;
use crate::status::Status;

/// The media type of the aggregated form.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// What can be done with every kind.
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// What can be done with namespaces, which are deleted one by one.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
/// What can be done with a part of an object.
const PART_VERBS: &[&str] = &["get", "patch", "update"];

/// What can be passed on.
const PROXY_VERBS: &[&str] = &["create", "delete", "get", "patch", "update"];

/// A group, version and kind.
type GroupVersionKind = (&'static str, &'static str, &'static str);

/// What a path below an object offers, for those that are no parts of it.
struct Below {
    group: &'static str,
    plural: &'static str,
    name: &'static str,
    kind: GroupVersionKind,
    verbs: &'static [&'static str],
}

const fn below(
    plural: &'static str,
    name: &'static str,
    kind: GroupVersionKind,
    verbs: &'static [&'static str],
) -> Below {
    Below { group: "", plural, name, kind, verbs }
}

const BELOW: &[Below] = &[
    below("nodes", "proxy", ("", "v1", "NodeProxyOptions"), PROXY_VERBS),
    below("pods", "attach", ("", "v1", "PodAttachOptions"), &["create", "get"]),
    below("pods", "portforward", ("", "v1", "PodPortForwardOptions"), &["create", "get"]),
    below("pods", "proxy", ("", "v1", "PodProxyOptions"), PROXY_VERBS),
    below("services", "proxy", ("", "v1", "ServiceProxyOptions"), PROXY_VERBS),
    below("namespaces", "finalize", ("", "v1", "Namespace"), &["update"]),
    below("pods", "binding", ("", "v1", "Binding"), &["create"]),
    below("pods", "eviction", ("policy", "v1", "Eviction"), &["create"]),
    below("pods", "exec", ("", "v1", "PodExecOptions"), &["create", "get"]),
    below("serviceaccounts", "token", ("authentication.k8s.io", "v1", "TokenRequest"), &["create"]),
    below("pods", "log", ("", "v1", "Pod"), &["get"]),
];

/// Resources that are only ever created, and answered at once.
struct Review {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
}

const REVIEWS: &[Review] = &[
    Review {
        group: "authentication.k8s.io",
        plural: "selfsubjectreviews",
        kind: "SelfSubjectReview",
        namespaced: false,
    },
    Review { group: "authentication.k8s.io", plural: "tokenreviews", kind: "TokenReview", namespaced: false },
    Review {
        group: "authorization.k8s.io",
        plural: "localsubjectaccessreviews",
        kind: "LocalSubjectAccessReview",
        namespaced: true,
    },
    Review {
        group: "authorization.k8s.io",
        plural: "selfsubjectaccessreviews",
        kind: "SelfSubjectAccessReview",
        namespaced: false,
    },
    Review {
        group: "authorization.k8s.io",
        plural: "selfsubjectrulesreviews",
        kind: "SelfSubjectRulesReview",
        namespaced: false,
    },
    Review {
        group: "authorization.k8s.io",
        plural: "subjectaccessreviews",
        kind: "SubjectAccessReview",
        namespaced: false,
    },
];

/// Answers a path, without its last `/`; `None` for one that is no discovery.
pub(crate) fn answer(api: &Api, asked: &Asked, path: &str) -> Option<Result<Response<Body>, Status>> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let document = match parts.as_slice() {
        ["api"] => return Some(root(asked, versions(api), &[""])),
        ["apis"] => return Some(root(asked, group_list(), &groups())),
        ["api", version] => resource_list("", version),
        ["apis", group] if !group.is_empty() => groups().contains(group).then(|| api_group(group)),
        ["apis", group, version] if !group.is_empty() => resource_list(group, version),
        _ => return None,
    }?;
    Some(
        negotiate::discovery(&asked.parts.headers)
            .and_then(|accepted| show::encoded(accepted.encoding, StatusCode::OK, document.to_string().into())),
    )
}

/// `/api` or `/apis`, in the form that is asked for.
fn root(asked: &Asked, document: Value, groups: &[&str]) -> Result<Response<Body>, Status> {
    let accepted = negotiate::discovery(&asked.parts.headers)?;
    if accepted.form != Form::AggregatedDiscovery {
        return show::encoded(accepted.encoding, StatusCode::OK, document.to_string().into());
    }
    let items: Vec<Value> = groups.iter().map(|group| aggregated(group)).collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    let mut response = response::json(StatusCode::OK, Body::whole(list.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    Ok(response)
}

/// All groups but the core, each once, in the order of the registry and then that of the reviews.
fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = Vec::new();
    for group in registry::shown().map(|k| k.group).chain(REVIEWS.iter().map(|r| r.group)) {
        if !group.is_empty() && !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

/// The version of a group. There is one of each.
fn version(group: &str) -> &'static str {
    registry::shown().find(|k| k.group == group).map_or("v1", |k| k.version)
}

fn versions(api: &Api) -> Value {
    let address = api.addresses.first().map(|a| format!("{}:{}", api.config.advertise, a.port())).unwrap_or_default();
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": address }],
    })
}

fn group_list() -> Value {
    let groups: Vec<Value> = groups().into_iter().map(group_entry).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

fn group_entry(group: &str) -> Value {
    let version = version(group);
    let entry = json!({ "groupVersion": format!("{group}/{version}"), "version": version });
    json!({ "name": group, "versions": [entry], "preferredVersion": entry })
}

fn api_group(group: &str) -> Value {
    let mut entry = group_entry(group);
    entry["kind"] = "APIGroup".into();
    entry["apiVersion"] = "v1".into();
    entry
}

fn resource_list(group: &str, of: &str) -> Option<Value> {
    let kinds = kinds_of(group);
    let reviews: Vec<&Review> = REVIEWS.iter().filter(|r| r.group == group).collect();
    if of != version(group) || (kinds.is_empty() && reviews.is_empty()) {
        return None;
    }
    let mut resources: Vec<Value> = Vec::new();
    for kind in kinds {
        resources.push(resource(kind));
        let namespaced = kind.scope == Scope::Namespaced;
        for (name, (group, version, of_kind), verbs) in parts(kind) {
            let name = format!("{}/{name}", kind.plural);
            let mut part =
                json!({ "name": name, "singularName": "", "namespaced": namespaced, "kind": of_kind, "verbs": verbs });
            if (group, version) != (kind.group, kind.version) {
                part["group"] = group.into();
                part["version"] = version.into();
            }
            resources.push(part);
        }
    }
    for r in reviews {
        let singular = r.kind.to_lowercase();
        resources.push(json!({
            "name": r.plural, "singularName": singular, "namespaced": r.namespaced, "kind": r.kind, "verbs": ["create"],
        }));
    }
    let group_version = if group.is_empty() { of.to_owned() } else { format!("{group}/{of}") };
    Some(
        json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources }),
    )
}

/// The kinds of a group in the order of their plural names, as Kubernetes lists them.
fn kinds_of(group: &str) -> Vec<&'static Kind> {
    let mut kinds: Vec<&Kind> = registry::shown().filter(|k| k.group == group).collect();
    kinds.sort_by_key(|k| k.plural);
    kinds
}

fn resource(kind: &Kind) -> Value {
    let mut resource = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.scope == Scope::Namespaced,
        "kind": kind.kind, "verbs": verbs(kind),
    });
    add_names(kind, &mut resource);
    resource
}

fn verbs(kind: &Kind) -> &'static [&'static str] {
    if kind.kind == "Namespace" { NAMESPACE_VERBS } else { VERBS }
}

fn add_names(kind: &Kind, resource: &mut Value) {
    if !kind.short_names.is_empty() {
        resource["shortNames"] = kind.short_names.into();
    }
    if !kind.categories.is_empty() {
        resource["categories"] = kind.categories.into();
    }
}

/// The paths below an object of a kind.
fn parts(kind: &Kind) -> Vec<(&'static str, GroupVersionKind, &'static [&'static str])> {
    let own = (kind.group, kind.version, kind.kind);
    let mut parts = Vec::new();
    if kind.has(Subresource::Scale) {
        parts.push(("scale", ("autoscaling", "v1", "Scale"), PART_VERBS));
    }
    if kind.has(Subresource::Status) {
        parts.push(("status", own, PART_VERBS));
    }
    let below = BELOW.iter().filter(|b| (b.group, b.plural) == (kind.group, kind.plural));
    parts.extend(below.map(|b| (b.name, b.kind, b.verbs)));
    parts.sort_by_key(|(name, _, _)| *name);
    parts
}

fn aggregated(group: &str) -> Value {
    let response_kind =
        |(group, version, kind): GroupVersionKind| json!({ "group": group, "version": version, "kind": kind });
    let mut resources: Vec<Value> = Vec::new();
    for kind in kinds_of(group) {
        let mut resource = json!({
            "resource": kind.plural, "responseKind": response_kind((kind.group, kind.version, kind.kind)),
            "scope": if kind.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": kind.singular, "verbs": verbs(kind),
        });
        add_names(kind, &mut resource);
        let parts: Vec<Value> = parts(kind)
            .into_iter()
            .map(|(name, of, verbs)| json!({ "subresource": name, "responseKind": response_kind(of), "verbs": verbs }))
            .collect();
        if !parts.is_empty() {
            resource["subresources"] = parts.into();
        }
        resources.push(resource);
    }
    for r in REVIEWS.iter().filter(|r| r.group == group) {
        resources.push(json!({
            "resource": r.plural, "responseKind": response_kind((r.group, "v1", r.kind)),
            "scope": if r.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": r.kind.to_lowercase(), "verbs": ["create"],
        }));
    }
    let mut metadata = json!({ "creationTimestamp": null });
    if !group.is_empty() {
        metadata["name"] = group.into();
    }
    let version = json!({ "version": version(group), "resources": resources, "freshness": "Current" });
    json!({ "metadata": metadata, "versions": [version] })
}

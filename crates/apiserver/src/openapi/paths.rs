//! The paths of the kinds that are served, and what can be done at each.

use kinds::{Kind, Scope, Subresource};
use serde_json::{Map, Value, json};

use super::schemas::PATCH;
use super::{Form, prefix};

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PATCH_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// A parameter: its name, its type, where it stands and what it is for.
type Parameter = (&'static str, &'static str, &'static str);

const NAME: Parameter = ("name", "string", "name of the object");
const NAMESPACE: Parameter = ("namespace", "string", "namespace of the object");
const DRY_RUN: Parameter = ("dryRun", "string", "`All`: everything is checked and nothing is stored");
const MANAGER: Parameter = ("fieldManager", "string", "who owns the fields that are written");
const VALIDATION: Parameter =
    ("fieldValidation", "string", "how unknown and duplicate fields are taken: `Ignore`, `Warn` or `Strict`");
const FORCE: Parameter = ("force", "boolean", "whether an apply takes fields that others own");
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "whether a watch may bring bookmarks"),
    ("continue", "string", "where a list that was cut short goes on"),
    ("fieldSelector", "string", "fields that the objects must have"),
    ("labelSelector", "string", "labels that the objects must have"),
    ("limit", "integer", "how many objects at most"),
    ("resourceVersion", "string", "a version of the list"),
    ("resourceVersionMatch", "string", "how the version is meant"),
    ("sendInitialEvents", "boolean", "whether a watch begins with what is there"),
    ("timeoutSeconds", "integer", "how long it may take"),
    ("watch", "boolean", "changes, one after the other, in place of a list"),
];
const DELETE: &[Parameter] = &[
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "how long the object may take to end"),
    ("orphanDependents", "boolean", "deprecated: use propagationPolicy"),
    ("propagationPolicy", "string", "what becomes of dependents: `Orphan`, `Background` or `Foreground`"),
];

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Get,
    List,
    Post,
    Put,
    Patch,
    Delete,
    DeleteCollection,
}

impl Action {
    /// The word in `x-kubernetes-action`.
    fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// How an operation's id begins.
    fn verb(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::List => "list",
            Self::Post => "create",
            Self::Put => "replace",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deleteCollection",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Get | Self::List => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete | Self::DeleteCollection => "delete",
        }
    }

    fn parameters(self) -> Vec<Parameter> {
        match self {
            Self::Get => Vec::new(),
            Self::List => LIST.to_vec(),
            Self::Post | Self::Put => vec![DRY_RUN, MANAGER, VALIDATION],
            Self::Patch => vec![DRY_RUN, MANAGER, VALIDATION, FORCE],
            Self::Delete => DELETE.to_vec(),
            Self::DeleteCollection => {
                let list = LIST.iter().filter(|(name, ..)| !matches!(*name, "allowWatchBookmarks" | "watch"));
                list.chain(DELETE).copied().collect()
            }
        }
    }
}

/// A path with what it leads to.
struct Place {
    kind: &'static Kind,
    path: String,
    /// `/status`, `/scale`; empty for objects themselves.
    subresource: &'static str,
    named: bool,
    in_namespace: bool,
    actions: &'static [Action],
}

/// All paths of a kind, with what can be done at each.
pub(super) fn describe(kind: &'static Kind, form: Form) -> Map<String, Value> {
    places(kind).into_iter().map(|place| (place.path.clone(), place.describe(form))).collect()
}

fn places(kind: &'static Kind) -> Vec<Place> {
    use Action::{Delete, DeleteCollection, Get, List, Patch, Post, Put};
    let base = format!("/{}", prefix(kind.group, kind.version));
    let namespaced = kind.scope == Scope::Namespaced;
    let collection = if namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", kind.plural)
    } else {
        format!("{base}/{}", kind.plural)
    };
    let place = |path: String, subresource, named, in_namespace, actions| Place {
        kind,
        path,
        subresource,
        named,
        in_namespace,
        actions,
    };
    let mut places = Vec::new();
    if namespaced {
        places.push(place(format!("{base}/{}", kind.plural), "", false, false, &[List]));
    }
    places.push(place(collection.clone(), "", false, namespaced, &[List, Post, DeleteCollection]));
    places.push(place(format!("{collection}/{{name}}"), "", true, namespaced, &[Get, Put, Patch, Delete]));
    for subresource in kind.subresources {
        let name = match subresource {
            Subresource::Status => "status",
            Subresource::Scale => "scale",
        };
        places.push(place(format!("{collection}/{{name}}/{name}"), name, true, namespaced, &[Get, Put, Patch]));
    }
    places
}

impl Place {
    fn describe(&self, form: Form) -> Value {
        let mut described = Map::new();
        let mut shared = Vec::new();
        if self.named {
            shared.push(parameter(NAME, "path", form));
        }
        if self.in_namespace {
            shared.push(parameter(NAMESPACE, "path", form));
        }
        shared.push(parameter(("pretty", "string", "whether the answer is indented"), "query", form));
        described.insert("parameters".to_owned(), shared.into());
        for action in self.actions {
            described.insert(action.method().to_owned(), self.operation(*action, form));
        }
        Value::Object(described)
    }

    /// The type that is read and written here.
    fn object(&self) -> &'static str {
        if self.subresource == "scale" { SCALE } else { self.kind.schema }
    }

    fn gvk(&self) -> Value {
        match self.subresource {
            "scale" => json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
            _ => json!({"group": self.kind.group, "version": self.kind.version, "kind": self.kind.kind}),
        }
    }

    fn operation(&self, action: Action, form: Form) -> Value {
        let mut parameters: Vec<Value> = action.parameters().into_iter().map(|p| parameter(p, "query", form)).collect();
        let mut operation = json!({
            "description": self.description(action),
            "operationId": self.id(action),
            "responses": self.responses(action, form),
            "tags": [self.tag()],
            "x-kubernetes-action": action.word(),
            "x-kubernetes-group-version-kind": self.gvk(),
        });
        let body = match action {
            Action::Get | Action::List => None,
            Action::Post | Action::Put => Some((self.object(), true, ["*/*"].as_slice())),
            Action::Patch => Some((PATCH, true, PATCH_TYPES.as_slice())),
            Action::Delete | Action::DeleteCollection => Some((DELETE_OPTIONS, false, ["*/*"].as_slice())),
        };
        match (form, body) {
            (Form::V3, Some((of_type, required, media_types))) => {
                let mut body = json!({"content": content(of_type, media_types, form)});
                if required {
                    body["required"] = true.into();
                }
                operation["requestBody"] = body;
            }
            (Form::V2, body) => {
                let consumes = body.map_or(["*/*"].as_slice(), |(.., media_types)| media_types);
                operation["consumes"] = consumes.into();
                operation["produces"] = MEDIA_TYPES.as_slice().into();
                operation["schemes"] = json!(["https"]);
                if let Some((of_type, required, _)) = body {
                    let mut body = json!({"in": "body", "name": "body", "schema": reference(of_type, form)});
                    if required {
                        body["required"] = true.into();
                    }
                    parameters.insert(0, body);
                }
            }
            (Form::V3, None) => {}
        }
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        operation
    }

    fn responses(&self, action: Action, form: Form) -> Value {
        let list = format!("{}List", self.kind.schema);
        let (of_type, codes): (&str, &[(&str, &str)]) = match action {
            Action::List => (&list, &[("200", "OK")]),
            Action::Get => (self.object(), &[("200", "OK")]),
            Action::Post => (self.object(), &[("200", "OK"), ("201", "Created"), ("202", "Accepted")]),
            Action::Put | Action::Patch => (self.object(), &[("200", "OK"), ("201", "Created")]),
            Action::Delete => (STATUS, &[("200", "OK"), ("202", "Accepted")]),
            Action::DeleteCollection => (STATUS, &[("200", "OK")]),
        };
        let mut responses = Map::new();
        for (code, description) in codes {
            let mut response = json!({"description": description});
            match form {
                Form::V2 => response["schema"] = reference(of_type, form),
                Form::V3 => response["content"] = content(of_type, &MEDIA_TYPES, form),
            }
            responses.insert((*code).to_owned(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        Value::Object(responses)
    }

    fn description(&self, action: Action) -> String {
        let of = if self.subresource.is_empty() { String::new() } else { format!("the {} of ", self.subresource) };
        let kind = self.kind.kind;
        match action {
            Action::Get => format!("read {of}the {kind} of this name"),
            Action::List => format!("list or watch objects of kind {kind}"),
            Action::Post => format!("create a {kind}"),
            Action::Put => format!("replace {of}the {kind} of this name"),
            Action::Patch => format!("change {of}the {kind} of this name"),
            Action::Delete => format!("delete the {kind} of this name"),
            Action::DeleteCollection => format!("delete objects of kind {kind}"),
        }
    }

    /// `listCoreV1NamespacedService`
    fn id(&self, action: Action) -> String {
        let namespaced = if self.in_namespace { "Namespaced" } else { "" };
        let everywhere = self.kind.scope == Scope::Namespaced && !self.in_namespace;
        let everywhere = if everywhere { "ForAllNamespaces" } else { "" };
        let (group, version) = (capital(self.group_word()), capital(self.kind.version));
        let (verb, kind, part) = (action.verb(), self.kind.kind, capital(self.subresource));
        format!("{verb}{group}{version}{namespaced}{kind}{part}{everywhere}")
    }

    fn group_word(&self) -> &'static str {
        if self.kind.group.is_empty() { "core" } else { self.kind.group.split('.').next().unwrap_or_default() }
    }

    fn tag(&self) -> String {
        format!("{}_{}", self.group_word(), self.kind.version)
    }
}

fn parameter((name, of_type, description): Parameter, place: &str, form: Form) -> Value {
    let mut parameter = json!({"description": description, "in": place, "name": name});
    if place == "path" {
        parameter["required"] = true.into();
    }
    match form {
        Form::V2 => {
            parameter["type"] = of_type.into();
            parameter["uniqueItems"] = true.into();
        }
        Form::V3 => parameter["schema"] = json!({"type": of_type, "uniqueItems": true}),
    }
    parameter
}

fn content(of_type: &str, media_types: &[&str], form: Form) -> Value {
    let each = media_types.iter().map(|m| ((*m).to_owned(), json!({"schema": reference(of_type, form)})));
    Value::Object(each.collect())
}

fn reference(of_type: &str, form: Form) -> Value {
    json!({"$ref": format!("{}{of_type}", form.types())})
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// What is read and written beside the kinds themselves.
pub(super) fn beside(kinds: &[&'static Kind]) -> Vec<&'static str> {
    let scaled = kinds.iter().any(|k| k.has(Subresource::Scale));
    [Some(DELETE_OPTIONS), Some(LIST_META), Some(STATUS), scaled.then_some(SCALE)].into_iter().flatten().collect()
}

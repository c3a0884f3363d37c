//! What a plan wants done: values that can be printed, compared, applied to a server or to a test's own world.

use k8s_openapi::api::core::v1::ObjectReference;
use serde::Serialize;
use serde_json::{Value, json};

use crate::objects::Meta;

/// A resource by its names in paths and in objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// API group; empty for core.
    pub group: &'static str,
    /// `v1`
    pub version: &'static str,
    /// `pods`
    pub plural: &'static str,
    /// `Pod`
    pub kind: &'static str,
}

impl Resource {
    const fn new(group: &'static str, version: &'static str, plural: &'static str, kind: &'static str) -> Self {
        Self { group, version, plural, kind }
    }

    /// The resource of a kind that is served.
    pub fn of(kind: &kinds::Kind) -> Self {
        Self::new(kind.group, kind.version, kind.plural, kind.kind)
    }

    /// The path of the collection, of a namespace or (when empty) of the cluster.
    pub fn path(&self, namespace: &str) -> String {
        let root =
            if self.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/{}", self.group, self.version) };
        if namespace.is_empty() {
            format!("{root}/{}", self.plural)
        } else {
            format!("{root}/namespaces/{namespace}/{}", self.plural)
        }
    }

    /// `v1` or `apps/v1`
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// `poddisruptionbudgets`
pub const BUDGETS: Resource = Resource::new("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget");
/// `configmaps`
pub const CONFIG_MAPS: Resource = Resource::new("", "v1", "configmaps", "ConfigMap");
/// `controllerrevisions`
pub const REVISIONS: Resource = Resource::new("apps", "v1", "controllerrevisions", "ControllerRevision");
/// `daemonsets`
pub const DAEMON_SETS: Resource = Resource::new("apps", "v1", "daemonsets", "DaemonSet");
/// `deployments`
pub const DEPLOYMENTS: Resource = Resource::new("apps", "v1", "deployments", "Deployment");
/// `endpoints`
pub const ENDPOINTS: Resource = Resource::new("", "v1", "endpoints", "Endpoints");
/// `endpointslices`
pub const ENDPOINT_SLICES: Resource = Resource::new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
/// `events`
pub const EVENTS: Resource = Resource::new("", "v1", "events", "Event");
/// `ipaddresses`
pub const IP_ADDRESSES: Resource = Resource::new("networking.k8s.io", "v1", "ipaddresses", "IPAddress");
/// `namespaces`
pub const NAMESPACES: Resource = Resource::new("", "v1", "namespaces", "Namespace");
/// `nodes`
pub const NODES: Resource = Resource::new("", "v1", "nodes", "Node");
/// `pods`
pub const PODS: Resource = Resource::new("", "v1", "pods", "Pod");
/// `replicasets`
pub const REPLICA_SETS: Resource = Resource::new("apps", "v1", "replicasets", "ReplicaSet");
/// `replicationcontrollers`
pub const REPLICATION_CONTROLLERS: Resource =
    Resource::new("", "v1", "replicationcontrollers", "ReplicationController");
/// `services`
pub const SERVICES: Resource = Resource::new("", "v1", "services", "Service");
/// `serviceaccounts`
pub const SERVICE_ACCOUNTS: Resource = Resource::new("", "v1", "serviceaccounts", "ServiceAccount");
/// `servicecidrs`
pub const SERVICE_CIDRS: Resource = Resource::new("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR");
/// `statefulsets`
pub const STATEFUL_SETS: Resource = Resource::new("apps", "v1", "statefulsets", "StatefulSet");

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Of what.
    pub resource: Resource,
    /// Where; empty in the cluster.
    pub namespace: String,
    /// Of which; empty where the server shall make the name from `metadata.generateName`.
    pub name: String,
    /// What is done.
    pub act: Act,
}

/// What is done to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// It is made.
    Create(Value),
    /// It becomes this; `metadata.resourceVersion` says which version this was made from.
    Replace(Value),
    /// A merge patch (RFC 7386).
    Merge(Part, Value),
    /// A strategic merge patch: lists with a merge key are merged by it.
    Strategic(Part, Value),
    /// It is deleted.
    Delete(Deletion),
    /// Something is posted to a subresource: `binding`, `eviction`.
    Post(&'static str, Value),
    /// It is replaced through a subresource: `finalize`.
    Put(&'static str, Value),
}

/// The part of an object that a patch goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but the status.
    Main,
    /// `/status`
    Status,
}

/// How an object is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Only if it is this one.
    pub uid: Option<String>,
    /// Only if it is still at this version.
    pub resource_version: Option<String>,
    /// How many seconds it may take; `None`: as long as the object says.
    pub grace: Option<i64>,
    /// What becomes of what it owns; `None`: what the kind's default is.
    pub propagation: Option<Propagation>,
}

/// What becomes of the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay.
    Orphan,
}

impl Propagation {
    /// Kubernetes' name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

impl Deletion {
    /// The `DeleteOptions` that say it.
    pub fn options(&self) -> Value {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        let mut preconditions = serde_json::Map::new();
        if let Some(uid) = &self.uid {
            preconditions.insert("uid".to_owned(), json!(uid));
        }
        if let Some(version) = &self.resource_version {
            preconditions.insert("resourceVersion".to_owned(), json!(version));
        }
        if !preconditions.is_empty() {
            options["preconditions"] = Value::Object(preconditions);
        }
        if let Some(grace) = self.grace {
            options["gracePeriodSeconds"] = json!(grace);
        }
        if let Some(propagation) = self.propagation {
            options["propagationPolicy"] = json!(propagation.name());
        }
        options
    }
}

impl Change {
    /// Makes an object; its namespace and name are in its metadata.
    pub fn create(resource: Resource, object: &impl Serialize) -> Self {
        let object = document(object);
        let meta = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { resource, namespace: meta("namespace"), name: meta("name"), act: Act::Create(object) }
    }

    /// Makes an object what it is here.
    pub fn replace(resource: Resource, object: &impl Serialize) -> Self {
        let Self { namespace, name, act, .. } = Self::create(resource, object);
        let act = if let Act::Create(object) = act { Act::Replace(object) } else { act };
        Self { resource, namespace, name, act }
    }

    /// Patches an object by RFC 7386.
    pub fn merge(resource: Resource, object: &impl Meta, part: Part, patch: Value) -> Self {
        Self::on(resource, object, Act::Merge(part, patch))
    }

    /// Patches an object by merge keys.
    pub fn strategic(resource: Resource, object: &impl Meta, part: Part, patch: Value) -> Self {
        Self::on(resource, object, Act::Strategic(part, patch))
    }

    /// Deletes an object, unless another has its name by now.
    pub fn delete(resource: Resource, object: &impl Meta) -> Self {
        let deletion = Deletion { uid: Some(object.uid().to_owned()), ..Deletion::default() };
        Self::on(resource, object, Act::Delete(deletion))
    }

    /// Does something to an object.
    pub fn on(resource: Resource, object: &impl Meta, act: Act) -> Self {
        Self { resource, namespace: object.namespace().to_owned(), name: object.name().to_owned(), act }
    }
}

/// An object as a document.
pub fn document(object: &impl Serialize) -> Value {
    // The types of the API have string keys only and so always can be written; a server refuses `null`.
    serde_json::to_value(object).unwrap_or_default()
}

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `v1`
    pub api_version: String,
    /// `Pod`
    pub kind: &'static str,
    /// Its namespace; empty for an object of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
}

impl Reference {
    /// A reference to an object.
    pub fn to(resource: Resource, object: &impl Meta) -> Self {
        Self {
            api_version: resource.api_version(),
            kind: resource.kind,
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
            resource_version: object.resource_version().to_owned(),
        }
    }

    /// The same as the API says it.
    pub fn object(&self) -> ObjectReference {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        ObjectReference {
            api_version: text(&self.api_version),
            kind: Some(self.kind.to_owned()),
            namespace: text(&self.namespace),
            name: text(&self.name),
            uid: text(&self.uid),
            resource_version: text(&self.resource_version),
            field_path: None,
        }
    }
}

/// Something to tell the user of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Of which object.
    pub about: Reference,
    /// Whether it is a warning.
    pub warning: bool,
    /// A word in CamelCase.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Note {
    /// All goes well.
    pub fn normal(about: Reference, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about, warning: false, reason, message: message.into() }
    }

    /// Something is wrong.
    pub fn warning(about: Reference, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about, warning: true, reason, message: message.into() }
    }
}

/// A controller reference to an owner, as `metav1.NewControllerRef` makes it.
pub fn controller_reference(resource: Resource, owner: &impl Meta) -> Value {
    json!({
        "apiVersion": resource.api_version(), "kind": resource.kind, "name": owner.name(), "uid": owner.uid(),
        "controller": true, "blockOwnerDeletion": true,
    })
}

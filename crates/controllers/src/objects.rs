//! What the controllers keep of each object: views that hold just the fields which some controller reads.
//!
//! A Pod of k8s-openapi is several kilobytes, of which the controllers read a few hundred bytes; at ten thousand Pods
//! that is the difference between ten megabytes and a hundred. So the large kinds are decoded straight into
//! [`View`]s; the small ones are k8s-openapi's own types without what nobody reads ([`slim`]). Pod templates, which
//! must be passed on without losing a field, are whole documents ([`document::Document`]).

pub mod document;
pub mod lease;
pub mod node;
pub mod pod;
pub mod quantity;
pub mod workload;

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Deserialize;

pub use document::Document;
pub use lease::Lease;
pub use node::Node;
pub use pod::Pod;
pub use workload::{Deployment, ReplicaSet};

/// An object of kind `K` (a k8s-openapi type, for its names) of which only `S` and `T` are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound(deserialize = "S: Deserialize<'de> + Default, T: Deserialize<'de> + Default"))]
pub struct View<K, S, T = ()> {
    /// The metadata, [`slim`].
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is kept of `spec`.
    #[serde(default)]
    pub spec: S,
    /// What is kept of `status`.
    #[serde(default)]
    pub status: T,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

impl<K, S: Default, T: Default> Default for View<K, S, T> {
    fn default() -> Self {
        Self { metadata: ObjectMeta::default(), spec: S::default(), status: T::default(), kind: PhantomData }
    }
}

impl<K: kube::Resource, S, T> kube::Resource for View<K, S, T> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }
    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }
    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }
    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The annotation in which `kubectl apply` keeps a second copy of the object.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Takes away the metadata that no controller reads.
pub fn slim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    metadata.self_link = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
        if annotations.is_empty() {
            metadata.annotations = None;
        }
    }
}

/// Short ways to what metadata says; an absent field reads as empty.
pub trait Meta {
    /// The metadata.
    fn metadata(&self) -> &ObjectMeta;

    /// `metadata.name`
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
    /// `metadata.namespace`, empty for an object of the cluster.
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }
    /// `metadata.uid`
    fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }
    /// `metadata.resourceVersion`
    fn resource_version(&self) -> &str {
        self.metadata().resource_version.as_deref().unwrap_or_default()
    }
    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str> {
        self.metadata().labels.as_ref()?.get(key).map(String::as_str)
    }
    /// The value of an annotation.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata().annotations.as_ref()?.get(key).map(String::as_str)
    }
    /// Whether the object waits for its end.
    fn deleting(&self) -> bool {
        self.metadata().deletion_timestamp.is_some()
    }
    /// The owner that controls this object.
    fn controller(&self) -> Option<&OwnerReference> {
        self.metadata().owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
    }
    /// Whether `metadata.finalizers` has this one.
    fn has_finalizer(&self, finalizer: &str) -> bool {
        self.metadata().finalizers.as_ref().is_some_and(|all| all.iter().any(|f| f == finalizer))
    }
}

impl<K: kube::Resource> Meta for K {
    fn metadata(&self) -> &ObjectMeta {
        self.meta()
    }
}

#[cfg(test)]
mod tests;

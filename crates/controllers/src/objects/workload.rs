//! What makes Pods: Deployments, ReplicaSets, StatefulSets, …; their templates stay whole documents.

use k8s_openapi::api::apps::v1;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde_json::Value;

use super::{Document, View};

/// What asks for a number of Pods of one template.
pub type Replicas<K> = View<K, ReplicaSetSpec, ReplicaSetStatus>;
/// What is kept of a ReplicaSet.
pub type ReplicaSet = Replicas<v1::ReplicaSet>;
/// What is kept of a ReplicationController.
pub type ReplicationController = Replicas<core::ReplicationController>;
/// What is kept of a Deployment.
pub type Deployment = View<v1::Deployment, DeploymentSpec, DeploymentStatus>;

/// What is kept of a DaemonSet.
pub type DaemonSet = View<v1::DaemonSet, DaemonSetSpec, DaemonSetStatus>;
/// What is kept of a StatefulSet.
pub type StatefulSet = View<v1::StatefulSet, StatefulSetSpec, StatefulSetStatus>;

/// The label that tells the Pods of a Deployment's ReplicaSets apart.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// `spec` of a ReplicaSet, and of a ReplicationController.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaSetSpec {
    /// How many Pods there should be; the server's default is 1.
    pub replicas: Option<i32>,
    /// How long a Pod has to be ready to be available.
    pub min_ready_seconds: Option<i32>,
    /// Which Pods are its own.
    #[serde(deserialize_with = "selector")]
    pub selector: LabelSelector,
    /// What its Pods look like.
    #[serde(default)]
    pub template: Template,
}

/// `status` of a ReplicaSet.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetStatus {
    /// Pods that are there.
    #[serde(deserialize_with = "nullable")]
    pub replicas: i32,
    /// Of those, with all labels of the template.
    #[serde(deserialize_with = "nullable")]
    pub fully_labeled_replicas: i32,
    /// Of those, ready.
    #[serde(deserialize_with = "nullable")]
    pub ready_replicas: i32,
    /// Of those, ready for `minReadySeconds`.
    #[serde(deserialize_with = "nullable")]
    pub available_replicas: i32,
    /// Pods that wait for their end; unknown to older controllers.
    pub terminating_replicas: Option<i32>,
    /// The generation that this status is about.
    #[serde(deserialize_with = "nullable")]
    pub observed_generation: i64,
    /// `ReplicaFailure`
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<v1::ReplicaSetCondition>,
}

fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A label selector, or labels alone, as a ReplicationController has them: of those every value is a text, and of a
/// selector none is.
fn selector<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<LabelSelector, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let labels = value.as_object().filter(|fields| fields.values().any(Value::is_string)).cloned();
    match labels {
        Some(labels) => {
            let match_labels = serde_json::from_value(labels.into()).map_err(serde::de::Error::custom)?;
            Ok(LabelSelector { match_labels: Some(match_labels), match_expressions: None })
        }
        None => serde_json::from_value(value).map_err(serde::de::Error::custom),
    }
}

/// `spec` of a DaemonSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonSetSpec {
    /// How long a Pod has to be ready to be available.
    pub min_ready_seconds: Option<i32>,
    /// Which Pods are its own.
    pub selector: LabelSelector,
    /// What its Pods look like.
    #[serde(default)]
    pub template: Template,
    /// How old Pods are replaced by new ones; `type` is `RollingUpdate` or `OnDelete`.
    pub update_strategy: Option<Strategy>,
    /// How many old templates are remembered.
    pub revision_history_limit: Option<i32>,
}

/// `status` of a DaemonSet.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetStatus {
    /// Nodes that should have a Pod and have one.
    #[serde(deserialize_with = "nullable")]
    pub current_number_scheduled: i32,
    /// Nodes that should have none and have one.
    #[serde(deserialize_with = "nullable")]
    pub number_misscheduled: i32,
    /// Nodes that should have a Pod.
    #[serde(deserialize_with = "nullable")]
    pub desired_number_scheduled: i32,
    /// Of those, with one that is ready.
    #[serde(deserialize_with = "nullable")]
    pub number_ready: i32,
    /// The generation that this status is about.
    #[serde(deserialize_with = "nullable")]
    pub observed_generation: i64,
    /// Of those, with one of the present template.
    #[serde(deserialize_with = "nullable")]
    pub updated_number_scheduled: i32,
    /// Of those, with one that has been ready for `minReadySeconds`.
    #[serde(deserialize_with = "nullable")]
    pub number_available: i32,
    /// Of those, without such a one.
    #[serde(deserialize_with = "nullable")]
    pub number_unavailable: i32,
    /// How often the name of a revision was taken.
    pub collision_count: Option<i32>,
}

/// `spec` of a StatefulSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatefulSetSpec {
    /// How many Pods there should be.
    pub replicas: Option<i32>,
    /// How long a Pod has to be ready to be available.
    pub min_ready_seconds: Option<i32>,
    /// Which Pods are its own.
    pub selector: LabelSelector,
    /// What its Pods look like.
    #[serde(default)]
    pub template: Template,
    /// The headless Service under which its Pods have their names.
    pub service_name: Option<String>,
    /// `OrderedReady` or `Parallel`
    pub pod_management_policy: Option<String>,
    /// How old Pods are replaced by new ones; `type` is `RollingUpdate` or `OnDelete`.
    pub update_strategy: Option<Strategy>,
    /// How many old templates are remembered.
    pub revision_history_limit: Option<i32>,
    /// Where the Pods' numbers begin.
    pub ordinals: Option<v1::StatefulSetOrdinals>,
    /// The claims that each of its Pods has for itself.
    pub volume_claim_templates: Option<Vec<ClaimTemplate>>,
}

/// What is kept of a template of a claim.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClaimTemplate {
    /// Its name, which the claims' names begin with.
    #[serde(default)]
    pub metadata: ClaimMetadata,
}

/// The metadata of a template of a claim.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ClaimMetadata {
    /// Its name.
    #[serde(default)]
    pub name: String,
}

/// `status` of a StatefulSet.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetStatus {
    /// The generation that this status is about.
    #[serde(deserialize_with = "nullable")]
    pub observed_generation: i64,
    /// Pods that are there.
    #[serde(deserialize_with = "nullable")]
    pub replicas: i32,
    /// Of those, ready.
    #[serde(deserialize_with = "nullable")]
    pub ready_replicas: i32,
    /// Of those, ready for `minReadySeconds`.
    #[serde(deserialize_with = "nullable")]
    pub available_replicas: i32,
    /// Pods of the revision that was complete last.
    #[serde(deserialize_with = "nullable")]
    pub current_replicas: i32,
    /// Pods of the present template's revision.
    #[serde(deserialize_with = "nullable")]
    pub updated_replicas: i32,
    /// The name of the revision that was complete last.
    #[serde(deserialize_with = "nullable")]
    pub current_revision: String,
    /// The name of the present template's revision.
    #[serde(deserialize_with = "nullable")]
    pub update_revision: String,
    /// How often the name of a revision was taken.
    pub collision_count: Option<i32>,
}

/// `spec` of a Deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// How many Pods there should be.
    pub replicas: Option<i32>,
    /// How long a Pod has to be ready to be available.
    pub min_ready_seconds: Option<i32>,
    /// Which Pods are its own.
    pub selector: LabelSelector,
    /// What its Pods look like.
    #[serde(default)]
    pub template: Template,
    /// How old Pods are replaced by new ones.
    pub strategy: Option<Strategy>,
    /// How many old ReplicaSets are kept.
    pub revision_history_limit: Option<i32>,
    /// Whether nothing is rolled out.
    pub paused: Option<bool>,
    /// After how long without progress a rollout has failed.
    pub progress_deadline_seconds: Option<i32>,
}

/// `spec.strategy` of a Deployment, `spec.updateStrategy` of others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// `RollingUpdate` or `Recreate`
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The bounds of a rolling update.
    pub rolling_update: Option<RollingUpdate>,
}

/// `spec.strategy.rollingUpdate` of a Deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// How many Pods may be missing.
    pub max_unavailable: Option<IntOrString>,
    /// How many Pods may be too many.
    pub max_surge: Option<IntOrString>,
    /// Of a StatefulSet: Pods below this number stay as they are.
    pub partition: Option<i32>,
}

/// `status` of a Deployment.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// The generation that this status is about.
    #[serde(deserialize_with = "nullable")]
    pub observed_generation: i64,
    /// Pods that are there.
    #[serde(deserialize_with = "nullable")]
    pub replicas: i32,
    /// Of those, made from the present template.
    #[serde(deserialize_with = "nullable")]
    pub updated_replicas: i32,
    /// Of those, ready.
    #[serde(deserialize_with = "nullable")]
    pub ready_replicas: i32,
    /// Of those, ready for `minReadySeconds`.
    #[serde(deserialize_with = "nullable")]
    pub available_replicas: i32,
    /// Wanted Pods that are not available.
    #[serde(deserialize_with = "nullable")]
    pub unavailable_replicas: i32,
    /// Pods that wait for their end; unknown to older controllers.
    pub terminating_replicas: Option<i32>,
    /// `Available`, `Progressing`, `ReplicaFailure`
    #[serde(deserialize_with = "nullable")]
    pub conditions: Vec<v1::DeploymentCondition>,
    /// How often the name of a new ReplicaSet was taken.
    pub collision_count: Option<i32>,
}

/// A pod template without its `pod-template-hash`, so that templates that differ in nothing else are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The document.
    pub document: Document,
    /// The label's value, if there is one.
    pub hash: Option<Box<str>>,
}

impl Template {
    /// Splits a template into the hash and the rest.
    pub fn new(mut template: Value) -> Self {
        let labels = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut);
        let hash = labels.and_then(|labels| labels.remove(POD_TEMPLATE_HASH));
        Self { document: Document::new(&template), hash: hash.as_ref().and_then(Value::as_str).map(Into::into) }
    }

    /// The whole template, with the hash if there is one.
    pub fn value(&self) -> Value {
        let mut template = self.document.value();
        if let Some(hash) = &self.hash {
            template["metadata"]["labels"][POD_TEMPLATE_HASH] = Value::from(&**hash);
        }
        template
    }

    /// The labels that its Pods get.
    pub fn labels(&self) -> std::collections::BTreeMap<String, String> {
        let template = self.value();
        let labels = template.pointer("/metadata/labels").and_then(Value::as_object);
        labels
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::new)
    }
}

impl<K> Replicas<K> {
    /// `spec.replicas`, which the server defaults to 1.
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }
}

impl Deployment {
    /// `spec.replicas`, which the server defaults to 1.
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }
}

impl StatefulSet {
    /// `spec.replicas`, which the server defaults to 1.
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }
}

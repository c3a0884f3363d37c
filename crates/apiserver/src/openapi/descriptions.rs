//! What each type and field is for, in the words of Kubernetes, from the types of k8s-openapi.

use k8s_openapi::api::{apps, autoscaling, coordination, core, discovery, networking, node, policy, rbac, scheduling};
use k8s_openapi::apimachinery::pkg::apis::meta;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// Descriptions by type.
pub(super) struct Descriptions(Map<String, Value>);

/// Puts what is known of a type, and of all that it mentions, into a generator.
type Describe = fn(&mut SchemaGenerator);

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

/// Every kind that is served, and what is served beside the kinds, with the schema table's name of it.
static DESCRIBED: &[(&str, Describe)] = &[
    ("io.k8s.api.apps.v1.ControllerRevision", of::<apps::v1::ControllerRevision>),
    ("io.k8s.api.apps.v1.DaemonSet", of::<apps::v1::DaemonSet>),
    ("io.k8s.api.apps.v1.Deployment", of::<apps::v1::Deployment>),
    ("io.k8s.api.apps.v1.ReplicaSet", of::<apps::v1::ReplicaSet>),
    ("io.k8s.api.apps.v1.StatefulSet", of::<apps::v1::StatefulSet>),
    ("io.k8s.api.autoscaling.v1.Scale", of::<autoscaling::v1::Scale>),
    ("io.k8s.api.coordination.v1.Lease", of::<coordination::v1::Lease>),
    ("io.k8s.api.core.v1.ConfigMap", of::<core::v1::ConfigMap>),
    ("io.k8s.api.core.v1.Endpoints", of::<core::v1::Endpoints>),
    ("io.k8s.api.core.v1.Event", of::<core::v1::Event>),
    ("io.k8s.api.core.v1.LimitRange", of::<core::v1::LimitRange>),
    ("io.k8s.api.core.v1.Namespace", of::<core::v1::Namespace>),
    ("io.k8s.api.core.v1.Node", of::<core::v1::Node>),
    ("io.k8s.api.core.v1.Pod", of::<core::v1::Pod>),
    ("io.k8s.api.core.v1.PodTemplate", of::<core::v1::PodTemplate>),
    ("io.k8s.api.core.v1.ReplicationController", of::<core::v1::ReplicationController>),
    ("io.k8s.api.core.v1.ResourceQuota", of::<core::v1::ResourceQuota>),
    ("io.k8s.api.core.v1.Secret", of::<core::v1::Secret>),
    ("io.k8s.api.core.v1.Service", of::<core::v1::Service>),
    ("io.k8s.api.core.v1.ServiceAccount", of::<core::v1::ServiceAccount>),
    ("io.k8s.api.discovery.v1.EndpointSlice", of::<discovery::v1::EndpointSlice>),
    ("io.k8s.api.networking.v1.IPAddress", of::<networking::v1::IPAddress>),
    ("io.k8s.api.networking.v1.Ingress", of::<networking::v1::Ingress>),
    ("io.k8s.api.networking.v1.IngressClass", of::<networking::v1::IngressClass>),
    ("io.k8s.api.networking.v1.NetworkPolicy", of::<networking::v1::NetworkPolicy>),
    ("io.k8s.api.networking.v1.ServiceCIDR", of::<networking::v1::ServiceCIDR>),
    ("io.k8s.api.node.v1.RuntimeClass", of::<node::v1::RuntimeClass>),
    ("io.k8s.api.policy.v1.PodDisruptionBudget", of::<policy::v1::PodDisruptionBudget>),
    ("io.k8s.api.rbac.v1.ClusterRole", of::<rbac::v1::ClusterRole>),
    ("io.k8s.api.rbac.v1.ClusterRoleBinding", of::<rbac::v1::ClusterRoleBinding>),
    ("io.k8s.api.rbac.v1.Role", of::<rbac::v1::Role>),
    ("io.k8s.api.rbac.v1.RoleBinding", of::<rbac::v1::RoleBinding>),
    ("io.k8s.api.scheduling.v1.PriorityClass", of::<scheduling::v1::PriorityClass>),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", of::<meta::v1::DeleteOptions>),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta", of::<meta::v1::ListMeta>),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Status", of::<meta::v1::Status>),
];

impl Descriptions {
    /// The descriptions of these types and of all that they mention.
    pub fn of(types: &[&str]) -> Self {
        let mut generator = SchemaGenerator::default();
        for (_, describe) in DESCRIBED.iter().filter(|(name, _)| types.contains(name)) {
            describe(&mut generator);
        }
        Self(generator.take_definitions(true))
    }

    /// Whether anything is known of a top-level type.
    #[cfg(test)]
    pub fn know(name: &str) -> bool {
        DESCRIBED.iter().any(|(known, _)| *known == name)
    }

    /// What a type is.
    pub fn of_type(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.get("description")?.as_str()
    }

    /// What a field of a type is.
    pub fn of_field(&self, name: &str, field: &str) -> Option<&str> {
        self.0.get(name)?.get("properties")?.get(field)?.get("description")?.as_str()
    }
}

//! Service (`v1`): a name and an address for the Pods that a selector finds.
//!
//! A Service's fields hang together, so its update rules are its own. The API server runs them in this order, which
//! is Kubernetes': [`sync_cluster_ips`] (on update after [`keep_allocated`]), [`choose_families`], the allocation of
//! addresses and ports, then the [`Strategy`]: preparation, validation, [`Strategy::canonicalize`].

mod cluster_ips;
mod defaults;
mod families;
mod table;
#[cfg(test)]
mod tests;
mod update;
mod validation;
mod warnings;

use serde_json::{Value, json};

use crate::document::{at, flag, given, list, object_mut, remove, set, text};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource};
use crate::{field, names};

pub use cluster_ips::sync_cluster_ips;
pub use families::choose_families;
pub use update::keep_allocated;
pub(crate) use validation::validate_port_reference;

/// Service.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Service",
    plural: "services",
    singular: "service",
    short_names: &["svc"],
    categories: &["all"],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.core.v1.Service",
    strategy: &Service,
};

struct Service;

impl Strategy for Service {
    fn default(&self, object: &mut Value) {
        defaults::apply(object);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", json!({"loadBalancer": {}}));
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        // KEP-5311: a DNS-1123 label since 1.36; it may begin with a digit.
        if prefix { names::dns1123_label(&names::without_trailing_dash(name)) } else { names::dns1123_label(name) }
    }

    fn validate(&self, object: &Value) -> Vec<field::Error> {
        validation::validate(object, None)
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set(new, "status", at(old, "status").clone());
        update::drop_dependent_fields(new, old);
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<field::Error> {
        validation::validate_update(new, old)
    }

    fn canonicalize(&self, object: &mut Value) {
        // Kubernetes keeps the field of old ExternalName Services and hides it when they are read.
        if is_external_name(object)
            && let Some(spec) = object_mut(object, "spec")
        {
            remove(spec, "internalTrafficPolicy");
        }
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<field::Error> {
        validation::validate_load_balancer(new, old)
    }

    fn status_warnings(&self, new: &Value, _old: &Value) -> Vec<String> {
        warnings::of_status(new)
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        warnings::of_spec(new)
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }

    fn fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let spec = at(object, "spec");
        vec![("spec.clusterIP", text(spec, "clusterIP").to_owned()), ("spec.type", text(spec, "type").to_owned())]
    }

    fn field_names(&self) -> &'static [&'static str] {
        &["spec.clusterIP", "spec.type"]
    }

    fn columns(&self) -> &'static [Column] {
        &table::COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        table::row(object, now)
    }
}

fn type_of(service: &Value) -> &str {
    text(at(service, "spec"), "type")
}

/// Whether it is only another name for a name elsewhere: it has no addresses.
pub fn is_external_name(service: &Value) -> bool {
    type_of(service) == "ExternalName"
}

fn is_load_balancer(service: &Value) -> bool {
    type_of(service) == "LoadBalancer"
}

/// Whether it has no address of its own: DNS answers with those of its Pods.
pub fn is_headless(service: &Value) -> bool {
    matches!(list(at(service, "spec"), "clusterIPs"), [only] if only == "None")
}

/// Whether it has or may have node ports: `NodePort` and `LoadBalancer`.
pub fn may_have_node_ports(service: &Value) -> bool {
    matches!(type_of(service), "NodePort" | "LoadBalancer")
}

/// Whether ports without a node port are to be given one.
pub fn wants_node_ports(service: &Value) -> bool {
    match type_of(service) {
        "NodePort" => true,
        "LoadBalancer" => {
            let spec = at(service, "spec");
            given(spec, "allocateLoadBalancerNodePorts").is_none() || flag(spec, "allocateLoadBalancerNodePorts")
        }
        _ => false,
    }
}

/// Whether load balancers must ask each node if it has endpoints: `LoadBalancer` with external policy `Local`. Such a
/// Service has a `healthCheckNodePort`.
pub fn needs_health_check(service: &Value) -> bool {
    is_load_balancer(service) && text(at(service, "spec"), "externalTrafficPolicy") == "Local"
}

/// Whether traffic from outside of the cluster may come in.
pub fn is_externally_accessible(service: &Value) -> bool {
    match type_of(service) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !list(at(service, "spec"), "externalIPs").is_empty(),
        _ => false,
    }
}

//! What a Service says of its load balancer, as conditions that can be waited for.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};

/// Whether a Service has its addresses, and if not, why and what helps.
pub const ADDRESS: &str = "portolan.dev/LoadBalancerAddress";

/// Whether its addresses are answered for, as another node than the one that answers has seen.
pub const READY: &str = "portolan.dev/LoadBalancerReady";

/// What a condition is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its type.
    pub kind: &'static str,
    /// `True`, `False`, `Unknown`
    pub status: &'static str,
    /// A word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// The condition of a type that a Service has.
pub fn held<'a>(service: &'a Service, kind: &str) -> Option<&'a Condition> {
    let mut conditions = service.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == kind)
}

impl Said {
    /// As an element of the list of conditions; `None`: the Service says so already.
    pub fn news(&self, service: &Service, now: Timestamp) -> Option<Value> {
        let held = held(service, self.kind);
        let generation = service.metadata.generation;
        let same = held.is_some_and(|c| {
            (&*c.status, &*c.reason, &*c.message, c.observed_generation)
                == (self.status, self.reason, &*self.message, generation)
        });
        if same {
            return None;
        }
        let since = held.filter(|c| c.status == self.status).map_or(now, |c| c.last_transition_time.0);
        let mut condition = json!({
            "type": self.kind, "status": self.status, "reason": self.reason, "message": self.message,
            "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        if let Some(generation) = generation {
            condition["observedGeneration"] = json!(generation);
        }
        Some(condition)
    }
}

/// What takes a condition away, in a strategic patch.
pub fn gone(service: &Service, kind: &str) -> Option<Value> {
    held(service, kind).map(|_| json!({"type": kind, "$patch": "delete"}))
}

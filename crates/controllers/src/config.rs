//! What the controllers are told from outside.

use std::time::Duration;

use ::loadbalancer::pool::Pool;
use ::loadbalancer::settings::Settings;
use ipnet::IpNet;

/// The settings of all controllers.
#[derive(Clone, Debug)]
pub struct Config {
    /// The addresses that Services of type LoadBalancer get, where no ConfigMap and no [`Config::load_balancer`] says it;
    /// `None`: they get none, and are told so.
    pub load_balancer_pool: Option<Pool>,
    /// All that is chosen of load balancers, where no ConfigMap says it.
    pub load_balancer: Option<Settings>,
    /// The certificate of the cluster's authority, in PEM, for the `kube-root-ca.crt` of every namespace.
    pub ca_pem: String,
    /// How long a node may be silent until it counts as lost. Kubernetes: 40 s.
    pub node_grace: Duration,
    /// How long a Pod may stay on a node that is lost or not ready, however long it tolerates that. Kubernetes has no
    /// such cap, and admission gives each Pod 300 s.
    pub eviction_after: Duration,
    /// The range from which every node gets a part for its Pods; `None`: nodes bring theirs.
    pub pod_cidr: Option<IpNet>,
    /// The prefix length of each node's part.
    pub node_mask: u8,
    /// How many ended Pods are kept; 0: all.
    pub terminated_pods: usize,
    /// How many endpoints a slice has at most.
    pub endpoints_per_slice: usize,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// A node's part would be larger than the whole, or have no address for a Pod.
    #[error("a node's part of {pod_cidr} cannot have the prefix length {node_mask}")]
    NodeMask {
        /// The whole.
        pod_cidr: IpNet,
        /// The prefix length of a part.
        node_mask: u8,
    },
}

impl Config {
    /// Checks what no type can say.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self.pod_cidr {
            // A part holds at least the gateway's address and one for a Pod, beside the network's and the broadcast's.
            Some(pod_cidr) if !(pod_cidr.prefix_len()..=pod_cidr.max_prefix_len() - 2).contains(&self.node_mask) => {
                Err(ConfigError::NodeMask { pod_cidr, node_mask: self.node_mask })
            }
            _ => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            load_balancer_pool: None,
            load_balancer: None,
            ca_pem: String::new(),
            node_grace: Duration::from_secs(4),
            eviction_after: Duration::from_secs(5),
            pod_cidr: None,
            node_mask: 24,
            terminated_pods: 12_500,
            endpoints_per_slice: 100,
        }
    }
}
